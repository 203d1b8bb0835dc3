/** `lbs gc`: what no snapshot needs goes, and nothing else ever does. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test from 'ava';
import {
  allIsWell,
  forget,
  gc,
  lists,
  neededSegments,
  otherMachine,
  unneededSegments,
  withForgotten,
} from '../helpers/collected-store.ts';
import { FIXTURES, fixtureKeys, schemeOf, someFixtures } from '../helpers/fixture-stores.ts';
import { backupOptions, giveToOrdinaryUser, places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import {
  jsonLines,
  jsonMessage,
  lbs,
  lbsExits,
  lbsOk,
  ordinaryUserCanRun,
  type Run,
} from '../helpers/run-lbs.ts';
import { makeFiles, makeSmallTree } from '../helpers/small-tree.ts';
import { canTrace, withFault } from '../helpers/strace.ts';
import { segmentFiles, snapshotNames, storeState } from '../helpers/store-state.ts';
import { isRoot } from '../helpers/temp-dir.ts';

const NOW = '--grace=0h';
const keys = fixtureKeys();
test.after.always(() => keys.remove());

/** Names that a run says it removed or would remove, or has listed. */
function namesTold(run: Run, words: string): string[] {
  return run.stdout
    .split('\n')
    .flatMap((line) => (line.includes(`[${words}, `) ? [line.split(' ')[0] ?? ''] : []))
    .sort();
}

test('what no snapshot needs goes, exactly as the dry run told, and nothing else', async (t) => {
  const at = await withForgotten(t);
  const unneeded = unneededSegments(at.store);
  const [segment = ''] = neededSegments(at.store);
  const foreign = [
    'my notes.txt',
    'photos/one',
    'gc-list.condemned',
    'snapshot-notes.txt',
    'snapshot-20200101T000000.txt',
    `${unneeded[0]}.par2`,
    `${unneeded[0]}.vol00+01.par2`,
    `${segment}.par2`,
    `.${unneeded[0]}.Kd93la`,
    '0123456789.tar.zst',
    `photos/${segment}`,
  ];
  for (const name of foreign) makeFiles(at.store, { [name]: 'mine' });
  mkdirSync(join(at.store, '00000000-0000-4000-8000-000000000000.tar'));
  // Left by a "forget" that was killed, and by a person who removed a descriptor.
  const left = ['sha1sums', 'sha256sums', 'hold', 'tag-old'].map(
    (kind) => `snapshot-20200101T000000.${kind}`,
  );
  for (const name of left) makeFiles(at.store, { [name]: '' });
  const before = storeState(at.store);
  const due = [...unneeded, ...left].sort();

  const dry = await gc(t, at, NOW, '-n');
  t.deepEqual(storeState(at.store), before, 'a dry run changed something');
  t.deepEqual(namesTold(dry, 'would be removed'), due);
  const run = await gc(t, at, NOW, '-v');
  t.deepEqual(namesTold(run, 'removed'), due);
  t.regex(run.stdout, /^6 files removed, 19\d KiB$/m);
  const after = storeState(at.store);
  for (const [name, state] of before) {
    if (due.includes(name)) t.false(after.has(name), name);
    else t.deepEqual(after.get(name), state, name);
  }
  t.is(after.size, before.size - due.length);

  // The content that went comes back, and is stored anew.
  makeFiles(at.tree, { old: pseudoRandom('old', 200_000) });
  const again = await lbsOk(t, [...backupOptions(at), '--json', at.tree]);
  t.is(jsonMessage(again, 'summary')['content_added'], 200_000);
  t.notRegex(again.stdout + again.stderr, /cannot be used again/);
  await allIsWell(t, at);
});

test('what is young stays, by the clock of the store and no other', async (t) => {
  const at = await withForgotten(t);
  const before = storeState(at.store);
  for (const env of [{}, { LBS_TEST_CLOCK_S: '4000000000' }, { LBS_TEST_CLOCK_S: '86400' }]) {
    const args = ['gc', `--store=${at.store}`, `--localdb=${at.localdb}`];
    const run = await lbsOk(t, args, { env });
    t.is(
      run.stdout,
      '0 files removed, 0 B\n2 files that no snapshot needs came too lately to be touched\n',
    );
  }
  t.deepEqual(storeState(at.store), before);
});

// Alone, since it must be done with some steps before the grace period is over.
test.serial('a file is listed when it is old, and removed when its list is', async (t) => {
  const at = await withForgotten(t);
  const unneeded = unneededSegments(at.store);
  const grace = '--grace=8s';
  await sleep(9100);
  t.deepEqual(namesTold(await gc(t, at, grace, '-n'), 'would be listed for removal'), unneeded);
  t.deepEqual(lists(at.store), []);
  const run = await gc(t, at, grace, '-v');
  t.deepEqual(namesTold(run, 'listed for removal'), unneeded);
  t.regex(run.stdout, /a run after the grace period removes them/);
  const [list = '', ...others] = lists(at.store);
  t.deepEqual(others, []);
  t.regex(list, /^gc-[0-9a-f-]{36}\.condemned$/);
  const named = readFileSync(join(at.store, list), 'utf8').split('\n');
  t.deepEqual(named.filter((line) => !line.startsWith('#') && line !== '').sort(), unneeded);
  // Listed once, however often it runs, and not removed before the list is old.
  t.regex((await gc(t, at, grace)).stdout, /^0 files removed/);
  await gc(t, at, '--grace=1h');
  t.deepEqual(lists(at.store), [list]);
  t.deepEqual(unneededSegments(at.store), unneeded);
  await sleep(9100);
  t.deepEqual(namesTold(await gc(t, at, grace, '-n'), 'would be removed'), unneeded);
  t.deepEqual(namesTold(await gc(t, at, grace, '-v'), 'removed'), unneeded);
  t.deepEqual([unneededSegments(at.store), lists(at.store)], [[], []]);
  await allIsWell(t, at);
});

test('no backup refers to what is listed, and nothing is gone that one refers to', async (t) => {
  const at = places(t);
  const other = otherMachine(at, 'other');
  makeFiles(at.tree, { mine: 'mine' });
  await lbsOk(t, [...backupOptions(at), '--scheme=mine', at.tree]);
  // What an interrupted backup leaves: segments that its local database offers.
  makeFiles(other.tree, { 'once-a': pseudoRandom('once', 200_000) });
  const backup = [...backupOptions(other), '--scheme=other', other.tree];
  await lbsOk(t, backup);
  for (const name of readdirSync(at.store)) {
    if (name.startsWith('snapshot-other-')) rmSync(join(at.store, name));
  }
  t.is(unneededSegments(at.store).length, 2);
  await sleep(2100);
  await gc(t, at, '--grace=1s');
  t.is(lists(at.store).length, 1);
  // What was taken out by hand is missed.
  const run = await lbsExits(t, 3, [...backup, '--json']);
  t.is(jsonMessage(run, 'summary')['content_added'], 200_000, 'it refers to what is listed');
  await sleep(2100);
  await gc(t, at, '--grace=1s');
  t.deepEqual([unneededSegments(at.store), lists(at.store)], [[], []]);
  await allIsWell(t, other, '--scheme=other');
});

for (const [what, change, code, says] of [
  ['cannot be read', () => 'Format: LBS Snapshot v0.6\nnonsense\n', 4, /nothing was removed/],
  ['is empty, as in a copy that is being made', () => '', 4, /nothing was removed/],
  [
    'is of a newer format',
    (text: string) => text.replace('v0.6', 'v0.99'),
    1,
    /nothing was removed.*newer than this program knows/,
  ],
] as const) {
  test(`a descriptor that ${what} stops it`, async (t) => {
    const at = await withForgotten(t);
    const [name = ''] = snapshotNames(at.store);
    const file = join(at.store, `snapshot-${name}.lbs`);
    const other = join(at.store, 'snapshot-other-20200101T000000.lbs');
    writeFileSync(other, change(readFileSync(file, 'utf8')));
    const before = [storeState(at.store), storeState(at.localdb)];
    for (const args of [[NOW], [NOW, '-n']]) {
      const run = await lbsExits(t, code, ['gc', `--store=${at.store}`, ...args]);
      t.regex(run.stderr, says);
      t.regex(run.stderr, /move its descriptor away/);
    }
    t.deepEqual([storeState(at.store), storeState(at.localdb)], before);
  });
}

test('a descriptor that was cut off between two lines still has its segments', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { one: pseudoRandom('one', 300_000), two: pseudoRandom('two', 300_000) });
  await lbsOk(t, [...backupOptions(at), '--segment-size=64K', at.tree]);
  const [name = ''] = snapshotNames(at.store);
  const file = join(at.store, `snapshot-${name}.lbs`);
  const lines = readFileSync(file, 'utf8').split('\n');
  writeFileSync(file, `${lines.slice(0, lines.indexOf('Segments:') + 2).join('\n')}\n`);
  const before = segmentFiles(at.store);
  t.is(before.length, 3);
  await gc(t, at, NOW);
  t.deepEqual(segmentFiles(at.store), before);
});

test('with --verify-key a descriptor that nobody signed stops it', async (t) => {
  const at = await withForgotten(t);
  const signed = FIXTURES.find(({ name }) => name === 'gpg-signed');
  const key = join(signed?.dir ?? '', 'keys', 'public.asc');
  const before = storeState(at.store);
  await lbsExits(t, 12, ['gc', `--store=${at.store}`, NOW, `--verify-key=${key}`]);
  t.deepEqual(storeState(at.store), before);
});

test('while a backup has the local database, it waits for nobody and removes nothing', async (t) => {
  const at = await withForgotten(t);
  const before = storeState(at.store);
  const lock = join(at.localdb, 'lbs-localdb.lock');
  const holder = spawn('flock', ['--no-fork', lock, 'sh', '-c', 'echo held; exec sleep 60']);
  t.teardown(() => holder.kill());
  await once(holder.stdout, 'data');
  const args = ['gc', `--store=${at.store}`, `--localdb=${at.localdb}`, NOW];
  await lbsExits(t, 11, args);
  t.deepEqual(storeState(at.store), before);
  // A look at what would be done needs no lock.
  await lbsOk(t, [...args, '-n']);
});

test('a store that is only looked after has no local database, and gets none', async (t) => {
  const at = await withForgotten(t);
  const run = await lbsOk(t, ['gc', `--store=${at.store}`, NOW, '--json']);
  t.deepEqual(readdirSync(at.store).filter((name) => name.startsWith('lbs-')), []); // prettier-ignore
  const lines = jsonLines(run);
  t.deepEqual(
    lines.map((line) => line['message_type']),
    ['removed', 'removed', 'summary'],
  );
  const { removed, removed_bytes: bytes, condemned, young, dry_run: dry } = lines.at(-1) ?? {};
  t.deepEqual([removed, condemned, young, dry], [2, 0, 0, false]);
  t.is(
    bytes,
    lines.slice(0, -1).reduce((sum, line) => sum + Number(line['size']), 0),
  );
  // The machine whose backups they were sees that they are gone, and stores anew.
  makeFiles(at.tree, { old: pseudoRandom('old', 200_000) });
  await lbsOk(t, [...backupOptions(at), at.tree]);
  await allIsWell(t, at);
});

test('a store that may not be written to is left as it is, and the reason told', async (t) => {
  if (!ordinaryUserCanRun(t)) return;
  const at = await withForgotten(t, places(t, 'ordinary'));
  giveToOrdinaryUser(at.base);
  const before = storeState(at.store);
  chmodSync(at.store, 0o555);
  const args = ['gc', `--store=${at.store}`, `--localdb=${at.localdb}`, NOW];
  const run = await lbsExits(t, 1, args, { user: 'ordinary' });
  t.true(run.stderr.includes(at.store), run.stderr);
  // What it would do can be asked all the same.
  const dry = await lbsOk(t, [...args, '-n'], { user: 'ordinary' });
  t.regex(dry.stdout, /^2 files would be removed/m);
  t.deepEqual(storeState(at.store), before);
});

test('where files may be added and not removed it fails, and harms nothing', async (t) => {
  if (!isRoot || !ordinaryUserCanRun(t)) return t.pass('left out: needs root and another user');
  const at = await withForgotten(t);
  const before = segmentFiles(at.store);
  // In a sticky directory only their owner removes files.
  chmodSync(at.store, 0o1777);
  const run = await lbsExits(t, 1, ['gc', `--store=${at.store}`, NOW], { user: 'ordinary' });
  t.regex(run.stderr, /cannot remove .* from the store/);
  t.regex(run.stderr, /run this as a user who may remove files of the store/);
  t.deepEqual(segmentFiles(at.store), before);
  // What it left is a list, which keeps no backup from being made.
  makeFiles(at.tree, { old: pseudoRandom('old', 200_000) });
  await lbsOk(t, [...backupOptions(at), at.tree]);
  await gc(t, at, NOW);
  await allIsWell(t, at);
});

test('--grace takes days, hours and seconds', async (t) => {
  const at = places(t);
  for (const grace of ['1d12h', '0h', '90s', '2w']) await gc(t, at, `--grace=${grace}`);
  for (const grace of ['1', 'day', '', '-1d', '1s1d']) {
    const run = await lbsExits(t, 2, ['gc', `--store=${at.store}`, `--grace=${grace}`]);
    t.regex(run.stderr, /is not a duration/);
  }
  await lbsExits(t, 10, ['gc', `--store=${join(at.base, 'none')}`]);
  await lbsExits(t, 2, ['gc', `--store=${at.store}`, 'latest']);
});

/** Where the run dies, and whether anything can be gone by then. */
const DEATHS = [
  ['when the first list is put', 'linkat', 1],
  ['before the first file is removed', 'unlinkat', 1],
  ['between two files', 'unlinkat', 2],
  ['when only its lists are left', 'unlinkat', 3],
] as const;

for (const [when, call, nth] of DEATHS) {
  test(`killed ${when}: nothing refers to what is gone, and the next run ends it`, async (t) => {
    if (!canTrace) return t.pass('left out: strace may not trace here');
    const at = await withForgotten(t);
    const unneeded = unneededSegments(at.store);
    const args = ['gc', `--store=${at.store}`, `--localdb=${at.localdb}`, NOW];
    const through = withFault(call, 'signal=KILL', nth);
    const run = await lbs(t, args, { through });
    t.true(run.signal === 'SIGKILL' || run.code === 137, `${run.code} ${run.signal}`);
    t.true(existsSync(join(at.store, unneeded[1] ?? '')) || nth > 1);
    // The local database was told before, so what these held is stored anew.
    makeFiles(at.tree, { old: pseudoRandom('old', 200_000) });
    const again = await lbsOk(t, [...backupOptions(at), '--json', at.tree]);
    t.is(jsonMessage(again, 'summary')['content_added'], 200_000);
    await gc(t, at, NOW);
    t.deepEqual([unneededSegments(at.store), lists(at.store)], [[], []]);
    await allIsWell(t, at);
  });
}

for (const { name, store, snapshots } of someFixtures(0)) {
  test(`${name}: after forgetting, the last snapshots are as good as before`, async (t) => {
    const at = places(t);
    cpSync(store, at.store, { recursive: true });
    await forget(t, at, '--keep-last=1');
    await gc(t, at, NOW);
    const left = jsonLines(await lbsOk(t, ['list', `--store=${at.store}`, '--json']));
    const schemes = new Set(snapshots.map((snapshot) => schemeOf(snapshot)));
    t.true(left.length >= schemes.size && left.length <= snapshots.length);
    makeSmallTree(at.tree);
    await lbsOk(t, [...backupOptions(at), '--scheme=ours', at.tree]);
    t.regex((await gc(t, at, NOW)).stdout, /^0 files removed/);
    await lbsOk(t, ['verify', `--store=${at.store}`, '--data'], { env: keys.env });
  });
}
