/** Counts what a verification has read, and tells about it from time to time. */
import { LbsError } from '../errors.ts';
import type { Report } from '../report.ts';

/** Between two reports; whoever shows them thins them out further. */
const REPORT_BYTES = 8 * 1024 * 1024;

export class VerifyProgress {
  readonly #report: Report;
  readonly #signal: AbortSignal | undefined;
  /** Over all stages. */
  storeFiles = 0;
  bytesRead = 0;
  objects = 0;
  #files = 0;
  #bytes = 0;
  #totalFiles: number | undefined;
  #totalBytes: number | undefined;
  #reportedBytes = 0;

  constructor(report: Report, signal: AbortSignal | undefined) {
    this.#report = report;
    this.#signal = signal;
  }

  /** Begins to count from 0 to these totals. */
  startStage(totalFiles: number | undefined, totalBytes: number | undefined): void {
    this.#files = 0;
    this.#bytes = 0;
    this.#reportedBytes = 0;
    this.#totalFiles = totalFiles;
    this.#totalBytes = totalBytes;
    this.#tell();
  }

  /** Bytes that were read. @throws {LbsError} interrupted */
  countBytes(bytes: number): void {
    this.bytesRead += bytes;
    this.#bytes += bytes;
    if (this.#bytes - this.#reportedBytes < REPORT_BYTES) return;
    this.#reportedBytes = this.#bytes;
    this.#tell();
  }

  /** A file of the store is done. @throws {LbsError} interrupted */
  countFile(bytes: number): void {
    this.storeFiles++;
    this.#files++;
    this.countBytes(bytes);
  }

  #tell(): void {
    if (this.#signal?.aborted === true) throw new LbsError('interrupted', 'verify was interrupted');
    const progress = {
      files: this.#files,
      bytes: this.#bytes,
      totalFiles: this.#totalFiles,
      totalBytes: this.#totalBytes,
      path: undefined,
    };
    this.#report({ type: 'progress', progress });
  }
}
