/** Stores in which there is something to collect, and what must hold when it was. */
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { parseDescriptor } from '../../src/format/descriptor.ts';
import { backupOptions, type Places, places, restored } from './places.ts';
import { pseudoRandom } from './pseudo-random.ts';
import { lbsOk, type Run, restoreOk } from './run-lbs.ts';
import { makeFiles } from './small-tree.ts';
import { segmentFiles, snapshotNames } from './store-state.ts';
import { readTree, sameTree } from './tree-state.ts';

/** `lbs gc` on the store, with the local database of these places. */
export const gc = (t: ExecutionContext, at: Places, ...args: string[]): Promise<Run> =>
  lbsOk(t, ['gc', `--store=${at.store}`, `--localdb=${at.localdb}`, ...args]);

export const forget = (t: ExecutionContext, at: Places, ...args: string[]): Promise<Run> =>
  lbsOk(t, ['forget', `--store=${at.store}`, `--localdb=${at.localdb}`, ...args]);

/** A machine of its own with the same store: a local database and a tree, and a scheme's name. */
export function otherMachine(at: Places, name: string): Places {
  const [tree, localdb] = [join(at.base, `${name}-tree`), join(at.base, `${name}-localdb`)];
  makeFiles(at.base, { [`${name}-tree/`]: '', [`${name}-localdb/`]: '' });
  return { ...at, tree, localdb, target: join(at.base, `${name}-target`) };
}

/** Files of segments that some descriptor names. */
export function neededSegments(store: string): string[] {
  const needed = new Set(
    snapshotNames(store).flatMap(
      (name) =>
        parseDescriptor(readFileSync(join(store, `snapshot-${name}.lbs`), 'latin1')).segments,
    ),
  );
  return segmentFiles(store).filter((file) => needed.has(file.slice(0, 36)));
}

export function unneededSegments(store: string): string[] {
  const needed = new Set(neededSegments(store));
  return segmentFiles(store).filter((file) => !needed.has(file));
}

/** Lists of collections. */
export function lists(store: string): string[] {
  return readdirSync(store).filter((name) => name.startsWith('gc-'));
}

/** Two snapshots that share nothing, the first of them forgotten. */
export async function withForgotten(t: ExecutionContext, at = places(t)): Promise<Places> {
  makeFiles(at.tree, { old: pseudoRandom('old', 200_000), older: pseudoRandom('older', 1000) });
  await lbsOk(t, [...backupOptions(at), at.tree]);
  for (const name of ['old', 'older']) rmSync(join(at.tree, name));
  makeFiles(at.tree, { new: pseudoRandom('new', 150_000) });
  await lbsOk(t, [...backupOptions(at), '--full-metadata', at.tree]);
  await forget(t, at, snapshotNames(at.store)[0] ?? '');
  if (unneededSegments(at.store).length !== 2) throw new Error('nothing to collect');
  return at;
}

/** Every snapshot is whole, and the last one of `at` (of its scheme) is the tree as it is. */
export async function allIsWell(
  t: ExecutionContext,
  at: Places,
  ...scheme: string[]
): Promise<void> {
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
  rmSync(at.target, { recursive: true, force: true });
  await restoreOk(t, [`--store=${at.store}`, ...scheme, 'latest', at.target]);
  sameTree(t, readTree(at.tree), readTree(restored(at.target, at.tree)));
}
