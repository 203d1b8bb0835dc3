/** A throw-away GnuPG home with one key; its agent is ended with the test. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { tempDir } from './temp-dir.ts';

export type GpgHome = {
  readonly dir: string;
  /** To be added to the environment of gpg, and of an lbs that runs gpg. */
  readonly env: { readonly GNUPGHOME: string };
  /** The key's user id, usable as `-r` and `-u`. */
  readonly user: string;
  /** Files with the armored keys. */
  readonly publicKey: string;
  readonly secretKey: string;
};

/** Runs gpg in that home. */
export function gpg(
  home: Pick<GpgHome, 'env'>,
  args: readonly string[],
  input?: Buffer,
): { code: number | null; stdout: Buffer; stderr: string } {
  const { status, stdout, stderr } = spawnSync('gpg', ['--batch', '--yes', ...args], {
    env: { PATH: process.env['PATH'], LANG: 'C.UTF-8', ...home.env },
    input: input ?? '',
    maxBuffer: 1 << 28,
  });
  return { code: status, stdout, stderr: String(stderr) };
}

const LAUNCHES_MAX = 10;

/**
 * Starts the agent of a home before anything needs it: gpg itself waits five seconds for it, which is
 * too short when the machine has much else to do.
 */
export function startAgent({ env }: Pick<GpgHome, 'env'>): void {
  for (let launches = 0; launches < LAUNCHES_MAX; launches++) {
    const { status } = spawnSync('gpgconf', ['--launch', 'gpg-agent'], {
      env: { PATH: process.env['PATH'], ...env },
      // The agent would keep a pipe open for as long as it lives.
      stdio: 'ignore',
    });
    if (status === 0) return;
  }
}

/** Makes a home with a new signing and encryption key. */
export function gpgHome(t: ExecutionContext, passphrase = ''): GpgHome {
  // The agent's socket lies in the home, and socket paths are short: keep the name short.
  const dir = join(tempDir(t), 'g');
  mkdirSync(dir, { mode: 0o700 });
  const env = { GNUPGHOME: dir };
  t.teardown(() => {
    spawnSync('gpgconf', ['--kill', 'all'], { env: { PATH: process.env['PATH'], ...env } });
  });
  startAgent({ env });
  const user = 'lbs-test@example.org';
  const unlock = ['--pinentry-mode', 'loopback', '--passphrase', passphrase];
  const must = (args: readonly string[]): Buffer => {
    const run = gpg({ env }, args);
    if (run.code !== 0) throw new Error(`gpg ${args.join(' ')}: ${run.stderr}`);
    return run.stdout;
  };
  must([...unlock, '--quick-generate-key', `lbs test <${user}>`, 'ed25519', 'default', 'never']);
  // An ed25519 key only signs; the subkey is what `--encrypt -r` uses.
  const fingerprint = /^fpr:+([0-9A-F]+):/m.exec(
    must(['--with-colons', '--list-keys', user]).toString('latin1'),
  )?.[1];
  must([...unlock, '--quick-add-key', fingerprint ?? '', 'cv25519', 'encrypt', 'never']);
  const publicKey = join(dir, 'public.asc');
  const secretKey = join(dir, 'secret.asc');
  writeFileSync(publicKey, must(['--armor', '--export', user]));
  writeFileSync(secretKey, must([...unlock, '--armor', '--export-secret-keys', user]), {
    mode: 0o600,
  });
  return { dir, env, user, publicKey, secretKey };
}
