/** What a sync is asked to do, and what it says it did: the library's and the CLI's contract. */
import type { Report } from '../report.ts';
import type { DecryptKey } from '../segments/decrypt-key.ts';

export type SyncOptions = {
  /** The store that has the snapshots. */
  readonly source: string;
  /** The store that is to have them: a directory that exists. */
  readonly destination: string;
  /** Names, `latest`, prefixes; none means every snapshot of the source (of `scheme`). */
  readonly snapshots?: readonly string[];
  readonly scheme?: string;
  /** File with OpenPGP public keys: only snapshots signed by one of them are copied. */
  readonly verifyKey?: string;
  /** Reverse filters by extension, for the lists of Cumulus 0.11. */
  readonly unfilters?: ReadonlyMap<string, string>;
  /** Secret keys that decrypt these lists. */
  readonly decryptKey?: DecryptKey;
  /** Say what would be copied. */
  readonly dryRun?: boolean;
  readonly report?: Report;
  readonly signal?: AbortSignal;
};

export type SyncSummary = {
  readonly dryRun: boolean;
  /** Names of snapshots that were copied, and of those that were there already. */
  readonly copied: readonly string[];
  readonly present: readonly string[];
  readonly segments: number;
  /** Bytes of all files that were copied. */
  readonly bytes: number;
  /** Snapshots that could not be copied, each also reported as damage. */
  readonly damaged: number;
};
