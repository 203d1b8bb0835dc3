/**
 * Signatures against the real gpg, in a throw-away GNUPGHOME: what we sign it must accept, what
 * it signs we must accept, and nothing else.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import * as openpgp from 'openpgp';
import { LbsError } from '../../src/errors.ts';
import { parseDescriptor } from '../../src/format/descriptor.ts';
import { signWithFilter, signWithKey, verifySigned } from '../../src/snapshots/signature.ts';
import { withoutSecrets } from '../../src/std/secret.ts';
import { startAgent } from '../helpers/gpg-home.ts';

const DESCRIPTOR = Buffer.from(
  [
    'Format: LBS Snapshot v0.6',
    'Producer: lbs 0.1.0',
    'Date: 2026-11-20 10:14:21 +0100',
    'Scheme: home',
    'Root: 7c18fb6f-0616-42cc-a985-5349a54add41/00000001(sha1=7dea2ab2e1208d19af0bad687d0109983df32c9a)',
    'Checksums: sha1=57e5b58c659b2679655dd37d92d583b23a77b2a7',
    'Host: räksmörgås',
    'Segments:',
    '    59669976-da50-4cc0-afbf-74d222a510a7',
    '    7c18fb6f-0616-42cc-a985-5349a54add41',
    '',
  ].join('\n'),
);
const PASSPHRASE = 'correct horse battery';
const hasGpg = spawnSync('gpg', ['--version']).status === 0;
const gpgTest = hasGpg ? test : test.skip;

const home = mkdtempSync(join(tmpdir(), 'lbs-gpg-'));
// gpg-agent's socket path must be short, so the home lies directly in the temporary folder.
const gpgEnv = { ...process.env, GNUPGHOME: home, GPG_TTY: '' };

function gpg(args: string[], input?: Buffer): Buffer {
  const stdio: ['pipe', 'pipe', 'pipe'] = ['pipe', 'pipe', 'pipe'];
  return execFileSync('gpg', ['--batch', '--yes', ...args], { env: gpgEnv, input, stdio });
}

function makeKey(user: string, algorithm: string, passphrase = '', expire = 'never'): void {
  const unlock = ['--pinentry-mode', 'loopback', '--passphrase', passphrase];
  gpg([...unlock, '--quick-gen-key', user, algorithm, 'sign', expire]);
}

function exportKey(user: string, secret: boolean, armor = true): string {
  const file = join(home, `${user}.${secret ? 'secret' : 'public'}${armor ? '.asc' : '.gpg'}`);
  const what = secret ? '--export-secret-keys' : '--export';
  const unlock = ['--pinentry-mode', 'loopback', '--passphrase', PASSPHRASE];
  writeFileSync(file, gpg([...(armor ? ['--armor'] : []), ...unlock, what, `=${user}`]));
  return file;
}

test.before(() => {
  process.env['GNUPGHOME'] = home;
  if (!hasGpg) return;
  startAgent({ env: { GNUPGHOME: home } });
  makeKey('ed', 'ed25519');
  makeKey('rsa', 'rsa2048');
  makeKey('locked', 'ed25519', PASSPHRASE);
  makeKey('stranger', 'ed25519');
});

test.after.always(() => {
  spawnSync('gpgconf', ['--kill', 'all'], { env: gpgEnv });
  rmSync(home, { recursive: true, force: true });
});

async function refused(
  t: ExecutionContext,
  code: LbsError['code'],
  work: Promise<unknown>,
): Promise<LbsError> {
  const error = await t.throwsAsync(work, { instanceOf: LbsError });
  t.is(error.code, code, error.message);
  t.false(`${error.message} ${error.hint}`.includes(PASSPHRASE));
  return error;
}

function signedByGpg(user: string, ...more: string[]): Buffer {
  return gpg([...more, '--local-user', `=${user}`, '--clearsign'], DESCRIPTOR);
}

for (const user of ['ed', 'rsa']) {
  for (const armor of [true, false]) {
    const kind = `${armor ? 'armored' : 'binary'} ${user}`;
    gpgTest(`gpg --verify accepts what is signed with an ${kind} key`, async (t) => {
      const signed = await signWithKey(DESCRIPTOR, exportKey(user, true, armor));
      const answer = spawnSync('gpg', ['--verify'], { env: gpgEnv, input: signed });
      t.is(answer.status, 0, String(answer.stderr));
      t.regex(String(answer.stderr), /Good signature/);
      t.deepEqual(gpg(['--decrypt'], signed), DESCRIPTOR);
      const read = parseDescriptor(signed.toString('latin1'));
      t.deepEqual(read, {
        ...parseDescriptor(DESCRIPTOR.toString('latin1')),
        fields: read.fields,
      });
      t.deepEqual(await verifySigned(signed, exportKey(user, false, armor)), DESCRIPTOR);
    });
  }

  gpgTest(`a descriptor that gpg --clearsign signed with an ${user} key is accepted`, async (t) => {
    t.deepEqual(await verifySigned(signedByGpg(user), exportKey(user, false)), DESCRIPTOR);
  });
}

gpgTest('a key made by openpgp signs what gpg --verify accepts', async (t) => {
  const made = await openpgp.generateKey({ userIDs: [{ name: 'made' }], type: 'ecc' });
  const file = join(home, 'made.asc');
  writeFileSync(file, made.privateKey);
  gpg(['--import'], Buffer.from(made.publicKey));
  const signed = await signWithKey(DESCRIPTOR, file);
  t.is(spawnSync('gpg', ['--verify'], { env: gpgEnv, input: signed }).status, 0);
  writeFileSync(file, made.publicKey);
  t.deepEqual(await verifySigned(signed, file), DESCRIPTOR);
});

gpgTest('any key of a file with several blocks or a binary keyring is believed', async (t) => {
  const blocks = join(home, 'both.asc');
  const text = ['ed', 'rsa'].map((user) => readFileSync(exportKey(user, false), 'utf8'));
  writeFileSync(blocks, `first\n${text.join('\nsecond\n')}`);
  const keyring = join(home, 'both.gpg');
  writeFileSync(keyring, gpg(['--export', '=ed', '=rsa']));
  for (const user of ['ed', 'rsa']) {
    t.deepEqual(await verifySigned(signedByGpg(user), blocks), DESCRIPTOR);
    t.deepEqual(await verifySigned(signedByGpg(user), keyring), DESCRIPTOR);
  }
  const two = signedByGpg('ed', '--local-user', '=rsa');
  t.deepEqual(await verifySigned(two, exportKey('rsa', false)), DESCRIPTOR);
});

gpgTest('an altered byte anywhere in the text or the signature is refused', async (t) => {
  const signed = signedByGpg('ed');
  const key = exportKey('ed', false);
  const text = {
    start: signed.indexOf('Format:'),
    end: signed.indexOf('-----BEGIN PGP SIGNATURE'),
  };
  for (let at = text.start; at < text.end - 1; at += 7) {
    const altered = Buffer.from(signed);
    altered[at] = (altered[at] ?? 0) ^ 1;
    await refused(t, 'signature-bad', verifySigned(altered, key));
  }
  // Some bytes of a signature may change without harm (its checksum, unsigned hints); what is
  // believed is the signed text even so.
  for (let at = text.end; at < signed.length; at += 5) {
    const altered = Buffer.from(signed);
    altered[at] = (altered[at] ?? 0) ^ 1;
    const answer = await verifySigned(altered, key).catch((error: unknown) => error);
    if (!(answer instanceof LbsError)) t.deepEqual(answer, DESCRIPTOR);
  }
  const error = await refused(
    t,
    'signature-bad',
    verifySigned(Buffer.from(signed.toString().replace('home', 'home2')), key),
  );
  t.regex(error.message, /altered or damaged/);
});

gpgTest('a good signature by another key is refused', async (t) => {
  const error = await refused(
    t,
    'signature-bad',
    verifySigned(signedByGpg('stranger'), exportKey('ed', false)),
  );
  t.regex(error.message, /by key [0-9A-F]{16}, which is not in that file/);
});

gpgTest('an unsigned descriptor is refused', async (t) => {
  await refused(t, 'signature-missing', verifySigned(DESCRIPTOR, exportKey('ed', false)));
  await refused(t, 'signature-missing', verifySigned(Buffer.alloc(0), exportKey('ed', false)));
  const opaque = gpg(['--armor', '--local-user', '=ed', '--sign'], DESCRIPTOR);
  await refused(t, 'signature-missing', verifySigned(opaque, exportKey('ed', false)));
});

gpgTest('anything but blanks before, after or in the frame is refused', async (t) => {
  const signed = signedByGpg('ed').toString('latin1');
  const key = exportKey('ed', false);
  const verify = (text: string) => verifySigned(Buffer.from(text, 'latin1'), key);
  for (const text of [
    `Root: x\n${signed}`,
    `${signed}Segments:\n`,
    `${signed}${signed}`,
    signed.replace('SIGNED MESSAGE-----\n', 'SIGNED MESSAGE-----\nRoot: x\n'),
    signed.replace('-----END PGP SIGNATURE-----\n', ''),
    signed.replace('Format:', '-Format:'),
  ]) {
    await refused(t, 'signature-bad', verify(text));
  }
  t.deepEqual(await verify(`\n \n${signed}\n\t\n`), DESCRIPTOR);
  t.deepEqual(await verify(signed.replaceAll('\n', '\r\n')), DESCRIPTOR);
});

gpgTest('signatures with SHA-1 and signatures of nothing are refused', async (t) => {
  const key = exportKey('rsa', false);
  const sha1 = signedByGpg('rsa', '--digest-algo', 'SHA1', '--allow-weak-digest-algos');
  const error = await refused(t, 'signature-bad', verifySigned(sha1, key));
  t.regex(error.message, /SHA1/);
  const frame = signedByGpg('rsa').toString('latin1');
  const binary = gpg(['--armor', '--local-user', '=rsa', '--detach-sign'], DESCRIPTOR);
  const swapped = frame.replace(/-----BEGIN PGP SIGNATURE-----[^]*$/, binary.toString('latin1'));
  await refused(t, 'signature-bad', verifySigned(Buffer.from(swapped, 'latin1'), key));
});

gpgTest('a signature outlives its key, and a key that has expired signs no more', async (t) => {
  gpg([
    '--faked-system-time',
    '20200101T000000!',
    '--passphrase',
    '',
    '--pinentry-mode',
    'loopback',
    '--quick-gen-key',
    'old',
    'ed25519',
    'sign',
    '2020-02-01',
  ]);
  const signed = signedByGpg('old', '--faked-system-time', '20200110T000000!');
  t.deepEqual(await verifySigned(signed, exportKey('old', false)), DESCRIPTOR);
  const error = await refused(t, 'signature-key', signWithKey(DESCRIPTOR, exportKey('old', true)));
  t.regex(error.message, /expired on 2020-0[12]-/);
  const fingerprint = /^fpr:+([0-9A-F]+):/m.exec(
    gpg(['--with-colons', '--list-keys', '=old']).toString(),
  )?.[1];
  gpg([
    '--passphrase',
    '',
    '--pinentry-mode',
    'loopback',
    '--quick-set-expire',
    fingerprint ?? '',
    '0',
  ]);
  t.deepEqual(await verifySigned(signed, exportKey('old', false)), DESCRIPTOR);
});

gpgTest('a key revoked as compromised is not believed and does not sign', async (t) => {
  makeKey('gone', 'ed25519');
  const signed = signedByGpg('gone');
  const fingerprint = /^fpr:+([0-9A-F]+):/m.exec(
    gpg(['--with-colons', '--list-keys', '=gone']).toString(),
  )?.[1];
  const certificate = readFileSync(join(home, 'openpgp-revocs.d', `${fingerprint}.rev`), 'utf8');
  gpg(['--import'], Buffer.from(certificate.replace(/^:/m, '')));
  await refused(t, 'signature-bad', verifySigned(signed, exportKey('gone', false)));
  const error = await refused(t, 'signature-key', signWithKey(DESCRIPTOR, exportKey('gone', true)));
  t.regex(error.message, /revoked/);
});

gpgTest('a protected key takes its passphrase from each of the three places', async (t) => {
  const key = exportKey('locked', true);
  const file = join(home, 'passphrase');
  writeFileSync(file, `${PASSPHRASE}\nsecond line\n`);
  for (const env of [
    { LBS_SIGN_PASSPHRASE: PASSPHRASE },
    { LBS_SIGN_PASSPHRASE_FILE: file },
    { LBS_SIGN_PASSPHRASE_COMMAND: `echo '${PASSPHRASE}'; echo more` },
  ]) {
    const signed = await signWithKey(DESCRIPTOR, key, { ...process.env, ...env });
    t.deepEqual(await verifySigned(signed, exportKey('locked', false)), DESCRIPTOR);
  }
});

gpgTest(
  'a passphrase that is missing or wrong is told by its variable and never shown',
  async (t) => {
    const key = exportKey('locked', true);
    const sign = (env: NodeJS.ProcessEnv) => signWithKey(DESCRIPTOR, key, env);
    const missing = await refused(t, 'signature-key', sign({}));
    t.regex(missing.message, /passphrase, and none was given/);
    const wrong = await refused(t, 'signature-key', sign({ LBS_SIGN_PASSPHRASE: 'not-it-at-all' }));
    t.regex(wrong.message, /from LBS_SIGN_PASSPHRASE does not unlock/);
    t.false(wrong.message.includes('not-it-at-all'));
    const noFile = await refused(
      t,
      'signature-key',
      sign({ LBS_SIGN_PASSPHRASE_FILE: '/nowhere' }),
    );
    t.regex(noFile.message, /LBS_SIGN_PASSPHRASE_FILE: cannot read \/nowhere/);
    const command = { LBS_SIGN_PASSPHRASE_COMMAND: `echo '${PASSPHRASE}'; exit 7` };
    const failing = await refused(t, 'signature-key', sign(command));
    t.regex(failing.message, /LBS_SIGN_PASSPHRASE_COMMAND: the command ended with exit code 7/);
    await refused(t, 'signature-key', sign({ LBS_SIGN_PASSPHRASE_COMMAND: 'true' }));
  },
);

test('child processes get an environment without the passphrase variables', (t) => {
  const env = { PATH: '/bin', LBS_SIGN_PASSPHRASE: 'x', LBS_SIGN_PASSPHRASE_FILE: 'y' };
  t.deepEqual(withoutSecrets(env), { PATH: '/bin' });
});

gpgTest('an unusable key file is refused with the reason', async (t) => {
  const sign = (file: string) => refused(t, 'signature-key', signWithKey(DESCRIPTOR, file));
  t.regex((await sign('/nowhere/key')).message, /cannot read the key file/);
  t.regex((await sign(exportKey('ed', false))).message, /no secret key in .*, only public/);
  const junk = join(home, 'junk');
  writeFileSync(junk, 'not a key');
  t.regex((await sign(junk)).message, /no usable key/);
  writeFileSync(junk, '');
  t.regex((await sign(junk)).message, /it is empty/);
  const both = ['ed', 'rsa'].map((user) => readFileSync(exportKey(user, true), 'utf8')).join('\n');
  writeFileSync(junk, both);
  t.regex((await sign(junk)).message, /2 secret keys/);
  const keybox = join(home, 'pubring.kbx');
  const signed = signedByGpg('ed');
  const error = await refused(t, 'signature-key', verifySigned(signed, keybox));
  t.regex(error.message, /keybox/);
});

gpgTest('--signature-filter="gpg --clearsign" gives a descriptor that verifies', async (t) => {
  const signed = await signWithFilter(DESCRIPTOR, 'gpg --batch --local-user =ed --clearsign');
  t.deepEqual(await verifySigned(signed, exportKey('ed', false)), DESCRIPTOR);
});

test('a signature filter that keeps the fields may write anything else', async (t) => {
  t.deepEqual(await signWithFilter(DESCRIPTOR, 'cat'), DESCRIPTOR);
  t.true((await signWithFilter(DESCRIPTOR, 'cat; echo "# seen"')).includes('# seen'));
});

test('a signature filter that fails is told with its own last words', async (t) => {
  const run = (command: string) => signWithFilter(DESCRIPTOR, command);
  const words = await refused(t, 'filter-failed', run('echo one >&2; echo no key >&2; exit 3'));
  t.regex(words.message, /exited with 3: one \/ no key/);
  t.regex((await refused(t, 'filter-failed', run('kill -9 $$'))).message, /SIGKILL/);
  t.regex((await refused(t, 'filter-failed', run('true'))).message, /wrote nothing/);
  t.regex((await refused(t, 'filter-failed', run('cat >/dev/null'))).message, /wrote nothing/);
  const missing = await refused(t, 'filter-missing', run('no-such-program --clearsign'));
  t.regex(missing.message, /no-such-program/);
});

test('a signature filter that changes the descriptor is refused', async (t) => {
  for (const command of [
    'sed s/home/elsewhere/',
    'head -n 4',
    'echo Extra: 1; cat',
    'base64',
    'yes | head -c 100000',
    'sed s/home/elsewhere/ | gpg --batch --local-user =ed --clearsign',
    'gpg --batch --local-user =ed --clearsign; echo Root: other',
  ]) {
    if (command.includes('gpg') && !hasGpg) continue;
    const error = await refused(t, 'filter-failed', signWithFilter(DESCRIPTOR, command));
    t.regex(error.message, /changed the descriptor/);
  }
});

test('a signature filter does not see the passphrase variables and can be interrupted', async (t) => {
  process.env['LBS_SIGN_PASSPHRASE_FILE'] = '/some/file';
  const checked = 'test -z "$LBS_SIGN_PASSPHRASE_FILE" && cat';
  t.deepEqual(await signWithFilter(DESCRIPTOR, checked), DESCRIPTOR);
  delete process.env['LBS_SIGN_PASSPHRASE_FILE'];
  const stop = AbortSignal.timeout(100);
  await refused(t, 'interrupted', signWithFilter(DESCRIPTOR, 'exec sleep 20', stop));
});
