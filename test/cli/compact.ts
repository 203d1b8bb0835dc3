/** `lbs compact`: what it moves, what has new names, and that every snapshot says what it said. */
import {
  copyFileSync,
  cpSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import test, { type ExecutionContext } from 'ava';
import { parseDescriptor } from '../../src/format/descriptor.ts';
import { CompactedTable } from '../../src/localdb/compacted-table.ts';
import { openDatabase } from '../../src/localdb/open-localdb.ts';
import {
  type CandidateOptions,
  RetentionCandidates,
} from '../../src/maintain/retention-candidates.ts';
import { decideRetention } from '../../src/maintain/retention.ts';
import { snapshotsAmong } from '../../src/snapshots/open-snapshot.ts';
import { openStore } from '../../src/stores/open-store.ts';
import { forget, gc, neededSegments } from '../helpers/collected-store.ts';
import { gpgHome } from '../helpers/gpg-home.ts';
import { backupOptions, type Places, places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { jsonLines, jsonMessage, lbsExits, lbsOk, restoreOk } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { canTrace, withFault } from '../helpers/strace.ts';
import { segmentFiles, snapshotNames, storeState } from '../helpers/store-state.ts';
import { saveAt } from '../helpers/timed-series.ts';
import { readTree, sameTree, type TreeState } from '../helpers/tree-state.ts';

const FILE_BYTES = 40_000;
const DAY_MS = 86_400_000;
/** One moment for runs that are compared. */
const LATER = { env: { LBS_TEST_CLOCK_S: String(Date.UTC(2020, 0, 9) / 1000) } };

const where = (at: Places): string[] => [`--store=${at.store}`, `--localdb=${at.localdb}`];
const isBig = (file: string): boolean => statSync(file).size > FILE_BYTES;
const bytesOf = (store: string): number =>
  segmentFiles(store).reduce((sum, name) => sum + statSync(join(store, name)).size, 0);

async function contentOf(t: ExecutionContext, at: Places, snapshot: string): Promise<TreeState> {
  rmSync(at.target, { recursive: true, force: true });
  await restoreOk(t, [`--store=${at.store}`, snapshot, at.target]);
  return readTree(at.target);
}

/** The snapshots of a store, and what each gives back. */
async function contentsOf(t: ExecutionContext, at: Places): Promise<TreeState[]> {
  const contents: TreeState[] = [];
  for (const name of snapshotNames(at.store)) contents.push(await contentOf(t, at, name));
  return contents;
}

async function sameContents(
  t: ExecutionContext,
  at: Places,
  before: readonly TreeState[],
): Promise<void> {
  const after = await contentsOf(t, at);
  t.is(after.length, before.length);
  for (const [n, tree] of before.entries()) sameTree(t, tree, after[n] ?? tree);
}

const files = (from: number, to: number, day: string): Record<string, Buffer> =>
  Object.fromEntries(
    Array.from({ length: to - from }, (_, n) => [
      `f${from + n}`,
      pseudoRandom(`${day}/${from + n}`, FILE_BYTES),
    ]),
  );

function removeFiles(at: Places, from: number, to: number): void {
  for (let n = from; n < to; n++) rmSync(join(at.tree, `f${n}`));
}

/**
 * Four days, of which the first is forgotten: most of its segment is dead, and the second and
 * third day need a little of it, the last nothing.
 */
async function makeFourDays(
  t: ExecutionContext,
  options: readonly string[] = [],
  firstMs = Date.UTC(2020, 0, 1, 3),
): Promise<Places> {
  const at = places(t);
  const save = (day: number, ...more: string[]) =>
    saveAt(t, at, new Date(firstMs + day * DAY_MS).toISOString(), [...options, ...more]);
  makeFiles(at.tree, { ...files(0, 10, 'a'), 'dir/empty': '', 'dir/text': 'as it was\n' });
  await save(0);
  removeFiles(at, 0, 8);
  makeFiles(at.tree, files(10, 13, 'b'));
  await save(1);
  makeFiles(at.tree, files(13, 16, 'c'));
  await save(2);
  removeFiles(at, 8, 10);
  rmSync(join(at.tree, 'dir/text'));
  await save(3, '--full-metadata');
  await forget(t, at, snapshotNames(at.store)[0] ?? '');
  return at;
}

let model: Promise<Places> | undefined;

/** A copy of one that is made once: the first test's, which all others take at the same time. */
async function fourDays(t: ExecutionContext): Promise<Places> {
  const at = places(t);
  model ??= makeFourDays(t);
  cpSync((await model).base, at.base, { recursive: true, preserveTimestamps: true });
  return at;
}

test('what is used of a dead segment moves, and all snapshots say what they said', async (t) => {
  t.timeout(120_000);
  const at = await fourDays(t);
  const second = '20200102T030000';
  await lbsOk(t, ['tag', `--store=${at.store}`, second, 'before']);
  await lbsOk(t, ['hold', `--store=${at.store}`, second]);
  const before = await contentsOf(t, at);
  const state = [storeState(at.store), storeState(at.localdb)];
  const full = bytesOf(at.store);
  const dry = await lbsOk(t, ['compact', ...where(at), '--json', '--dry-run'], LATER);
  t.deepEqual([storeState(at.store), storeState(at.localdb)], state, 'a dry run changed something');
  const run = await lbsOk(t, ['compact', ...where(at), '--json'], LATER);
  const told = (of: typeof run) => jsonLines(of).filter(({ message_type: type }) => type === 'segment' || type === 'renamed'); // prettier-ignore
  t.deepEqual(told(run), told(dry));
  const summary = jsonMessage(run, 'summary');
  t.deepEqual({ ...summary, dry_run: true, bytes_added: 0 }, jsonMessage(dry, 'summary'));
  t.like(summary, { segments: 1, segments_left: 0, snapshots: 2, damaged: 0 });
  t.is(summary['content_bytes'], 2 * FILE_BYTES + 'as it was\n'.length);
  const renamed = told(run).filter(({ message_type: type }) => type === 'renamed');
  t.deepEqual(
    renamed.map((line) => [line['old_snapshot_id'], line['snapshot_id']]),
    [
      [second, '20200102T030001'],
      ['20200103T030000', '20200103T030001'],
    ],
  );
  // Notes came over, and what the descriptor says of the source.
  const [listed = {}] = jsonLines(await lbsOk(t, ['list', `--store=${at.store}`, '--json']));
  t.like(listed, { id: '20200102T030001', tags: ['before'], held: true });
  const text = readFileSync(join(at.store, 'snapshot-20200102T030001.lbs'), 'utf8');
  t.like(parseDescriptor(text), { compactedFrom: second, date: Date.UTC(2020, 0, 2, 3) / 1000 });
  // With what this machine has seen: nobody misses the old ones.
  await lbsOk(t, ['verify', ...where(at), '--data']);
  await sameContents(t, at, before);
  await gc(t, at, '--grace=0h');
  t.true(bytesOf(at.store) < full - 7 * FILE_BYTES, `${full} -> ${bytesOf(at.store)}`);
  await sameContents(t, at, before);
  // The order of the snapshots is what it was, also for the next backup; and it is all done.
  const again = jsonMessage(await lbsOk(t, ['compact', ...where(at), '--json']), 'summary');
  t.like(again, { segments: 0, snapshots: 0 });
  const words = ['backup', ...backupOptions(at), '--json', '.'];
  const next = jsonMessage(await lbsOk(t, words, { cwd: at.tree }), 'summary');
  t.is(next['content_added'], 0);
});

test('with --all the last snapshot moves too; what is stored elsewhere is not copied', async (t) => {
  t.timeout(120_000);
  const at = places(t);
  makeFiles(at.tree, files(0, 10, 'a'));
  await saveAt(t, at, '2020-01-01T03:00:00Z', ['--scheme=one']);
  removeFiles(at, 0, 8);
  for (const scheme of ['one', 'two']) {
    await saveAt(t, at, '2020-01-02T03:00:00Z', [`--scheme=${scheme}`]);
  }
  await forget(t, at, 'one-20200101T030000');
  const before = await contentsOf(t, at);
  t.like(jsonMessage(await lbsOk(t, ['compact', ...where(at), '--json']), 'summary'), {
    segments: 0,
  });
  const all = jsonMessage(await lbsOk(t, ['compact', ...where(at), '--json', '--all']), 'summary');
  t.is(all['content_bytes'], 2 * FILE_BYTES);
  t.true(Number(all['bytes_read']) > 10 * FILE_BYTES);
  t.deepEqual(snapshotNames(at.store), ['one-20200102T030001', 'two-20200102T030001']);
  await sameContents(t, at, before);
  // Their files are read again, and found to be stored.
  const words = ['backup', ...backupOptions(at), '--json', '--scheme=one', '.'];
  const next = jsonMessage(await lbsOk(t, words, { cwd: at.tree }), 'summary');
  t.is(next['content_added'], 0);
  await gc(t, at, '--grace=0h');
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
});

test('a damaged segment is left, and costs nothing but itself', async (t) => {
  t.timeout(120_000);
  const at = await makeFourDays(t, ['--segment-size=64K']);
  const dry = await lbsOk(t, ['compact', ...where(at), '--json', '--dry-run']);
  const data = jsonLines(dry).filter((line) => line['group'] === 'data');
  const name = String(data[0]?.['file']);
  const file = join(at.store, name);
  const bytes = readFileSync(file);
  bytes.fill(0, bytes.length >> 1, (bytes.length >> 1) + 1000);
  writeFileSync(file, bytes);
  // One that is not compacted is not read. What no snapshot needs, verify would not look at.
  const compacted = new Set(jsonLines(dry).map((line) => line['file']));
  const isOther = (of: string) => !compacted.has(of) && isBig(join(at.store, of));
  const other = neededSegments(at.store).find(isOther) ?? '';
  writeFileSync(join(at.store, other), Buffer.alloc(statSync(join(at.store, other)).size));
  const run = await lbsExits(t, 4, ['compact', ...where(at), '--json']);
  const found = jsonLines(run).filter((line) => line['message_type'] === 'error');
  t.deepEqual(found.map((line) => line['item']), [name]); // prettier-ignore
  const whole = Number(jsonMessage(dry, 'summary')['segments']);
  t.like(jsonMessage(run, 'summary'), { damaged: 1, segments: whole - 1, segments_left: 1 });
  const damage = await lbsExits(t, 4, ['verify', `--store=${at.store}`, '--json']);
  t.deepEqual(jsonMessage(damage, 'summary')['broken_packs'], [name, other].sort());
  t.is(snapshotNames(at.store).length, 3);
});

test('what was signed is signed again, or nothing is done', async (t) => {
  t.timeout(120_000);
  const key = gpgHome(t);
  // Whole seconds: the clock of a run knows no others, and would not be set.
  const firstMs = Math.floor(Date.now() / 1000) * 1000;
  const at = await makeFourDays(t, [`--sign-key=${key.secretKey}`], firstMs);
  const later = { env: { LBS_TEST_CLOCK_S: String(Math.floor(firstMs / 1000) + 864_000) } };
  const state = storeState(at.store);
  const [sign, verify] = [`--sign-key=${key.secretKey}`, `--verify-key=${key.publicKey}`];
  // Without a look at the signature somebody else's text would get ours.
  for (const options of [[], [verify], [sign]]) {
    const run = await lbsExits(t, 12, ['compact', ...where(at), ...options], later);
    t.regex(run.stderr, /is signed, and/);
  }
  t.deepEqual(storeState(at.store), state);
  const run = await lbsOk(t, ['compact', ...where(at), sign, verify, '--json'], later);
  t.is(jsonMessage(run, 'summary')['snapshots'], 2);
  await lbsOk(t, ['verify', `--store=${at.store}`, verify, '--data'], later);
});

test('segments that snapshots need which the local database does not know stay', async (t) => {
  t.timeout(120_000);
  const at = await fourDays(t);
  const db = new Database(join(at.localdb, 'lbs-localdb.sqlite'));
  db.prepare('update snapshots set name = ? where name = ?').run('other', '20200102T030000');
  db.close();
  const state = storeState(at.store);
  const run = await lbsOk(t, ['compact', ...where(at)]);
  t.regex(run.stderr, /1 segment is left: the local database does not know .*: lbs rebuild/);
  t.deepEqual(storeState(at.store), state);
  // Afterwards it knows them.
  const rebuilt = `--localdb=${join(at.base, 'rebuilt')}`;
  await lbsOk(t, ['rebuild', `--store=${at.store}`, rebuilt]);
  const words = ['compact', `--store=${at.store}`, rebuilt, '--json'];
  t.like(jsonMessage(await lbsOk(t, words), 'summary'), { segments: 1, snapshots: 2 });
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
});

test('a run that was stopped between two descriptors is finished, and only by who made them', async (t) => {
  t.timeout(120_000);
  const at = await fourDays(t);
  const [old = ''] = snapshotNames(at.store);
  const ofOld = readdirSync(at.store).filter((name) => name.startsWith(`snapshot-${old}.`));
  for (const name of ofOld) copyFileSync(join(at.store, name), join(at.base, name));
  await lbsOk(t, ['compact', ...where(at)]);
  const whole = snapshotNames(at.store);
  const putBack = () => {
    for (const name of ofOld) copyFileSync(join(at.base, name), join(at.store, name));
  };
  // As it is when the old descriptor was not yet removed.
  putBack();
  const run = await lbsOk(t, ['compact', ...where(at)]);
  t.regex(run.stdout, /^20200102T030000 -> 20200102T030001$/m);
  t.deepEqual(snapshotNames(at.store), whole);
  // Somebody adds a descriptor that says it took the place of another one: that one stays.
  const [first = ''] = whole;
  const text = readFileSync(join(at.store, `snapshot-${first}.lbs`), 'utf8');
  // What is damaged does not get a new seal.
  const broken = text.replace(/^Files: /m, 'Files: 1');
  writeFileSync(join(at.store, `snapshot-${first}.lbs`), broken);
  t.regex((await lbsExits(t, 4, ['compact', ...where(at)])).stderr, /is not as it was written/);
  writeFileSync(join(at.store, `snapshot-${first}.lbs`), text);
  const forged = text
    .replace(/^Compacted_from: .*$/m, `Compacted_from: ${first}`)
    .replace(/^Descriptor_sha256: .*\n/m, '');
  writeFileSync(join(at.store, 'snapshot-20200102T040000.lbs'), forged);
  await lbsOk(t, ['compact', ...where(at)]);
  t.deepEqual(snapshotNames(at.store), [first, '20200102T040000', ...whole.slice(1)]);
});

for (const isRotten of [false, true]) {
  test(`what is stored a second time is not copied, but found there${isRotten ? ', unless it has rotted' : ''}`, async (t) => {
    t.timeout(120_000);
    const at = await fourDays(t);
    const before = await contentsOf(t, at);
    // As after cleaning: the content of old snapshots is stored once more, for a later one.
    makeFiles(at.tree, { ...files(8, 10, 'a'), 'dir/text': 'as it was\n' });
    const db = new Database(join(at.localdb, 'lbs-localdb.sqlite'));
    db.exec("update segments set expired = 1 where grp = 'data'; update blocks set expired = 0");
    db.close();
    const old = segmentFiles(at.store);
    await saveAt(t, at, '2020-01-05T03:00:00Z');
    const isCopy = (name: string) => !old.includes(name) && isBig(join(at.store, name));
    const copy = join(at.store, segmentFiles(at.store).find(isCopy) ?? '');
    const { size } = statSync(copy);
    if (isRotten) writeFileSync(copy, readFileSync(copy).fill(0, size >> 1, (size >> 1) + 1000));
    const run = await lbsExits(t, isRotten ? 4 : 0, ['compact', ...where(at), '--json']);
    const summary = jsonMessage(run, 'summary');
    t.like(summary, { damaged: isRotten ? 1 : 0, segments_left: 0, snapshots: 3 });
    if (!isRotten) t.like(summary, { bytes_read: size, content_bytes: 0 });
    await gc(t, at, '--grace=0h');
    // Snapshots that were whole are whole; only the last one needs that segment.
    for (const [n, tree] of before.entries()) {
      sameTree(t, tree, await contentOf(t, at, snapshotNames(at.store)[n] ?? ''));
    }
  });
}

test('rules believe a new descriptor if this machine made it, and no other one', async (t) => {
  t.timeout(120_000);
  const at = await fourDays(t);
  await lbsOk(t, ['compact', ...where(at)]);
  // One that somebody has added, with a date that would push out the others.
  const text = readFileSync(join(at.store, 'snapshot-20200102T030001.lbs'), 'utf8');
  const forged = text.replaceAll('2020-01-02', '2020-01-03').replace('Host: ', 'Host: x');
  writeFileSync(join(at.store, 'snapshot-20200103T120000.lbs'), forged);
  // All but the last snapshot came a month after it, as it is when compacting comes late.
  const monthS = 30 * 86_400;
  const store = openStore(at.store);
  const files = store.list().map((file) => {
    const isLast = file.name === 'snapshot-20200104T030000.lbs';
    return isLast ? { ...file, arrivedS: file.arrivedS - monthS } : file;
  });
  const open = openDatabase(at.localdb);
  t.teardown(() => open.close());
  open.db.prepare('update compacted set arrived = arrived - ?').run(monthS);
  const compacted = new CompactedTable(open);
  const reasons = async (options: CandidateOptions) => {
    const candidates = new RetentionCandidates(store, files, options);
    const all = await candidates.of(snapshotsAmong(files));
    const rules = { last: 0, counts: { daily: 9 }, within: [], tags: [] };
    return decideRetention(all, rules).map(({ reasons: why }) => why.join());
  };
  const late = 'it came after newer ones, so its date does not count';
  t.deepEqual(await reasons({ arrivalOf: (digest) => compacted.arrivalOf(digest) }), [
    'daily 3',
    'daily 2',
    late,
    'the last complete one,the last one,daily 1',
  ]);
  // On another machine they are left alone.
  t.deepEqual((await reasons({})).slice(0, 3), [late, late, late]);
});

test('long metadata keeps what did not move, and shares what is written anew', async (t) => {
  t.timeout(120_000);
  const at = places(t);
  const many = (dir: string, day: number) =>
    Object.fromEntries(
      Array.from({ length: 250 }, (_, n) => [`${dir}/${n}`, `${dir} ${n} on day ${day}\n`]),
    );
  makeFiles(at.tree, { ...many('a', 1), ...many('b', 1) });
  await saveAt(t, at, '2020-01-01T03:00:00Z');
  const big = pseudoRandom('big', 400_000);
  makeFiles(at.tree, { ...many('c', 2), ...many('d', 2), ...many('e', 2), 'd/big': big });
  await saveAt(t, at, '2020-01-02T03:00:00Z');
  rmSync(join(at.tree, 'd/big'));
  await saveAt(t, at, '2020-01-03T03:00:00Z');
  makeFiles(at.tree, { 'd/7': 'changed\n' });
  await saveAt(t, at, '2020-01-04T03:00:00Z');
  makeFiles(at.tree, { 'b/7': 'changed\n' });
  await saveAt(t, at, '2020-01-05T03:00:00Z');
  await forget(t, at, '20200102T030000');
  const before = await contentsOf(t, at);
  const run = await lbsOk(t, ['compact', ...where(at), '--all', '--json']);
  const summary = jsonMessage(run, 'summary');
  t.like(summary, { segments: 1, snapshots: 3 });
  // Some 750 stanzas have moved; three times as many would be written without sharing.
  const written = Number(summary['metadata_bytes']);
  t.true(written > 200_000 && written < 500_000, `${written} bytes of metadata`);
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
  // References to references are no deeper than readers go, also when it is done once more.
  const again = ['compact', ...where(at), '--all', '--min-used=100', '--json'];
  t.true(Number(jsonMessage(await lbsOk(t, again), 'summary')['snapshots']) >= 3);
  await lbsOk(t, ['verify', `--store=${at.store}`, '--objects']);
  await sameContents(t, at, before);
});

test('an interrupted compact leaves whole snapshots, and the same command does the rest', async (t) => {
  if (!canTrace) return t.pass('left out: no strace here');
  const at = await fourDays(t);
  const before = await contentsOf(t, at);
  const names = snapshotNames(at.store);
  // A segment, and of the first snapshot its two lists and its descriptor.
  const through = withFault('linkat', 'signal=SIGINT', 5);
  const run = await lbsExits(t, 130, ['compact', ...where(at)], { ...LATER, through });
  t.regex(run.stderr, /stopping tidily.*\n.*interrupted/);
  t.not(snapshotNames(at.store)[0], names[0]);
  t.is(snapshotNames(at.store)[1], names[1]);
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
  await sameContents(t, at, before);
  await lbsOk(t, ['compact', ...where(at)], LATER);
  t.not(snapshotNames(at.store)[1], names[1]);
  await sameContents(t, at, before);
});
