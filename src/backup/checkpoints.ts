/**
 * How a run goes on where one before it was killed or failed: what has been read is written down
 * each time a segment is durable, and adopted by the next run.
 */
import { LbsError } from '../errors.ts';
import { adoptLeftover } from '../localdb/stat-cache-leftover.ts';
import type { Report } from '../report.ts';

/**
 * Besides after each segment: of files whose content is stored already, so much may be read again
 * after a kill.
 */
const INTERVAL_BYTES = 64 * 1024 * 1024;

export class Checkpoints {
  #write = () => {};
  #nextBytes = INTERVAL_BYTES;

  /** From now on `write` writes down what is known. */
  begin(write: () => void): void {
    this.#write = write;
  }

  /** Takes how much the run has read so far; asked after every entry. */
  afterReading(bytesRead: number): void {
    if (bytesRead < this.#nextBytes) return;
    this.#nextBytes = bytesRead + INTERVAL_BYTES;
    this.#write();
  }

  afterSegment(): void {
    this.#write();
  }
}

/** Makes the stat cache one with which the work of a run that did not end is gone on with. */
export function goOnFromLast(cacheFile: string, report: Report): void {
  try {
    if (!adoptLeftover(cacheFile)) return;
    const message = 'the run before did not come to its end: what it had stored is not read again';
    report({ type: 'note', message });
  } catch (error) {
    if (!(error instanceof LbsError)) throw error;
    const message = `what the run before had read until it was stopped is read again: ${error.message}`;
    report({ type: 'note', message });
  }
}
