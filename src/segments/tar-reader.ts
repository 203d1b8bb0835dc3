/**
 * Objects out of a segment's tar bytes, as the bytes arrive.
 *
 * Called by segment-source; the inverse of the tar writer. Strict on purpose: members are only
 * `<segment>/<object>` regular files, so a hostile store can choose neither names nor places.
 * What was delivered before damage stays delivered. Memory is bounded by the largest object
 * allowed. Format: lbs-format(5), "SEGMENTS".
 */
import { LbsError } from '../errors.ts';
import { readTarHeader, TAR_RECORD_BYTES } from '../format/tar-header.ts';
import { freeMemory } from '../std/free-memory.ts';

/**
 * Largest object accepted. The family cuts data at 1 MiB and metadata near 64 KiB; an old list
 * of blocks or a root of millions of entries may be larger, but never by this much.
 */
export const OBJECT_BYTES_MAX = 64 * 1024 * 1024;

const OBJECT_NUMBER = /^[0-9a-f]{8,12}$/;
const END_BLOCKS = 2;
/** Programs fill up an archive to a whole record, of 10 KiB mostly; a bomb has gigabytes of zeros. */
const ZERO_BLOCKS_MAX = 4096;

export type TarReaderOptions = {
  /** Objects larger than this are damage. */
  readonly objectBytesMax?: number;
};

/** Takes one object. */
export type TakeObject = (object: number, data: Buffer) => void;

export class TarReader {
  readonly #prefix: string;
  readonly #onObject: TakeObject;
  readonly #objectBytesMax: number;
  readonly #header = Buffer.alloc(TAR_RECORD_BYTES);
  #headerFill = 0;
  /** Number of the member being read; undefined between members. */
  #object: number | undefined;
  #sizeBytes = 0;
  #filled = 0;
  #paddingLeft = 0;
  #zeroBlocks = 0;
  /**
   * Two buffers for members that span chunks, used in turn: within one push a member of the
   * chunks before can end, and stays valid while the next one begins.
   */
  readonly #spares: [Buffer, Buffer] = [Buffer.alloc(0), Buffer.alloc(0)];
  #spare = 0;

  /**
   * `onObject` is called once per member, in the order of the file. Its `data` is a view of
   * memory that is used again: valid until the next `push` (not just during the call).
   */
  constructor(segment: string, onObject: TakeObject, options: TarReaderOptions = {}) {
    this.#prefix = `${segment}/`;
    this.#onObject = onObject;
    this.#objectBytesMax = options.objectBytesMax ?? OBJECT_BYTES_MAX;
  }

  /** Takes the next bytes of the tar file. @throws {LbsError} segment-corrupt */
  push(chunk: Buffer): void {
    let at = 0;
    while (at < chunk.length) {
      if (this.#object !== undefined) at = this.#takeData(chunk, at);
      else if (this.#paddingLeft > 0) at = this.#skipPadding(chunk, at);
      else at = this.#takeHeader(chunk, at);
    }
  }

  /** Says that there is no more. @throws {LbsError} segment-corrupt when that is too early */
  end(): void {
    if (this.#object !== undefined || this.#paddingLeft > 0 || this.#headerFill > 0) {
      throw this.#corrupt('it ends in the middle of an object');
    }
    // One block is accepted: some tar programs write no second one.
    if (this.#zeroBlocks === 0) throw this.#corrupt('it ends without an end-of-archive block');
  }

  /** Gives memory back at once; what was delivered is not valid any more. */
  close(): void {
    for (const spare of this.#spares) freeMemory(spare);
    this.#spares.fill(Buffer.alloc(0));
  }

  #corrupt(why: string): LbsError {
    return new LbsError('segment-corrupt', `segment ${this.#prefix.slice(0, -1)}: ${why}`);
  }

  #skipPadding(chunk: Buffer, at: number): number {
    const skipped = Math.min(this.#paddingLeft, chunk.length - at);
    this.#paddingLeft -= skipped;
    return at + skipped;
  }

  #takeHeader(chunk: Buffer, at: number): number {
    if (this.#headerFill === 0 && chunk.length - at >= TAR_RECORD_BYTES) {
      const end = at + TAR_RECORD_BYTES;
      this.#begin(chunk.subarray(at, end));
      return end;
    }
    const taken = Math.min(TAR_RECORD_BYTES - this.#headerFill, chunk.length - at);
    chunk.copy(this.#header, this.#headerFill, at, at + taken);
    this.#headerFill += taken;
    if (this.#headerFill === TAR_RECORD_BYTES) {
      this.#headerFill = 0;
      this.#begin(this.#header);
    }
    return at + taken;
  }

  #begin(record: Buffer): void {
    const header = readTarHeader(record);
    if (header === undefined) {
      this.#zeroBlocks++;
      if (this.#zeroBlocks > ZERO_BLOCKS_MAX) throw this.#corrupt('zeros without end behind it');
      return;
    }
    // After the end only zeros may follow (tar pads archives to whole records with them).
    if (this.#zeroBlocks >= END_BLOCKS) throw this.#corrupt('data after its end');
    if (this.#zeroBlocks > 0) throw this.#corrupt('a block of zeros between objects');
    const number = header.name.startsWith(this.#prefix)
      ? header.name.slice(this.#prefix.length)
      : '';
    if (!OBJECT_NUMBER.test(number)) {
      throw this.#corrupt(`a member that is no object of it: ${JSON.stringify(header.name)}`);
    }
    if (header.sizeBytes > this.#objectBytesMax) {
      throw this.#corrupt(`object ${number} claims ${header.sizeBytes} bytes`);
    }
    this.#object = Number.parseInt(number, 16);
    this.#sizeBytes = header.sizeBytes;
    this.#filled = 0;
    if (header.sizeBytes === 0) this.#finish(Buffer.alloc(0));
  }

  #takeData(chunk: Buffer, at: number): number {
    const missing = this.#sizeBytes - this.#filled;
    const end = at + missing;
    if (this.#filled === 0 && end <= chunk.length) {
      this.#finish(chunk.subarray(at, end));
      return end;
    }
    if (this.#filled === 0) this.#ensureSpare();
    const spare = this.#spares[this.#spare] ?? this.#header;
    const taken = Math.min(missing, chunk.length - at);
    chunk.copy(spare, this.#filled, at, at + taken);
    this.#filled += taken;
    if (this.#filled === this.#sizeBytes) {
      this.#spare = 1 - this.#spare;
      this.#finish(spare.subarray(0, this.#sizeBytes));
    }
    return at + taken;
  }

  #ensureSpare(): void {
    if ((this.#spares[this.#spare]?.length ?? 0) >= this.#sizeBytes) return;
    this.#spares[this.#spare] = Buffer.allocUnsafeSlow(this.#sizeBytes);
  }

  #finish(data: Buffer): void {
    const object = this.#object;
    this.#object = undefined;
    this.#paddingLeft =
      (TAR_RECORD_BYTES - (this.#sizeBytes % TAR_RECORD_BYTES)) % TAR_RECORD_BYTES;
    if (object !== undefined) this.#onObject(object, data);
  }
}
