/** What a restore is asked to do, and what it says it did: the library's and the CLI's contract. */
import type { Report } from '../report.ts';
import type { DecryptKey } from '../segments/decrypt-key.ts';
import type { RuleOptions } from '../sources/filesystem/rule-files.ts';
import type { BytePath } from '../std/byte-path.ts';

/** How to read a store: shared by every command that reads one. */
export type ReadOptions = {
  /** The store, a directory that exists. */
  readonly store: string;
  /** Which scheme `latest` means, in a store that has several. */
  readonly scheme?: string;
  /** File with OpenPGP public keys: only descriptors signed by one of them are used. */
  readonly verifyKey?: string;
  /** Reverse filters by extension (`.xyz` -> command), besides the built-in ones. */
  readonly unfilters?: ReadonlyMap<string, string>;
  /** Secret keys that decrypt `.gpg` files; without them gpg does it. */
  readonly decryptKey?: DecryptKey;
  readonly report?: Report;
  readonly signal?: AbortSignal;
};

/** Rules as of a backup, on paths within the snapshot: what is left out, and what still is in. */
export type RestoreRules = {
  readonly excludes?: readonly BytePath[];
  readonly includes?: readonly BytePath[];
  /** Files of rules, lbs-rules(5). */
  readonly ruleFiles?: readonly BytePath[];
};

export type RestoreOptions = ReadOptions &
  RestoreRules & {
    /** Name, `latest`, `latest~N`, `before:DATE` or a unique prefix. */
    readonly snapshot: string;
    /** Directory to restore into, made when only its parent exists; not with `originalPlace`. */
    readonly target?: string;
    /** Restore to where the snapshot says that it was made. */
    readonly originalPlace?: boolean;
    /** Paths within the snapshot; none means everything. */
    readonly paths?: readonly BytePath[];
    /** Leading components that paths lose on their way to the target; what has no more is left out. */
    readonly stripComponents?: number;
    /** What becomes of things that are in the target already; default: `if-changed`. */
    readonly overwrite?: Overwrite;
    /** Remove from restored directories what the snapshot does not have in them. */
    readonly delete?: boolean;
    /** Rules of the backup: what they leave out is in no snapshot, and never deleted by `delete`. */
    readonly backupRules?: RestoreRules & Pick<RuleOptions, 'dirMerges' | 'ignoreFiles'>;
    /** A directory with one of these in it is left out by backups: `delete` leaves it as it is. */
    readonly backupMarkers?: readonly Buffer[];
    /** The same for one that is tagged as a cache. */
    readonly backupLeavesCaches?: boolean;
    /** Directories that `delete` never removes or looks into, besides the store. */
    readonly ownPlaces?: readonly string[];
    /** Directory that keeps what is overwritten or deleted; on the file system of the target. */
    readonly undoDir?: string;
    /** Owners by number, even where names are recorded. */
    readonly numericOwner?: boolean;
    /** Say what would be done; change nothing. */
    readonly dryRun?: boolean;
  };

/** `if-changed`: what is not as recorded; `if-newer`: what is older than in the snapshot. */
export type Overwrite = 'always' | 'if-changed' | 'if-newer' | 'never';

export type RestoreSummary = {
  readonly snapshot: string;
  readonly target: string;
  /** Entries selected, of every type. */
  readonly entries: number;
  readonly files: number;
  /** Files that were put in place, or whose attributes were corrected. */
  readonly filesRestored: number;
  /** Files that were already as recorded and were left alone. */
  readonly filesUnchanged: number;
  /** Entries of any type in the target that `overwrite` kept as they are. */
  readonly kept: number;
  /** False when all was as recorded already, and nothing was made, corrected or deleted. */
  readonly changed: boolean;
  readonly deleted: number;
  readonly bytesWritten: number;
  /** Unfinished files of an earlier restore that was killed. */
  readonly leftoversRemoved: number;
  readonly segmentsRead: number;
  /** Of a dry run, whose other numbers say what would be done. */
  readonly dryRun: boolean;
  /** Sizes in the store of the segments that are needed; undefined unless it is a dry run. */
  readonly bytesToFetch: number | undefined;
  /** What could not be put back exactly; more than 0 means exit 3. */
  readonly warnings: number;
  /** Entries that could not be restored because the store is damaged; more than 0: exit 4. */
  readonly damaged: number;
  readonly durationS: number;
};
