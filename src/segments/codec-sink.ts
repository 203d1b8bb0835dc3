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
import { createHash } from 'node:crypto';
import { write as writeCallback } from 'node:fs';
import { promisify } from 'node:util';
import type { FileDigests, FilteredFile, FilterSink } from './filter-sink.ts';
import type { PiecePool } from './piece-pool.ts';

const write = promisify(writeCallback);

/** Before a piece has come out, assume this part of it stays. */
const FIRST_RATIO_GUESS = 0.5;

export class CodecSink implements FilterSink {
  readonly #fd: number;
  readonly #pool: PiecePool;
  readonly #digests: FileDigests = { sha1: createHash('sha1'), sha256: createHash('sha256') };
  #piece: Buffer | undefined;
  #filled = 0;
  /** Pieces are written in order, each after the one before it. */
  #written: Promise<void> = Promise.resolve();
  #rawBytes = 0;
  #rawBytesDone = 0;
  #storedBytes = 0;
  #failure: unknown;
  #isAborted = false;

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
      if (this.#filled === this.#piece.length) this.#send();
    }
    this.#rawBytes += bytes.length;
  }

  /** Hands the piece to a thread; its output is appended once all before it are. */
  #send(): void {
    const piece = this.#piece;
    if (piece === undefined) return;
    const size = this.#filled;
    this.#piece = undefined;
    this.#filled = 0;
    const before = this.#written;
    this.#written = this.#pool.send(piece, size, (compressed) =>
      this.#append(before, compressed, size),
    );
    this.#written.catch((error: unknown) => {
      this.#failure = error;
    });
  }

  async #append(before: Promise<void>, compressed: Promise<readonly Buffer[]>, rawBytes: number) {
    await before;
    for (const output of await compressed) {
      if (this.#isAborted) return;
      this.#digests.sha1.update(output);
      this.#digests.sha256.update(output);
      let at = 0;
      while (at < output.length) {
        const { bytesWritten } = await write(this.#fd, output, at, output.length - at);
        at += bytesWritten;
      }
      this.#storedBytes += output.length;
    }
    this.#rawBytesDone += rawBytes;
  }

  estimatedBytes(): number {
    const ratio =
      this.#rawBytesDone === 0 ? FIRST_RATIO_GUESS : this.#storedBytes / this.#rawBytesDone;
    return this.#storedBytes + (this.#rawBytes - this.#rawBytesDone) * ratio;
  }

  async finish(): Promise<FilteredFile> {
    this.#send();
    await this.#written;
    return {
      sha1: this.#digests.sha1.digest(),
      sha256: this.#digests.sha256.digest(),
      storedBytes: this.#storedBytes,
    };
  }

  async abort(): Promise<void> {
    this.#isAborted = true;
    if (this.#piece !== undefined) this.#pool.giveBack(this.#piece);
    this.#piece = undefined;
    await this.#written.catch(() => undefined);
  }
}
