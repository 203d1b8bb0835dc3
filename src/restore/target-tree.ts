/**
 * Making, replacing and removing things in the target, one name at a time.
 *
 * Between the directory handles (safe-target.ts) and the stages that make entries: it makes
 * directories that a snapshot does not name, opens up read-only directories of our own while we
 * work in them (the mode is put right at the end), and gives a finished thing its name.
 */
import { constants } from 'node:os';
import { LbsError, errnoName } from '../errors.ts';
import { type FileStatus, type Timespec, statusIfAny, statusOf } from '../posix/file-status.ts';
import * as libc from '../posix/libc.ts';
import { O } from '../posix/libc.ts';
import { newUuid } from '../std/clock.ts';
import { sortedNames } from '../posix/directory-names.ts';
import { OWNER_ALL, chmodPinned, moveOpenedUp } from './closed-directory.ts';
import { isKeptBy } from './overwrite-rule.ts';
import type { RestoreLedger } from './restore-ledger.ts';
import type { Overwrite } from './restore-options.ts';
import { endsInDot } from './same-names.ts';
import {
  type DirectoryHandle,
  NEW_DIRECTORY_MODE,
  type OnOpen,
  TargetDirectories,
} from './safe-target.ts';
import { CannotKeep, type UndoDirectory } from './undo-directory.ts';

/** Directories that the snapshot does not describe; the umask takes its part. */
export const UNRECORDED_DIRECTORY_MODE = 0o777;
const SLASH = 0x2f;
const { ENOTEMPTY } = constants.errno;
const ACL_NAMES = ['system.posix_acl_access', 'system.posix_acl_default'].map((name) =>
  Buffer.from(name),
);
const IS_DIRECTORY = new Set(['EISDIR', 'ENOTEMPTY', 'EEXIST']);

/** All names of unfinished things begin with this. */
export const TEMPORARY_PREFIX = '.lbs-restore-';
export const NOT_EMPTY = 'a directory that is not empty is in its place';
export const NOT_A_DIRECTORY =
  'something that is not a directory is in the place of a directory above it';

/** Something stands in the target that a restore may not remove. A warning, not an error. */
export class InTheWay extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'InTheWay';
  }
}

/** A directory of the target and a NUL-terminated name in it, valid during one call. */
export type Spot = { readonly dir: DirectoryHandle; readonly name: Buffer };

export type TreeOptions = {
  /** The target was made by this run. */
  readonly isNew: boolean;
  readonly undo?: UndoDirectory | undefined;
  /** Also for what came into the target since the plan was made; default: `always`. */
  readonly overwrite?: Overwrite | undefined;
  /** Is told of each directory that is opened. */
  readonly onOpen?: OnOpen;
};

/** The temporary name of an entry; the same for the whole run, in each of its threads. */
export function temporaryNameOf(prefix: string, id: number): Buffer {
  return libc.cString(`${prefix}-${id.toString(36)}`);
}

export class TargetTree {
  readonly #directories: TargetDirectories;
  readonly #ledger: RestoreLedger;
  readonly #isRoot = process.geteuid?.() === 0;
  /** The last path where `look` saw nothing. Entries come in path order, so one is enough. */
  #missing: Buffer | undefined;
  /** All temporary names of this run: this and the entry's id. */
  readonly temporaryPrefix = `${TEMPORARY_PREFIX}${newUuid()}`;

  /** True when the target itself was made by this run. */
  readonly isNew: boolean;

  /** Keeps what is overwritten or deleted. */
  readonly undo: UndoDirectory | undefined;
  readonly #overwrite: Overwrite;

  /** Takes over `fd`, the open target, and the undo directory. */
  constructor(fd: number, ledger: RestoreLedger, options: TreeOptions) {
    this.#directories = new TargetDirectories(fd, { onOpen: options.onOpen });
    this.#ledger = ledger;
    this.isNew = options.isNew;
    this.undo = options.undo;
    this.#overwrite = options.overwrite ?? 'always';
  }

  /** True when a rename is all it takes to put a finished thing in place. */
  get isPlain(): boolean {
    const isFree = this.#overwrite === 'always' || this.#overwrite === 'if-changed';
    return isFree && this.undo === undefined;
  }

  get topFd(): number {
    return this.#directories.top.fd;
  }

  /** The temporary name of an entry. */
  temporaryName(id: number): Buffer {
    return temporaryNameOf(this.temporaryPrefix, id);
  }

  /**
   * Runs `action` in the directory that holds `path`. Where that directory is missing it is made;
   * where it is ours but closed to us it is opened up; `action` is then run again.
   * @throws {SystemError} or what `action` throws
   */
  at<T>(path: Buffer, action: (spot: Spot) => T): T {
    for (let missing = false, closed = this.#isRoot; ;) {
      try {
        const { handle, name } = this.#directories.parent(path);
        return action({ dir: handle, name });
      } catch (error) {
        // What cannot be moved to the undo directory may be in a directory that is closed to us.
        const code = errnoName(error instanceof CannotKeep ? error.cause : error);
        if (code === 'ENOENT' && !missing) {
          missing = true;
          this.#makeParents(path);
        } else if (code === 'EACCES' && !closed) {
          closed = true;
          if (!this.#openUpParents(path)) throw error;
        } else throw notADirectory(error);
      }
    }
  }

  /**
   * What is at `path`, without changing anything; undefined when nothing can be seen. For planning
   * only: below what was missing a moment ago nothing is looked for again, which in a new target
   * was a third of the time of planning.
   */
  look<T>(path: Buffer, action: (spot: Spot, status: FileStatus) => T): T | undefined {
    if (this.#missing !== undefined && isBelow(path, this.#missing)) return undefined;
    try {
      const { handle, name } = this.#directories.parent(path);
      const status = statusIfAny(handle.fd, name);
      if (status) return action({ dir: handle, name }, status);
    } catch {
      // No directory there, or not for us: then there is nothing to keep either.
    }
    this.#missing = path;
    return undefined;
  }

  /** The open directory at `path`. @throws {SystemError} */
  directory(path: Buffer): DirectoryHandle {
    return this.#directories.directory(path);
  }

  /**
   * Makes a directory, or takes the one that is there. What else is there is replaced, a symlink
   * to a directory as well. `mtime` is its recorded one. `kept`: its attributes stay too.
   * @throws {InTheWay}, {CannotKeep}
   */
  makeDirectory(path: Buffer, mtime: Timespec | undefined): 'made' | 'there' | 'kept' {
    return this.at(path, ({ dir, name }) => {
      try {
        this.#mkdir(dir, name, NEW_DIRECTORY_MODE);
        return 'made';
      } catch (error) {
        if (errnoName(error) !== 'EEXIST') throw error;
      }
      this.checkName({ dir, name });
      const status = statusIfAny(dir.fd, name);
      if (status?.type === 'd') return this.#overwrite === 'never' ? 'kept' : 'there';
      if (status !== undefined) this.checkReplace(status, mtime);
      if (this.undo) this.undo.move(path, { dir, name });
      else libc.unlinkAt(dir.fd, name);
      this.#mkdir(dir, name, NEW_DIRECTORY_MODE);
      return 'made';
    });
  }

  /**
   * Gives the thing at the temporary name in `spot` its name, in place of what is there.
   * `mtime` is its recorded one. An empty directory is replaced.
   * @throws {InTheWay} for one that is not empty, and for what `--overwrite` keeps; {CannotKeep}; {NameTaken}
   */
  place(path: Buffer, { dir, name }: Spot, temporary: Buffer, mtime: Timespec | undefined): void {
    this.#directories.names.checkFree(dir, name, temporary);
    if (this.#overwrite === 'never') {
      placeBeside(dir.fd, name, temporary);
      this.#checkMade({ dir, name }, 0);
      return;
    }
    if (this.#overwrite === 'if-newer') {
      // The plan may be hours old, and did not see into directories that were closed to us.
      const status = statusIfAny(dir.fd, name);
      // A directory is never renamed over, and our own work in it changes its time.
      if (status !== undefined && status.type !== 'd') this.checkReplace(status, mtime);
    }
    this.undo?.keep(path, { dir, name });
    try {
      libc.renameAt(dir.fd, temporary, dir.fd, name);
    } catch (error) {
      if (!IS_DIRECTORY.has(errnoName(error) ?? '')) throw error;
      this.removeEmptyDirectory(path, { dir, name });
      libc.renameAt(dir.fd, temporary, dir.fd, name);
    }
    this.#checkMade({ dir, name }, 0);
  }

  /** @throws {NameTaken} when what is found at the spot, which is something, has another name */
  checkName({ dir, name }: Spot): void {
    this.#directories.names.check(dir, name);
  }

  /** @throws {InTheWay} for what `--overwrite` keeps */
  checkReplace(status: FileStatus, mtime: Timespec | undefined): void {
    if (!isKeptBy(this.#overwrite, mtime, status)) return;
    throw new InTheWay('something came to its place meanwhile, and is kept');
  }

  /** @throws {InTheWay} */
  removeEmptyDirectory(path: Buffer, { dir, name }: Spot): void {
    try {
      if (this.undo) this.#moveEmptyDirectory(this.undo, path, { dir, name });
      else libc.unlinkAt(dir.fd, name, libc.AT_REMOVEDIR);
    } catch (error) {
      const code = errnoName(error);
      if (code !== 'ENOTEMPTY' && code !== 'EEXIST' && code !== 'EBUSY') throw error;
      throw new InTheWay(NOT_EMPTY);
    }
    this.#directories.forget(path);
  }

  #moveEmptyDirectory(undo: UndoDirectory, path: Buffer, { dir, name }: Spot): void {
    const fd = libc.openAt(dir.fd, name, O.RDONLY | O.DIRECTORY | O.NOFOLLOW);
    try {
      if (sortedNames(fd).length > 0) throw new libc.SystemError('rmdir', ENOTEMPTY);
    } finally {
      libc.close(fd);
    }
    undo.move(path, { dir, name });
  }

  /** Removes what is at `path`; a directory only when it is empty. @throws {InTheWay}, {SystemError} */
  remove(path: Buffer, isDirectory: boolean): void {
    this.at(path, ({ dir, name }) => {
      if (isDirectory) this.removeEmptyDirectory(path, { dir, name });
      else libc.unlinkAt(dir.fd, name);
    });
  }

  /** Takes what is at `path` to the undo directory, with all that is in it. @throws {CannotKeep} */
  moveAway(path: Buffer): void {
    this.at(path, (spot) => {
      try {
        this.undo?.move(path, spot);
      } catch (error) {
        if (!moveOpenedUp(spot, () => this.undo?.move(path, spot))) throw error;
      }
    });
    this.#directories.forget(path);
  }

  /** Removes a temporary name, if it is there. Never throws. */
  removeTemporary(path: Buffer, id: number): void {
    try {
      const { handle } = this.#directories.parent(path);
      libc.unlinkAt(handle.fd, this.temporaryName(id));
    } catch {
      // Not there, which is what was wanted; or the directory is gone or closed to us by now.
    }
  }

  /** Puts back the modes of directories that were opened up and have no recorded mode. */
  closeAgain(): void {
    for (const { path, mode } of this.#ledger.stillRelaxed()) {
      try {
        const fd = libc.openAt(this.#directories.directory(path).fd, libc.cString('.'), O.PATH);
        chmodPinned(fd, mode);
        libc.close(fd);
        this.#ledger.forgetRelaxed(path);
      } catch {
        // It was removed or swapped meanwhile: nothing of ours to put back.
      }
    }
  }

  close(): void {
    this.#directories.close();
    this.undo?.close();
  }

  /** FAT makes `a` when it is asked for `a.`: then it is removed again. @throws {NameTaken} */
  #checkMade(spot: Spot, removeFlags: number): void {
    if (!endsInDot(spot.name)) return;
    try {
      this.checkName(spot);
    } catch (error) {
      libc.unlinkAt(spot.dir.fd, spot.name, removeFlags);
      throw error;
    }
  }

  #mkdir(dir: DirectoryHandle, name: Buffer, mode: number): void {
    libc.mkdirAt(dir.fd, name, mode);
    this.#checkMade({ dir, name }, libc.AT_REMOVEDIR);
    if (!dir.hasDefaultAcl) return;
    const fd = libc.openAt(dir.fd, name, O.RDONLY | O.DIRECTORY | O.NOFOLLOW);
    try {
      for (const acl of ACL_NAMES) {
        if (libc.getXattr(fd, acl) !== undefined) libc.removeXattr(fd, acl);
      }
      libc.fchmod(fd, mode);
    } finally {
      libc.close(fd);
    }
  }

  /** Makes the directories above `path` that are missing and that no entry described. */
  #makeParents(path: Buffer): void {
    for (let slash = path.indexOf(SLASH); slash >= 0; slash = path.indexOf(SLASH, slash + 1)) {
      const { handle, name } = this.#directories.parent(path.subarray(0, slash));
      try {
        libc.mkdirAt(handle.fd, name, UNRECORDED_DIRECTORY_MODE);
      } catch (error) {
        if (errnoName(error) !== 'EEXIST') throw error;
      }
    }
  }

  /** Lets the owner do everything in each directory above `path`. True when one was changed. */
  #openUpParents(path: Buffer): boolean {
    let changed = this.#openUp(Buffer.alloc(0), this.#directories.top.fd);
    for (let slash = path.indexOf(SLASH); slash >= 0; slash = path.indexOf(SLASH, slash + 1)) {
      const above = path.subarray(0, slash);
      const { handle, name } = this.#directories.parent(above);
      const fd = libc.openAt(handle.fd, name, O.PATH | O.DIRECTORY | O.NOFOLLOW);
      try {
        if (this.#openUp(above, fd)) {
          changed = true;
          // Its handle may have been opened when it could not be read.
          this.#directories.forget(above);
        }
      } finally {
        libc.close(fd);
      }
    }
    return changed;
  }

  #openUp(path: Buffer, fd: number): boolean {
    const status = statusOf(fd);
    if ((status.mode & OWNER_ALL) === OWNER_ALL || status.uid !== process.geteuid?.()) return false;
    chmodPinned(fd, status.mode | OWNER_ALL);
    this.#ledger.relaxed(path, status.mode);
    return true;
  }
}

/** Gives a thing its name only when nothing has that name. @throws {InTheWay} */
function placeBeside(dir: number, name: Buffer, temporary: Buffer): void {
  try {
    libc.linkAt(dir, temporary, dir, name);
  } catch (error) {
    // Without hard links (FAT) there is a moment between the look and the rename.
    const isTaken = errnoName(error) === 'EEXIST' || statusIfAny(dir, name) !== undefined;
    if (isTaken) throw new InTheWay('something came to its place meanwhile, and is kept');
    libc.renameAt(dir, temporary, dir, name);
    return;
  }
  libc.unlinkAt(dir, temporary);
}

function isBelow(path: Buffer, above: Buffer): boolean {
  const { length } = above;
  return path[length] === SLASH && path.compare(above, 0, length, 0, length) === 0;
}

/** A symlink or a file where the snapshot has a directory: its own kind of trouble. */
function notADirectory(error: unknown): unknown {
  const code = errnoName(error);
  if (error instanceof LbsError || (code !== 'ENOTDIR' && code !== 'ELOOP')) return error;
  return new InTheWay(NOT_A_DIRECTORY);
}
