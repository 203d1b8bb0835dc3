/** What a healing is asked to do, and what it says it did: the library's and the CLI's contract. */
import type { ReadOptions } from '../restore/restore-options.ts';

export type HealOptions = ReadOptions & {
  /** The store that has good files. */
  readonly from: string;
  /** Look at everything, and say what would be done. */
  readonly dryRun?: boolean;
};

export type HealSummary = {
  readonly dryRun: boolean;
  /** Files of the store that were damaged or missing. */
  readonly damaged: number;
  readonly healed: number;
  /** What could not be healed, each reported as damage. */
  readonly left: number;
};
