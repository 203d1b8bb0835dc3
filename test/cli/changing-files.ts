/** Sources that do not hold still, or cannot be read: told of, and everything else is stored. */
import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import {
  backupOptions,
  clockAhead,
  giveToOrdinaryUser,
  places,
  type Places,
} from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import {
  jsonLines,
  lbsExits,
  lbsOk,
  ordinaryUserCanRun,
  PROJECT,
  type RunningLbs,
  startLbs,
} from '../helpers/run-lbs.ts';
import { savedPaths } from '../helpers/saved-paths.ts';
import { makeFiles, makeIncompressible, waitUntil } from '../helpers/small-tree.ts';
import { canTrace, haltAfter } from '../helpers/strace.ts';
import { segmentFiles } from '../helpers/store-state.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

const MIB = 1024 * 1024;

/** Appends to a file, some hundred times a second, until the test says stop or ends. */
function appendAllTheTime(t: ExecutionContext, file: string): { stop(): Promise<void> } {
  const child = spawn('sh', ['-c', 'while :; do echo more >> "$0"; done', file], {
    stdio: 'ignore',
  });
  const ended = new Promise<void>((resolve) => child.on('close', () => resolve()));
  t.teardown(() => child.kill('SIGKILL'));
  return {
    stop: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

test('a file that grows while it is read is stored as read, told of, and read again', async (t) => {
  const at = places(t);
  const file = join(at.tree, 'log');
  writeFileSync(file, pseudoRandom('log', 30 * MIB));
  makeFiles(at.tree, { calm: 'still' });
  const writer = appendAllTheTime(t, file);
  const halt = haltAfter(t, 'pread64', 1);
  const through = canTrace ? [...halt.through, '-P', file] : [];
  const words = ['--json', ...backupOptions(at), '.'];
  const running = startLbs(t, words, { cwd: at.tree, through, ownGroup: true });
  if (canTrace) {
    // It has begun to read the file, and does not end before the file has grown.
    await halt.reached();
    const { size } = statSync(file);
    await waitUntil(() => statSync(file).size > size, 'the file to grow');
  }
  const run = await halt.toItsEnd(running);
  t.is(run.code, 3, run.stderr);
  await writer.stop();
  const warnings = jsonLines(run).filter((line) => line['message_type'] === 'error');
  t.is(warnings.length, 1, run.stdout);
  t.is(warnings[0]?.['item'], 'log');
  t.is(warnings[0]?.['code'], 'changed-while-reading');
  // What was stored is whole in itself, and a beginning of the file.
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
  await lbsOk(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  const stored = readFileSync(join(at.target, 'log'));
  t.true(stored.length >= 30 * MIB);
  t.true(stored.equals(readFileSync(file).subarray(0, stored.length)));
  // However late the next run is: the cache does not trust this file.
  const env = clockAhead(100_000);
  const next = await lbsOk(t, ['--json', ...backupOptions(at), '.'], { cwd: at.tree, env });
  const summary = jsonLines(next).at(-1);
  t.true(Number(summary?.['bytes_read']) >= 30 * MIB);
  await lbsOk(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  sameTree(t, readTree(at.tree), readTree(at.target));
});

/** Starts a slow backup of a tree whose directory `d` begins with 30 large files. */
async function slowBackup(t: ExecutionContext, at: Places): Promise<RunningLbs> {
  makeIncompressible(join(at.tree, 'd'), 30, MIB);
  const slow = join(PROJECT, 'test', 'fixtures', 'filters', 'slow');
  const options = [`--filter=${slow}`, '--filter-extension=', '--segment-size=1M'];
  const running = startLbs(t, [...backupOptions(at), ...options, '.'], { cwd: at.tree });
  await waitUntil(() => segmentFiles(at.store).length >= 4, 'segments');
  return running;
}

test('a file that vanishes during the run is a warning', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { 'd/z-doomed': 'x', 'd/z-stays': 'y', 'e/file': 'z' });
  const running = await slowBackup(t, at);
  rmSync(join(at.tree, 'd', 'z-doomed'));
  rmSync(join(at.tree, 'e'), { recursive: true });
  const run = await running.done;
  t.is(run.code, 3, run.stderr);
  t.true(run.stderr.includes('d/z-doomed'), run.stderr);
  t.regex(run.stderr, /vanished/);
  t.false(run.stderr.includes('z-stays'));
  const paths = await savedPaths(t, at.store);
  t.true(paths.includes('d/z-stays'));
  t.false(paths.includes('d/z-doomed'));
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
});

test('a file that becomes something else during the run is stored as what it is', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { 'd/z-file': 'x', 'd/zz-dir/inner': 'y' });
  const running = await slowBackup(t, at);
  rmSync(join(at.tree, 'd', 'z-file'));
  mkdirSync(join(at.tree, 'd', 'z-file'));
  makeFiles(at.tree, { 'd/z-file/below': 'now a directory' });
  rmSync(join(at.tree, 'd', 'zz-dir'), { recursive: true });
  writeFileSync(join(at.tree, 'd', 'zz-dir'), 'now a file');
  const run = await running.done;
  t.true(run.code === 0 || run.code === 3, run.stderr);
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
  await lbsOk(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  t.is(readFileSync(join(at.target, 'd', 'zz-dir'), 'utf8'), 'now a file');
});

test('files and directories that a user cannot read are told of; the others are stored', async (t) => {
  if (!ordinaryUserCanRun(t)) return;
  const at = places(t, 'ordinary');
  makeFiles(at.tree, {
    'a/open': 'x',
    'a/shut': 'y',
    'b/inner': 'z',
    'c/inner': 'w',
    'd/file': 'v',
  });
  giveToOrdinaryUser(at.tree);
  chmodSync(join(at.tree, 'a', 'shut'), 0);
  chmodSync(join(at.tree, 'b'), 0);
  // Names can be listed there, but nothing more can be known of them.
  chmodSync(join(at.tree, 'c'), 0o444);
  const run = await lbsExits(t, 3, [...backupOptions(at), '.'], { cwd: at.tree, user: 'ordinary' });
  for (const path of ['a/shut', 'b', 'c/inner']) {
    t.regex(run.stderr, new RegExp(`\\b${path}: .*ermission denied`), path);
  }
  t.regex(run.stderr, /3 warnings/);
  const paths = await savedPaths(t, at.store);
  for (const path of ['a/open', 'b', 'c', 'd/file']) t.true(paths.includes(path), path);
  for (const path of ['b/inner', 'c/inner']) t.false(paths.includes(path), path);
  const again = await lbsExits(t, 3, [...backupOptions(at), '.'], {
    cwd: at.tree,
    user: 'ordinary',
  });
  t.regex(again.stderr, /a\/shut/, 'every run tells of it');
  chmodSync(join(at.tree, 'a', 'shut'), 0o644);
  chmodSync(join(at.tree, 'b'), 0o755);
  chmodSync(join(at.tree, 'c'), 0o755);
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree, user: 'ordinary' });
  await lbsOk(t, ['restore', `--store=${at.store}`, 'latest', at.target], { user: 'ordinary' });
  sameTree(t, readTree(at.tree), readTree(at.target));
});

test('a named path that cannot be read still gives a snapshot of the others', async (t) => {
  if (!ordinaryUserCanRun(t)) return;
  const at = places(t, 'ordinary');
  makeFiles(at.tree, { shut: 'x', open: 'y' });
  chmodSync(join(at.tree, 'shut'), 0);
  const args = [...backupOptions(at), 'shut', 'open'];
  const run = await lbsExits(t, 3, args, { cwd: at.tree, user: 'ordinary' });
  t.regex(run.stderr, /shut: .*ermission denied/);
  t.true((await savedPaths(t, at.store)).includes('open'));
});

test('reading a file does not change its time of access', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { read: 'me' });
  const file = join(at.tree, 'read');
  // Older than the time of modification: filesystems that save such writes would note it now.
  utimesSync(file, 1_000_000_000, 1_000_000_001);
  await lbsOk(t, [...backupOptions(at), at.tree]);
  t.is(statSync(file).atimeMs, 1e12);
});

test('a fifo is recorded, and neither opened nor waited for', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { file: 'x' });
  t.is(spawnSync('mkfifo', [join(at.tree, 'fifo')]).status, 0);
  await lbsOk(t, [...backupOptions(at), 'fifo', 'file'], { cwd: at.tree });
  t.deepEqual(await savedPaths(t, at.store), ['.', 'fifo', 'file']);
  await lbsOk(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  t.true(existsSync(join(at.target, 'fifo')));
  t.deepEqual(readdirSync(at.target).sort(), ['fifo', 'file']);
});
