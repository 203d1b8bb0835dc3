/**
 * The directory of a store, by its handle: one run lists, reads, writes and removes in one directory,
 * also when that is renamed or unmounted meanwhile, or another one takes its place. By path, half of
 * it would happen in the other one. Used by directory-store.ts, which asks `checkPlace` whenever
 * something is to count as stored, or is missing.
 */
import { closeSync, fstatSync, fsync, openSync, statSync } from 'node:fs';
import { promisify } from 'node:util';
import { LbsError, errnoName, messageOf } from '../errors.ts';
import { sortedNames } from '../posix/directory-names.ts';
import { type FileStatus, followedStatus, statusIfAny } from '../posix/file-status.ts';
import * as libc from '../posix/libc.ts';
import { O } from '../posix/libc.ts';
import { syncAndClose } from '../std/sync-directory.ts';
import { storeError } from './store-error.ts';

const fsyncAsync = promisify(fsync);

/** Device and inode: what a path leads to. */
type Identity = { readonly device: bigint; readonly inode: bigint };

function identityAt(place: string): Identity {
  const { dev: device, ino: inode } = statSync(place, { bigint: true });
  return { device, inode };
}

function identityOf(fd: number): Identity {
  const { dev: device, ino: inode } = fstatSync(fd, { bigint: true });
  return { device, inode };
}

function isSame(one: Identity, other: Identity): boolean {
  return one.device === other.device && one.inode === other.inode;
}

/** A store has no end that its users would announce: its handle goes when it is forgotten. */
const handles = new FinalizationRegistry((fd: number) => closeSync(fd));

export class StoreDirectory {
  readonly place: string;
  readonly fd: number;
  /** Undefined where the filesystem numbers one directory differently from look to look. */
  readonly #identity: Identity | undefined;

  /** @throws what open(2) says */
  constructor(place: string) {
    this.place = place;
    this.fd = openSync(place, O.RDONLY | O.DIRECTORY);
    const identity = identityOf(this.fd);
    this.#identity = isSame(identity, identityAt(place)) ? identity : undefined;
    handles.register(this, this.fd);
  }

  /**
   * Refuses when the path no longer leads to this directory: what is stored in it then is not in the
   * store that people name. @throws {LbsError} store-missing
   */
  checkPlace(): void {
    if (this.#identity === undefined) return;
    let why: string;
    let cause: unknown;
    try {
      if (isSame(this.#identity, identityAt(this.place))) return;
      why = 'another directory is in its place';
    } catch (error) {
      [why, cause] = [messageOf(error), error];
    }
    throw new LbsError('store-missing', `the store ${this.place} went away meanwhile: ${why}`, {
      cause,
      hint: 'it was removed, renamed, replaced or unmounted. Bring it back and run the same command again: nothing of this run counts',
    });
  }

  /** What `error` means: that the store went away, if it did. */
  trouble(doing: string, error: unknown): LbsError {
    try {
      this.checkPlace();
    } catch (gone) {
      if (gone instanceof LbsError) return gone;
    }
    return storeError(this.place, doing, error);
  }

  /** Links are followed: a store may be spread over several disks by them. @throws {LbsError} io */
  statusOf(path: string): FileStatus | undefined {
    try {
      return followedStatus(this.fd, libc.cString(path));
    } catch (error) {
      throw this.trouble(`look at ${path}`, error);
    }
  }

  /** True for any entry of that name, also a link that leads nowhere. @throws {LbsError} io */
  has(path: string): boolean {
    try {
      return statusIfAny(this.fd, libc.cString(path)) !== undefined;
    } catch (error) {
      throw this.trouble(`look at ${path}`, error);
    }
  }

  /** All names in the directory, or in one below it, whose name ends in a slash. @throws {LbsError} io */
  namesIn(prefix: string): string[] {
    try {
      const fd = libc.openAt(this.fd, libc.cString(`${prefix}.`), O.RDONLY | O.DIRECTORY);
      try {
        return sortedNames(fd).map((name) => Buffer.from(name, 'latin1').toString());
      } finally {
        closeSync(fd);
      }
    } catch (error) {
      throw this.trouble('list the files', error);
    }
  }

  /** Makes names in a directory below durable; those in the top are by `sync`. @throws SystemError */
  syncBelow(prefix: string): void {
    syncAndClose(libc.openAt(this.fd, libc.cString(`${prefix}.`), O.RDONLY | O.DIRECTORY));
  }

  /** Makes the names in the top durable. @throws {LbsError} io, store-missing */
  async sync(): Promise<void> {
    try {
      await fsyncAsync(this.fd);
    } catch (error) {
      // Some network filesystems cannot sync a directory; their names are durable on return.
      if (errnoName(error) !== 'EINVAL') throw this.trouble('sync', error);
    }
    this.checkPlace();
  }
}
