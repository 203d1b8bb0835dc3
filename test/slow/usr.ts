/**
 * A real tree: /usr (or LBS_TEST_TREE), saved twice, verified, restored and compared. Prints its
 * figures. Takes minutes and the room of the tree twice over: `make test-slow`.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { PROJECT } from '../helpers/run-lbs.ts';
import { addedFiles, storeState } from '../helpers/store-state.ts';
import { isRoot, tempDir } from '../helpers/temp-dir.ts';
import { type EntryState, readTree, sameTree, type TreeState } from '../helpers/tree-state.ts';

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

/**
 * The state with only those links counted that are names in the tree: what other names a file of
 * a real machine has elsewhere, no restore can bring back.
 */
function linkedWithin(tree: TreeState): TreeState {
  const names = new Map<string, number>();
  for (const { sameAs } of tree.values()) {
    if (sameAs !== undefined) names.set(sameAs, (names.get(sameAs) ?? 0) + 1);
  }
  const counted = [...tree].map(([path, entry]): [string, EntryState] => {
    const { sameAs, ...rest } = entry;
    if (sameAs === undefined) return [path, entry];
    const links = names.get(sameAs) ?? 1;
    return [path, links === 1 ? { ...rest, links } : { ...entry, links }];
  });
  return new Map(counted);
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
