/** How far sync and heal are, told as bytes of those that are to be copied or looked at. */
import type { Report } from '../report.ts';
import { type BytePath, bytePath } from '../std/byte-path.ts';
import { refuseInterrupted } from './copy-file.ts';

export class CopyProgress {
  readonly #report: Report;
  readonly #signal: AbortSignal | undefined;
  #files = 0;
  #bytes = 0;
  #totalFiles: number | undefined;
  #totalBytes: number | undefined;
  #path: BytePath | undefined;

  constructor(report: Report, signal: AbortSignal | undefined) {
    this.#report = report;
    this.#signal = signal;
  }

  /** Begins to count from 0 to these totals. @throws {LbsError} interrupted */
  start(totalFiles: number, totalBytes: number): void {
    this.#files = 0;
    this.#bytes = 0;
    this.#totalFiles = totalFiles;
    this.#totalBytes = totalBytes;
    this.bytes(0);
  }

  /** Names the file that is at work. */
  file(name: string): void {
    this.#path = bytePath(name);
  }

  /** Bytes that are done. @throws {LbsError} interrupted */
  readonly bytes = (count: number): void => {
    refuseInterrupted(this.#signal);
    this.#bytes += count;
    this.#report({
      type: 'progress',
      progress: {
        files: this.#files,
        bytes: this.#bytes,
        totalFiles: this.#totalFiles,
        totalBytes: this.#totalBytes,
        path: this.#path,
      },
    });
  };

  /** A file is done. */
  done(): void {
    this.#files++;
  }
}
