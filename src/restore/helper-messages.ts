/**
 * What the main thread and its helper threads say to each other: a segment to work on, and what
 * came of its pieces. Columns of numbers, because thousands of small objects cost more to copy
 * from thread to thread than the work on them takes.
 *
 * A helper deals with the plain cases only, as it is told by a piece's task. Everything else it
 * hands back with its bytes, and the main thread does it in its own way, with all that can be
 * said about it.
 */
import type { ErrorCode } from '../errors.ts';
import type { ThreadReading } from '../segments/told-keys.ts';
import type { Piece } from './content-plan.ts';

/** What a helper does with pieces that have a task. */
export type HelperDuty =
  /** The task is `algorithm=hex ...` of the piece, or `NO_DIGEST`. */
  | { readonly kind: 'check' }
  /** The task is the record of a file whose whole content the piece is (ledger-record.ts). */
  | { readonly kind: 'write'; readonly topFd: number; readonly temporaryPrefix: string };

/** The task of a piece that only has to be there. */
export const NO_DIGEST = Buffer.from('-');

export type HelperSetup = {
  readonly duty: HelperDuty;
  readonly reading: ThreadReading;
};

/** Pieces in the order of the plan, with their tasks. */
export type PackedPieces = {
  readonly files: Float64Array;
  readonly objects: Float64Array;
  readonly starts: Float64Array;
  readonly lengths: Float64Array;
  /** NaN where nothing is known. */
  readonly exacts: Float64Array;
  readonly checksums: readonly (string | null)[];
  /** Where the task of each piece ends in `tasks`; one that ends where it begins is none. */
  readonly taskEnds: Float64Array;
  readonly tasks: Uint8Array;
};

/** A segment to work on. */
export type SegmentJob = {
  readonly segment: string;
  readonly fileName: string;
  /** Open, and kept open until the job has ended; descriptors are common to all threads. */
  readonly fd: number;
  readonly sizeBytes: number;
  readonly readsWhole: boolean;
  readonly pieces: PackedPieces;
};

export type HelperOrder =
  | { readonly kind: 'job'; readonly job: SegmentJob }
  /** News with bytes were used: there is room for more. */
  | { readonly kind: 'taken' }
  | { readonly kind: 'stop' };

/** What came of some pieces, by their index; at last how the reading ended. */
export type HelperNews = {
  readonly done: readonly number[];
  readonly handedBack: readonly number[];
  /** The bytes of these, one after the other. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly lost: readonly (readonly [index: number, reason: string])[];
  readonly end: HelperEnd | undefined;
};

export type HelperEnd = {
  readonly objects: number;
  readonly bytes: number;
  readonly error: { code: ErrorCode; message: string; hint: string | undefined } | undefined;
};

/** `tasks` are parallel to `pieces`. */
export function packPieces(
  pieces: readonly Piece[],
  tasks: readonly (Buffer | undefined)[],
): PackedPieces {
  const column = (of: (piece: Piece) => number) => Float64Array.from(pieces, of);
  const taskEnds = new Float64Array(pieces.length);
  let end = 0;
  tasks.forEach((task, index) => (taskEnds[index] = end += task?.length ?? 0));
  return {
    files: column(({ file }) => file),
    objects: column(({ object }) => object),
    starts: column(({ start }) => start),
    lengths: column(({ length }) => length),
    exacts: column(({ exact }) => exact ?? Number.NaN),
    checksums: pieces.map(({ checksum }) => checksum),
    taskEnds,
    tasks: Buffer.concat(tasks.filter((task) => task !== undefined)),
  };
}
