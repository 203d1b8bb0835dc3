/**
 * What is on disk now as a side of a comparison: a walk as a backup makes it, with content read only
 * when it is asked for.
 *
 * Called by live-diff. Trouble with an entry is a warning, as in a backup; nothing is changed.
 */
import { createHash } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { LbsError } from '../errors.ts';
import type { ChecksumAlgorithm } from '../format/checksum.ts';
import { xattrsField } from '../format/entry.ts';
import { groupName, userName } from '../posix/accounts.ts';
import type { FileStatus } from '../posix/file-status.ts';
import { AT_FDCWD, cString } from '../posix/libc.ts';
import type { Report, SourceWarning } from '../report.ts';
import { openContent } from '../sources/filesystem/open-content.ts';
import { withoutOwnFiles } from '../sources/filesystem/own-files.ts';
import type { NamedPaths } from '../sources/filesystem/named-paths.ts';
import { FilesystemSource } from '../sources/filesystem/scan.ts';
import type { Selector, Verdict } from '../sources/filesystem/select.ts';
import { type SourceContent, type SourceEntry, SourceTrouble } from '../sources/source.ts';
import { type BytePath, bytePath, isTop, isWithin } from '../std/byte-path.ts';
import type { Facts } from './facts.ts';
import type { PathFacts } from './sorted-entries.ts';

const CHUNK_BYTES = 1024 * 1024;
/** Entries between two turns of the event loop, so that an interrupt gets through. */
const ENTRIES_PER_TURN = 1000;
const SLASH = Buffer.from('/');

export type LiveSideOptions = {
  readonly named: NamedPaths;
  /** Asked about every entry, and obeyed in none: what it leaves out may be in the snapshot. */
  readonly selector: Selector;
  /** Only this path, relative to the top, and what is below it. */
  readonly root: BytePath;
  /** Directories of the backup itself, whose own files are left out. */
  readonly ownPlaces: readonly string[];
  readonly signal: AbortSignal | undefined;
  readonly report: Report | undefined;
};

export class LiveSide {
  readonly #options: LiveSideOptions;
  readonly #chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  #current: SourceEntry | undefined;
  #verdict: Verdict;
  #isLeftOut = false;
  entries = 0;
  filesRead = 0;
  bytesRead = 0;

  constructor(options: LiveSideOptions) {
    this.#options = options;
    this.#verdict = options.selector.top();
  }

  /** What is there, in the order of paths. */
  async *paths(): AsyncGenerator<PathFacts> {
    const { named, selector, root, ownPlaces, report } = this.#options;
    const source = new FilesystemSource({
      top: named.top,
      selector,
      takesAll: true,
      oneFileSystem: false,
      excludeIfPresent: [],
      excludeCaches: false,
      withoutOwnFiles: withoutOwnFiles(ownPlaces),
      mayEnter: () => !this.#isLeftOut,
      warn: (warning) => this.#warn(warning.code, warning.path, warning.message),
      note: (message) => report?.({ type: 'note', message }),
    });
    for (const entry of source.entries()) {
      this.#current = entry;
      this.#verdict = source.verdict;
      this.#isLeftOut = false;
      if (!isWithin(entry.path, root)) continue;
      this.entries++;
      yield { path: entry.path, facts: this.#factsOf(entry) };
      if (this.entries % ENTRIES_PER_TURN === 0) await this.#rest();
    }
  }

  /** Keeps the walk out of the directory that was given out last. */
  leaveOut(): void {
    this.#isLeftOut = true;
  }

  /** What the rules say of what was given out last. */
  get verdict(): Verdict {
    return this.#verdict;
  }

  /** The status of what was given out last. */
  get status(): FileStatus | undefined {
    return this.#current?.status;
  }

  /** Reads the regular file that was given out last; undefined when it cannot be read. */
  async digest(algorithm: ChecksumAlgorithm): Promise<string | undefined> {
    const entry = this.#current;
    if (entry === undefined) return undefined;
    return await this.#digest(entry.path, () => entry.openContent(), algorithm);
  }

  /** Reads any regular file; undefined when it cannot be read. */
  async digestOf(path: BytePath, algorithm: ChecksumAlgorithm): Promise<string | undefined> {
    const { top } = this.#options.named;
    const full = isTop(path) ? top : Buffer.concat([top, SLASH, path]);
    return await this.#digest(path, () => openContent(AT_FDCWD, cString(full)), algorithm);
  }

  async #digest(
    path: BytePath,
    open: () => SourceContent,
    algorithm: ChecksumAlgorithm,
  ): Promise<string | undefined> {
    let content: SourceContent | undefined;
    try {
      content = open();
      const digest = createHash(algorithm);
      for (let at = 0; ;) {
        const length = content.read(this.#chunk, at, CHUNK_BYTES);
        digest.update(this.#chunk.subarray(0, length));
        at += length;
        this.bytesRead += length;
        if (length < CHUNK_BYTES) break;
        await this.#rest();
      }
      this.filesRead++;
      this.#progress(path);
      if (!content.isUnchanged()) {
        this.#warn('changed-while-reading', path, 'changed while it was read');
      }
      return digest.digest('hex');
    } catch (error) {
      this.#passTrouble(error, path);
      return undefined;
    } finally {
      content?.close();
    }
  }

  #factsOf(entry: SourceEntry): Facts {
    const { status } = entry;
    const { type = 'f', uid, gid } = status;
    const isDevice = type === 'c' || type === 'b';
    return {
      type,
      mode: status.mode,
      uid,
      gid,
      user: userName(uid),
      group: groupName(gid),
      mtime: status.mtime,
      sizeBytes: type === 'f' ? status.sizeBytes : 0,
      target:
        type === 'l' ? this.#read(entry, () => entry.linkTarget().toString('latin1')) : undefined,
      device: isDevice ? status.rdev : undefined,
      xattrs: this.#read(entry, () => xattrsField(entry.xattrs())),
    };
  }

  #read<T>(entry: SourceEntry, read: () => T): T | undefined {
    try {
      return read();
    } catch (error) {
      this.#passTrouble(error, entry.path);
      return undefined;
    }
  }

  #passTrouble(error: unknown, path: BytePath): void {
    if (!(error instanceof SourceTrouble)) throw error;
    this.#warn(error.code, path, error.message);
  }

  #warn(code: SourceWarning['code'], path: BytePath, message: string): void {
    const words = code === 'vanished' ? 'vanished while it was compared' : message;
    const warning = { code, path: bytePath(Buffer.from(path)), message: words };
    this.#options.report?.({ type: 'warning', warning });
  }

  #progress(path: BytePath): void {
    const { report } = this.#options;
    const totals = { totalFiles: undefined, totalBytes: undefined };
    const progress = { files: this.filesRead, bytes: this.bytesRead, ...totals, path };
    report?.({ type: 'progress', progress });
  }

  async #rest(): Promise<void> {
    await turn();
    if (this.#options.signal?.aborted === true) {
      throw new LbsError('interrupted', 'interrupted while comparing');
    }
  }
}
