/** Content that is in the store already is not stored again, however it comes back. */
import { linkSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { backupOptions, clockAhead, places, type Places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { jsonMessage, lbsOk } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

async function added(
  t: ExecutionContext,
  at: Places,
  aheadS: number,
  more: readonly string[] = [],
): Promise<number> {
  const options = { cwd: at.tree, env: clockAhead(aheadS) };
  const run = await lbsOk(t, ['--json', ...backupOptions(at), ...more, '.'], options);
  return Number(jsonMessage(run, 'summary')['content_added']);
}

async function checkLatest(t: ExecutionContext, at: Places): Promise<void> {
  await lbsOk(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  sameTree(t, readTree(at.tree), readTree(at.target));
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
}

test('equal files and equal blocks of one run are stored once', async (t) => {
  const at = places(t);
  const block = pseudoRandom('block', 1024 * 1024);
  const large = pseudoRandom('large', 8 * 1024 * 1024);
  makeFiles(at.tree, {
    one: block,
    two: block,
    'dir/large': large,
    'dir/same': large,
    'dir/tail': Buffer.concat([large, Buffer.from('tail')]),
    zeros: Buffer.alloc(5_000_000),
  });
  linkSync(join(at.tree, 'one'), join(at.tree, 'dir/link'));
  const cost = await added(t, at, 1000);
  const tail = cost - block.length - large.length;
  t.true(tail >= 4 && tail <= 1024 * 1024, `the last block of one file: ${tail}`);
  await checkLatest(t, at);
});

test('a renamed tree stores no content', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { 'old/a': pseudoRandom('a', 50_000), 'old/deep/b': pseudoRandom('b', 1000) });
  t.is(await added(t, at, 1000), 51_000);
  renameSync(join(at.tree, 'old'), join(at.tree, 'new'));
  t.is(await added(t, at, 2000), 0);
  mkdirSync(join(at.tree, 'old'));
  renameSync(join(at.tree, 'new/deep'), join(at.tree, 'old/deep'));
  t.is(await added(t, at, 3000), 0);
  await checkLatest(t, at);
});

test('content that was gone for some snapshots is known when it comes back', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { a: pseudoRandom('a', 50_000), b: 'b' });
  await added(t, at, 1000);
  rmSync(join(at.tree, 'a'));
  t.is(await added(t, at, 2000), 0);
  t.is(await added(t, at, 3000), 0);
  makeFiles(at.tree, { c: pseudoRandom('a', 50_000) });
  t.is(await added(t, at, 4000), 0);
  await checkLatest(t, at);
});

test('another filter and another scheme do not store the same content again', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { a: pseudoRandom('a', 50_000) });
  await added(t, at, 1000);
  const other = ['--filter=gzip -c', '--filter-extension=.gz', '--scheme=other'];
  t.is(await added(t, at, 2000, other), 0);
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
});

test('a file of the same first bytes or the same size is not taken for another', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { a: 'x'.repeat(1000), b: 'x'.repeat(999), c: 'y'.repeat(1000), d: 'x' });
  t.is(await added(t, at, 1000), 3000);
  makeFiles(at.tree, { a: 'y'.repeat(1000), b: 'x'.repeat(1000) });
  t.is(await added(t, at, 2000), 0);
  await checkLatest(t, at);
});
