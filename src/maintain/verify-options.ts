/** What `verify` and `list` are asked, and what they answer: the library's and the CLI's contract. */
import type { ErrorCode } from '../errors.ts';
import type { SnapshotCounts } from '../format/descriptor.ts';
import type { Damage } from '../report.ts';
import type { ReadOptions } from '../restore/restore-options.ts';

/** `checksums`: files of the store against the sums files. `objects`: and every segment
 * unfiltered, every reference resolvable. `data`: and every file's bytes rebuilt and hashed. */
export type VerifyDepth = 'checksums' | 'objects' | 'data';

export type VerifyOptions = ReadOptions & {
  readonly depth?: VerifyDepth;
  /** Names, `latest`, prefixes; none means every snapshot of the store. */
  readonly snapshots?: readonly string[];
  /** Directory of the local database, which tells what was seen of the store; default: the store. */
  readonly localdb?: string;
};

/** No damage: a backup that is running may need them yet, or one that was stopped left them. */
export type UnneededFiles = {
  readonly files: number;
  readonly bytes: number;
  /** Of unfinished files that have no name of their own yet. */
  readonly unfinished: number;
  readonly unfinishedBytes: number;
};

export type VerifySummary = {
  readonly depth: VerifyDepth;
  readonly snapshots: readonly string[];
  /** Files of the store that were read. */
  readonly storeFiles: number;
  readonly bytesRead: number;
  readonly objects: number;
  /** Entries whose content was checked (`data`). */
  readonly files: number;
  /** Files that none of its snapshots needs; undefined unless all of them were verified. */
  readonly unneeded: UnneededFiles | undefined;
  /** What is damaged, each also reported as an event; any means exit 4, of `history` 12. */
  readonly damage: readonly Damage[];
  readonly durationS: number;
};

/** One snapshot as `list` shows it. */
export type SnapshotInfo = {
  readonly name: string;
  readonly scheme: string | undefined;
  /** Seconds since 1970. */
  readonly date: number | undefined;
  readonly host: string | undefined;
  readonly producer: string | undefined;
  readonly format: string;
  readonly signed: boolean;
  readonly counts: SnapshotCounts | undefined;
  /** Importance, 1 being usual, where it is recorded. */
  readonly intent: number | undefined;
  readonly segments: number;
  /** Size of the segments it needs, as stored. */
  readonly storedBytes: number;
  readonly isHeld: boolean;
  readonly tags: readonly string[];
  /** Why the descriptor cannot be used, when it cannot. */
  readonly error: string | undefined;
  /** The code of that error. */
  readonly errorCode: ErrorCode | undefined;
};
