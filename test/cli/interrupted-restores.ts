/** Restores that are stopped in the middle, what they leave in the target, and the run after them. */
import { spawn } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { backupOptions, places, type Places } from '../helpers/places.ts';
import { jsonMessage, lbsOk, PROJECT, type RunningLbs, startLbs } from '../helpers/run-lbs.ts';
import { makeFiles, makeIncompressible, waitUntil } from '../helpers/small-tree.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

const MIB = 1024 * 1024;
const SLOW = join(PROJECT, 'test', 'fixtures', 'filters', 'slow');
/** A temporary name as a restore makes it. */
const LEFTOVER = '.lbs-restore-3f0e2a4c-97f1-4d55-8c4e-1f2a3b4c5d6e-1z';

function unfinished(target: string): string[] {
  if (!existsSync(target)) return [];
  const names = readdirSync(target, { recursive: true }).map(String);
  return names.filter((name) => /(^|\/)\.lbs-restore-/.test(name));
}

/** Saves large files in small segments, and begins to restore them slowly. */
async function restoreSlowly(t: ExecutionContext, at: Places): Promise<RunningLbs> {
  makeIncompressible(join(at.tree, 'large'), 8, 3 * MIB);
  makeFiles(at.tree, { 'small/one': 'one', 'small/two': 'two', 'empty/': '' });
  const options = ['--filter=cat', '--filter-extension=.x', '--segment-size=1M'];
  await lbsOk(t, [...backupOptions(at), ...options, '.'], { cwd: at.tree });
  const args = ['restore', `--store=${at.store}`, `--unfilter=.x=${SLOW}`, 'latest', at.target];
  return startLbs(t, args, { ownGroup: true, env: { LBS_SLOW_S: '0.2' } });
}

/** All its threads: the first may stand still while another one is still in a call. */
function isStopped(pid: number): boolean {
  const stats = readdirSync(`/proc/${pid}/task`).map((task) =>
    readFileSync(`/proc/${pid}/task/${task}/stat`, 'latin1'),
  );
  return stats.every((stat) => stat.replace(/^.*\) /s, '').startsWith('T'));
}

function signalGroup({ child }: RunningLbs, signal: NodeJS.Signals): void {
  process.kill(-(child.pid ?? 0), signal);
}

/** Stops the restore where some files are in place and another one is being written. */
async function stopInTheMiddle(at: Places, running: RunningLbs): Promise<void> {
  const large = join(at.target, 'large');
  const isThere = () =>
    existsSync(large) &&
    unfinished(large).length > 0 &&
    readdirSync(large).filter((name) => name.startsWith('file')).length >= 2;
  for (;;) {
    await waitUntil(isThere, 'the middle of the restore');
    signalGroup(running, 'SIGSTOP');
    await waitUntil(() => isStopped(running.child.pid ?? 0), 'the restore to stand still');
    // What was being written may just have got its name.
    if (isThere()) return;
    signalGroup(running, 'SIGCONT');
  }
}

function identities(target: string): Map<string, string> {
  const files = readdirSync(target, { recursive: true, withFileTypes: true });
  return new Map(
    files
      .filter((entry) => entry.isFile() && !entry.name.startsWith('.lbs-restore-'))
      .map((entry) => {
        const path = join(entry.parentPath, entry.name);
        const { ino, ctimeNs } = lstatSync(path, { bigint: true });
        return [path, `${ino} ${ctimeNs}`];
      }),
  );
}

test('after a killed restore the next one writes what is missing and removes what was unfinished', async (t) => {
  const at = places(t);
  const running = await restoreSlowly(t, at);
  await stopInTheMiddle(at, running);
  signalGroup(running, 'SIGKILL');
  await running.done;
  const left = unfinished(at.target).length;
  t.true(left > 0, 'nothing was left');
  const before = identities(at.target);
  t.true(before.size >= 2);
  const args = ['restore', `--store=${at.store}`, '--unfilter=.x=cat', 'latest', at.target];
  const run = await lbsOk(t, args);
  sameTree(t, readTree(at.tree), readTree(at.target));
  t.deepEqual(unfinished(at.target), []);
  const after = identities(at.target);
  for (const [path, identity] of before) t.is(after.get(path), identity, path);
  const files = `Files:    ${10 - before.size} written, ${before.size} already as recorded`;
  t.true(run.stdout.includes(files), run.stdout);
  const removed = `Removed:  ${left} unfinished file${left === 1 ? '' : 's'} of an interrupted restore`;
  t.true(run.stdout.includes(removed), run.stdout);
  const third = await lbsOk(t, args);
  t.false(third.stdout.includes('Removed:'), third.stdout);
});

test('an interrupted restore leaves nothing unfinished, and says how to go on', async (t) => {
  const at = places(t);
  const running = await restoreSlowly(t, at);
  await stopInTheMiddle(at, running);
  running.child.kill('SIGINT');
  signalGroup(running, 'SIGCONT');
  const run = await running.done;
  t.is(run.code, 130, `${run.signal} ${run.stderr}`);
  t.true(run.stderr.includes('run the same command again'), run.stderr);
  t.deepEqual(unfinished(at.target), []);
});

test('nothing is removed while another restore writes into the same target', async (t) => {
  const at = places(t);
  const running = await restoreSlowly(t, at);
  await stopInTheMiddle(at, running);
  const left = unfinished(at.target);
  t.true(left.length > 0);
  const args = ['restore', `--store=${at.store}`, '--unfilter=.x=cat', 'latest', at.target];
  const run = await lbsOk(t, args);
  t.regex(
    run.stderr,
    /unfinished files? of another restore, which may still be running, left alone/,
  );
  t.deepEqual(unfinished(at.target), left);
  signalGroup(running, 'SIGCONT');
  const first = await running.done;
  t.is(first.code, 0, first.stderr);
  sameTree(t, readTree(at.tree), readTree(at.target));
});

test('only what a restore made under a temporary name is removed, and nothing that is recorded', async (t) => {
  const at = places(t);
  // A leftover that was saved with the rest is a file like any other.
  makeFiles(at.tree, { 'dir/file': 'content', [`dir/${LEFTOVER}`]: 'recorded', 'other/file': 'x' });
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  await lbsOk(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  const kept = ['dir/.lbs-restore-1', `dir/${LEFTOVER}.txt`, `dir/x${LEFTOVER}`, `own/${LEFTOVER}`];
  makeFiles(at.target, Object.fromEntries(kept.map((name) => [name, 'mine'])));
  mkdirSync(join(at.target, 'other', LEFTOVER));
  writeFileSync(join(at.target, LEFTOVER), 'unfinished');
  writeFileSync(join(at.target, 'other', LEFTOVER.replace(/1z$/, '20')), 'unfinished');
  const run = await lbsOk(t, ['restore', `--store=${at.store}`, '--json', 'latest', at.target]);
  t.is(jsonMessage(run, 'summary')['leftovers_removed'], 2);
  t.is(jsonMessage(run, 'summary')['files_restored'], 0);
  t.false(existsSync(join(at.target, LEFTOVER)));
  t.deepEqual(readdirSync(join(at.target, 'other')).sort(), [LEFTOVER, 'file']);
  for (const name of [...kept, `dir/${LEFTOVER}`]) t.true(existsSync(join(at.target, name)), name);
});

test('a lock that somebody else holds on the target does not stop a restore', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { file: 'content' });
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  mkdirSync(at.target);
  const holder = spawn('flock', ['--no-fork', at.target, 'sh', '-c', 'echo held; exec sleep 60']);
  t.teardown(() => holder.kill());
  await new Promise((resolve) => holder.stdout.once('data', resolve));
  writeFileSync(join(at.target, LEFTOVER), 'unfinished');
  await lbsOk(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  t.deepEqual(readdirSync(at.target).sort(), [LEFTOVER, 'file']);
});
