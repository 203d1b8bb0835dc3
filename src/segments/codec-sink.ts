/**
 * Filters a segment with a codec of the runtime.
 *
 * The tar bytes are cut into pieces of a few MiB; each becomes a frame (zstd) or member (gzip) of
 * its own, compressed in the thread pool while the scan goes on, so every core can work on one
 * segment and memory is bounded by the pieces in flight. Any decompressor reads such a file as
 * one stream. The price is size, since no piece knows the one before: 256 MB of headers, documents
 * and Python grow by 6.5 % in pieces of 2 MiB and by 3.3 % in pieces of 4 MiB, against frames of
 * 32 MiB; a store of /usr/share by 0.6 % from 4 to 2 MiB, for 28 MB less memory.
 */
import type { FilteredFile, FilterSink, PieceFile } from './filter-sink.ts';
import type { PiecePool } from './piece-pool.ts';

/** Before a piece has come out, assume this part of it stays. */
const FIRST_RATIO_GUESS = 0.5;

export class CodecSink implements FilterSink {
  readonly #fd: number;
  readonly #pool: PiecePool;
  /** Undefined until the first piece is complete. */
  #file: PieceFile | undefined;
  #piece: Buffer | undefined;
  #filled = 0;
  #rawBytes = 0;
  #rawBytesDone = 0;
  #storedBytes = 0;
  #failure: unknown;

  constructor(fd: number, pool: PiecePool) {
    this.#fd = fd;
    this.#pool = pool;
  }

  write(bytes: Buffer): void {
    if (this.#failure !== undefined) throw this.#failure;
    let at = 0;
    while (at < bytes.length) {
      this.#piece ??= this.#pool.take();
      const count = bytes.copy(this.#piece, this.#filled, at);
      at += count;
      this.#filled += count;
      if (this.#filled === this.#piece.length) {
        this.#send((this.#file ??= this.#pool.threadFile(this.#fd)));
      }
    }
    this.#rawBytes += bytes.length;
  }

  #send(file: PieceFile): void {
    const piece = this.#piece;
    if (piece === undefined) return;
    const size = this.#filled;
    this.#piece = undefined;
    this.#filled = 0;
    this.#pool.send(piece, size, file).then(
      (storedBytes) => {
        this.#storedBytes += storedBytes;
        this.#rawBytesDone += size;
      },
      (error: unknown) => {
        this.#failure ??= error;
      },
    );
  }

  estimatedBytes(): number {
    const ratio =
      this.#rawBytesDone === 0 ? FIRST_RATIO_GUESS : this.#storedBytes / this.#rawBytesDone;
    return this.#storedBytes + (this.#rawBytes - this.#rawBytesDone) * ratio;
  }

  async finish(): Promise<FilteredFile> {
    this.#file ??= await this.#pool.smallFile(this.#fd);
    this.#send(this.#file);
    return await this.#file.finish();
  }

  async abort(): Promise<void> {
    if (this.#piece !== undefined) this.#pool.giveBack(this.#piece);
    this.#piece = undefined;
    await this.#file?.abort();
  }
}
