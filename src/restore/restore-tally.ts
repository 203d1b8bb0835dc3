/**
 * What a restore has done so far: the counts of the summary, and the events that go with them.
 * Every stage of a restore reports through it; nothing else in restore/ makes events.
 */
import { setImmediate } from 'node:timers/promises';
import { LbsError } from '../errors.ts';
import { metadataDamage, type Report, type RestoreWarning } from '../report.ts';
import { type BytePath, TOP, bytePath, showPath } from '../std/byte-path.ts';

/** Longest stretch of synchronous work: after it signals and timers get their turn. */
const STRETCH_MS = 40;

/** A path below the target (`''` for the target itself) as events and people know it. */
export function recordedPath(path: Buffer): BytePath {
  return path.length === 0 ? TOP : bytePath(path);
}

export class RestoreTally {
  entries = 0;
  files = 0;
  /** Regular files put in place, or whose attributes were corrected. */
  filesRestored = 0;
  filesUnchanged = 0;
  kept = 0;
  deletedEntries = 0;
  /** False while nothing was made, replaced, corrected or deleted. */
  hasChanged = false;
  bytesWritten = 0;
  warnings = 0;
  damaged = 0;
  leftoversRemoved = 0;
  /** Regular files that were looked at or written, for progress. */
  #filesSeen = 0;
  #bytesSeen = 0;
  #totalFiles: number | undefined;
  #totalBytes: number | undefined;
  #path: BytePath | undefined;
  #restedAt = performance.now();
  readonly #report: Report;
  readonly #signal: AbortSignal | undefined;
  readonly #snapshot: string;

  constructor(snapshot: string, report: Report, signal: AbortSignal | undefined) {
    this.#snapshot = snapshot;
    this.#report = report;
    this.#signal = signal;
  }

  warn(code: RestoreWarning['code'], path: Buffer, message: string): void {
    this.warnings++;
    this.#report({ type: 'warning', warning: { code, path: recordedPath(path), message } });
  }

  /** The entry at `path` could not be restored, because the store is damaged. */
  damage(path: Buffer, message: string): void {
    this.damaged++;
    const shown = recordedPath(path);
    const damage = { name: showPath(shown), path: shown, snapshot: this.#snapshot, message };
    this.#report({ type: 'damage', damage: { what: 'entry', ...damage } });
  }

  /** A part of the metadata is damaged: which entries it held is not known. */
  metadataDamage(message: string): void {
    this.damaged++;
    this.#report({ type: 'damage', damage: metadataDamage(this.#snapshot, message) });
  }

  note(message: string): void {
    this.#report({ type: 'note', message });
  }

  /** One entry is in place, made by this run. */
  restored(path: Buffer, sizeBytes: number): void {
    this.hasChanged = true;
    this.#path = recordedPath(path);
    this.#report({ type: 'restored', path: this.#path, sizeBytes });
  }

  /** The same for a regular file, whose other names count too. */
  fileRestored(path: Buffer, sizeBytes: number): void {
    this.filesRestored++;
    this.restored(path, sizeBytes);
  }

  /** One entry was in place already, and only its attributes were put right. */
  corrected(): void {
    this.hasChanged = true;
  }

  /** One entry that the snapshot does not have is gone. */
  deleted(path: Buffer): void {
    this.hasChanged = true;
    this.deletedEntries++;
    this.#report({ type: 'deleted', path: recordedPath(path) });
  }

  /** A segment that a dry run would have to fetch. */
  toFetch(file: string, sizeBytes: number): void {
    this.#report({ type: 'to-fetch', file, sizeBytes });
  }

  /** One regular file is dealt with, whatever came of it. */
  fileSeen(sizeBytes: number): void {
    this.#filesSeen++;
    this.#bytesSeen += sizeBytes;
  }

  /** What `fileSeen` will have counted in the end. */
  expect(files: number, bytes: number): void {
    this.#totalFiles = files;
    this.#totalBytes = bytes;
  }

  /**
   * To be awaited between entries: usually free, now and then lets the event loop turn (signals
   * are only delivered there) and reports progress. @throws {LbsError} interrupted
   */
  rest(): Promise<void> | undefined {
    if (performance.now() - this.#restedAt < STRETCH_MS) return undefined;
    return this.#turn();
  }

  /** @throws {LbsError} interrupted */
  checkSignal(): void {
    if (this.#signal?.aborted !== true) return;
    throw new LbsError('interrupted', 'the restore was interrupted', {
      cause: this.#signal.reason,
      hint: 'what is in place is complete; run the same command again to do the rest',
    });
  }

  progress(): void {
    this.#report({
      type: 'progress',
      progress: {
        files: this.#filesSeen,
        bytes: this.#bytesSeen,
        totalFiles: this.#totalFiles,
        totalBytes: this.#totalBytes,
        path: this.#path,
      },
    });
  }

  async #turn(): Promise<void> {
    await setImmediate();
    this.#restedAt = performance.now();
    this.checkSignal();
    this.progress();
  }
}
