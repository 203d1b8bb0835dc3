/**
 * Large buffers for tar bytes, and their way through a codec in the runtime's threads, a few at
 * once. Waiting for room is the back-pressure on the scan; memory is bounded by the pieces in
 * flight plus one buffer for each open segment. Buffers and compressors are reused, because fresh
 * memory costs a page fault every 4 KiB.
 */
import { promisify } from 'node:util';
import { gzip as gzipCallback } from 'node:zlib';
import { Limiter } from '../std/limiter.ts';
import type { Codec } from './filter.ts';
import { FrameCompressor } from './frame-compressor.ts';

const gzip = promisify(gzipCallback);

/** Output of gzip is collected in buffers of this size: two allocations for most pieces. */
const GZIP_CHUNK_BYTES = 512 * 1024;

export class PiecePool {
  /** Pieces being compressed or written. */
  readonly #inFlight: Limiter;
  readonly #codec: Codec;
  readonly #sizeBytes: number;
  readonly #free: Buffer[] = [];
  readonly #compressors: FrameCompressor[] = [];

  constructor(codec: Codec, inFlightMax: number, sizeBytes: number) {
    this.#codec = codec;
    this.#inFlight = new Limiter(inFlightMax);
    this.#sizeBytes = sizeBytes;
  }

  /** A buffer of arbitrary content; give it back, or `send` it. */
  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#sizeBytes);
  }

  giveBack(piece: Buffer): void {
    this.#free.push(piece);
  }

  /** Undefined while another piece may be sent, else resolves when one may. */
  room(): Promise<void> | undefined {
    return this.#inFlight.room();
  }

  /**
   * Compresses the first `size` bytes of a piece when its turn comes, hands the result to `write`,
   * and takes the piece back once that has resolved. Rejects with what either failed with.
   */
  async send(
    piece: Buffer,
    size: number,
    write: (compressed: Promise<Buffer>) => Promise<void>,
  ): Promise<void> {
    await this.#inFlight.acquire();
    try {
      const compressed = this.#compress(piece.subarray(0, size));
      // Awaited by `write`, which may have something to wait for before.
      compressed.catch(() => undefined);
      await write(compressed);
      await compressed;
    } finally {
      this.giveBack(piece);
      this.#inFlight.release();
    }
  }

  async #compress(bytes: Buffer): Promise<Buffer> {
    switch (this.#codec.kind) {
      case 'zstd': {
        const compressor = this.#compressors.pop() ?? new FrameCompressor(this.#codec.level);
        const frame = await compressor.compress(bytes);
        this.#compressors.push(compressor);
        return frame;
      }
      case 'gzip': {
        const { level } = this.#codec;
        return gzip(bytes, {
          chunkSize: GZIP_CHUNK_BYTES,
          ...(level === undefined ? {} : { level }),
        });
      }
      case 'none':
        return bytes;
    }
  }

  /** Gives the memory of the codec back; nothing may be in flight. */
  close(): void {
    for (const compressor of this.#compressors.splice(0)) compressor.close();
    this.#free.length = 0;
  }
}
