/**
 * What deliver-contents, its helper threads and the takers of contents (restore, verify) have in
 * common: who takes the pieces, and how an object is checked before they get any of it.
 */
import { LbsError } from '../errors.ts';
import { checksumOf, parseChecksum } from '../format/checksum.ts';
import type { Piece } from './content-plan.ts';

/** How the reading of one segment ended. */
export type SegmentReading = {
  readonly segment: string;
  readonly objects: number;
  /** Bytes of the objects read. */
  readonly bytes: number;
  /** What is wrong with the segment itself; objects before the damage were used. */
  readonly error: unknown;
};

/**
 * The pieces of a file larger than this should come in its order. What is out of order is put aside
 * or read again to be hashed; of small files only the few that lie in two segments are.
 */
export const ORDERED_BYTES_MIN = 32 * 1024 * 1024;

export type ContentHandler = {
  /** Bytes of a file. `bytes` is valid during the call only. Pieces come in any order. */
  piece(fileId: number, offset: number, bytes: Buffer): void;
  /** True for a file of more than ORDERED_BYTES_MIN whose pieces are to come in its order. */
  needsOrder?(fileId: number): boolean;
  /** One piece of a file cannot be had; called for each such piece. */
  lost(fileId: number, reason: string): void;
  /**
   * What a helper thread has to know to deal with a piece by itself (`HelperDuty`); undefined when
   * `piece` must take it.
   */
  taskFor?(fileId: number, offset: number, length: number): Buffer | undefined;
  /** A helper has dealt with a piece as `task` said. */
  done?(fileId: number, task: Buffer): void;
  /** A segment is done; awaited, so it may do slow work. */
  segmentDone?(reading: SegmentReading): void | Promise<void>;
};

/** What a reference says of its object. */
export type Claim = Pick<Piece, 'start' | 'length' | 'exact' | 'checksum'>;

/** Checks an object against what its references say of it; each checksum is computed once. */
export class ObjectCheck {
  readonly #data: Buffer;
  #checksum: string | null = null;
  #checksumTrouble: string | undefined;

  constructor(data: Buffer) {
    this.#data = data;
  }

  wrongWith({ start, length, exact, checksum }: Claim): string | undefined {
    const size = this.#data.length;
    if (exact !== null && exact !== size) return `it has ${size} bytes instead of ${exact}`;
    if (start + length > size) return `bytes ${start}+${length} of its ${size} are asked for`;
    if (checksum === null) return undefined;
    if (checksum !== this.#checksum) {
      this.#checksum = checksum;
      this.#checksumTrouble = checksumTrouble(checksum, this.#data);
    }
    return this.#checksumTrouble;
  }
}

function checksumTrouble(checksum: string, data: Buffer): string | undefined {
  try {
    const { algorithm, hex } = parseChecksum(checksum);
    if (checksumOf(algorithm, data) === `${algorithm}=${hex}`) return undefined;
    return `its ${algorithm} checksum does not match`;
  } catch (error) {
    if (!(error instanceof LbsError)) throw error;
    return error.message;
  }
}
