/** What a restore is asked to do, and what it says it did: the library's and the CLI's contract. */
import type { Report } from '../report.ts';
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
  readonly report?: Report;
  readonly signal?: AbortSignal;
};

export type RestoreOptions = ReadOptions & {
  /** Name, `latest`, `latest~N`, `before:DATE` or a unique prefix. */
  readonly snapshot: string;
  /** Directory to restore into; made when only its parent exists. */
  readonly target: string;
  /** Paths within the snapshot; none means everything. */
  readonly paths?: readonly BytePath[];
  /** Owners by number, even where names are recorded. */
  readonly numericOwner?: boolean;
};

export type RestoreSummary = {
  readonly snapshot: string;
  /** Entries selected, of every type. */
  readonly entries: number;
  readonly files: number;
  /** Files that were already as recorded and were left alone. */
  readonly filesUnchanged: number;
  readonly bytesWritten: number;
  readonly segmentsRead: number;
  /** What could not be put back exactly; more than 0 means exit 3. */
  readonly warnings: number;
  /** Entries that could not be restored because the store is damaged; more than 0: exit 4. */
  readonly damaged: number;
  readonly durationS: number;
};
