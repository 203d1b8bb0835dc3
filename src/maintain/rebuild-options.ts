/** What `rebuild` is asked to do, and what it says it did: the library's and the CLI's contract. */
import type { ReadOptions } from '../restore/restore-options.ts';

export type RebuildOptions = Omit<ReadOptions, 'scheme'> & {
  /** Directory of the local database; default: the store. */
  readonly localdb?: string;
  /** Read every segment file, and leave out those that are not as their checksums say. */
  readonly check?: boolean;
};

export type RebuildSummary = {
  readonly snapshots: number;
  readonly segments: number;
  /** Objects that can be found by content. */
  readonly blocks: number;
  /** Segment files that were read: all with `check`, else those whose SHA-256 nobody recorded. */
  readonly hashed: number;
  /** Snapshots and segments of which something is damaged or missing, each reported as damage. */
  readonly damaged: number;
  /** Snapshots that were left out, because they have no good signature. */
  readonly unsigned: number;
};
