/**
 * The one way into a snapshot: something that yields entries in path order, each with its status
 * and, for regular files, its content. The filesystem is such a source; databases will be others.
 *
 * Only sources make `SourceWarning`s: trouble with an entry is a value, never an exception that
 * passes this line. Everything else that goes wrong is an `LbsError` and ends the run.
 */
import type { FileStatus } from '../posix/file-status.ts';
import type { Xattr } from '../format/entry.ts';
import type { SourceWarning } from '../report.ts';
import type { BytePath } from '../std/byte-path.ts';
import type { ByteText } from '../std/byte-text.ts';

/** Trouble with one entry; `SourceEntry` methods throw it, `backup/` turns it into a warning. */
export class SourceTrouble extends Error {
  readonly code: SourceWarning['code'];

  constructor(code: SourceWarning['code'], message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'SourceTrouble';
    this.code = code;
  }
}

/** One stretch of a file: bytes that are there, or a hole that reads as zeros. */
export type Extent = {
  readonly kind: 'data' | 'hole';
  readonly start: number;
  readonly length: number;
};

/** The open content of a regular file. */
export interface SourceContent {
  /** Status of the open file itself, when it was opened. */
  readonly status: FileStatus;
  /** Data and holes in order, from 0 to the end as known at opening. */
  extents(): Iterable<Extent>;
  /**
   * Reads at `offset` into `into`; the count is short only at the end of the file.
   * @throws {SourceTrouble} unreadable
   */
  read(into: Buffer, offset: number, length: number): number;
  /** Extended attributes of the open file, sorted by name; undefined when unreadable. */
  xattrs(): Xattr[] | undefined;
  /** True when all of it is data: no hole in it. */
  isOneExtent(): boolean;
  /** True when size and times are what they were when it was opened. @throws {SourceTrouble} */
  isUnchanged(): boolean;
  close(): void;
}

/** One thing from a source. Valid until the next one is asked for. */
export interface SourceEntry {
  /** Path in the snapshot as byte text; `.` is the top. */
  readonly text: ByteText;
  /** Path of the directory that holds it, and its name there; both are `.` for the top. */
  readonly directory: ByteText;
  readonly name: ByteText;
  readonly path: BytePath;
  readonly status: FileStatus;
  /** Target of a symbolic link. @throws {SourceTrouble} */
  linkTarget(): Buffer;
  /** Extended attributes, sorted by name. @throws {SourceTrouble} */
  xattrs(): Xattr[];
  /** Opens a regular file's content. @throws {SourceTrouble} vanished, changed-type, unreadable */
  openContent(): SourceContent;
}

export interface Source {
  /** Entries in path order (`compareTexts`), a directory before what is in it. */
  entries(): Iterable<SourceEntry>;
}
