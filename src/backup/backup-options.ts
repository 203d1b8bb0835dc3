/** What a backup is asked to do, and what it says it did: the library's and the CLI's contract. */
import type { LbsError } from '../errors.ts';
import type { Report } from '../report.ts';
import type { DecryptKey } from '../segments/decrypt-key.ts';
import type { RuleOptions } from '../sources/filesystem/rule-files.ts';
import type { BytePath } from '../std/byte-path.ts';
import type { UploadOptions } from '../stores/upload-options.ts';

export type BackupOptions = {
  /** The store, a directory that exists; or several, which all get the snapshot. */
  readonly store?: string | readonly string[];
  /** A script that gets the files of the snapshot, too, or instead of a store. */
  readonly upload?: UploadOptions;
  /**
   * Directory of the local database and stat cache; default: the store, where there is just one.
   */
  readonly localdb?: string;
  readonly scheme?: string;
  /** Paths as a person gave them: all absolute or all relative to the working directory. */
  readonly paths: readonly BytePath[];
  readonly excludes?: readonly BytePath[];
  readonly includes?: readonly BytePath[];
  /** Rules in files, asked about what `excludes` and `includes` leave in. */
  readonly ruleFiles?: RuleOptions;
  /** Shell command between tar and file; default `zstd -c`. */
  readonly filter?: string;
  /** Extension of filtered segments; default: the one that goes with `filter`. */
  readonly filterExtension?: string;
  /** Reverse filters by extension (`.xyz` -> command), besides the built-in ones. */
  readonly unfilters?: ReadonlyMap<string, string>;
  /** Files with OpenPGP public keys, to all of which segments are encrypted behind the filter. */
  readonly encryptTo?: readonly string[];
  /** Secret keys, for the proof that what was encrypted can be read; without them gpg tries. */
  readonly decryptKey?: DecryptKey;
  /** Shell command that signs the descriptor. */
  readonly signatureFilter?: string;
  /** File with an OpenPGP secret key that signs the descriptor. */
  readonly signKey?: string;
  /** File with OpenPGP public keys: only notes of forgotten snapshots by one of them are believed. */
  readonly verifyKey?: string;
  readonly fullMetadata?: boolean;
  /** Read every file again, whatever the stat cache says. */
  readonly rebuildStatcache?: boolean;
  /** Percentage (0 to 100) of unchanged files to read again in this run. */
  readonly rereadPercent?: number;
  readonly oneFileSystem?: boolean;
  /** Leave out the contents of directories that hold an entry of such a name. */
  readonly excludeIfPresent?: readonly Buffer[];
  /** Leave out the contents of directories tagged by CACHEDIR.TAG. */
  readonly excludeCaches?: boolean;
  /** Size a segment should have after the filter, in bytes. */
  readonly segmentSizeBytes?: number;
  /** Recorded in the descriptor: more than 0, 1 being usual. */
  readonly intent?: number;
  /** Tags of the new snapshot. */
  readonly tags?: readonly string[];
  /** Report what would be done; change neither store nor local state. */
  readonly dryRun?: boolean;
  /** Stop tidily after so many seconds, without a snapshot; the next run goes on. */
  readonly maxDurationS?: number;
  readonly report?: Report;
  readonly signal?: AbortSignal;
};

/** What became of one of the stores of a run. */
export type StoreOutcome = {
  /** Its path, or the command of an upload script. */
  readonly store: string;
  /** The new snapshot; undefined where it is not, and for a dry run. */
  readonly snapshot: string | undefined;
  /** Why it is not there. */
  readonly error: LbsError | undefined;
  /** False of an upload script: nothing can be copied from it. */
  readonly isReadable: boolean;
};

export type BackupSummary = {
  /** Name of the new snapshot; undefined for a dry run. */
  readonly snapshot: string | undefined;
  /** Each store that was named; where one failed, another has the snapshot. */
  readonly stores: readonly StoreOutcome[];
  readonly dryRun: boolean;
  /** Tags that the snapshot got. */
  readonly tags: readonly string[];
  readonly entries: number;
  readonly directories: number;
  readonly files: number;
  /** Files whose path was not in the snapshot before (all of them, without a stat cache). */
  readonly filesNew: number;
  readonly filesChanged: number;
  readonly filesUnchanged: number;
  /** Sum of the sizes of all regular files. */
  readonly bytes: number;
  /** Bytes of content that were read. */
  readonly bytesRead: number;
  /** Bytes of content and metadata put into segments, before the filter. */
  readonly bytesAdded: number;
  /** Bytes of data content (without metadata) put into segments, before the filter. */
  readonly dataBytesAdded: number;
  /** Bytes added to each store: segments after the filter, checksums files, descriptor. */
  readonly bytesStored: number;
  readonly segmentsStored: number;
  /** Warnings about source entries; more than 0 means exit 3. */
  readonly warnings: number;
  /** Snapshots of the scheme that are gone, or others than they were; any means exit 3. */
  readonly tampered: number;
  readonly durationS: number;
};
