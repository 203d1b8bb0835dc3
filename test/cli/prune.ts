/** `lbs prune`: forget, clean and gc, with nothing that the dry run did not tell. */
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { allIsWell } from '../helpers/collected-store.ts';
import { backupOptions, type Places, places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { jsonLines, jsonMessage, lbsExits, lbsOk, type Run } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { canTrace, tracing } from '../helpers/strace.ts';
import { snapshotNames, storeState } from '../helpers/store-state.ts';

const DAY_S = 86400;
/** In the past: a snapshot that claims to be younger than its file is not forgotten. */
const START_S = Math.floor(Date.now() / 1000) - 40 * DAY_S;
const onDay = (days: number) => ({ env: { LBS_TEST_CLOCK_S: String(START_S + days * DAY_S) } });
const RULES = ['--keep-last=2', '--grace=0h'];

const prune = (t: ExecutionContext, at: Places, ...args: string[]): Promise<Run> =>
  lbsOk(t, ['prune', `--store=${at.store}`, `--localdb=${at.localdb}`, ...args], onDay(30));

/** Five nights of a tree of which half changes each time. */
async function fiveNights(t: ExecutionContext): Promise<Places> {
  const at = places(t);
  for (let night = 0; night < 5; night++) {
    for (let n = 0; n < 6; n++) {
      const version = n < 3 ? night : 0;
      makeFiles(at.tree, { [`${n}`]: pseudoRandom(`${n}/${version}`, 20_000) });
    }
    await lbsOk(t, [...backupOptions(at), at.tree], onDay(night));
  }
  return at;
}

const linesOf = (run: Run, type: string): unknown[] =>
  jsonLines(run).filter((line) => line['message_type'] === type);

test('with --compact, a dry run tells all of it, too', async (t) => {
  const at = await fiveNights(t);
  // What old snapshots keep of the first night's segment, the last one does not need.
  for (let n = 3; n < 6; n++) makeFiles(at.tree, { [`${n}`]: '' });
  await lbsOk(t, [...backupOptions(at), '--full-metadata', at.tree], onDay(5));
  const args = ['--keep-last=4', '--grace=0h', '--min-used=90', '--compact', '--json'];
  const before = [storeState(at.store), storeState(at.localdb)];
  const dry = await prune(t, at, ...args, '-n');
  t.deepEqual([storeState(at.store), storeState(at.localdb)], before);
  const run = await prune(t, at, ...args);
  for (const type of ['decision', 'segment', 'renamed', 'removed', 'condemned']) {
    t.deepEqual(linesOf(run, type), linesOf(dry, type), type);
  }
  t.true(linesOf(run, 'renamed').length > 0);
  t.true(linesOf(run, 'removed').length > 1);
  await allIsWell(t, at);
});

test('a dry run tells all of it, and the run does just that', async (t) => {
  const at = await fiveNights(t);
  const before = [storeState(at.store), storeState(at.localdb)];
  const dry = await prune(t, at, ...RULES, '-n', '--json');
  t.deepEqual(
    [storeState(at.store), storeState(at.localdb)],
    before,
    'a dry run changed something',
  );
  const run = await prune(t, at, ...RULES, '--json');
  for (const type of ['decision', 'segment', 'removed', 'condemned']) {
    t.deepEqual(linesOf(run, type), linesOf(dry, type), type);
  }
  t.true(linesOf(run, 'removed').length > 0);
  const forgotten = snapshotNames(at.store);
  t.is(forgotten.length, 2);
  const gone = [...(before[0]?.keys() ?? [])].filter((name) => !existsSync(join(at.store, name)));
  const removed = linesOf(run, 'removed').map((line) => Object(line).name);
  // What "forget" removes are the files of three snapshots.
  t.deepEqual(gone.filter((name) => !name.startsWith('snapshot-')).sort(), removed.sort());
  t.is(gone.filter((name) => name.startsWith('snapshot-')).length, 9);
  await allIsWell(t, at);
  t.is(jsonMessage(await prune(t, at, ...RULES, '--json'), 'summary')['removed'], 0);
});

test('on a machine that only looks after the store it forgets and collects', async (t) => {
  const at = await fiveNights(t);
  const none = { ...at, localdb: join(at.base, 'none') };
  const run = await prune(t, none, ...RULES);
  t.regex(run.stdout, /3 forgotten/);
  t.regex(run.stdout, /^[1-9]\d* files removed/m);
  t.false(existsSync(none.localdb));
  // The machine of the backups goes on, and stores nothing but what was lost to it.
  makeFiles(at.tree, { later: 'later' });
  await lbsOk(t, [...backupOptions(at), at.tree], onDay(31));
  await allIsWell(t, at);
});

test('it wants to be told what to keep, and keeps the last one whatever that is', async (t) => {
  const at = await fiveNights(t);
  const run = await lbsExits(t, 2, ['prune', `--store=${at.store}`]);
  t.regex(run.stderr, /nothing to keep was given/);
  t.is(snapshotNames(at.store).length, 5);
  rmSync(join(at.tree, '0'));
  await prune(t, at, '--keep-tag=nobody', '--grace=0h');
  t.is(snapshotNames(at.store).length, 1);
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
});

test('neither forgetting nor collecting opens a segment', async (t) => {
  if (!canTrace) return t.pass('left out: strace may not trace here');
  const at = await fiveNights(t);
  const log = join(at.base, 'trace');
  const bytes = () =>
    [...storeState(at.store).values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const before = bytes();
  const args = ['prune', `--store=${at.store}`, `--localdb=${at.localdb}`, ...RULES];
  await lbsOk(t, args, { through: tracing('openat,open', log), ...onDay(30) });
  const opened = readFileSync(log, 'latin1');
  t.true(statSync(log).size > 0 && opened.includes('snapshot-'));
  t.notRegex(opened, /[0-9a-f]{12}\.tar/);
  t.true(before - bytes() > 120_000, `${before - bytes()} bytes`);
});
