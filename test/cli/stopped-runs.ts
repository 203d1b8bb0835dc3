/** Runs that are stopped: by Ctrl-C, by a full disk, by another run; and the run after them. */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { backupOptions, places, type Places, restored } from '../helpers/places.ts';
import {
  commandLineOf,
  lbs,
  lbsExits,
  lbsOk,
  PROJECT,
  type RunningLbs,
  startLbs,
  restoreOk,
} from '../helpers/run-lbs.ts';
import { makeIncompressible, makeSmallTree, waitUntil } from '../helpers/small-tree.ts';
import { segmentFiles, snapshotNames, storeState } from '../helpers/store-state.ts';
import { mountTmpfs } from '../helpers/temp-dir.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

const MIB = 1024 * 1024;
/** Each segment takes its time, so that a run can be stopped in the middle. */
const SLOW_FILTER = [
  `--filter=${join(PROJECT, 'test', 'fixtures', 'filters', 'slow')}`,
  '--filter-extension=',
  '--segment-size=1M',
];

function startSlowly(t: ExecutionContext, at: Places, slowS = '0.25'): RunningLbs {
  makeIncompressible(at.tree, 60, MIB);
  const options = { ownGroup: true, env: { LBS_SLOW_S: slowS } };
  return startLbs(t, [...backupOptions(at), ...SLOW_FILTER, at.tree], options);
}

async function someSegments(at: Places, count: number): Promise<void> {
  await waitUntil(() => segmentFiles(at.store).length >= count, `${count} segments`);
}

/** Nothing but complete files and what the local database needs. */
function nothingTemporary(t: ExecutionContext, at: Places): void {
  const strange = readdirSync(at.store).filter((name) => !/^[0-9a-f-]{36}\.tar/.test(name));
  t.deepEqual(strange, [], 'something temporary is left in the store');
  const local = readdirSync(at.localdb).filter((name) => /tmp|temp|new|part/i.test(name));
  t.deepEqual(local, [], 'something temporary is left beside the local database');
}

for (const [title, toGroup] of [
  ['an interrupt', false],
  ['Ctrl-C on a terminal, which the filters get too,', true],
] as const) {
  test(`${title} stops the run tidily, and the next run continues`, async (t) => {
    const at = places(t);
    const running = startSlowly(t, at);
    await someSegments(at, 6);
    const pid = running.child.pid ?? 0;
    process.kill(toGroup ? -pid : pid, 'SIGINT');
    const run = await running.done;
    t.is(run.code, 130, `${run.signal} ${run.stderr}`);
    t.regex(run.stderr, /interrupt/i);
    t.deepEqual(snapshotNames(at.store), []);
    nothingTemporary(t, at);
    const before = segmentFiles(at.store);
    await lbsOk(t, [...backupOptions(at), '--filter=cat', '--segment-size=1M', at.tree]);
    const added = segmentFiles(at.store).length - before.length;
    t.true(added < 60 - before.length / 2, `${added} segments after ${before.length}`);
    await restoreOk(t, [`--store=${at.store}`, 'latest', at.target]);
    sameTree(t, readTree(at.tree), readTree(restored(at.target, at.tree)));
  });
}

test('a second interrupt ends the run at once, and its filters with it', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  const pidFile = join(at.base, 'filter');
  // Written aside, so that it is never seen half written.
  const filter = `echo $$ > ${pidFile}.new; mv ${pidFile}.new ${pidFile}; exec sleep 300`;
  const args = [`--filter=${filter}`, '--filter-extension=.x', at.tree];
  const running = startLbs(t, [...backupOptions(at), ...args]);
  await waitUntil(() => existsSync(pidFile), 'the filter');
  running.child.kill('SIGINT');
  await waitUntil(() => running.said().stderr.includes('once more'), 'the first answer');
  running.child.kill('SIGINT');
  const run = await running.done;
  t.is(run.signal, 'SIGINT', run.stderr);
  const pid = readFileSync(pidFile, 'utf8').trim();
  await waitUntil(() => !commandLineOf(pid).includes('sleep'), 'the end of the filter');
  t.deepEqual(snapshotNames(at.store), []);
  t.deepEqual(segmentFiles(at.store), []);
});

test('running out of file descriptors ends the run instead of leaving entries out', async (t) => {
  const at = places(t);
  mkdirSync(join(at.tree, ...Array.from({ length: 40 }, () => 'deeper')), { recursive: true });
  const through = ['/bin/sh', '-c', 'ulimit -n 45; exec "$0" "$@"'];
  const run = await lbsExits(t, 1, [...backupOptions(at), at.tree], { through });
  t.regex(run.stderr, /too many open files\n +raise the limit on open files/);
  t.deepEqual(snapshotNames(at.store), []);
});

test('a killed run leaves no snapshot and holds up nobody', async (t) => {
  const at = places(t);
  const running = startSlowly(t, at);
  await someSegments(at, 4);
  process.kill(-(running.child.pid ?? 0), 'SIGKILL');
  await running.done;
  t.deepEqual(snapshotNames(at.store), []);
  const before = segmentFiles(at.store).length;
  await lbsOk(t, [...backupOptions(at), '--filter=cat', '--segment-size=1M', at.tree]);
  t.true(segmentFiles(at.store).length < 60 + 5 + before);
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
});

test('a second run with the same local database is told who has it', async (t) => {
  const at = places(t);
  const running = startSlowly(t, at, '1.5');
  await someSegments(at, 1);
  const run = await lbsExits(t, 11, [...backupOptions(at), at.tree]);
  t.true(run.stderr.includes(at.localdb), run.stderr);
  t.true(run.stderr.includes(String(running.child.pid)), `no process id in: ${run.stderr}`);
  t.is(running.child.exitCode, null, 'the first run was disturbed');
  running.child.kill('SIGINT');
  t.is((await running.done).code, 130);
  await lbsOk(t, [...backupOptions(at), at.tree]);
});

test('reading commands do not wait for a running backup', async (t) => {
  const at = places(t);
  makeSmallTree(join(at.tree, 'small'));
  await lbsOk(t, [...backupOptions(at), join(at.tree, 'small')]);
  const running = startSlowly(t, at, '2');
  await someSegments(at, 4);
  await lbsOk(t, ['list', `--store=${at.store}`]);
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
  await restoreOk(t, [`--store=${at.store}`, 'latest', at.target]);
  t.is(running.child.exitCode, null, 'the backup ended too soon to show anything');
});

test('a full disk ends the run, harms nothing, and the same command works when there is room', async (t) => {
  const at = places(t);
  if (!mountTmpfs(at.store, 3 * MIB)) return t.pass('no mounts here');
  makeSmallTree(join(at.tree, 'small'));
  await lbsOk(t, [...backupOptions(at), join(at.tree, 'small')]);
  const before = storeState(at.store);
  makeIncompressible(join(at.tree, 'large'), 12, MIB);
  const run = await lbsExits(t, 1, [...backupOptions(at), '--segment-size=1M', at.tree]);
  t.regex(run.stderr, /no space|No space|disk is full/);
  t.true(run.stderr.includes(at.store), run.stderr);
  t.regex(run.stderr, /room|free/);
  t.is(snapshotNames(at.store).length, 1);
  for (const [name, state] of before) t.deepEqual(storeState(at.store).get(name), state);
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
  t.is(spawnSync('mount', ['-o', 'remount,size=40m', at.store]).status, 0);
  await lbsOk(t, [...backupOptions(at), '--segment-size=1M', at.tree]);
  await restoreOk(t, [`--store=${at.store}`, 'latest', at.target]);
  sameTree(t, readTree(at.tree), readTree(restored(at.target, at.tree)));
});

test('a full disk with the local database on it is no worse', async (t) => {
  const at = places(t);
  if (!mountTmpfs(at.store, 3 * MIB)) return t.pass('no mounts here');
  makeSmallTree(join(at.tree, 'small'));
  await lbsOk(t, [`--dest=${at.store}`, join(at.tree, 'small')]);
  makeIncompressible(join(at.tree, 'large'), 12, MIB);
  const run = await lbs(t, [`--dest=${at.store}`, '--segment-size=1M', at.tree]);
  t.is(run.code, 1, run.stderr);
  t.regex(run.stderr, /no space|No space|is full/);
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
  t.is(spawnSync('mount', ['-o', 'remount,size=40m', at.store]).status, 0);
  await lbsOk(t, [`--dest=${at.store}`, '--segment-size=1M', at.tree]);
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
});

test('a full disk under the local database alone is told as such, and costs nothing later', async (t) => {
  const at = places(t);
  if (!mountTmpfs(at.localdb, MIB)) return t.pass('no mounts here');
  makeIncompressible(join(at.tree, 'some'), 20, 1000);
  await lbsOk(t, [...backupOptions(at), at.tree]);
  makeIncompressible(join(at.tree, 'more'), 400, 10);
  const fill = join(at.localdb, 'fill');
  // In the way of the database that is opened, of the stat cache, and of the database that is written.
  for (const freeKib of [0, 40, 150]) {
    spawnSync('dd', ['if=/dev/zero', `of=${fill}`, 'bs=4096']);
    truncateSync(fill, statSync(fill).size - freeKib * 1024);
    const run = await lbsExits(t, 1, [...backupOptions(at), '--full-metadata', at.tree]);
    t.regex(run.stderr, /no space left/, `with ${freeKib} KiB`);
    t.true(run.stderr.includes(at.localdb), run.stderr);
    rmSync(fill);
  }
  await lbsOk(t, [...backupOptions(at), at.tree]);
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
});
