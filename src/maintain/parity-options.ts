/** What making parity is asked, and what it says it did: the library's and the CLI's contract. */
import type { ReadOptions } from '../restore/restore-options.ts';

export type ParityOptions = ReadOptions & {
  /** Size of the parity in percent of the segments. */
  readonly redundancyPercent?: number;
  /** Say what would be made. */
  readonly dryRun?: boolean;
};

export type ParitySummary = {
  readonly dryRun: boolean;
  /** Sets that were made, and what their files take. */
  readonly sets: number;
  readonly bytes: number;
  /** Segments in these, and in the sets that were there. */
  readonly segments: number;
  readonly known: number;
  /** Segments and snapshots that are damaged, so that nothing was made of them. */
  readonly damaged: number;
};
