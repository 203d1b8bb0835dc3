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
import { sortedNames } from '../../posix/directory-names.ts';
import { openDirectory, openStepByStep, openToPass } from './directory-reader.ts';
import { passOwnTrouble } from './entry-trouble.ts';
import { FilesystemEntry, nameBytes } from './filesystem-entry.ts';
import { CACHE_TAG, isCacheTag, isKernelFilesystem } from './place-rules.ts';
import { RuleReader } from './rule-files.ts';
import type { Selector, Verdict } from './select.ts';
import type { Barrier, Trail } from './trail.ts';

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
  /** Yield what rules leave out, too; `verdict` says what they say. */
  readonly takesAll?: boolean;
  /** Walk down to one path only. */
  readonly trail?: Trail;
  readonly warn: (warning: SourceWarning) => void;
  readonly note: (message: string) => void;
};

const UP = Buffer.from('..\0');

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

  /** What the rules say of the entry that was yielded last. */
  get verdict(): Verdict {
    return this.#verdict;
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
      if (this.#takes(verdict)) {
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
      const judged = selector.top();
      const fd = this.#open(libc.AT_FDCWD, libc.cString(top), judged);
      const status = statusOf(fd);
      const path = asByteText('.');
      const names = this.#namesIn(fd, { path, status, verdict: judged });
      const verdict = this.#entered(fd, path, names, judged);
      this.#options.trail?.judged(path, verdict);
      this.#stack.push({
        path,
        fd,
        status,
        verdict,
        names: this.#onTrail(path, names),
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
    if (!this.#takes(verdict) && !verdict.search && !this.#mayTakeDirectory(frame, name)) {
      if (this.#options.trail !== undefined) this.#judged(frame, name, verdict);
      this.#noteUnnamed(frame, name, verdict);
      return undefined;
    }
    const status = this.#status(frame, name);
    if (status === undefined) return undefined;
    const isDirectory = status.type === 'd';
    if (isDirectory) verdict = selector.child(frame.verdict, frame.path, name, true);
    if (this.#options.trail !== undefined) this.#judged(frame, name, verdict);
    if (!this.#takes(verdict) && !(verdict.search && isDirectory)) {
      this.#noteUnnamed(frame, name, verdict);
      return undefined;
    }
    if (status.type === undefined) {
      const path = joinText(frame.path, name);
      this.#stopped(path, { kind: 'unsupported-type' });
      this.#warn('unsupported-type', path, 'is of a type that cannot be stored');
      return undefined;
    }
    this.#verdict = verdict;
    return new FilesystemEntry(frame, name, status);
  }

  /** What a person names and leaves out is most often hit by a pattern that was meant for others. */
  #noteUnnamed({ path }: Frame, name: ByteText, { isNamed, decision }: Verdict): void {
    if (!isNamed || decision?.kind !== 'exclude') return;
    const left = showPath(toBytePath(joinText(path, name)));
    this.#options.note(`nothing is saved of ${left}: --exclude=${showPath(decision.rule)} hits it`);
  }

  #takes(verdict: Verdict): boolean {
    return verdict.selected || (this.#options.takesAll === true && verdict.inNamed);
  }

  /**
   * True when a name that would be left out as a file may be taken as a directory. Without this
   * question each left out name had to be looked at, and what may be unreadable was left out on purpose.
   */
  #mayTakeDirectory(frame: Frame, name: ByteText): boolean {
    const { selector } = this.#options;
    if (!selector.judgesTypes) return false;
    const verdict = selector.child(frame.verdict, frame.path, name, true);
    return this.#takes(verdict) || verdict.search;
  }

  #judged(frame: Frame, name: ByteText, verdict: Verdict): void {
    this.#options.trail?.judged(joinText(frame.path, name), verdict);
  }

  #stopped(path: ByteText, barrier: Barrier): void {
    this.#options.trail?.stopped(path, barrier);
  }

  #status(frame: Frame, name: ByteText): FileStatus | undefined {
    try {
      return statusOfName(frame.fd, name);
    } catch (error) {
      const path = joinText(frame.path, name);
      this.#passOwnTrouble(error, path);
      this.#stopped(path, { kind: 'unreadable', message: messageOf(error) });
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
      fd = this.#open(parent.fd, raw, verdict);
      const names = this.#namesIn(fd, { path: entry.text, status: entry.status, verdict });
      const marker = this.#marker(fd, names, verdict);
      if (marker !== undefined) {
        this.#stopped(entry.text, { kind: 'exclude-if-present', marker });
        libc.close(fd);
        return;
      }
      const isCache = this.#isCache(fd, names) && verdict.selected;
      const kept = isCache ? [CACHE_TAG] : names;
      if (isCache) this.#stopped(entry.text, { kind: 'exclude-caches' });
      const pending = this.#takes(verdict) ? undefined : entry;
      pending?.useOwnHandle(fd);
      if (pending !== undefined) this.#pendingFrames++;
      this.#stack.push({
        path: entry.text,
        fd,
        status: entry.status,
        verdict: this.#entered(fd, entry.text, kept, verdict),
        names: this.#onTrail(entry.text, kept),
        next: 0,
        pending,
      });
      this.#limitHandles();
    } catch (error) {
      if (fd >= 0) libc.close(fd);
      this.#passOwnTrouble(error, entry.text);
      this.#stopped(entry.text, { kind: 'unreadable', message: messageOf(error) });
      const gone = errnoName(error) === 'ENOENT';
      this.#warn(gone ? 'vanished' : 'unreadable', entry.text, `its contents: ${messageOf(error)}`);
    }
  }

  #open(dir: number, name: Buffer, verdict: Verdict): number {
    const isOnlyPassed = this.#options.selector.leadingOn(verdict) !== undefined;
    return isOnlyPassed ? openToPass(dir, name) : openDirectory(dir, name);
  }

  /**
   * What is in a directory, without the files of the backup itself. Above the named paths nothing is
   * listed: what a person names may be there without being listed, as `.zfs` and `.snapshot` are.
   */
  #namesIn(
    fd: number,
    { path, status, verdict }: Pick<Frame, 'path' | 'status' | 'verdict'>,
  ): readonly ByteText[] {
    const name = this.#nameOnTrail(path);
    const leading = this.#options.selector.leadingOn(verdict);
    const isEnough = leading !== undefined && (name === undefined || leading.includes(name));
    const all = isEnough ? [...leading] : sortedNames(fd);
    const names = this.#options.withoutOwnFiles(status, all);
    if (name !== undefined && !names.includes(name)) {
      const barrier: Barrier = all.includes(name)
        ? { kind: 'own-file' }
        : { kind: 'unreadable', message: 'its directory does not list it' };
      this.#stopped(joinText(path, name), barrier);
    }
    return names;
  }

  /** The one name in a directory that leads on along the trail. */
  #nameOnTrail(path: ByteText): ByteText | undefined {
    const { trail } = this.#options;
    return trail?.names[path === '.' ? 0 : path.split('/').length];
  }

  #onTrail(path: ByteText, names: readonly ByteText[]): readonly ByteText[] {
    const name = this.#nameOnTrail(path);
    return name === undefined ? names : names.filter((each) => each === name);
  }

  /** The verdict on a directory with what its own rule files say of its contents. */
  #entered(fd: number, path: ByteText, names: readonly ByteText[], verdict: Verdict): Verdict {
    const { selector, warn } = this.#options;
    if (!selector.readsRules) return verdict;
    const reader = new RuleReader(fd, path, warn);
    return selector.entered(verdict, { path, names, read: (file) => reader.read(file) });
  }

  #mayEnter(parent: Frame, entry: FilesystemEntry, verdict: Verdict, raw: Buffer): boolean {
    const { oneFileSystem, note } = this.#options;
    const { status } = entry;
    if (status.device === parent.status.device || verdict.isNamed) return true;
    if (verdict.inNamed && oneFileSystem) {
      this.#stopped(entry.text, { kind: 'one-file-system' });
      return false;
    }
    if (verdict.inNamed && isKernelFilesystem(parent.fd, raw)) {
      this.#stopped(entry.text, { kind: 'kernel-filesystem' });
      note(`the contents of ${showPath(entry.path)} are left out: a filesystem of the kernel`);
      return false;
    }
    return true;
  }

  /** The entry that says that the contents of its directory are to be left out. */
  #marker(fd: number, names: readonly ByteText[], verdict: Verdict): ByteText | undefined {
    if (!verdict.inNamed) return undefined;
    return this.#options.excludeIfPresent.find(
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

  /**
   * The way back up from a deep place: `..` must still be the directory we came from. Where the one
   * below was moved away, it is found again from the top, or all that is still to come would be lost.
   */
  #reopen(parent: Frame, child: Frame): void {
    try {
      parent.fd = this.#openAbove(parent, child);
      if (parent.fd < 0) parent.fd = this.#sameAs(parent, this.#openFromTop(parent.path));
      if (parent.fd >= 0) return;
      this.#warn('vanished', parent.path, 'was moved during the backup; the rest of it is missing');
    } catch (error) {
      this.#passOwnTrouble(error, parent.path);
      this.#warn('unreadable', parent.path, `the rest of it: ${messageOf(error)}`);
    }
    parent.next = parent.names.length;
  }

  #openAbove(parent: Frame, child: Frame): number {
    if (child.fd < 0) return -1;
    try {
      return this.#sameAs(parent, this.#open(child.fd, UP, parent.verdict));
    } catch {
      // What is in the way here is so, too, on the way from the top, or does not matter.
      return -1;
    }
  }

  /** The handle, if it is of the directory of that frame; else it is closed, and -1. */
  #sameAs({ status }: Frame, fd: number): number {
    const { inode, device } = statusOf(fd);
    if (inode === status.inode && device === status.device) return fd;
    libc.close(fd);
    return -1;
  }

  #openFromTop(path: ByteText): number {
    const names = path === '.' ? [] : path.split('/').map((name) => nameBytes(asByteText(name)));
    return openStepByStep(libc.cString(this.#options.top), names);
  }

  #passOwnTrouble(error: unknown, path: ByteText): void {
    passOwnTrouble(error, showPath(toBytePath(path)));
  }

  #warn(code: SourceWarning['code'], path: ByteText, message: string): void {
    this.#options.warn({ code, path: toBytePath(path), message });
  }
}
