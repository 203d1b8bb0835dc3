/**
 * The walk: yields selected entries of a tree in path order, each directory before its contents,
 * children in byte order. The first stage of the data path; `backup/run-backup.ts` consumes it.
 *
 * Everything is reached relative to open directory handles, so paths may be longer than PATH_MAX
 * and a directory that is swapped for a link meanwhile is not followed. Memory grows with the
 * depth of the tree and the size of one directory, not with the tree.
 */
import { LbsError, errnoName, messageOf } from '../../errors.ts';
import * as libc from '../../posix/libc.ts';
import { type FileStatus, statusIfAny, statusOf, statusOfName } from '../../posix/file-status.ts';
import type { SourceWarning } from '../../report.ts';
import { type BytePath, showPath } from '../../std/byte-path.ts';
import { type ByteText, asByteText, joinText, toBytePath } from '../../std/byte-text.ts';
import type { Source, SourceEntry } from '../source.ts';
import { openDirectory, sortedNames } from './directory-reader.ts';
import { passOwnTrouble } from './entry-trouble.ts';
import { FilesystemEntry, nameBytes } from './filesystem-entry.ts';
import { CACHE_TAG, isCacheTag, isKernelFilesystem } from './place-rules.ts';
import type { Selector, Verdict } from './select.ts';

export type ScanOptions = {
  /** Absolute path of the top directory. */
  readonly top: BytePath;
  readonly selector: Selector;
  readonly oneFileSystem: boolean;
  readonly excludeIfPresent: readonly ByteText[];
  readonly excludeCaches: boolean;
  /** Takes the files of the backup itself out of the names in a directory of that status. */
  readonly withoutOwnFiles: (directory: FileStatus, names: ByteText[]) => readonly ByteText[];
  /** Asked of each directory after it was yielded; false: what is in it does not matter. */
  readonly mayEnter?: () => boolean;
  readonly warn: (warning: SourceWarning) => void;
  readonly note: (message: string) => void;
};

/** Handles kept open on the way down; deeper trees reopen parents through `..`. */
const OPEN_DIRECTORIES_MAX = 32;

type Frame = {
  readonly path: ByteText;
  /** -1 while closed because the tree is deep. */
  fd: number;
  readonly status: FileStatus;
  readonly verdict: Verdict;
  readonly names: readonly ByteText[];
  next: number;
  /** Not yet yielded: recorded only once something below is selected. */
  pending: FilesystemEntry | undefined;
};

export class FilesystemSource implements Source {
  readonly #options: ScanOptions;
  #stack: Frame[] = [];
  /** How many of these are still to be yielded. */
  #pendingFrames = 0;
  /** On the entry that was looked at last. */
  #verdict: Verdict;

  constructor(options: ScanOptions) {
    this.#options = options;
    this.#verdict = options.selector.top();
  }

  *entries(): Generator<SourceEntry> {
    try {
      yield* this.#walk();
    } finally {
      for (const frame of this.#stack) if (frame.fd >= 0) libc.close(frame.fd);
      this.#stack = [];
    }
  }

  // One generator for all: another one for each entry took 0.3 us and was a third of the garbage.
  *#walk(): Generator<SourceEntry> {
    // The top is always recorded: it is the parent of everything.
    yield this.#openTop();
    for (let frame = this.#stack.at(-1); frame !== undefined; frame = this.#stack.at(-1)) {
      const name = frame.names[frame.next++];
      if (name === undefined) {
        this.#leave(frame);
        continue;
      }
      const seen = this.#look(frame, name);
      if (seen === undefined) continue;
      const verdict = this.#verdict;
      if (verdict.selected) {
        if (this.#pendingFrames > 0) yield* this.#ancestors();
        yield seen;
      }
      if (seen.status.type === 'd' && this.#options.mayEnter?.() !== false)
        this.#enter(frame, seen, verdict, name);
    }
  }

  #openTop(): FilesystemEntry {
    const { top, selector } = this.#options;
    try {
      const fd = openDirectory(libc.AT_FDCWD, libc.cString(top));
      const status = statusOf(fd);
      const path = asByteText('.');
      const names = this.#options.withoutOwnFiles(status, sortedNames(fd));
      this.#stack.push({
        path,
        fd,
        status,
        verdict: selector.top(),
        names,
        next: 0,
        pending: undefined,
      });
      return new FilesystemEntry({ path, fd }, path, status);
    } catch (error) {
      throw new LbsError('source-missing', `cannot read ${showPath(top)}: ${messageOf(error)}`, {
        cause: error,
      });
    }
  }

  /** The entry with that name, if it is to be yielded or entered. */
  #look(frame: Frame, name: ByteText): FilesystemEntry | undefined {
    const { selector } = this.#options;
    let verdict = selector.child(frame.verdict, frame.path, name, false);
    if (!verdict.selected && !verdict.search) return undefined;
    const status = this.#status(frame, name);
    if (status === undefined) return undefined;
    const isDirectory = status.type === 'd';
    if (isDirectory) verdict = selector.child(frame.verdict, frame.path, name, true);
    if (!verdict.selected && !(verdict.search && isDirectory)) return undefined;
    if (status.type === undefined) {
      const path = joinText(frame.path, name);
      this.#warn('unsupported-type', path, 'is of a type that cannot be stored');
      return undefined;
    }
    this.#verdict = verdict;
    return new FilesystemEntry(frame, name, status);
  }

  #status(frame: Frame, name: ByteText): FileStatus | undefined {
    try {
      return statusOfName(frame.fd, name);
    } catch (error) {
      const path = joinText(frame.path, name);
      this.#passOwnTrouble(error, path);
      if (errnoName(error) === 'ENOENT') this.#warn('vanished', path, 'vanished during the backup');
      else this.#warn('unreadable', path, messageOf(error));
      return undefined;
    }
  }

  /** Directories above that were waiting for something selected below them. */
  *#ancestors(): Generator<SourceEntry> {
    for (const frame of this.#stack) {
      if (frame.pending === undefined) continue;
      const entry = frame.pending;
      frame.pending = undefined;
      this.#pendingFrames--;
      yield entry;
    }
  }

  #enter(parent: Frame, entry: FilesystemEntry, verdict: Verdict, name: ByteText): void {
    let fd = -1;
    try {
      const raw = nameBytes(name);
      if (!this.#mayEnter(parent, entry, verdict, raw)) return;
      fd = openDirectory(parent.fd, raw);
      const names = this.#options.withoutOwnFiles(entry.status, sortedNames(fd));
      if (this.#isTagged(fd, names, verdict)) {
        libc.close(fd);
        return;
      }
      const kept = this.#isCache(fd, names) && verdict.selected ? [CACHE_TAG] : names;
      const pending = verdict.selected ? undefined : entry;
      pending?.useOwnHandle(fd);
      if (pending !== undefined) this.#pendingFrames++;
      this.#stack.push({
        path: entry.text,
        fd,
        status: entry.status,
        verdict,
        names: kept,
        next: 0,
        pending,
      });
      this.#limitHandles();
    } catch (error) {
      if (fd >= 0) libc.close(fd);
      this.#passOwnTrouble(error, entry.text);
      const gone = errnoName(error) === 'ENOENT';
      this.#warn(gone ? 'vanished' : 'unreadable', entry.text, `its contents: ${messageOf(error)}`);
    }
  }

  #mayEnter(parent: Frame, entry: FilesystemEntry, verdict: Verdict, raw: Buffer): boolean {
    const { oneFileSystem, note } = this.#options;
    const { status } = entry;
    if (status.device === parent.status.device || verdict.isNamed) return true;
    if (verdict.inNamed && oneFileSystem) return false;
    if (verdict.inNamed && isKernelFilesystem(parent.fd, raw)) {
      note(`the contents of ${showPath(entry.path)} are left out: a filesystem of the kernel`);
      return false;
    }
    return true;
  }

  #isTagged(fd: number, names: readonly ByteText[], verdict: Verdict): boolean {
    if (!verdict.inNamed) return false;
    return this.#options.excludeIfPresent.some(
      (tag) => names.includes(tag) && statusIfAny(fd, nameBytes(tag)) !== undefined,
    );
  }

  #isCache(fd: number, names: readonly ByteText[]): boolean {
    return this.#options.excludeCaches && names.includes(CACHE_TAG) && isCacheTag(fd);
  }

  /** Closes the handle of the oldest open directory when the tree is deep. */
  #limitHandles(): void {
    const oldest = this.#stack[this.#stack.length - 1 - OPEN_DIRECTORIES_MAX];
    if (oldest === undefined || oldest.fd < 0) return;
    oldest.pending?.readAhead();
    libc.close(oldest.fd);
    oldest.fd = -1;
  }

  #leave(frame: Frame): void {
    this.#stack.pop();
    if (frame.pending !== undefined) this.#pendingFrames--;
    const parent = this.#stack.at(-1);
    if (parent !== undefined && parent.fd < 0) this.#reopen(parent, frame);
    if (frame.fd >= 0) libc.close(frame.fd);
  }

  /** The way back up from a deep place: `..` must still be the directory we came from. */
  #reopen(parent: Frame, child: Frame): void {
    try {
      const fd = openDirectory(child.fd, Buffer.from('..\0'));
      const status = statusOf(fd);
      if (status.inode === parent.status.inode && status.device === parent.status.device) {
        parent.fd = fd;
        return;
      }
      libc.close(fd);
      this.#warn('vanished', parent.path, 'was moved during the backup; the rest of it is missing');
    } catch (error) {
      this.#passOwnTrouble(error, parent.path);
      this.#warn('unreadable', parent.path, messageOf(error));
    }
    parent.next = parent.names.length;
  }

  #passOwnTrouble(error: unknown, path: ByteText): void {
    passOwnTrouble(error, showPath(toBytePath(path)));
  }

  #warn(code: SourceWarning['code'], path: ByteText, message: string): void {
    this.#options.warn({ code, path: toBytePath(path), message });
  }
}
