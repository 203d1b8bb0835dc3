/**
 * Gives the event loop its turn during long synchronous stretches (signals, filters that have
 * ended, the progress display), and ends the run tidily when it is to be interrupted.
 */
import { setImmediate } from 'node:timers/promises';
import { LbsError } from '../errors.ts';
import { type Report, silentReport } from '../report.ts';
import type { SourceEntry } from '../sources/source.ts';
import type { BytePath } from '../std/byte-path.ts';
import type { BackupOptions } from './backup-options.ts';

/** Often enough for a display and for Ctrl-C, rare enough to cost nothing. */
const INTERVAL_MS = 50;
/** The clock is looked at once in so many entries; looking took as long as comparing an entry. */
const ENTRIES_PER_LOOK = 16;

type Counts = { readonly files: number; readonly bytes: number };

/** True for what ends a run whose work is of use to the next one. */
export function isTidyStop(error: unknown): boolean {
  return error instanceof LbsError && (error.code === 'interrupted' || error.code === 'time-limit');
}

export class Breather {
  readonly #report: Report;
  readonly #signal: AbortSignal | undefined;
  readonly #totals: Counts | undefined;
  readonly #maxDurationS: number;
  readonly #begun = performance.now();
  #counts: Counts = { files: 0, bytes: 0 };
  #path: BytePath | undefined;
  #last = performance.now();
  #entries = 0;

  /** `maxDurationS`: the run is ended that long after now, unless it has read everything by then. */
  constructor(
    { report = silentReport, signal, maxDurationS }: BackupOptions,
    totals: Counts | undefined,
  ) {
    this.#report = report;
    this.#signal = signal;
    this.#maxDurationS = maxDurationS ?? Infinity;
    this.#totals = totals;
  }

  /** Takes the live counts to report. */
  watch(counts: Counts): void {
    this.#counts = counts;
  }

  /** True when a turn is due; remembers where the run is. */
  isDue(entry: SourceEntry): boolean {
    if (++this.#entries % ENTRIES_PER_LOOK !== 0) return false;
    if (performance.now() - this.#last < INTERVAL_MS) return false;
    this.#path = entry.path;
    return true;
  }

  /** Gives a turn if one is due. @throws {LbsError} interrupted, time-limit */
  async breathe(): Promise<void> {
    const now = performance.now();
    if (now - this.#last < INTERVAL_MS) return;
    this.#last = now;
    await setImmediate();
    this.checkInterrupted();
    this.#checkTime(now);
    const { files, bytes } = this.#counts;
    const totals = { totalFiles: this.#totals?.files, totalBytes: this.#totals?.bytes };
    this.#report({ type: 'progress', progress: { files, bytes, ...totals, path: this.#path } });
  }

  #checkTime(now: number): void {
    if (now - this.#begun < this.#maxDurationS * 1000) return;
    const message = `stopped after ${this.#maxDurationS} seconds, the longest it may take: no snapshot was made`;
    throw new LbsError('time-limit', message, {
      hint: 'run the same command again: it goes on from here, and does not read again what it has read',
    });
  }

  /** @throws {LbsError} interrupted */
  checkInterrupted(): void {
    if (this.#signal?.aborted !== true) return;
    throw new LbsError('interrupted', 'interrupted: no snapshot was made', {
      hint: 'what was stored so far is used by the next run of the same command',
    });
  }
}
