/**
 * A store in a directory: files are written to its top, and read from there and from the
 * subdirectories that Cumulus used.
 *
 * The subdirectories are a closed list, and a name never has a slash, so nothing that a store
 * says leads anywhere else. Format: lbs-format(5), "LAYOUTS".
 *
 * A staged file has no name (O_TMPFILE) until it is complete and on disk, so a crash leaves
 * nothing behind. Where the filesystem cannot do that (NFS, FAT, sshfs, ...) it gets a name that
 * starts with `.lbs-tmp-`, which later runs of the same machine remove.
 */
import { closeSync, fstatSync, statfsSync, statSync } from 'node:fs';
import { LbsError, errnoName, isOutOfSpace, messageOf } from '../errors.ts';
import { isStoreFile } from '../format/snapshot-name.ts';
import type { FileStatus } from '../posix/file-status.ts';
import * as libc from '../posix/libc.ts';
import { O } from '../posix/libc.ts';
import { newUuid } from '../std/clock.ts';
import { DirectoryStagedFile, NO_TMPFILE, STAGED_PREFIX } from './staged-file.ts';
import { StoreDirectory } from './store-directory.ts';
import type { OpenFile, StagedFile, Store, StoreMemory, StoredFile } from './store.ts';

const FILE_MODE = 0o666;
/** Nobody is at work on one file for so long. */
const LEFTOVER_S = 24 * 3600;
/**
 * Where uploads of Cumulus 0.7 to 0.10 (`segments`, `snapshots`, `checksums`) and where 0.11
 * (`segments0`, `segments1`, `snapshots`, `meta`) put their files.
 */
const SUBDIRECTORIES = ['snapshots', 'segments', 'segments0', 'segments1', 'checksums', 'meta'];

/** Opens the directory of a store. @throws {LbsError} store-missing */
export function openDirectoryStore(place: string): DirectoryStore {
  try {
    if (!statSync(place).isDirectory()) {
      throw new LbsError('store-missing', `the store ${place} is not a directory`);
    }
    const store = new DirectoryStore(new StoreDirectory(place));
    store.checkParts();
    return store;
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

/**
 * The time of arrival is that of the last change of status: unlike the time of modification nobody
 * who may only add files can set it back.
 */
function storedFile(name: string, { sizeBytes, ctime }: FileStatus): StoredFile {
  return { name, sizeBytes, arrivedS: ctime.s };
}

export class DirectoryStore implements Store {
  readonly place: string;
  readonly isReadable = true;
  readonly ownPlaces: readonly string[];
  readonly stagedIn: string;
  readonly #directory: StoreDirectory;
  /** Its handle; all access is relative to it. */
  readonly #dir: number;
  /** False once this filesystem has refused O_TMPFILE. */
  #canStageUnnamed = true;
  /** What stands before a name in each directory of the store, found out at first use. */
  #prefixes: readonly string[] | undefined;
  /** Distinguishes our leftovers from those of others; set by `recall`. */
  #owner = 'x';

  constructor(directory: StoreDirectory) {
    const { place, fd } = directory;
    this.place = place;
    this.ownPlaces = [place];
    this.stagedIn = `the store ${place}`;
    this.#directory = directory;
    this.#dir = fd;
  }

  /** The top comes first: of two files of one name its own counts. */
  #directories(): readonly string[] {
    this.#prefixes ??= [
      '',
      ...SUBDIRECTORIES.filter((name) => this.#isPart(name)).map((name) => `${name}/`),
    ];
    return this.#prefixes;
  }

  /** @throws {LbsError} store-missing when a part of it lies elsewhere and is not there; io */
  checkParts(): void {
    this.#directories();
  }

  /** Without descriptors that are elsewhere, what these need would look like what nobody does. */
  #isPart(name: string): boolean {
    const status = this.#statusOf(name);
    if (status !== undefined || !this.#directory.has(name)) return status?.type === 'd';
    const message = `a part of the store ${this.place} is not there: the link ${name} leads nowhere`;
    throw new LbsError('store-missing', message, {
      hint: 'is the disk mounted? Where that part is given up, remove the link',
    });
  }

  #statusOf(path: string): FileStatus | undefined {
    return this.#directory.statusOf(path);
  }

  #namesIn(prefix: string): string[] {
    const names = this.#directory.namesIn(prefix);
    return prefix === ''
      ? names.filter((name) => !name.startsWith('.'))
      : names.filter((name) => isStoreFile(name));
  }

  list(): StoredFile[] {
    this.#directory.checkPlace();
    const files: StoredFile[] = [];
    const directories = this.#directories();
    const isFlat = directories.length === 1;
    const listed = new Set<string>();
    for (const prefix of directories) {
      for (const name of this.#namesIn(prefix)) {
        if (listed.has(name)) continue;
        const status = this.#statusOf(prefix + name);
        if (status?.type !== 'f') continue;
        files.push(storedFile(name, status));
        if (!isFlat) listed.add(name);
      }
    }
    return files;
  }

  names(): string[] {
    this.#directory.checkPlace();
    return this.#directories().flatMap((prefix) => this.#namesIn(prefix));
  }

  unfinished(): StoredFile[] {
    return this.#pathsOf(STAGED_PREFIX).flatMap((path) => {
      const status = this.#statusOf(path);
      return status?.type === 'f' ? [storedFile(path, status)] : [];
    });
  }

  /** Paths of all files whose names begin like that. */
  #pathsOf(start: string): string[] {
    return this.#directories().flatMap((prefix) =>
      this.#directory
        .namesIn(prefix)
        .filter((name) => name.startsWith(start))
        .map((name) => prefix + name),
    );
  }

  find(name: string): StoredFile | undefined {
    for (const prefix of this.#directories()) {
      const status = this.#statusOf(prefix + name);
      if (status?.type === 'f') return storedFile(name, status);
    }
    this.#directory.checkPlace();
    return undefined;
  }

  open(name: string): OpenFile {
    const fd = this.#openFd(name);
    const status = fstatSync(fd);
    if (status.isFile()) return { fd, sizeBytes: status.size, close: () => closeSync(fd) };
    closeSync(fd);
    throw new LbsError('store-missing-file', `${name} in the store ${this.place} is no file`);
  }

  #openFd(name: string): number {
    let missing: unknown;
    for (const prefix of this.#directories()) {
      try {
        // A fifo would be waited for; it is refused once it is open.
        return libc.openAt(this.#dir, libc.cString(prefix + name), O.RDONLY | O.NONBLOCK);
      } catch (error) {
        if (errnoName(error) !== 'ENOENT') {
          throw this.#directory.trouble(`read ${prefix}${name}`, error);
        }
        missing ??= error;
      }
    }
    this.#directory.checkPlace();
    throw new LbsError('store-missing-file', `${name} is missing in the store ${this.place}`, {
      cause: missing,
    });
  }

  remove(name: string): boolean {
    let isRemoved = false;
    for (const prefix of this.#directories()) {
      try {
        libc.unlinkAt(this.#dir, libc.cString(prefix + name));
        isRemoved = true;
        // In a subdirectory the change of names is not in what `settle` syncs.
        if (prefix !== '') this.#directory.syncBelow(prefix);
      } catch (error) {
        const code = errnoName(error);
        if (code === 'ENOENT' || code === 'ENOTDIR') continue;
        if (code !== 'EACCES' && code !== 'EPERM' && code !== 'EROFS') {
          throw this.#directory.trouble(`remove ${prefix}${name}`, error);
        }
        throw new LbsError(
          'store-unwritable',
          `cannot remove ${prefix}${name} from the store ${this.place}: ${messageOf(error)}`,
          { cause: error, hint: 'run this as a user who may remove files of the store' },
        );
      }
    }
    return isRemoved;
  }

  checkWritable(): void {
    this.stage().discard();
  }

  recall({ owner }: Pick<StoreMemory, 'owner'>): void {
    this.#owner = owner;
  }

  begin(): void {
    const own = `${STAGED_PREFIX}${this.#owner}-`;
    try {
      for (const name of this.#directory.namesIn('')) {
        if (name.startsWith(own)) libc.unlinkAt(this.#dir, libc.cString(name));
      }
    } catch (error) {
      throw this.#directory.trouble('clear away what an interrupted run left', error);
    }
  }

  end(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  stage(inPlaceOf?: string): StagedFile {
    // Beside the file to be replaced: its directory may be a link to another disk.
    const prefix = inPlaceOf === undefined ? '' : this.#prefixOf(inPlaceOf);
    try {
      if (this.#canStageUnnamed) {
        try {
          const where = libc.cString(`${prefix}.`);
          const fd = libc.openAt(this.#dir, where, O.TMPFILE | O.RDWR, FILE_MODE);
          return this.#staged(fd, prefix, undefined);
        } catch (error) {
          if (!NO_TMPFILE.has(errnoName(error) ?? '')) throw error;
          this.#canStageUnnamed = false;
        }
      }
      const name = `${prefix}${STAGED_PREFIX}${this.#owner}-${newUuid()}`;
      const flags = O.RDWR | O.CREAT | O.EXCL;
      const fd = libc.openAt(this.#dir, libc.cString(name), flags, FILE_MODE);
      return this.#staged(fd, prefix, name);
    } catch (error) {
      if (isOutOfSpace(error)) throw this.#directory.trouble('make a file', error);
      this.#directory.checkPlace();
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

  #staged(fd: number, prefix: string, name: string | undefined): StagedFile {
    return new DirectoryStagedFile({
      directory: this.#directory,
      fd,
      name,
      prefix,
      stagingPrefix: `${prefix}${STAGED_PREFIX}${this.#owner}-`,
    });
  }

  /** What stands before the file of that name; nothing if there is none. */
  #prefixOf(name: string): string {
    const found = this.#directories().find((prefix) => this.#statusOf(prefix + name) !== undefined);
    return found ?? '';
  }

  /**
   * Removes what interrupted copies left under staging names, when nobody can be at work on it.
   * @throws {LbsError} io
   */
  clearOldLeftovers(): void {
    const staging = `${STAGED_PREFIX}${this.#owner}-`;
    try {
      const left = this.#pathsOf(staging);
      if (left.length === 0) return;
      const oldestS = this.clockS() - LEFTOVER_S;
      for (const path of left) {
        const status = this.#statusOf(path);
        if (status && status.ctime.s < oldestS) libc.unlinkAt(this.#dir, libc.cString(path));
      }
    } catch (error) {
      // Somebody else clears away, too.
      if (errnoName(error) === 'ENOENT') return;
      throw this.#directory.trouble('clear away what an interrupted run left', error);
    }
  }

  clockS(): number {
    const staged = this.stage();
    try {
      return Math.floor(fstatSync(staged.fd).ctimeMs / 1000);
    } catch (error) {
      throw this.#directory.trouble('read the clock', error);
    } finally {
      staged.discard();
    }
  }

  freeBytes(): number {
    try {
      const { bavail, bfree, blocks, bsize } = statfsSync(this.place);
      // Some network filesystems do not know, and say 0 of everything.
      if (blocks > 0) return (process.geteuid?.() === 0 ? bfree : bavail) * bsize;
    } catch {
      // Only used to explain a failure better, or to foresee it.
    }
    return Number.MAX_SAFE_INTEGER;
  }

  async settle(): Promise<void> {
    await this.#directory.sync();
  }
}
