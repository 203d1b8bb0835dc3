/** What compacting is asked to do, and what it says it did: the library's and the CLI's contract. */
import type { ReadOptions } from '../restore/restore-options.ts';
import type { CleanedSegment } from './clean.ts';

export type CompactOptions = Omit<ReadOptions, 'scheme'> & {
  /** Directory of the local database; default: the store. */
  readonly localdb?: string;
  /** Only segments that these snapshots need; default: those that no last snapshot of a scheme uses. */
  readonly snapshots?: readonly string[];
  /** In what scheme words like `latest` look. */
  readonly scheme?: string;
  /** Also segments that the last snapshots of the schemes use. */
  readonly all?: boolean;
  /** Share of a segment, 0 to 1, below which it is compacted. */
  readonly minUsed?: number;
  /** Shell command between tar and file; default `zstd -c`. */
  readonly filter?: string;
  readonly filterExtension?: string;
  /** Files with OpenPGP public keys, to all of which new segments are encrypted. */
  readonly encryptTo?: readonly string[];
  /** What signs the descriptors that take the place of signed ones. */
  readonly signKey?: string;
  readonly signatureFilter?: string;
  /** Size a segment should have after the filter, in bytes. */
  readonly segmentSizeBytes?: number;
  readonly dryRun?: boolean;
  /** Of a dry run: snapshots that would be gone by then. */
  readonly without?: ReadonlySet<string>;
  /** Of a dry run: files of segments that would be given up by then. */
  readonly givenUp?: ReadonlySet<string>;
  readonly onSegment?: (segment: CleanedSegment) => void;
  readonly onSnapshot?: (snapshot: RenamedSnapshot) => void;
};

export type RenamedSnapshot = { readonly name: string; readonly oldName: string };

export type CompactSummary = {
  readonly dryRun: boolean;
  /** Segments that no snapshot of this database needs any more. */
  readonly segments: number;
  /** Size in the store of these, which collecting makes free. */
  readonly storedBytes: number;
  readonly snapshots: readonly RenamedSnapshot[];
  /** Size in the store of segments that were read for their contents, or to be relied on. */
  readonly readBytes: number;
  /** Content that was copied, before the filter. */
  readonly contentBytes: number;
  /** Metadata that was written, before the filter. */
  readonly metadataBytes: number;
  /** What new segments came to in the store; 0 in a dry run. */
  readonly addedBytes: number;
  /** Segments that are worth it and were left, each cause told as a note. */
  readonly segmentsLeft: number;
  /** Segments and snapshots that were left, or not relied on, because they are damaged; each reported. */
  readonly damaged: number;
  /** Older segments that the new snapshots need: for a dry run of a collection. */
  readonly needed: ReadonlySet<string>;
};
