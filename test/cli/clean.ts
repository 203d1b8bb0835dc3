/** `lbs clean`: shares are counted right, and the next backup stores exactly what was told. */
import { mkdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import test, { type ExecutionContext } from 'ava';
import { allIsWell, forget, gc } from '../helpers/collected-store.ts';
import { backupOptions, type Places, places, restored } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import {
  jsonLines,
  jsonMessage,
  lbsExits,
  lbsOk,
  restoreOk,
  type Run,
} from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { segmentFiles, snapshotNames, storeState } from '../helpers/store-state.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

const DAY_S = 86400;
const FILE_BYTES = 50_000;

/**
 * One moment for all runs, so that ages do not depend on how long they take; long ago, because a
 * snapshot that claims to be younger than its file is not forgotten.
 */
const START_S = Math.floor(Date.now() / 1000) - 200 * DAY_S;

const onDay = (days: number) => ({
  env: { LBS_TEST_CLOCK_S: String(Math.floor(START_S + days * DAY_S)) },
});

const clean = (t: ExecutionContext, at: Places, days: number, ...args: string[]): Promise<Run> =>
  lbsOk(
    t,
    ['clean', `--store=${at.store}`, `--localdb=${at.localdb}`, '--json', ...args],
    onDay(days),
  );

async function backupOnDay(t: ExecutionContext, at: Places, days: number, ...args: string[]) {
  const words = ['backup', ...backupOptions(at), '--json', ...args, at.tree];
  return jsonMessage(await lbsOk(t, words, onDay(days)), 'summary');
}

/** Forgets all but the last one; names of snapshots from the future would not be believed. */
const forgetOnDay = (t: ExecutionContext, at: Places, days: number): Promise<Run> =>
  lbsOk(
    t,
    ['forget', `--store=${at.store}`, `--localdb=${at.localdb}`, '--keep-last=1'],
    onDay(days),
  );

/** Segments that a run gave up or would give up. */
const segmentsOf = (run: Run): Record<string, unknown>[] =>
  jsonLines(run).filter((line) => line['message_type'] === 'segment');

/** Files `0` to `9` in one segment, of which those with the numbers `kept` stay. */
async function tenFiles(t: ExecutionContext, at: Places, kept: number): Promise<void> {
  const name = (n: number) => `ten/${n}`;
  const files = Object.fromEntries(
    Array.from({ length: 10 }, (_, n) => [name(n), pseudoRandom(`ten ${n}`, FILE_BYTES)]),
  );
  makeFiles(at.tree, files);
  await backupOnDay(t, at, 0);
  for (let n = kept; n < 10; n++) rmSync(join(at.tree, name(n)));
  await backupOnDay(t, at, 1, '--full-metadata');
  await forget(t, at, snapshotNames(at.store)[0] ?? '');
}

for (const [kept, days, isWorth] of [
  // (1-u)*age/(u+0.1): 3.5 and more than 7.
  [5, 4.3, false],
  [5, 9, true],
  [9, 40, false],
  [9, 80, true],
  // Less than the floor of 40 %: whatever its age.
  [3, 2, true],
  [4, 2, false],
] as const) {
  const words = isWorth ? 'given up' : 'left alone';
  test(`a segment of ${days} days of which ${kept} tenths are used is ${words}`, async (t) => {
    const at = places(t);
    await tenFiles(t, at, kept);
    const run = await clean(t, at, days);
    const data = segmentsOf(run).filter((line) => line['group'] === 'data');
    t.is(data.length, isWorth ? 1 : 0, run.stdout);
    if (!isWorth) return;
    t.is(data[0]?.['used'], kept / 10);
    t.is(Math.round(Number(data[0]?.['age_days']) * 10), days * 10);
    t.is(jsonMessage(run, 'summary')['bytes_to_store'], kept * FILE_BYTES);
  });
}

test('the next backup stores exactly what was told, and collecting makes room', async (t) => {
  const at = places(t);
  await tenFiles(t, at, 3);
  const before = [storeState(at.store), storeState(at.localdb)];
  const dry = await clean(t, at, 2, '--dry-run');
  t.deepEqual(
    [storeState(at.store), storeState(at.localdb)],
    before,
    'a dry run changed something',
  );
  const told = jsonMessage(dry, 'summary');
  t.is(told['bytes_to_store'], 3 * FILE_BYTES);
  const run = await clean(t, at, 2);
  t.deepEqual(
    [segmentsOf(run), { ...jsonMessage(run, 'summary'), dry_run: true }],
    [segmentsOf(dry), told],
  );
  t.deepEqual(storeState(at.store), before[0], 'the store was changed');
  // Given up once, and not again.
  t.is(jsonMessage(await clean(t, at, 2), 'summary')['segments'], 0);

  const [old = ''] = snapshotNames(at.store);
  const made = await backupOnDay(t, at, 3);
  t.is(made['content_added'], 3 * FILE_BYTES);
  t.is((await backupOnDay(t, at, 4))['content_added'], 0);
  await allIsWell(t, at);
  rmSync(at.target, { recursive: true });
  await restoreOk(t, [`--store=${at.store}`, old, at.target]);
  sameTree(t, readTree(at.tree), readTree(restored(at.target, at.tree)));

  const bytes = () =>
    segmentFiles(at.store).reduce((sum, name) => sum + statSync(join(at.store, name)).size, 0);
  await forgetOnDay(t, at, 4);
  const full = bytes();
  await gc(t, at, '--grace=0h');
  t.true(full - bytes() > 10 * FILE_BYTES, `${full} -> ${bytes()}`);
  t.true(bytes() < 3.3 * FILE_BYTES, `${bytes()} bytes`);
  await allIsWell(t, at);
});

test('a segment that an old snapshot keeps is left alone until that one is forgotten', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { stays: pseudoRandom('stays', FILE_BYTES), goes: pseudoRandom('g', 90_000) });
  await backupOnDay(t, at, 0);
  rmSync(join(at.tree, 'goes'));
  await backupOnDay(t, at, 40);
  t.is(jsonMessage(await clean(t, at, 50, '--min-used=99'), 'summary')['segments'], 0);
  await forgetOnDay(t, at, 50);
  const run = await clean(t, at, 50);
  t.is(jsonMessage(run, 'summary')['bytes_to_store'], FILE_BYTES, run.stdout);
});

test('what is stored anew lies together with what is as old', async (t) => {
  const at = places(t);
  // Segments of 100 KB: six tenths of each are still used, by files of three ages.
  for (const [day, age] of [0, 40, 98].entries()) {
    for (let n = 0; n < 6; n++) {
      makeFiles(at.tree, { [`${age}/${n}`]: pseudoRandom(`${age} ${n}`, FILE_BYTES) });
    }
    await backupOnDay(t, at, age + day / 100, '--segment-size=100K');
  }
  for (const age of [0, 40, 98]) for (const n of [1, 3, 5]) rmSync(join(at.tree, `${age}/${n}`)); // prettier-ignore
  await backupOnDay(t, at, 99, '--full-metadata');
  await forgetOnDay(t, at, 99);
  const run = await clean(t, at, 100, '--min-used=70');
  t.is(jsonMessage(run, 'summary')['bytes_to_store'], 9 * FILE_BYTES);
  const made = await backupOnDay(t, at, 101, '--segment-size=1M');
  t.is(made['content_added'], 9 * FILE_BYTES);
  const db = new Database(join(at.localdb, 'lbs-localdb.sqlite'), { readonly: true });
  t.teardown(() => db.close());
  const groups = db
    .prepare<[], { grp: string; ages: number; blocks: number }>(
      `select grp, count(distinct b.age) ages, count(*) blocks from segments s
       join blocks b on b.id / 16777216 = s.id
       where b.age is not null group by grp order by grp`,
    )
    .all();
  t.log(groups);
  t.true(groups.length > 1 && groups.some(({ grp }) => /^compacted-\d+$/.test(grp)));
  // Each age is in one group only, and keeps its age.
  t.is(groups.reduce((sum, { ages }) => sum + ages, 0), 3); // prettier-ignore
  t.is(groups.reduce((sum, { blocks }) => sum + blocks, 0), 9); // prettier-ignore
  await gc(t, at, '--grace=0h');
  await allIsWell(t, at);
});

test('metadata that is mostly dead is written anew, and its segment goes', async (t) => {
  const at = places(t);
  const names = Array.from({ length: 400 }, (_, n) => `${n < 350 ? 'go' : 'stay'}/${n}`);
  makeFiles(at.tree, Object.fromEntries(names.map((name) => [name, 'the same'])));
  await backupOnDay(t, at, 0);
  const first = segmentFiles(at.store);
  rmSync(join(at.tree, 'go'), { recursive: true });
  await backupOnDay(t, at, 1);
  await forgetOnDay(t, at, 1);
  const run = await clean(t, at, 60);
  const metadata = segmentsOf(run).filter((line) => line['group'] === 'metadata');
  t.true(metadata.length > 0, run.stdout);
  t.true(Number(jsonMessage(run, 'summary')['metadata_bytes_to_store']) > 0);
  await backupOnDay(t, at, 61);
  await forgetOnDay(t, at, 61);
  await gc(t, at, '--grace=0h');
  for (const { file } of metadata) t.false(segmentFiles(at.store).includes(String(file)));
  t.true(first.some((file) => !segmentFiles(at.store).includes(file)));
  await allIsWell(t, at);
});

test('what an interrupted backup has stored is not given up', async (t) => {
  const at = places(t);
  await tenFiles(t, at, 9);
  // As if the descriptor had never been written: segments that no snapshot uses.
  makeFiles(at.tree, { big: pseudoRandom('big', 400_000) });
  await backupOnDay(t, at, 2);
  await forget(t, at, snapshotNames(at.store).at(-1) ?? '');
  t.is(jsonMessage(await clean(t, at, 3), 'summary')['segments'], 0);
  t.is((await backupOnDay(t, at, 3))['content_added'], 0);
  await allIsWell(t, at);
});

test('a database that serves two stores is cleaned for the one that is named', async (t) => {
  const at = places(t);
  const second = { ...at, store: join(at.base, 'second') };
  makeFiles(at.base, { 'second/': '' });
  await tenFiles(t, at, 3);
  rmSync(join(at.tree, 'ten'), { recursive: true });
  makeFiles(at.tree, { else: pseudoRandom('else', 20_000) });
  await backupOnDay(t, second, 1.5);
  t.is(jsonMessage(await clean(t, second, 2), 'summary')['segments'], 0);
  const run = await clean(t, at, 2);
  t.true(segmentsOf(run).every(({ file }) => segmentFiles(at.store).includes(String(file))));
  t.true(segmentsOf(run).length > 0);
});

test('without a local database there is nothing to clean, and a hint', async (t) => {
  const at = places(t);
  await tenFiles(t, at, 3);
  const none = join(at.base, 'none');
  for (const args of [[], ['-n']]) {
    const words = ['clean', `--store=${at.store}`, `--localdb=${none}`, ...args];
    const run = await lbsExits(t, 10, words);
    t.regex(run.stderr, /there is no local database/);
    t.regex(run.stderr, /--localdb=DIR/);
  }
  await lbsExits(t, 10, ['clean', `--store=${none}`]);
  for (const share of ['101', '-1', 'half']) {
    await lbsExits(t, 2, ['clean', `--store=${at.store}`, `--min-used=${share}`]);
  }
});

test('a snapshot of the same name in another store is not taken for the last one', async (t) => {
  const at = places(t);
  await tenFiles(t, at, 3);
  const worth = segmentsOf(await clean(t, at, 9, '--dry-run'));
  t.true(worth.length > 0);
  // The same local database, and the same second: "one directory serves one store" is easily missed.
  const second = { ...at, store: join(at.base, 'second') };
  mkdirSync(second.store);
  await backupOnDay(t, second, 1, '--full-metadata');
  t.deepEqual(snapshotNames(second.store), snapshotNames(at.store));
  t.deepEqual(segmentsOf(await clean(t, at, 9, '--dry-run')), worth);
});
