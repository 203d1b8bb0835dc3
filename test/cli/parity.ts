/** `lbs parity`: what it makes again with `lbs heal` or par2 alone, and what becomes of old sets. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { backupOptions, places, type Places } from '../helpers/places.ts';
import { jsonMessage, lbs, lbsExits, lbsOk } from '../helpers/run-lbs.ts';
import { makeIncompressible } from '../helpers/small-tree.ts';
import { filesEndingIn, segmentFiles, snapshotNames, storeState } from '../helpers/store-state.ts';
import { tempDir } from '../helpers/temp-dir.ts';
import { copyTree, flip } from '../helpers/two-stores.ts';

const KIB = 1024;
const SMALL = ['--segment-size=100k', '--filter=cat'];

/** A store with a segment for each file, and one of metadata. */
async function storeOf(t: ExecutionContext, count = 20): Promise<Places> {
  const at = places(t);
  makeIncompressible(at.tree, count, 210 * KIB);
  await lbsOk(t, [...backupOptions(at), ...SMALL, '.'], { cwd: at.tree });
  return at;
}

const parity = (at: Places, ...options: string[]) => ['parity', `--store=${at.store}`, ...options];
const heal = (at: Places, ...options: string[]) => ['heal', `--store=${at.store}`, ...options];
const verify = (at: Places) => ['verify', '--data', `--store=${at.store}`];
const sha256s = (store: string) => [...storeState(store)].map(([name, { sha256 }]) => [name, sha256]); // prettier-ignore

test('damaged and lost segments are made again by heal, by par2 alone, and as far as there is parity', async (t) => {
  const at = await storeOf(t);
  const dry = await lbsOk(t, parity(at, '-n', '--json'));
  t.like(jsonMessage(dry, 'summary'), { dry_run: true, sets: 2, segments: 21, known: 0 });
  t.deepEqual(filesEndingIn(at.store, '.par2'), []);
  const made = await lbsOk(t, parity(at));
  t.regex(made.stdout, /^2 sets of 21 segments made, .*; 0 segments were protected already\n$/);
  t.regex((await lbsOk(t, parity(at))).stdout, /^0 sets of 0 segments made, 0 B; 21 segments were/);
  await lbsOk(t, verify(at));
  const good = sha256s(at.store);
  const full = filesEndingIn(at.store, '.sums')
    .map((name) => readFileSync(join(at.store, name), 'utf8').match(/[0-9a-f-]{36}\.tar$/gm) ?? [])
    .find((segments) => segments.length === 16);
  const [one = '', two = '', three = '', four = '', ...more] = full ?? [];
  flip(join(at.store, one));
  rmSync(join(at.store, two));
  writeFileSync(join(at.store, three), '');
  writeFileSync(join(at.store, four), 'more', { flag: 'a' });
  // And by hand, in a copy, with nothing but par2.
  const copy = tempDir(t);
  copyTree(at.store, copy);
  const set = filesEndingIn(copy, '.sums').find((name) =>
    readFileSync(join(copy, name), 'utf8').includes(one),
  );
  const main = (set ?? '').replace('.sums', '.par2');
  const par2 = spawnSync('par2', ['repair', '-q', '-q', main], { cwd: copy, encoding: 'utf8' });
  t.is(par2.status, 0, par2.stderr);
  t.is(spawnSync('sha256sum', ['-c', '--quiet', set ?? ''], { cwd: copy }).status, 0);

  t.is(
    (await lbsOk(t, heal(at, '-n'))).stdout,
    '4 files damaged, 4 could be healed, 0 left as they are\n',
  );
  t.is((await lbsOk(t, heal(at))).stdout, '4 files damaged, 4 healed, 0 left as they are\n');
  t.deepEqual(sha256s(at.store), good);
  // More than there is parity for.
  for (const name of [one, two, three, four, ...more.slice(0, 3)]) rmSync(join(at.store, name));
  const left = await lbsExits(t, 4, heal(at));
  t.is(left.stdout, '7 files damaged, 0 healed, 7 left as they are\n');
  t.regex(left.stderr, /missing; it cannot be healed: parity cannot make it again/);
  t.deepEqual(filesEndingIn(at.store, '.tar').length, 14);
});

test('damage to parity is found, and does not keep it from giving back what it can', async (t) => {
  const at = await storeOf(t, 5);
  await lbsOk(t, parity(at));
  const good = sha256s(at.store);
  const [segment = ''] = segmentFiles(at.store);
  const names = [...filesEndingIn(at.store, '.par2'), ...filesEndingIn(at.store, '.sums')];
  t.is(names.length, 3);
  for (const name of names) {
    const content = readFileSync(join(at.store, name));
    flip(join(at.store, name));
    const run = await lbsExits(t, 4, verify(at));
    t.true(run.stdout.includes(`damaged: ${name}: `), run.stdout);
    await lbsOk(t, ['verify', `--store=${at.store}`]);
    writeFileSync(join(at.store, name), content);
  }
  flip(join(at.store, names.find((name) => name.includes('vol')) ?? ''));
  rmSync(join(at.store, segment));
  // One block of 29 is lost with that bit; there are enough for a segment.
  await lbsOk(t, heal(at));
  t.true(existsSync(join(at.store, segment)));
  for (const name of names) rmSync(join(at.store, name));
  await lbsOk(t, parity(at));
  t.deepEqual(sha256s(at.store), good);
  flip(join(at.store, segment));
  for (const name of names) rmSync(join(at.store, name));
  const refused = await lbsExits(t, 4, parity(at));
  t.true(refused.stderr.includes(`${segment}: it does not have its recorded checksum; no parity`));
  const none = await lbsExits(t, 4, heal(at));
  t.regex(none.stderr, /parity cannot make it again/);
});

test('new segments come into the set that is not full, and gc removes what protects nothing', async (t) => {
  const at = await storeOf(t, 3);
  await lbsOk(t, parity(at));
  const first = filesEndingIn(at.store, '.sums');
  makeIncompressible(join(at.tree, 'new'), 2, 210 * KIB);
  await lbsOk(t, [...backupOptions(at), ...SMALL, '.'], { cwd: at.tree });
  const run = await lbsOk(t, parity(at));
  t.regex(run.stdout, /^1 set of 7 segments made/);
  const gc = ['gc', `--store=${at.store}`, `--localdb=${at.localdb}`, '--grace=0s'];
  await lbsOk(t, gc);
  const second = filesEndingIn(at.store, '.sums');
  t.is(second.length, 1);
  t.notDeepEqual(second, first);
  await lbsOk(t, verify(at));
  // What a run left that was stopped is no set.
  const stray = join(at.store, `parity-${'0'.repeat(32)}.par2`);
  writeFileSync(stray, 'of a stopped run');
  await lbsOk(t, gc);
  t.false(existsSync(stray));
  t.deepEqual(filesEndingIn(at.store, '.sums'), second);
  // With the last snapshot that needs it, the newer half of the set goes, and it is still of use.
  const last = snapshotNames(at.store).at(-1) ?? '';
  await lbsOk(t, ['forget', `--store=${at.store}`, `--localdb=${at.localdb}`, last]);
  await lbsOk(t, gc);
  t.is(segmentFiles(at.store).length, 4);
  t.regex((await lbsOk(t, parity(at))).stdout, /^1 set of 4 segments made/);
  await lbsOk(t, gc);
  t.deepEqual(filesEndingIn(at.store, '.sums'), first);
});

/** A packet of par2 that describes a file. */
function filePacket(name: string): Buffer {
  const body = Buffer.concat([Buffer.alloc(16 + 16 + 16 + 8, 1), Buffer.from(name)]);
  const padded = Buffer.concat([body, Buffer.alloc((4 - (body.length % 4)) % 4)]);
  const summed = Buffer.concat([Buffer.alloc(16, 2), Buffer.from('PAR 2.0\0FileDesc'), padded]);
  const head = Buffer.alloc(16);
  head.write('PAR2\0PKT');
  head.writeBigUInt64LE(BigInt(32 + summed.length), 8);
  return Buffer.concat([head, createHash('md5').update(summed).digest(), summed]);
}

test('a set of little redundancy is as good as it was asked to be, and is made once', async (t) => {
  const at = await storeOf(t, 9);
  const made = await lbsOk(t, parity(at, '--redundancy=5', '--json'));
  t.like(jsonMessage(made, 'summary'), { sets: 1, segments: 10, known: 0 });
  const again = await lbsOk(t, parity(at, '--redundancy=5', '--json'));
  t.like(jsonMessage(again, 'summary'), { sets: 0, segments: 0, known: 10 });
});

test('parity that names files outside of its set never gets to par2', async (t) => {
  const at = await storeOf(t, 2);
  await lbsOk(t, parity(at));
  const [segment = ''] = segmentFiles(at.store);
  rmSync(join(at.store, segment));
  const volume = join(at.store, filesEndingIn(at.store, '.par2').find((name) => name.includes('vol')) ?? ''); // prettier-ignore
  const good = readFileSync(volume);
  for (const name of ['../../etc/cron.d/x', '.bashrc', `x${segment}`]) {
    writeFileSync(volume, Buffer.concat([good, Buffer.from('odd'), filePacket(name)]));
    const run = await lbsExits(t, 4, heal(at));
    t.regex(run.stderr, /it is not used: .* speaks of other files than its segments/);
  }
  writeFileSync(volume, Buffer.concat([good, filePacket(segment)]));
  const run = await lbs(t, heal(at));
  t.is(run.code, 0, run.stderr);
});

test('without par2, or without parity, it is said what is missing', async (t) => {
  const at = await storeOf(t, 1);
  const bare = await lbsExits(t, 2, heal(at));
  t.regex(bare.stderr, /no --from=OTHER given, and the store has no parity/);
  // All programs of the system but that one.
  const bin = tempDir(t);
  spawnSync('cp', ['-as', '/usr/bin/.', bin]);
  rmSync(join(bin, 'par2'), { force: true });
  const PATH = `${join(process.execPath, '..')}:${bin}`;
  const none = await lbsExits(t, 1, parity(at), { env: { PATH } });
  t.regex(none.stderr, /the program par2 cannot be run.*\n.*install it/);
  t.deepEqual(filesEndingIn(at.store, '.par2'), []);
});
