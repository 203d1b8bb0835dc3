/**
 * A real tree: /usr (or LBS_TEST_TREE), saved twice, verified, restored and compared. Prints its
 * figures. Takes minutes and the room of the tree twice over: `make test-slow`.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { linkedWithin } from '../helpers/linked-within.ts';
import { PROJECT } from '../helpers/run-lbs.ts';
import { addedFiles, storeState } from '../helpers/store-state.ts';
import { isRoot, tempDir } from '../helpers/temp-dir.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

const TREE = process.env['LBS_TEST_TREE'] ?? '/usr';

/** Runs lbs to its end, however long that takes, and prints how long it took. */
function timed(t: ExecutionContext, name: string, args: string[]): string {
  const start = performance.now();
  const { status, stdout, stderr } = spawnSync(join(PROJECT, 'bin', 'lbs'), args, {
    maxBuffer: 1 << 28,
  });
  t.log(`${name}: ${((performance.now() - start) / 1000).toFixed(1)} s\n${String(stdout)}`);
  t.is(status, 0, String(stderr));
  return String(stdout);
}

test('a real tree is saved twice, verified and restored without a difference', (t) => {
  t.timeout(3_600_000);
  if (!isRoot) return t.pass('only root can restore every owner');
  const base = tempDir(t);
  const [store, localdb, target] = ['store', 'localdb', 'target'].map((name) => join(base, name));
  for (const dir of [store, localdb]) mkdirSync(dir ?? '');
  const options = [`--dest=${store}`, `--localdb=${localdb}`];
  timed(t, 'first backup', [...options, TREE]);
  const first = storeState(store ?? '');
  timed(t, 'second backup', [...options, TREE]);
  const second = storeState(store ?? '');
  const added = addedFiles(first, second);
  let bytes = 0;
  for (const name of added) {
    const state = second.get(name);
    if (name.endsWith('sums')) continue;
    const list = name.endsWith('.lbs') ? readFileSync(join(store ?? '', name), 'latin1') : '';
    bytes += (state?.sizeBytes ?? 0) - (list.match(/^ {4}\S+\n/gm) ?? []).join('').length;
  }
  t.log(`the second run added ${bytes} bytes beside its lists of segments`);
  t.true(bytes < 2048, `${bytes} bytes: ${added.join(' ')}`);
  timed(t, 'verify --data', ['verify', `--store=${store}`, '--data', 'latest']);
  timed(t, 'restore', ['restore', `--store=${store}`, 'latest', target ?? '']);
  const wanted = linkedWithin(readTree(TREE));
  t.log(`${wanted.size} entries`);
  sameTree(t, wanted, readTree(join(target ?? '', TREE)));
});
