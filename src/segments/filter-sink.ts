/**
 * Where the bytes of one open segment go: tar text in, a finished file with its digests out.
 * `CodecSink` compresses in the runtime's threads, `CommandSink` runs the filter command.
 */
import type { Hash } from 'node:crypto';

/** A finished, not yet published segment file. */
export type FilteredFile = {
  readonly sha1: Buffer;
  readonly sha256: Buffer;
  readonly storedBytes: number;
};

export interface FilterSink {
  /** Takes tar bytes, as a copy. @throws what writing earlier ones failed with */
  write(bytes: Buffer): void;
  /** Estimate of the file's size when everything written so far has passed the filter. */
  estimatedBytes(): number;
  /** Ends the input and waits for the file to be complete. @throws {LbsError} filter-* */
  finish(): Promise<FilteredFile>;
  /**
   * Gives up. Resolves when nothing will be written any more: only then may the staged file be
   * discarded, or late bytes would go into whatever file gets its number next. Never rejects.
   */
  abort(): Promise<void>;
}

/** A segment file that is made of pieces, in the order in which they are appended. */
export interface PieceFile {
  /** Resolves with the bytes that it came to, when the piece is not needed any more. */
  append(piece: Buffer): Promise<number>;
  /** Waits for all pieces. @throws what one of them failed with */
  finish(): Promise<FilteredFile>;
  /** As that of a sink. */
  abort(): Promise<void>;
}

/** Digests of a segment file as it is written. */
export type FileDigests = { readonly sha1: Hash; readonly sha256: Hash };
