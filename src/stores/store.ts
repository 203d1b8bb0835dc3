/**
 * The contract of a place for files: segments, checksums files and descriptors.
 *
 * Files are immutable, uniquely named and complete once they have a name. Nothing in a store is
 * ever changed or locked. "Stored" means durable: `publish` returns after the bytes are on disk,
 * and `settle` after the names are too. A store never sees a path of the user's files.
 */

/** A file of the store as a listing shows it. Its name has no slash, wherever the file lies. */
export type StoredFile = {
  readonly name: string;
  readonly sizeBytes: number;
  /** When it came to the store, by the store's own clock: seconds since 1970. */
  readonly arrivedS: number;
};

/** A file being written, not yet visible under a name. Either publish or discard it. */
export interface StagedFile {
  /** Open for reading and writing, at offset 0; a filter may write to it directly. */
  readonly fd: number;
  /**
   * Makes the bytes durable and gives the file its name.
   * @throws {LbsError} store-exists when the name is taken, no-space, io
   */
  publish(name: string): Promise<void>;
  /**
   * The same, in place of the file of that name that it was staged in place of: at once, so that at
   * no moment there is none. @throws {LbsError} no-space, io
   */
  publishOver(name: string): Promise<void>;
  /** Leaves nothing behind. Never throws. */
  discard(): void;
}

/** A file being read. */
export interface OpenFile {
  readonly fd: number;
  readonly sizeBytes: number;
  close(): void;
}

/** What the segments of a run are written to: one store, or several at once. */
export interface SegmentPlace {
  /** Where files wait for their names, in words for a message: `the store /mnt/backup`. */
  readonly stagedIn: string;
  /** @throws {LbsError} store-unwritable, no-space, io */
  stage(): StagedFile;
  /** Makes the names of everything published so far durable. */
  settle(): Promise<void>;
  /** Bytes that can still be staged; as large as a number gets where that is not known. */
  freeBytes(): number;
}

/** What this machine remembers of a store: all there is to know of one that cannot be looked into. */
export interface StoreMemory {
  /** A random name of this memory, to tell its leftovers in a store from others'. */
  readonly owner: string;
  find(name: string): StoredFile | undefined;
  names(): string[];
  /** Notes that a file that is no segment is in the store, or may be. @throws {LbsError} io */
  add(name: string, sizeBytes: number): void;
  /** The staging directory of the run that is at work, or was killed at it. */
  stagingDirectory(): string | undefined;
  /** Notes it, or that there is none. @throws {LbsError} io */
  setStagingDirectory(path: string | undefined): void;
}

export interface Store extends SegmentPlace {
  /** What people call this store: its path or URL, or the command that fills it. */
  readonly place: string;
  /** False of one that files can only be given to: what it has is what is remembered of it. */
  readonly isReadable: boolean;
  /** Directories of this machine whose files, by their names, belong to the backup itself. */
  readonly ownPlaces: readonly string[];
  /** Fails early, and with a clear message, where nothing can be written. @throws {LbsError} */
  checkWritable(): void;
  /** Takes what this machine remembers of it. Nothing is written. */
  recall(memory: StoreMemory): void;
  /** Begins a run that writes, after `recall`; removes what an interrupted one left. */
  begin(): void;
  /** Ends it: what was published is there for good. @throws {LbsError} upload-failed */
  end(): Promise<void>;
  /** Gives up what `begin` took and `end` did not give back. Never throws. */
  close(): Promise<void>;
  /** Every file of the store, in no particular order. */
  list(): StoredFile[];
  /** Names of every file, in no particular order: much cheaper than `list`. */
  names(): string[];
  /** Files that are being written, or were when their run was killed: under names nobody refers to. */
  unfinished(): StoredFile[];
  /** One file by its name; undefined when there is none. */
  find(name: string): StoredFile | undefined;
  /** @throws {LbsError} store-missing-file, io */
  open(name: string): OpenFile;
  /**
   * Removes a file, wherever it lies; false when there is none. Durable only after `settle`.
   * @throws {LbsError} store-unwritable, io
   */
  remove(name: string): boolean;
  /**
   * Begins a file; with `inPlaceOf` where in the store the file of that name lies, for
   * `publishOver`. @throws {LbsError} store-unwritable, no-space, io
   */
  stage(inPlaceOf?: string): StagedFile;
  /** The time now by the clock that `arrivedS` is of. @throws {LbsError} store-unwritable, io */
  clockS(): number;
}

/** Reads a small file (descriptor, checksums file) whole. */
export const SMALL_FILE_BYTES_MAX = 128 * 1024 * 1024;
