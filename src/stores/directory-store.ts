/**
 * A store in a directory: the flat layout.
 *
 * A staged file has no name (O_TMPFILE) until it is complete and on disk, so a crash leaves
 * nothing behind. Where the filesystem cannot do that (NFS, FAT, sshfs, ...) it gets a name that
 * starts with `.lbs-tmp-`, which later runs of the same machine remove.
 */
import {
  closeSync,
  fstatSync,
  fsync,
  openSync,
  readdirSync,
  statfsSync,
  statSync,
  unlinkSync,
} from 'node:fs';
import { promisify } from 'node:util';
import { LbsError, errnoName, isOutOfSpace, messageOf } from '../errors.ts';
import * as libc from '../posix/libc.ts';
import { O } from '../posix/libc.ts';
import { newUuid } from '../std/clock.ts';
import type { OpenFile, StagedFile, Store, StoredFile } from './store.ts';

const fsyncAsync = promisify(fsync);

/** Names of staged files on filesystems without O_TMPFILE; `owner` tells whose they are. */
const STAGED_PREFIX = '.lbs-tmp-';
const FILE_MODE = 0o666;
/** What open(2) says where O_TMPFILE is not known. Node calls errno 95 ENOTSUP, others EOPNOTSUPP. */
const NO_TMPFILE = new Set(['ENOTSUP', 'EOPNOTSUPP', 'EISDIR', 'EINVAL', 'ENOENT']);
const NO_LINK = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOENT', 'EXDEV', 'EINVAL', 'EACCES']);

/** Turns a failed write to the store into an error that says what to do. */
export function storeError(place: string, doing: string, cause: unknown): LbsError {
  if (cause instanceof LbsError) return cause;
  if (isOutOfSpace(cause)) {
    return new LbsError('no-space', `no space left in the store ${place} (${doing})`, {
      cause,
      hint: 'nothing that was stored before is harmed: make room and run the same command again',
    });
  }
  return new LbsError('io', `cannot ${doing} in the store ${place}: ${messageOf(cause)}`, {
    cause,
  });
}

/** Opens the directory of a store. @throws {LbsError} store-missing */
export function openDirectoryStore(place: string): DirectoryStore {
  try {
    if (!statSync(place).isDirectory()) {
      throw new LbsError('store-missing', `the store ${place} is not a directory`);
    }
    return new DirectoryStore(place, openSync(place, O.RDONLY | O.DIRECTORY));
  } catch (error) {
    if (error instanceof LbsError) throw error;
    const missing = errnoName(error) === 'ENOENT';
    throw new LbsError('store-missing', `there is no store at ${place}: ${messageOf(error)}`, {
      cause: error,
      ...(missing
        ? { hint: `is the disk mounted? A new store needs its directory: mkdir ${place}` }
        : {}),
    });
  }
}

/** A store has no end that its users would announce: its handle goes when it is forgotten. */
const handles = new FinalizationRegistry((dir: number) => closeSync(dir));

export class DirectoryStore implements Store {
  readonly place: string;
  /** The open directory; all access is relative to it. */
  readonly #dir: number;
  /** False once this filesystem has refused O_TMPFILE. */
  #canStageUnnamed = true;
  /** Distinguishes our leftovers from those of others; set by `ownLeftovers`. */
  #owner = 'x';

  constructor(place: string, dir: number) {
    this.place = place;
    this.#dir = dir;
    handles.register(this, dir);
  }

  list(): StoredFile[] {
    return this.names().flatMap((name) => this.find(name) ?? []);
  }

  names(): string[] {
    try {
      return readdirSync(this.place).filter((name) => !name.startsWith('.'));
    } catch (error) {
      throw storeError(this.place, 'list the files', error);
    }
  }

  find(name: string): StoredFile | undefined {
    try {
      const status = statSync(`${this.place}/${name}`);
      return status.isFile() ? { name, sizeBytes: status.size } : undefined;
    } catch (error) {
      if (errnoName(error) === 'ENOENT') return undefined;
      throw storeError(this.place, `look at ${name}`, error);
    }
  }

  open(name: string): OpenFile {
    let fd: number;
    try {
      fd = libc.openAt(this.#dir, libc.cString(name), O.RDONLY);
    } catch (error) {
      if (errnoName(error) !== 'ENOENT') throw storeError(this.place, `read ${name}`, error);
      throw new LbsError('store-missing-file', `${name} is missing in the store ${this.place}`, {
        cause: error,
      });
    }
    return { fd, sizeBytes: fstatSync(fd).size, close: () => closeSync(fd) };
  }

  /** Fails early, and with a clear message, where nothing can be written. */
  checkWritable(): void {
    this.stage().discard();
  }

  /** Removes what an interrupted run of `owner` left under staging names. */
  ownLeftovers(owner: string): void {
    this.#owner = owner;
    try {
      for (const name of readdirSync(this.place)) {
        if (name.startsWith(`${STAGED_PREFIX}${owner}-`)) unlinkSync(`${this.place}/${name}`);
      }
    } catch (error) {
      throw storeError(this.place, 'clear away what an interrupted run left', error);
    }
  }

  stage(): StagedFile {
    try {
      if (this.#canStageUnnamed) {
        try {
          const fd = libc.openAt(this.#dir, libc.cString('.'), O.TMPFILE | O.RDWR, FILE_MODE);
          return new DirectoryStagedFile(this.place, this.#dir, fd, undefined);
        } catch (error) {
          if (!NO_TMPFILE.has(errnoName(error) ?? '')) throw error;
          this.#canStageUnnamed = false;
        }
      }
      const name = `${STAGED_PREFIX}${this.#owner}-${newUuid()}`;
      const flags = O.RDWR | O.CREAT | O.EXCL;
      const fd = libc.openAt(this.#dir, libc.cString(name), flags, FILE_MODE);
      return new DirectoryStagedFile(this.place, this.#dir, fd, name);
    } catch (error) {
      if (isOutOfSpace(error)) throw storeError(this.place, 'make a file', error);
      throw new LbsError(
        'store-unwritable',
        `cannot write to the store ${this.place}: ${messageOf(error)}`,
        {
          cause: error,
          hint: 'nothing was stored; check its owner, its mode and how it is mounted',
        },
      );
    }
  }

  freeBytes(): number {
    try {
      const { bavail, bsize } = statfsSync(this.place);
      return bavail * bsize;
    } catch {
      // Only used to explain a failure better.
      return Number.MAX_SAFE_INTEGER;
    }
  }

  async settle(): Promise<void> {
    try {
      await fsyncAsync(this.#dir);
    } catch (error) {
      // Some network filesystems cannot sync a directory; their names are durable on return.
      if (errnoName(error) !== 'EINVAL') throw storeError(this.place, 'sync', error);
    }
  }
}

class DirectoryStagedFile implements StagedFile {
  readonly fd: number;
  readonly #place: string;
  readonly #dir: number;
  #name: string | undefined;
  #open = true;

  constructor(place: string, dir: number, fd: number, name: string | undefined) {
    this.fd = fd;
    this.#place = place;
    this.#dir = dir;
    this.#name = name;
  }

  async publish(name: string): Promise<void> {
    try {
      await fsyncAsync(this.fd);
      this.#link(name);
      this.#close();
    } catch (error) {
      this.discard();
      throw storeError(this.#place, `store ${name}`, error);
    }
  }

  #link(name: string): void {
    try {
      if (this.#name === undefined) libc.linkFd(this.fd, this.#dir, libc.cString(name));
      else libc.linkAt(this.#dir, libc.cString(this.#name), this.#dir, libc.cString(name));
    } catch (error) {
      if (errnoName(error) === 'EEXIST') this.#taken(name, error);
      if (this.#name === undefined || !NO_LINK.has(errnoName(error) ?? '')) throw error;
      // No hard links here (FAT): rename would replace, so look first. Names are random or
      // checked under our lock, so nobody takes this one in between.
      if (this.#exists(name)) this.#taken(name, error);
      libc.renameAt(this.#dir, libc.cString(this.#name), this.#dir, libc.cString(name));
      this.#name = undefined;
      return;
    }
    if (this.#name !== undefined) libc.unlinkAt(this.#dir, libc.cString(this.#name));
    this.#name = undefined;
  }

  #exists(name: string): boolean {
    const fd = libc.tryOpenAt(this.#dir, libc.cString(name), O.RDONLY | O.NONBLOCK);
    if (fd < 0) return false;
    libc.close(fd);
    return true;
  }

  #taken(name: string, cause: unknown): never {
    throw new LbsError('store-exists', `${name} exists already in the store ${this.#place}`, {
      cause,
    });
  }

  #close(): void {
    if (!this.#open) return;
    // First, because a close that fails has closed all the same.
    this.#open = false;
    closeSync(this.fd);
  }

  discard(): void {
    try {
      this.#close();
      if (this.#name !== undefined) libc.unlinkAt(this.#dir, libc.cString(this.#name));
    } catch {
      // Giving up already; a leftover name is removed by the next run.
    }
    this.#name = undefined;
  }
}
