/** What lies in a store directory: to show that a run changed nothing, or what it added. */
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

export type StoreFileState = {
  readonly sizeBytes: number;
  readonly mtimeNs: bigint;
  readonly sha256: string;
};
/** By name relative to the store; directories and their contents included. */
export type StoreState = ReadonlyMap<string, StoreFileState>;

/** Reads everything in a directory. */
export function storeState(store: string): StoreState {
  const state = new Map<string, StoreFileState>();
  for (const name of readdirSync(store, { recursive: true, encoding: 'utf8' }).sort()) {
    const status = lstatSync(join(store, name), { bigint: true });
    const content = status.isFile() ? readFileSync(join(store, name)) : '';
    const sha256 = createHash('sha256').update(content).digest('hex');
    state.set(name, { sizeBytes: Number(status.size), mtimeNs: status.mtimeNs, sha256 });
  }
  return state;
}

/** Names in `after` that `before` lacks. */
export function addedFiles(before: StoreState, after: StoreState): string[] {
  return [...after.keys()].filter((name) => !before.has(name));
}

/** Files of a kind by the end of their names, sorted. */
export function filesEndingIn(store: string, ending: string): string[] {
  return readdirSync(store)
    .filter((name) => name.endsWith(ending))
    .sort();
}

/** Segment files of a store. */
export function segmentFiles(store: string): string[] {
  return readdirSync(store)
    .filter((name) => /^[0-9a-f-]{36}\.tar(\..+)?$/.test(name))
    .sort();
}

/** Bytes in the segments of a store. */
export function storedBytes(store: string): number {
  return segmentFiles(store).reduce((sum, name) => sum + statSync(join(store, name)).size, 0);
}

/** Names of the snapshots of a store, oldest first. */
export function snapshotNames(store: string): string[] {
  return readdirSync(store)
    .flatMap((name) => /^snapshot-(.+)\.lbs$/.exec(name)?.[1] ?? [])
    .sort();
}
