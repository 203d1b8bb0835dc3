/**
 * A real tree, /usr (or LBS_TEST_TREE), saved once and restored by the `restore.sh` of its store in
 * a root without Node. Prints how long that took:
 * `make test-recovery`.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { linkedWithin } from '../helpers/linked-within.ts';
import { rescueRoot } from '../helpers/rescue-root.ts';
import { PROJECT } from '../helpers/run-lbs.ts';
import { readTree, treeDifferences } from '../helpers/tree-state.ts';

const TREE = process.env['LBS_TEST_TREE'] ?? '/usr';

test('a real tree is restored by restore.sh where there is no Node', (t) => {
  t.timeout(3_600_000);
  const root = rescueRoot(t, 'gnu', ['zstd']);
  if (root === undefined) return;
  const store = join(root.dir, 'store');
  const localdb = join(root.dir, 'localdb');
  for (const dir of [store, localdb]) mkdirSync(dir);
  const args = [`--dest=${store}`, `--localdb=${localdb}`, '.'];
  const saved = spawnSync(join(PROJECT, 'bin', 'lbs'), args, { cwd: TREE, maxBuffer: 1 << 28 });
  t.is(saved.status, 0, String(saved.stderr));
  const start = performance.now();
  const run = root.run(['/bin/sh', '/store/restore.sh', 'latest', '/target']);
  t.log(`restore.sh: ${((performance.now() - start) / 1000).toFixed(1)} s\n${run.output}`);
  t.true(run.code === 0 || run.code === 3, run.output);
  const wanted = linkedWithin(readTree(TREE));
  const isLeftOut = (field: string) => field === 'holes' || field === 'xattrs';
  const differences = treeDifferences(wanted, readTree(join(root.dir, 'target')));
  t.log(`${wanted.size} entries`);
  t.deepEqual(
    differences.filter(({ field }) => !isLeftOut(field)).map(({ text }) => text),
    [],
  );
});
