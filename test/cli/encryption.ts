/**
 * `--encrypt-to` and `--decrypt-key`: a store that only the holder of a secret key can read, made
 * and read without gpg, and opened with gpg, zstd and tar.
 */
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { newKey } from '../helpers/encrypted-message.ts';
import { type GpgHome, gpgHome } from '../helpers/gpg-home.ts';
import { backupOptions, places, type Places, restored } from '../helpers/places.ts';
import { jsonMessage, lbsExits, lbsOk, restoreOk } from '../helpers/run-lbs.ts';
import { memberNames } from '../helpers/segment-objects.ts';
import { makeFiles, makeSmallTree } from '../helpers/small-tree.ts';
import { segmentFiles, snapshotNames, storeState } from '../helpers/store-state.ts';
import { isRoot, tempDir } from '../helpers/temp-dir.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

/** A home of gpg without any key, so that what works does not work by gpg. */
const nobody = (t: ExecutionContext) => ({ GNUPGHOME: tempDir(t) });

async function encryptedStore(t: ExecutionContext, key: GpgHome): Promise<Places> {
  const at = places(t);
  makeSmallTree(at.tree);
  const options = [...backupOptions(at), `--encrypt-to=${key.publicKey}`];
  const first = await lbsOk(t, [...options, at.tree], { env: nobody(t) });
  t.is(
    first.stderr,
    'lbs: cannot prove that segments are readable: the secret key is not on this machine\n',
  );
  makeFiles(at.tree, { 'added/file': 'new here' });
  const proved = [`--decrypt-key=${key.secretKey}`, at.tree];
  t.is((await lbsOk(t, [...options, ...proved], { env: unlocked(t) })).stderr, '');
  return at;
}

const PASSPHRASE = 'canary-7713';
const unlocked = (t: ExecutionContext) => ({ ...nobody(t), LBS_DECRYPT_PASSPHRASE: PASSPHRASE });

test('an encrypted store is read by gpg, zstd and tar, and by every command with the key', async (t) => {
  t.timeout(240_000);
  const key = gpgHome(t, PASSPHRASE);
  const at = await encryptedStore(t, key);
  const unlock = `--batch --quiet --pinentry-mode=loopback --passphrase=${PASSPHRASE}`;
  for (const file of segmentFiles(at.store)) {
    t.is(file.slice(36), '.tar.zst.gpg');
    const reverse = `(gpg ${unlock} --decrypt | zstd -dc)`;
    const names = memberNames(join(at.store, file), reverse, { ...key.env });
    t.true(names.every((name) => name.startsWith(`${file.slice(0, 36)}/`)) && names.length > 0);
  }
  const env = unlocked(t);
  const reading = [`--store=${at.store}`, `--decrypt-key=${key.secretKey}`];
  const inside = `${at.tree.slice(1)}/added/file`;
  t.is((await lbsOk(t, ['cat', ...reading, 'latest', inside], { env })).stdout, 'new here');
  for (const args of [
    ['verify', '--data'],
    ['list'],
    ['ls', 'latest'],
    ['stanza', 'latest', inside],
    ['find', 'file'],
    ['history', inside],
    ['diff', 'latest~1', 'latest'],
    ['dump', 'latest'],
    ['usage'],
    ['repair', '--dry-run', `--localdb=${at.localdb}`],
  ]) {
    const [command = '', ...rest] = args;
    await lbsOk(t, [command, ...reading, ...rest], { env });
  }
  await restoreOk(t, [...reading, 'latest', at.target], { env });
  sameTree(t, readTree(at.tree), readTree(restored(at.target, at.tree)));

  // Rebuilt with the key, and then nothing is stored twice.
  const [localdb, added] = [tempDir(t), segmentFiles(at.store).length];
  await lbsOk(t, ['rebuild', ...reading, `--localdb=${localdb}`], { env });
  const again = [`--dest=${at.store}`, `--localdb=${localdb}`, `--encrypt-to=${key.publicKey}`];
  const run = await lbsOk(t, [...again, '--json', at.tree], { env: nobody(t) });
  t.is(jsonMessage(run, 'summary')['content_added'], 0);
  t.true(segmentFiles(at.store).length <= added + 1);
});

test('without the right key nothing is read, and everything that needs none goes on', async (t) => {
  t.timeout(240_000);
  const key = gpgHome(t, PASSPHRASE);
  const at = await encryptedStore(t, key);
  const other = await newKey(t);
  const store = `--store=${at.store}`;
  for (const [key_, why] of [
    [`--decrypt-key=${other.secretKey}`, /encrypted to [0-9A-F]{16}; .* has the key [0-9A-F]{16}/],
    [`--decrypt-key=${key.publicKey}`, /no secret key in/],
    [`--decrypt-key=${key.secretKey}`, /protected by a passphrase, and none was given/],
  ] as const) {
    const run = await lbsExits(t, 12, ['restore', store, key_, 'latest', at.target], {
      env: nobody(t),
    });
    t.regex(run.stderr, why);
  }
  const wrong = { ...nobody(t), LBS_DECRYPT_PASSPHRASE: 'canary-wrong' };
  const options = [store, `--decrypt-key=${key.secretKey}`, '-v', '--data'];
  const said = await lbsExits(t, 12, ['verify', ...options], { env: wrong });
  t.regex(said.stderr, /the passphrase from LBS_DECRYPT_PASSPHRASE does not unlock/);
  t.false(`${said.stdout}${said.stderr}`.includes('canary'));

  // A janitor has no secret key, and needs none.
  const env = nobody(t);
  const second = tempDir(t);
  await lbsOk(t, ['verify', store, '--checksums'], { env });
  await lbsOk(t, ['sync', at.store, second], { env });
  t.deepEqual(segmentFiles(second), segmentFiles(at.store));
  const [victim = ''] = segmentFiles(second);
  if (spawnSync('which', ['par2']).status === 0) {
    await lbsOk(t, ['parity', `--store=${second}`, '--redundancy=100'], { env });
    rmSync(join(second, victim));
    await lbsOk(t, ['heal', `--store=${second}`], { env });
  } else {
    rmSync(join(second, victim));
    await lbsOk(t, ['heal', `--store=${second}`, `--from=${at.store}`], { env });
  }
  t.deepEqual(readFileSync(join(second, victim)), readFileSync(join(at.store, victim)));
  await lbsOk(t, ['forget', store, '--keep-last=1'], { env });
  await lbsOk(t, ['gc', store, '--grace=0h'], { env });
  t.is(snapshotNames(at.store).length, 1);
  await restoreOk(t, [store, `--decrypt-key=${key.secretKey}`, 'latest', at.target], {
    env: unlocked(t),
  });
  sameTree(t, readTree(at.tree), readTree(restored(at.target, at.tree)));
});

test('a filter compresses before the encryption, and does not get the passphrase', async (t) => {
  const key = await newKey(t, { passphrase: PASSPHRASE });
  const at = places(t);
  makeSmallTree(at.tree);
  const [to, secret] = [`--encrypt-to=${key.publicKey}`, `--decrypt-key=${key.secretKey}`];
  const seen = join(at.base, 'seen');
  const env = unlocked(t);
  const extensions: string[] = [];
  for (const [number, filter] of ['cat', 'gzip -c', `env >>${seen}; bzip2 -c`].entries()) {
    makeFiles(at.tree, { [`more-${number}`]: `more ${number}` });
    const how = [`--filter=${filter}`, ...(number === 2 ? ['--filter-extension=.bz2'] : [])];
    await lbsOk(t, [...backupOptions(at), to, secret, ...how, '--full-metadata', at.tree], { env });
    extensions.push(...segmentFiles(at.store).map((file) => file.slice(36)));
  }
  t.deepEqual([...new Set(extensions)].sort(), ['.tar.bz2.gpg', '.tar.gpg', '.tar.gz.gpg']);
  t.true(readFileSync(seen, 'utf8').includes('PATH='));
  t.false(readFileSync(seen, 'utf8').includes('canary'));
  await lbsOk(t, ['verify', `--store=${at.store}`, secret, '--data'], { env });

  const state = storeState(at.store);
  for (const [options, why] of [
    [['--filter=gpg -e -r x'], /--encrypt-to and the filter "gpg.*" would both encrypt/],
    [['--segment-size=65M'], /encrypted segments of 68157440 bytes are not possible/],
  ] as const) {
    const run = await lbsExits(t, 2, [...backupOptions(at), to, ...options, at.tree], { env });
    t.regex(run.stderr, why);
  }
  const unusable = join(at.base, 'unusable');
  writeFileSync(unusable, 'no key');
  const run = await lbsExits(t, 12, [
    ...[...backupOptions(at), to, `--encrypt-to=${unusable}`, at.tree],
  ]);
  t.regex(run.stderr, /no usable key in .*unusable/);
  t.deepEqual(storeState(at.store), state, 'before anything is stored');
});

test('compacting needs both keys, and stores nothing in clear', async (t) => {
  const key = await newKey(t);
  const at = places(t);
  const [to, secret] = [`--encrypt-to=${key.publicKey}`, `--decrypt-key=${key.secretKey}`];
  const env = nobody(t);
  const contents: Record<string, string> = {};
  for (let file = 0; file < 8; file++) contents[`f${file}`] = String(file).repeat(40_000);
  makeFiles(at.tree, contents);
  await lbsOk(t, [...backupOptions(at), to, at.tree], { env });
  for (let file = 0; file < 7; file++) rmSync(join(at.tree, `f${file}`));
  await lbsOk(t, [...backupOptions(at), to, at.tree], { env });
  const [first = ''] = snapshotNames(at.store);
  const where = [`--store=${at.store}`, `--localdb=${at.localdb}`];
  await lbsOk(t, ['forget', `--store=${at.store}`, first], { env });
  const compact = ['compact', ...where, '--all', '--min-used=100', secret];
  const refused = await lbsExits(t, 2, compact, { env });
  t.regex(refused.stderr, /has encrypted segments \(.*\.gpg\), and new ones would not be/);
  const files = segmentFiles(at.store);
  const run = await lbsOk(t, [...compact, to, '--json'], { env });
  t.true(Number(jsonMessage(run, 'summary')['segments']) > 0, run.stdout);
  const made = segmentFiles(at.store).filter((file) => !files.includes(file));
  t.true(made.length > 0 && made.every((file) => file.endsWith('.tar.zst.gpg')), made.join());
  await lbsOk(t, ['verify', `--store=${at.store}`, secret, '--data'], { env });
});

test('a local database beside encrypted segments is told of, and a run that does not encrypt', async (t) => {
  const key = await newKey(t);
  const at = places(t);
  makeFiles(at.tree, { file: 'x' });
  const config = join(at.base, 'config');
  const keys = [`encrypt-to = ${key.publicKey}`, `decrypt-key = ${key.secretKey}`];
  writeFileSync(config, [`store = ${at.store}`, ...keys].join('\n'));
  const run = await lbsOk(t, [`--config=${config}`, at.tree], { env: nobody(t) });
  t.regex(run.stderr, /^lbs: segments are encrypted, but the local database in .*store is not/);
  t.true(segmentFiles(at.store).every((file) => file.endsWith('.gpg')));
  const apart = [`--config=${config}`, `--localdb=${at.localdb}`, at.tree];
  const quiet = await lbsOk(t, apart, { env: nobody(t) });
  t.false(quiet.stderr.includes('encrypted'), quiet.stderr);
  const clear = await lbsOk(t, [...backupOptions(at), at.tree], { env: nobody(t) });
  t.regex(
    clear.stderr,
    /^lbs: .*store has encrypted segments \(.*\.gpg\), and those of this run are not/,
  );
  await restoreOk(t, [`--config=${config}`, 'latest', at.target], { env: nobody(t) });
  sameTree(t, readTree(at.tree), readTree(restored(at.target, at.tree)));
});

test('damage to an encrypted segment costs that segment, and is no missing key', async (t) => {
  const key = await newKey(t);
  const at = places(t);
  makeSmallTree(at.tree);
  const options = [...backupOptions(at), `--encrypt-to=${key.publicKey}`, '--full-metadata'];
  await lbsOk(t, [...options, '--segment-size=64K', at.tree], { env: nobody(t) });
  const [file = ''] = segmentFiles(at.store);
  const kept = join(at.base, 'kept');
  copyFileSync(join(at.store, file), kept);
  const reading = [`--store=${at.store}`, `--decrypt-key=${key.secretKey}`];
  // In the frame, in the session key, and in what is encrypted.
  for (const place of [0, 20, -30]) {
    const bytes = readFileSync(kept);
    const index = place < 0 ? bytes.length + place : place;
    bytes[index] = (bytes[index] ?? 0) ^ 0x10;
    writeFileSync(join(at.store, file), bytes);
    const run = await lbsExits(t, 4, ['verify', ...reading, '--data'], { env: nobody(t) });
    t.regex(`${run.stdout}${run.stderr}`, new RegExp(file));
  }
});

test('threads that help read encrypted segments as well, and say nothing of it', async (t) => {
  const key = await newKey(t);
  const at = places(t);
  const contents: Record<string, Buffer> = {};
  for (let file = 0; file < 30; file++) contents[`f${file}`] = randomBytes(600_000);
  makeFiles(at.tree, contents);
  const options = [...backupOptions(at), `--encrypt-to=${key.publicKey}`, '--segment-size=2M'];
  await lbsOk(t, [...options, at.tree], { env: nobody(t) });
  const reading = [`--store=${at.store}`, `--decrypt-key=${key.secretKey}`];
  const verified = await lbsOk(t, ['verify', ...reading, '--data'], { env: nobody(t) });
  t.is(verified.stderr, '');
  const run = await restoreOk(t, [...reading, 'latest', at.target], { env: nobody(t) });
  if (isRoot) t.is(run.stderr, '');
  sameTree(t, readTree(at.tree), readTree(restored(at.target, at.tree)));
  // Without the key a thread says what the main thread would.
  const other = `--decrypt-key=${(await newKey(t)).secretKey}`;
  const wrong = ['verify', `--store=${at.store}`, other, '--objects'];
  t.regex((await lbsExits(t, 12, wrong, { env: nobody(t) })).stderr, /it is encrypted to/);
});
