/**
 * The target directory, and the only way to anything in it: handles of open directories.
 *
 * A directory is opened component by component from the target's own handle, each with O_NOFOLLOW
 * and O_DIRECTORY, and everything is then made, renamed and removed relative to such a handle. So
 * a path may be longer than PATH_MAX, and a symlink that stands where a directory is expected
 * (from a hostile snapshot, or swapped in by somebody while we work) is refused, never followed.
 *
 * Invariant: nothing outside of the target is touched, whatever names a snapshot has.
 */
import { LbsError } from '../errors.ts';
import * as libc from '../posix/libc.ts';
import { O } from '../posix/libc.ts';
import { type NamedDirectory, SameNames } from './same-names.ts';

const SLASH = 0x2f;
const DOT = 0x2e;
/** Directories kept open. Well below the common limit of 1024 descriptors. */
const HANDLES_MAX = 256;
const DEFAULT_ACL = Buffer.from('system.posix_acl_default');
/** A new directory stays closed to others until it gets its recorded mode at the end. */
export const NEW_DIRECTORY_MODE = 0o700;

/** What is wrong with a recorded path; undefined when it is safe to use. */
function problemOf(path: Buffer, foreign: boolean): string | undefined {
  if (path.length === 0) return 'the name is empty';
  if (path.includes(0)) return 'the name has a NUL byte';
  if (path[0] === SLASH) return 'the name is absolute';
  let start = 0;
  for (let at = 0; at <= path.length; at++) {
    if (at !== path.length && path[at] !== SLASH) continue;
    const length = at - start;
    const dots = path[start] === DOT && (length === 1 || path[start + 1] === DOT) ? length : 0;
    start = at + 1;
    if (dots === 2) return 'the name has ".." in it';
    if (foreign) continue;
    if (length === 0) return 'the name has an empty component';
    if (dots === 1) return 'the name has "." in it';
  }
  return undefined;
}

/**
 * A recorded path as it is used below the target: `''` for the top, else without `.` and empty
 * components. These two are refused too unless `foreign`: Cumulus 0.11 wrote names as they were
 * given to it (`./etc`, `etc//conf`); we never do.
 * @throws {LbsError} unsafe-path
 */
export function safePath(path: Buffer, foreign: boolean): Buffer {
  if (path.length === 1 && path[0] === DOT) return Buffer.alloc(0);
  const problem = problemOf(path, foreign);
  if (problem !== undefined) throw new LbsError('unsafe-path', problem);
  if (!foreign) return path;
  const text = path.toString('latin1');
  if (!/(^|\/)(\.?)(\/|$)/.test(text)) return path;
  const parts = text.split('/').filter((part) => part !== '' && part !== '.');
  return Buffer.from(parts.join('/'), 'latin1');
}

export type DirectoryHandle = NamedDirectory & {
  /** New entries in it inherit an access control list, which then has to be taken off again. */
  readonly hasDefaultAcl: boolean;
  /** Its filesystem keeps modes and times as they are set; undefined as long as nobody looked. */
  keepsExactly?: boolean;
};

/** Is told of a directory that was opened, by its path as Latin-1 text (`''` for the target). */
export type OnOpen = (path: string, fd: number) => void;

/** Handles of the directories below a target. `close` when done. */
export class TargetDirectories {
  readonly #top: DirectoryHandle;
  /** Path as Latin-1 -> handle; the least recently used first. */
  readonly #open = new Map<string, DirectoryHandle>();
  /** The directory that was asked for last: most entries lie in the one of the entry before. */
  #last: { readonly path: Buffer; readonly handle: DirectoryHandle } | undefined;
  readonly #handlesMax: number;
  readonly names = new SameNames();
  readonly #onOpen: OnOpen | undefined;

  /** Takes over `fd`, the open target. */
  constructor(fd: number, options: { handlesMax?: number; onOpen?: OnOpen | undefined } = {}) {
    this.#handlesMax = options.handlesMax ?? HANDLES_MAX;
    this.#onOpen = options.onOpen;
    this.#top = { fd, hasDefaultAcl: hasDefaultAcl(fd) };
    this.#onOpen?.('', fd);
  }

  get top(): DirectoryHandle {
    return this.#top;
  }

  /**
   * The handle of a directory (`''` is the target); valid until the next call.
   * @throws {SystemError} ENOENT; ENOTDIR or ELOOP when something else, or a symlink, is there
   */
  directory(path: Buffer): DirectoryHandle {
    if (path.length === 0) return this.#top;
    const text = path.toString('latin1');
    const known = this.#open.get(text);
    if (known) {
      this.#open.delete(text);
      this.#open.set(text, known);
      return known;
    }
    return this.#openBelow(text);
  }

  /** The directory that holds `path`, which is not the top, and its last component. */
  parent(path: Buffer): { handle: DirectoryHandle; name: Buffer } {
    const slash = path.lastIndexOf(SLASH);
    const name = libc.cString(path.subarray(slash + 1));
    if (slash < 0) return { handle: this.#top, name };
    if (this.#last && isPrefix(this.#last.path, path, slash)) {
      return { handle: this.#last.handle, name };
    }
    const above = path.subarray(0, slash);
    const handle = this.directory(above);
    this.#last = { path: Buffer.from(above), handle };
    return { handle, name };
  }

  /** Forgets a directory that was removed or replaced, and all below it. */
  forget(path: Buffer): void {
    this.#last = undefined;
    const text = path.toString('latin1');
    for (const [key, handle] of this.#open) {
      if (key !== text && !key.startsWith(`${text}/`)) continue;
      this.#open.delete(key);
      libc.close(handle.fd);
    }
  }

  close(): void {
    this.#last = undefined;
    for (const handle of this.#open.values()) libc.close(handle.fd);
    this.#open.clear();
    libc.close(this.#top.fd);
  }

  /** Opens each component that is not open yet, from the nearest ancestor that is. */
  #openBelow(text: string): DirectoryHandle {
    let end = text.lastIndexOf('/');
    let from = this.#top;
    while (end > 0) {
      const ancestor = this.#open.get(text.slice(0, end));
      if (ancestor) {
        from = ancestor;
        break;
      }
      end = text.lastIndexOf('/', end - 1);
    }
    let start = Math.max(end, -1) + 1;
    while (start <= text.length) {
      const slash = text.indexOf('/', start);
      const stop = slash < 0 ? text.length : slash;
      const name = libc.cString(Buffer.from(text.slice(start, stop), 'latin1'));
      const fd = openDirectory(from.fd, name);
      try {
        this.names.check(from, name);
      } catch (error) {
        libc.close(fd);
        throw error;
      }
      from = { fd, hasDefaultAcl: hasDefaultAcl(fd) };
      this.#onOpen?.(text.slice(0, stop), fd);
      this.#keep(text.slice(0, stop), from);
      start = stop + 1;
    }
    return from;
  }

  #keep(key: string, handle: DirectoryHandle): void {
    this.#open.set(key, handle);
    if (this.#open.size <= this.#handlesMax) return;
    const [oldest, old] = this.#open.entries().next().value ?? [];
    if (oldest === undefined || old === undefined) return;
    this.#open.delete(oldest);
    if (this.#last?.handle === old) this.#last = undefined;
    libc.close(old.fd);
  }
}

/** True when the first `length` bytes of `path` are `prefix`. */
function isPrefix(prefix: Buffer, path: Buffer, length: number): boolean {
  return prefix.length === length && path.compare(prefix, 0, length, 0, length) === 0;
}

/** Opens one directory by its name; where it may not be read, only to pass through it. */
export function openDirectory(dir: number, name: Buffer): number {
  const flags = O.DIRECTORY | O.NOFOLLOW;
  const fd = libc.tryOpenAt(dir, name, O.RDONLY | flags);
  return fd >= 0 ? fd : libc.openAt(dir, name, O.PATH | flags);
}

function hasDefaultAcl(fd: number): boolean {
  try {
    return libc.getXattr(fd, DEFAULT_ACL) !== undefined;
  } catch {
    // The filesystem has no such lists, or the handle is for passing through only.
    return false;
  }
}
