/**
 * Paths that are named, but not to be had in the usual way: unlisted, below what cannot be read, moved or
 * gone meanwhile, or of a size that is none.
 */
import { chmodSync, mkdirSync, readdirSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { backupOptions, giveToOrdinaryUser, places } from '../helpers/places.ts';
import { lbsExits, lbsOk, ordinaryUserCanRun, startLbs } from '../helpers/run-lbs.ts';
import { savedPaths } from '../helpers/saved-paths.ts';
import { makeFiles, makeIncompressible, waitUntil } from '../helpers/small-tree.ts';
import { segmentFiles } from '../helpers/store-state.ts';

test('a named path is saved although the directory that holds it does not list it', async (t) => {
  const at = places(t);
  // Threads but the first are in /proc, and no listing of it has them; so it is with .zfs and .snapshot.
  const thread = readdirSync('/proc/self/task').find((task) => Number(task) !== process.pid);
  const hidden = `proc/${thread}/exe`;
  await lbsOk(t, [...backupOptions(at), `/${hidden}`]);
  t.deepEqual(await savedPaths(t, at.store), ['.', 'proc', `proc/${thread}`, hidden]);
});

test('a named path that is gone when its turn comes is told of', async (t) => {
  const at = places(t);
  makeIncompressible(join(at.tree, 'a'), 12, 100_000);
  makeFiles(at.tree, { 'z/named': 'x' });
  const slow = ['--filter=sleep 0.2; cat', '--filter-extension=', '--segment-size=64K'];
  const args = [...backupOptions(at), ...slow, 'a', 'z/named'];
  const running = startLbs(t, args, { cwd: at.tree });
  await waitUntil(() => segmentFiles(at.store).length > 0, 'a segment');
  renameSync(join(at.tree, 'z', 'named'), join(at.tree, 'z', 'other'));
  const run = await running.done;
  t.is(run.code, 3, run.stderr);
  t.regex(run.stderr, /z\/named: vanished/);
});

test('a named path is saved from below a directory that may be passed, and not listed', async (t) => {
  if (!ordinaryUserCanRun(t)) return;
  const at = places(t, 'ordinary');
  makeFiles(at.tree, { 'homes/me/file': 'mine', 'homes/you/file': 'yours' });
  giveToOrdinaryUser(at.tree);
  chmodSync(join(at.tree, 'homes'), 0o111);
  const options = { cwd: at.tree, user: 'ordinary' } as const;
  await lbsOk(t, [...backupOptions(at), 'homes/me'], options);
  t.deepEqual(await savedPaths(t, at.store), ['.', 'homes', 'homes/me', 'homes/me/file']);
  // What is named itself has to be read.
  const run = await lbsExits(t, 3, [...backupOptions(at), 'homes'], options);
  t.regex(run.stderr, /homes: its contents: .*ermission denied/);
});

test('a deep directory that is moved away meanwhile costs nothing of what is beside it', async (t) => {
  const at = places(t);
  const names = Array.from({ length: 40 }, (_, depth) => `d${depth}`);
  const deep = join(at.tree, ...names);
  mkdirSync(deep, { recursive: true });
  makeIncompressible(deep, 12, 100_000);
  const beside = ['d0/x', 'd0/d1/d2/x', 'd0/d1/d2/d3/x', 'x'];
  makeFiles(at.tree, Object.fromEntries(beside.map((path) => [path, path])));
  const slow = ['--filter=sleep 0.2; cat', '--filter-extension=', '--segment-size=64K'];
  const running = startLbs(t, [...backupOptions(at), ...slow, '.'], { cwd: at.tree });
  await waitUntil(() => segmentFiles(at.store).length > 0, 'a segment');
  renameSync(join(at.tree, 'd0', 'd1', 'd2', 'd3'), join(at.tree, 'd0', 'a-before'));
  const run = await running.done;
  t.is(run.code, 0, run.stderr);
  const saved = new Set(await savedPaths(t, at.store));
  for (const path of beside) t.true(saved.has(path), path);
});

test('a file that has content although its size is 0 is left out with a warning, not stored empty', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { empty: '' });
  const args = [...backupOptions(at), '/proc/version', join(at.tree, 'empty')];
  const run = await lbsExits(t, 3, args);
  t.regex(run.stderr, /proc\/version: has content, although its size is 0/);
  const saved = await savedPaths(t, at.store);
  t.false(saved.includes('proc/version'));
  t.true(saved.includes(join(at.tree, 'empty').slice(1)));
});

test('a named path that a pattern of --exclude hits is told of', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { 'conf.d/x': 'x', 'b.txt': 'b', 'sub/in': 'y' });
  const rules = ['--exclude=*.d', '--exclude=*.txt', '--exclude=sub', '--include=sub/in'];
  const args = [...backupOptions(at), ...rules, 'conf.d', 'b.txt', 'sub'];
  const { stderr } = await lbsOk(t, args, { cwd: at.tree });
  t.deepEqual(stderr.match(/nothing is saved of .*/g), [
    'nothing is saved of b.txt: --exclude=*.txt hits it',
    'nothing is saved of conf.d: --exclude=*.d hits it',
  ]);
});
