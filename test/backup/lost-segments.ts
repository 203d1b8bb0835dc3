/** Segments that are gone from the store, or cut off: what they held is stored again. */
import { rmSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { backupOptions, clockAhead, places, type Places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { jsonMessage, lbsOk, type Run } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { segmentFiles } from '../helpers/store-state.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

const FILES = {
  'a/one': pseudoRandom('one', 70_000),
  'a/two': pseudoRandom('two', 70_000),
  'b/three': pseudoRandom('three', 70_000),
};
const BYTES = 210_000;

function backupLater(t: ExecutionContext, at: Places, aheadS: number): Promise<Run> {
  const options = { cwd: at.tree, env: clockAhead(aheadS) };
  const args = ['--json', '--segment-size=64K', ...backupOptions(at), '.'];
  return lbsOk(t, args, options);
}

async function checkLatest(t: ExecutionContext, at: Places): Promise<void> {
  await lbsOk(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  sameTree(t, readTree(at.tree), readTree(at.target));
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data', 'latest']);
}

for (const [what, harm] of [
  ['deleted', (file: string) => rmSync(file)],
  ['cut off', (file: string) => truncateSync(file, 1000)],
] as const) {
  test(`unchanged files whose segments were ${what} are stored again, with a note`, async (t) => {
    const at = places(t);
    makeFiles(at.tree, FILES);
    await backupLater(t, at, 1000);
    const segments = segmentFiles(at.store);
    t.true(segments.length >= 3);
    for (const file of segments) harm(join(at.store, file));
    const run = await backupLater(t, at, 2000);
    t.is(Number(jsonMessage(run, 'summary')['content_added']), BYTES);
    const said = run.stdout + run.stderr;
    t.regex(said, /cannot be used again/);
    for (const file of segments) {
      const times = said.split(file).length - 1;
      t.true(times <= 1, `${file} is told of once`);
    }
    await checkLatest(t, at);
    const third = jsonMessage(await backupLater(t, at, 3000), 'summary');
    t.is(Number(third['bytes_read']), 0);
  });
}

test('only the files of the lost segment are read and stored again', async (t) => {
  const at = places(t);
  makeFiles(at.tree, FILES);
  await backupLater(t, at, 1000);
  let added = 0;
  // Each segment in turn, the metadata's included.
  for (const [number, file] of segmentFiles(at.store).entries()) {
    rmSync(join(at.store, file));
    const run = jsonMessage(await backupLater(t, at, 2000 + number), 'summary');
    t.is(run['bytes_read'], run['content_added'], file);
    t.true(Number(run['bytes_read']) < BYTES, file);
    added += Number(run['content_added']);
  }
  t.is(added, BYTES);
  await checkLatest(t, at);
});
