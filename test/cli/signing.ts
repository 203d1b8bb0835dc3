/** Signed descriptors: made with gpg or without it, checked with gpg and by lbs itself. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { gpg, gpgHome, type GpgHome } from '../helpers/gpg-home.ts';
import { backupOptions, places, type Places, restored } from '../helpers/places.ts';
import { lbsExits, lbsOk, PROJECT } from '../helpers/run-lbs.ts';
import { makeSmallTree } from '../helpers/small-tree.ts';
import { filesEndingIn, snapshotNames, storeState } from '../helpers/store-state.ts';
import { isRoot } from '../helpers/temp-dir.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

const PASSPHRASE = 'correct horse, battery staple';

function signedPlaces(t: ExecutionContext): Places {
  const at = places(t);
  makeSmallTree(at.tree);
  return at;
}

function descriptorOf(at: Places): string {
  return join(at.store, filesEndingIn(at.store, '.lbs').at(-1) ?? 'none');
}

/** Every command that reads snapshots takes them, or exits with 12 and says why. */
async function readWithKey(
  t: ExecutionContext,
  at: Places,
  key: string,
  code: 0 | 12,
  words = /signature|signed/i,
): Promise<void> {
  const options = [`--store=${at.store}`, `--verify-key=${key}`];
  for (const command of [
    ['list', ...options],
    ['ls', ...options, 'latest'],
    ['verify', ...options],
    ['restore', ...options, 'latest', at.target],
  ]) {
    // Without root the directories above the tree cannot be given back to root.
    const isPartial = code === 0 && command[0] === 'restore' && !isRoot;
    const run = await lbsExits(t, isPartial ? 3 : code, command);
    if (code !== 0) t.regex(run.stdout + run.stderr, words);
  }
}

async function acceptedEverywhere(t: ExecutionContext, at: Places, key: GpgHome): Promise<void> {
  const checked = gpg(key, ['--verify', descriptorOf(at)]);
  t.is(checked.code, 0, checked.stderr);
  t.regex(checked.stderr, /Good signature/);
  await readWithKey(t, at, key.publicKey, 0);
  sameTree(t, readTree(at.tree), readTree(restored(at.target, at.tree)));
}

test('a descriptor signed through gpg --clearsign is accepted by gpg and by lbs', async (t) => {
  const key = gpgHome(t);
  const at = signedPlaces(t);
  const filter = `--signature-filter=gpg --batch --clearsign -u ${key.user}`;
  await lbsOk(t, [...backupOptions(at), filter, at.tree], { env: { ...key.env } });
  await acceptedEverywhere(t, at, key);
});

test('a descriptor signed with --sign-key, without gpg, is accepted by gpg and by lbs', async (t) => {
  const key = gpgHome(t);
  const at = signedPlaces(t);
  await lbsOk(t, [...backupOptions(at), `--sign-key=${key.secretKey}`, at.tree]);
  await acceptedEverywhere(t, at, key);
});

test('the passphrase of a key comes from the environment, a file or a command', async (t) => {
  const key = gpgHome(t, PASSPHRASE);
  const at = signedPlaces(t);
  const file = join(at.base, 'passphrase');
  writeFileSync(file, `${PASSPHRASE}\n`, { mode: 0o600 });
  const args = [...backupOptions(at), `--sign-key=${key.secretKey}`, at.tree];
  const ways: Record<string, string>[] = [
    { LBS_SIGN_PASSPHRASE: PASSPHRASE },
    { LBS_SIGN_PASSPHRASE_FILE: file },
    { LBS_SIGN_PASSPHRASE_COMMAND: `printf '%s\\n' '${PASSPHRASE}'` },
  ];
  for (const env of ways) {
    await lbsOk(t, args, { env });
    t.regex(gpg(key, ['--verify', descriptorOf(at)]).stderr, /Good signature/);
  }
  t.is(snapshotNames(at.store).length, 3);
});

test('a wrong or missing passphrase ends the run with 12 and publishes nothing', async (t) => {
  const key = gpgHome(t, PASSPHRASE);
  const at = signedPlaces(t);
  const args = [...backupOptions(at), `--sign-key=${key.secretKey}`, at.tree];
  const missing = await lbsExits(t, 12, args);
  t.regex(missing.stderr, /LBS_SIGN_PASSPHRASE/);
  const wrong = await lbsExits(t, 12, args, { env: { LBS_SIGN_PASSPHRASE: 'wrong horse' } });
  t.regex(wrong.stderr, /passphrase/i);
  t.false(wrong.stderr.includes('wrong horse'), 'the passphrase was shown');
  const failed = await lbsExits(t, 12, args, {
    env: { LBS_SIGN_PASSPHRASE_COMMAND: 'echo no >&2; exit 4' },
  });
  t.regex(failed.stderr, /LBS_SIGN_PASSPHRASE_COMMAND/);
  t.deepEqual(snapshotNames(at.store), []);
});

test('an unsigned descriptor is refused where a key is demanded', async (t) => {
  const key = gpgHome(t);
  const at = signedPlaces(t);
  await lbsOk(t, [...backupOptions(at), at.tree]);
  await readWithKey(t, at, key.publicKey, 12, /not signed|unsigned|no signature/i);
});

test('a descriptor signed by somebody else is refused', async (t) => {
  const [key, other] = [gpgHome(t), gpgHome(t)];
  const at = signedPlaces(t);
  await lbsOk(t, [...backupOptions(at), `--sign-key=${other.secretKey}`, at.tree]);
  await readWithKey(t, at, key.publicKey, 12);
});

for (const [what, alter] of [
  ['a changed byte', (text: string) => text.replace(/^Producer: l/m, 'Producer: L')],
  ['a line before the signed part', (text: string) => `Root: 0/0\n${text}`],
  ['a line after the signature', (text: string) => `${text}\nRoot: 0/0\n`],
  ['a removed signature', (text: string) => text.replace(/-----BEGIN PGP SIGNATURE[^]*/, '')],
] as const) {
  test(`a signed descriptor with ${what} is refused or read as signed`, async (t) => {
    const key = gpgHome(t);
    const at = signedPlaces(t);
    await lbsOk(t, [...backupOptions(at), `--sign-key=${key.secretKey}`, at.tree]);
    const file = descriptorOf(at);
    const text = readFileSync(file, 'utf8');
    const altered = alter(text);
    t.not(altered, text);
    writeFileSync(file, altered);
    await readWithKey(t, at, key.publicKey, 12);
  });
}

test('files of the store that a signature covers cannot be exchanged unnoticed', async (t) => {
  const key = gpgHome(t);
  const at = signedPlaces(t);
  await lbsOk(t, [...backupOptions(at), `--sign-key=${key.secretKey}`, at.tree]);
  const sums = join(at.store, filesEndingIn(at.store, '.sha256sums')[0] ?? '');
  writeFileSync(
    sums,
    readFileSync(sums, 'utf8').replace(/^./, (digit) => (digit === '0' ? '1' : '0')),
  );
  const options = [`--store=${at.store}`, `--verify-key=${key.publicKey}`];
  const run = await lbsExits(t, 4, ['verify', ...options]);
  t.true((run.stdout + run.stderr).includes('.sha256sums'));
});

test('a signature filter that fails is fatal, and nothing is published', async (t) => {
  const at = signedPlaces(t);
  await lbsOk(t, [...backupOptions(at), at.tree]);
  const before = snapshotNames(at.store);
  const failing = join(PROJECT, 'test', 'fixtures', 'filters', 'fails-signing');
  for (const [command, word] of [
    [failing, 'no secret key'],
    ['false', 'false'],
    ['true', 'true'],
    ['no-such-signer', 'no-such-signer'],
  ] as const) {
    const run = await lbsExits(t, 1, [
      ...backupOptions(at),
      `--signature-filter=${command}`,
      at.tree,
    ]);
    t.true(run.stderr.includes(word), run.stderr);
    t.deepEqual(snapshotNames(at.store), before);
    t.deepEqual(
      filesEndingIn(at.store, 'sums').length,
      before.length * 2,
      'sums without a snapshot',
    );
  }
  await lbsOk(t, [...backupOptions(at), at.tree]);
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
});

test('a file that is no key is refused before anything is stored', async (t) => {
  const key = gpgHome(t);
  const at = signedPlaces(t);
  const before = storeState(at.store);
  for (const file of [join(at.tree, 'letters', 'one'), key.publicKey]) {
    const run = await lbsExits(t, 12, [...backupOptions(at), `--sign-key=${file}`, at.tree]);
    t.true(run.stderr.includes(file), run.stderr);
  }
  t.deepEqual(storeState(at.store), before);
});
