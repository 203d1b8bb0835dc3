/**
 * A file on its way into a store that is a directory: without a name, or under a staging name where
 * the filesystem cannot do that, until it is complete and on disk. Made by directory-store.ts.
 */
import { fsync } from 'node:fs';
import { promisify } from 'node:util';
import { LbsError, errnoName } from '../errors.ts';
import * as libc from '../posix/libc.ts';
import { O } from '../posix/libc.ts';
import { newUuid } from '../std/clock.ts';
import { closeAnyway } from '../std/close-file.ts';
import type { StoreDirectory } from './store-directory.ts';
import type { StagedFile } from './store.ts';

const fsyncAsync = promisify(fsync);

/** Begins the names of staged files on filesystems without O_TMPFILE. */
export const STAGED_PREFIX = '.lbs-tmp-';
/** What open(2) says where O_TMPFILE is not known. Node calls errno 95 ENOTSUP, others EOPNOTSUPP. */
export const NO_TMPFILE: ReadonlySet<string> = new Set([
  'ENOTSUP',
  'EOPNOTSUPP',
  'EISDIR',
  'EINVAL',
  'ENOENT',
]);

const NO_LINK = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOENT', 'EXDEV', 'EINVAL', 'EACCES']);

/** Where a staged file is, and what it needs to get its name. */
export type Staging = {
  /** That of the store. */
  readonly directory: StoreDirectory;
  readonly fd: number;
  /** The staging name; undefined while it has none. */
  readonly name: string | undefined;
  /** What stands before the names of the directory of the store that it is in. */
  readonly prefix: string;
  /** Begins a staging name there. */
  readonly stagingPrefix: string;
};

export class DirectoryStagedFile implements StagedFile {
  readonly fd: number;
  readonly #directory: StoreDirectory;
  readonly #dir: number;
  readonly #prefix: string;
  readonly #stagingPrefix: string;
  #name: string | undefined;
  #open = true;

  constructor({ directory, fd, name, prefix, stagingPrefix }: Staging) {
    this.fd = fd;
    this.#directory = directory;
    this.#dir = directory.fd;
    this.#name = name;
    this.#prefix = prefix;
    this.#stagingPrefix = stagingPrefix;
  }

  async publish(name: string): Promise<void> {
    try {
      await fsyncAsync(this.fd);
      // Under a name it would be in a directory that is not the store any more.
      this.#directory.checkPlace();
      this.#link(this.#prefix + name);
      this.#close();
    } catch (error) {
      this.discard();
      throw this.#directory.trouble(`store ${name}`, error);
    }
  }

  async publishOver(name: string): Promise<void> {
    try {
      await fsyncAsync(this.fd);
      this.#directory.checkPlace();
      if (this.#name === undefined) {
        const aside = `${this.#stagingPrefix}${newUuid()}`;
        libc.linkFd(this.fd, this.#dir, libc.cString(aside));
        this.#name = aside;
      }
      const path = libc.cString(this.#prefix + name);
      libc.renameAt(this.#dir, libc.cString(this.#name), this.#dir, path);
      this.#name = undefined;
      if (this.#prefix !== '') this.#directory.syncBelow(this.#prefix);
      this.#close();
    } catch (error) {
      this.discard();
      throw this.#directory.trouble(`replace ${name}`, error);
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
    throw new LbsError(
      'store-exists',
      `${name} exists already in the store ${this.#directory.place}`,
      {
        cause,
      },
    );
  }

  /** All is on disk by then, or given up: an error from here would deny a file that is in place. */
  #close(): void {
    if (!this.#open) return;
    this.#open = false;
    closeAnyway(this.fd);
  }

  discard(): void {
    this.#close();
    try {
      if (this.#name !== undefined) libc.unlinkAt(this.#dir, libc.cString(this.#name));
    } catch {
      // Giving up already; a leftover name is removed by the next run.
    }
    this.#name = undefined;
  }
}
