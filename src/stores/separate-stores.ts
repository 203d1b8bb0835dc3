/** Two stores that a command is to bring together must be two. Called by sync and heal. */
import { realpathSync, statSync } from 'node:fs';
import { LbsError } from '../errors.ts';
import { storeError } from './store-error.ts';
import type { Store } from './store.ts';

type Directory = { readonly path: string; readonly device: number; readonly inode: number };

function directoryOf({ place }: Store): Directory {
  try {
    const { dev: device, ino: inode } = statSync(place);
    return { path: realpathSync(place), device, inode };
  } catch (error) {
    throw storeError(place, 'find the directory', error);
  }
}

function isWithin(inner: Directory, outer: Directory): boolean {
  return inner.path.startsWith(outer.path === '/' ? '/' : `${outer.path}/`);
}

/**
 * Refuses the same directory, by whatever name, and one inside the other: subdirectories can be
 * parts of a store. @throws {LbsError} usage, io
 */
export function refuseSamePlace(one: Store, other: Store): void {
  const [a, b] = [directoryOf(one), directoryOf(other)];
  if (a.path === b.path || (a.device === b.device && a.inode === b.inode)) {
    throw new LbsError('usage', `${one.place} and ${other.place} are the same directory`, {
      hint: 'a copy in the same place is none: name two stores, on two disks if you can',
    });
  }
  for (const [inner, outer] of [[a, b] as const, [b, a] as const]) {
    if (!isWithin(inner, outer)) continue;
    throw new LbsError('usage', `${inner.path} is inside of ${outer.path}`, {
      hint: 'a store in a store is neither safe nor separate: name two directories side by side',
    });
  }
}
