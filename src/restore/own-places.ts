/**
 * The directories of the backup itself (the store, the local database) and the undo directory, as
 * `--delete` meets them in the target: by device and inode, so that it makes no difference by which
 * name they are reached.
 *
 * Called by restore.ts, which refuses a target or an undo directory within the store, and by
 * extra-entries.ts.
 */
import { resolve } from 'node:path';
import { LbsError, errnoName } from '../errors.ts';
import { type FileStatus, statusOf } from '../posix/file-status.ts';
import * as libc from '../posix/libc.ts';
import { O } from '../posix/libc.ts';

const PARENT = libc.cString('..');

type Identity = Pick<FileStatus, 'device' | 'inode'>;

export class OwnPlaces {
  /** Never deleted and never looked into, and neither are symlinks that lead to them. */
  readonly #own = new Set<string>();
  /** Will hold a place that is not there yet: not deleted, but what else is in it may be. */
  readonly #holding = new Set<string>();

  /** Places that do not exist are allowed. @throws {SystemError} */
  constructor(places: readonly string[]) {
    for (const place of places) this.#add(place);
  }

  isOwn(status: Identity): boolean {
    return this.#own.has(keyOf(status));
  }

  willHoldOne(status: Identity): boolean {
    return this.#holding.has(keyOf(status));
  }

  #add(place: string): void {
    const directory = identityOf(place, O.DIRECTORY);
    const path = resolve(place);
    if (directory !== undefined) this.#own.add(directory);
    else {
      const parent = identityOf(resolve(path, '..'), O.DIRECTORY);
      if (parent !== undefined) this.#holding.add(parent);
    }
    // Deleting a symlink on the way there would lose the place as well.
    for (let end = path.indexOf('/', 1); ; end = path.indexOf('/', end + 1)) {
      const link = identityOf(end < 0 ? path : path.slice(0, end), O.NOFOLLOW, 'l');
      if (link !== undefined) this.#own.add(link);
      if (end < 0) return;
    }
  }
}

function keyOf({ device, inode }: Identity): string {
  return `${device}:${inode}`;
}

/** Identity of what is there, if it is of that type (any by default). */
function identityOf(path: string, flag: number, type?: 'l'): string | undefined {
  let fd = -1;
  try {
    fd = libc.openAt(libc.AT_FDCWD, libc.cString(path), O.PATH | flag);
    const status = statusOf(fd);
    return type === undefined || status.type === type ? keyOf(status) : undefined;
  } catch (error) {
    if (errnoName(error) === undefined) throw error;
    return undefined;
  } finally {
    if (fd >= 0) libc.close(fd);
  }
}

/** True when one directory is the other, or below it. @throws {SystemError} */
export function isInDirectory(inner: string, outer: string): boolean {
  const wanted = identityOf(outer, O.DIRECTORY);
  if (wanted === undefined) return false;
  let fd = libc.openAt(libc.AT_FDCWD, libc.cString(inner), O.PATH | O.DIRECTORY);
  try {
    for (let last = ''; ;) {
      const here = keyOf(statusOf(fd));
      if (here === wanted) return true;
      // The parent of the root is the root.
      if (here === last) return false;
      last = here;
      const above = libc.openAt(fd, PARENT, O.PATH | O.DIRECTORY);
      libc.close(fd);
      fd = above;
    }
  } finally {
    libc.close(fd);
  }
}

/**
 * Refuses a place to write to that is in the store, where nothing is ever changed. `existing` is
 * the place, or its parent where it is to be made. @throws {LbsError} target-unusable
 */
export function refuseInStore(what: string, existing: string, store: string): void {
  if (!isInDirectory(existing, store)) return;
  throw new LbsError('target-unusable', `${what} is in the store ${store}`, {
    hint: 'nothing was changed; name a directory outside of the store',
  });
}
