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

/** Takes the parts of a compressed piece, which it may use until it resolves. */
export type WriteCompressed = (compressed: Promise<readonly Buffer[]>) => Promise<void>;

async function handOver(
  compressed: Promise<readonly Buffer[]>,
  write: WriteCompressed,
): Promise<void> {
  // Awaited by `write`, which may have something to wait for before.
  compressed.catch(() => undefined);
  await write(compressed);
}

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
   * and takes piece and result back once that has resolved. Rejects with what either failed with.
   */
  async send(piece: Buffer, size: number, write: WriteCompressed): Promise<void> {
    await this.#inFlight.acquire();
    try {
      await this.#compress(piece.subarray(0, size), write);
    } finally {
      this.giveBack(piece);
      this.#inFlight.release();
    }
  }

  async #compress(bytes: Buffer, write: WriteCompressed): Promise<void> {
    switch (this.#codec.kind) {
      case 'zstd': {
        const compressor = this.#compressors.pop() ?? new FrameCompressor(this.#codec.level);
        await handOver(compressor.compress(bytes), write);
        this.#compressors.push(compressor);
        return;
      }
      case 'gzip': {
        const { level } = this.#codec;
        const options = { chunkSize: GZIP_CHUNK_BYTES, ...(level === undefined ? {} : { level }) };
        await handOver(
          gzip(bytes, options).then((output) => [output]),
          write,
        );
        return;
      }
      case 'none':
        await write(Promise.resolve([bytes]));
    }
  }

  /** Gives the memory of the codec back; nothing may be in flight. */
  close(): void {
    for (const compressor of this.#compressors.splice(0)) compressor.close();
    this.#free.length = 0;
  }
}
