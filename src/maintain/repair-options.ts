/** What a repair is asked to do, and what it says it did: the library's and the CLI's contract. */
import type { ReadOptions } from '../restore/restore-options.ts';

export type RepairOptions = ReadOptions & {
  /** Directory of the local database, which is made again if it is lost; undefined: leave it. */
  readonly localdb?: string;
  /** Sign descriptors that are made again; not both. */
  readonly signKey?: string;
  readonly signatureFilter?: string;
  /** Look at everything, and say what would be done. */
  readonly dryRun?: boolean;
};

/** A file that was made again. */
export type RepairedFile = {
  /** Its name in the store. */
  readonly name: string;
  /** What it took the place of is kept under this name; undefined when there was nothing. */
  readonly keptAs: string | undefined;
  /** False: nothing says that it is what was lost, so it is not under the name of that. */
  readonly isProved: boolean;
};

export type RepairSummary = {
  readonly dryRun: boolean;
  readonly made: readonly RepairedFile[];
  /** The local database was lost, and made again. */
  readonly hasNewLocaldb: boolean;
  /** What could not be made again, each reported as damage. */
  readonly left: number;
};
