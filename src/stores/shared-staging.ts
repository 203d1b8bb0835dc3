/**
 * Segments that go to several stores: each is filtered once, into a file without a name on this
 * machine, and copied from there to every store at once.
 *
 * Not into the first store and from there to the others: reading it back could be slow, and what
 * a store that fails has begun would be lost to the others. Of the local file hardly anything
 * reaches a disk, because it is gone before the system would write it.
 */
import { closeSync, openSync, read as readCallback, statfsSync, unlinkSync } from 'node:fs';
import { write as writeCallback } from 'node:fs';
import { promisify } from 'node:util';
import { LbsError, errnoName, isOutOfSpace, messageOf } from '../errors.ts';
import * as libc from '../posix/libc.ts';
import { O } from '../posix/libc.ts';
import { newUuid } from '../std/clock.ts';
import { freeMemory } from '../std/free-memory.ts';
import { NO_TMPFILE, STAGED_PREFIX } from './staged-file.ts';
import { stagingError } from './store-error.ts';
import type { SegmentPlace, StagedFile, Store } from './store.ts';

const read = promisify(readCallback);
const write = promisify(writeCallback);

const CHUNK_BYTES = 512 * 1024;
const FILE_MODE = 0o600;

/** What is done with every store of a run. */
type Stores = {
  each(work: (store: Store) => void | Promise<void>): Promise<void>;
};

export class SharedStaging implements SegmentPlace {
  readonly stagedIn: string;
  readonly #stores: Stores;
  readonly #directory: string;

  constructor(stores: Stores, directory: string) {
    this.stagedIn = `the directory of the local database ${directory}`;
    this.#stores = stores;
    this.#directory = directory;
  }

  stage(): StagedFile {
    try {
      return new SharedFile(this.#stores, openUnnamed(this.#directory));
    } catch (error) {
      if (isOutOfSpace(error)) throw stagingError(this.stagedIn, 'make a file', error);
      throw new LbsError('io', `cannot write to ${this.stagedIn}: ${messageOf(error)}`, {
        cause: error,
        hint: 'segments wait there while several stores get them; check its owner and its mode',
      });
    }
  }

  settle(): Promise<void> {
    return this.#stores.each((store) => store.settle());
  }

  freeBytes(): number {
    try {
      const { bavail, bsize } = statfsSync(this.#directory);
      return bavail * bsize;
    } catch {
      // Only used to explain a failure better.
      return Number.MAX_SAFE_INTEGER;
    }
  }
}

function openUnnamed(directory: string): number {
  try {
    const where = libc.cString(`${directory}/.`);
    return libc.openAt(libc.AT_FDCWD, where, O.TMPFILE | O.RDWR, FILE_MODE);
  } catch (error) {
    if (!NO_TMPFILE.has(errnoName(error) ?? '')) throw error;
    const name = `${directory}/${STAGED_PREFIX}${newUuid()}`;
    const fd = openSync(name, 'wx+', FILE_MODE);
    unlinkSync(name);
    return fd;
  }
}

class SharedFile implements StagedFile {
  readonly fd: number;
  readonly #stores: Stores;
  #isOpen = true;

  constructor(stores: Stores, fd: number) {
    this.#stores = stores;
    this.fd = fd;
  }

  async publish(name: string): Promise<void> {
    try {
      await this.#stores.each((store) => copyTo(store, this.fd, name));
    } finally {
      this.discard();
    }
  }

  publishOver(name: string): Promise<void> {
    throw new LbsError('internal', `${name} cannot be replaced in several stores at once`);
  }

  discard(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    try {
      closeSync(this.fd);
    } catch {
      // It has no name, so nothing is left of it.
    }
  }
}

async function copyTo(store: Store, fd: number, name: string): Promise<void> {
  const staged = store.stage();
  const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  try {
    for (let at = 0; ;) {
      const { bytesRead } = await read(fd, chunk, 0, CHUNK_BYTES, at);
      if (bytesRead === 0) break;
      for (let done = 0; done < bytesRead;) {
        done += (await write(staged.fd, chunk, done, bytesRead - done, at + done)).bytesWritten;
      }
      at += bytesRead;
    }
  } catch (error) {
    staged.discard();
    throw stagingError(store.stagedIn, `store ${name}`, error);
  } finally {
    freeMemory(chunk);
  }
  await staged.publish(name);
}
