/**
 * The directory of `--undo-dir`: what a restore overwrites or deletes is kept there, under the path
 * that it had below the target.
 *
 * Used by target-tree.ts and extra-entries.ts. A file that is about to be replaced gets a second
 * name there, so that at no moment there is none under its own; what is deleted is moved. Nothing
 * is copied: a file system other than the target's is refused.
 *
 * Invariant: what cannot be kept is neither overwritten nor deleted, and nothing that was kept by
 * an earlier run is touched.
 */
import { existsSync, statSync } from 'node:fs';
import { constants } from 'node:os';
import { dirname, resolve } from 'node:path';
import { LbsError, errnoName, messageOf } from '../errors.ts';
import { statusIfAny, statusOf } from '../posix/file-status.ts';
import * as libc from '../posix/libc.ts';
import { O } from '../posix/libc.ts';
import type { TargetState } from './check-room.ts';
import { isInDirectory, refuseInStore } from './own-places.ts';
import { NEW_DIRECTORY_MODE, TargetDirectories } from './safe-target.ts';

const SLASH = 0x2f;
const SEPARATOR = Buffer.of(SLASH);
const { EEXIST, ENOTDIR } = constants.errno;
/** Earlier versions of one name that are kept: `name`, `name.~1~`, ... */
const VERSIONS_MAX = 1000;
/** Reasons for which a thing cannot have a second name, but may be moved. */
const CANNOT_LINK = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK', 'EACCES']);

/** Something cannot be kept for undoing, and so must stay where it is. A warning, not an error. */
export class CannotKeep extends Error {
  constructor(cause: unknown) {
    const isElsewhere = errnoName(cause) === 'EXDEV';
    const why = isElsewhere ? 'it is on another file system' : messageOf(cause);
    super(`it stays as it is, because it cannot be kept in the undo directory: ${why}`, { cause });
    this.name = 'CannotKeep';
  }
}

/** A directory and a NUL-terminated name in it. */
type Name = { readonly dir: { readonly fd: number }; readonly name: Buffer };

export class UndoDirectory {
  readonly #directories: TargetDirectories;
  readonly #device: string;

  private constructor(fd: number) {
    this.#device = statusOf(fd).device;
    this.#directories = new TargetDirectories(fd);
  }

  /**
   * Looks whether the directory can be used; changes nothing. @throws {LbsError} target-unusable
   */
  static check(path: string, target: string, state: TargetState, store: string): void {
    const isThere = existsSync(path);
    const existing = isThere ? path : dirname(resolve(path));
    let isAround: boolean;
    let isElsewhere: boolean;
    try {
      const [undo, around] = [statSync(existing), statSync(state.existing)];
      if (!undo.isDirectory()) throw new libc.SystemError('open', ENOTDIR, Buffer.from(existing));
      isElsewhere = undo.dev !== around.dev;
      isAround =
        resolve(path) === resolve(target) || (isThere && isInDirectory(state.existing, path));
    } catch (error) {
      throw unusable(path, messageOf(error), 'name a directory whose parent exists', error);
    }
    if (isElsewhere) throw elsewhere(path);
    if (isAround) {
      throw unusable(
        path,
        'the target is in it',
        'name one outside of the target, or a directory of its own in it',
      );
    }
    refuseInStore(`--undo-dir=${path}`, existing, store);
  }

  /**
   * Opens the directory, making it (for nobody else to look into) when only its parent exists.
   * @throws {LbsError} target-unusable
   */
  static open(path: string, targetFd: number): UndoDirectory {
    let undo: UndoDirectory;
    try {
      const name = libc.cString(path);
      try {
        libc.mkdirAt(libc.AT_FDCWD, name, NEW_DIRECTORY_MODE);
      } catch (error) {
        if (errnoName(error) !== 'EEXIST') throw error;
      }
      undo = new UndoDirectory(libc.openAt(libc.AT_FDCWD, name, O.RDONLY | O.DIRECTORY));
    } catch (error) {
      throw unusable(path, messageOf(error), 'name a directory whose parent exists', error);
    }
    if (undo.#device === statusOf(targetFd).device) return undo;
    undo.close();
    throw elsewhere(path);
  }

  /**
   * Keeps what is about to be replaced by a rename over `from`; nothing when nothing is there.
   * Where it can have a second name, the first stays until then. @throws {CannotKeep}
   */
  keep(path: Buffer, from: Name): void {
    const status = statusIfAny(from.dir.fd, from.name);
    if (status === undefined) return;
    // A directory is never renamed over; the caller moves it when it may.
    if (status.type === 'd') return;
    try {
      this.#inFreeName(path, ({ dir, name }) => {
        libc.linkAt(from.dir.fd, from.name, dir.fd, name);
      });
    } catch (error) {
      if (!CANNOT_LINK.has(errnoName(error) ?? '')) throw new CannotKeep(error);
      this.move(path, from);
    }
  }

  /** Takes something away, with all that is in it. @throws {CannotKeep} */
  move(path: Buffer, from: Name): void {
    try {
      this.#inFreeName(path, ({ dir, name }) => {
        // Nobody else writes here, so between the look and the rename nothing appears.
        if (statusIfAny(dir.fd, name) !== undefined) throw new libc.SystemError('renameat', EEXIST);
        libc.renameAt(from.dir.fd, from.name, dir.fd, name);
      });
    } catch (error) {
      throw new CannotKeep(error);
    }
  }

  close(): void {
    this.#directories.close();
  }

  #inFreeName(path: Buffer, action: (to: Name) => void): void {
    const place = this.#makeParents(path);
    for (let version = 0; ; version++) {
      const { handle, name } = this.#directories.parent(versionOf(place, version));
      try {
        action({ dir: handle, name });
        return;
      } catch (error) {
        if (errnoName(error) !== 'EEXIST' || version === VERSIONS_MAX) throw error;
      }
    }
  }

  /** Makes the directories above a path; returns the path with the names that they got. */
  #makeParents(path: Buffer): Buffer {
    let place: Buffer = Buffer.alloc(0);
    let start = 0;
    for (let slash = path.indexOf(SLASH); slash >= 0; slash = path.indexOf(SLASH, start)) {
      place = this.#makeDirectory(joined(place, path.subarray(start, slash)));
      start = slash + 1;
    }
    return joined(place, path.subarray(start));
  }

  /** Something else may have been kept under this name: then it is a further version of it. */
  #makeDirectory(path: Buffer): Buffer {
    for (let version = 0; ; version++) {
      const versioned = versionOf(path, version);
      const { handle, name } = this.#directories.parent(versioned);
      try {
        libc.mkdirAt(handle.fd, name, NEW_DIRECTORY_MODE);
        return versioned;
      } catch (error) {
        if (errnoName(error) !== 'EEXIST' || version === VERSIONS_MAX) throw error;
        if (statusIfAny(handle.fd, name)?.type === 'd') return versioned;
      }
    }
  }
}

function joined(directory: Buffer, name: Buffer): Buffer {
  return directory.length === 0 ? name : Buffer.concat([directory, SEPARATOR, name]);
}

function versionOf(path: Buffer, version: number): Buffer {
  return version === 0 ? path : Buffer.concat([path, Buffer.from(`.~${version}~`)]);
}

function unusable(path: string, why: string, hint: string, cause?: unknown): LbsError {
  return new LbsError('target-unusable', `cannot use --undo-dir=${path}: ${why}`, {
    hint: `nothing was changed; ${hint}`,
    ...(cause === undefined ? {} : { cause }),
  });
}

function elsewhere(path: string): LbsError {
  return new LbsError(
    'target-unusable',
    `--undo-dir=${path} is on another file system than the target`,
    { hint: 'nothing was changed; name a directory on the same one: files are moved to it' },
  );
}
