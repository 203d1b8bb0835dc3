/**
 * A zstd compressor that lives as long as its run: each call makes one complete frame, which says
 * its size, in a thread of the runtime's pool.
 *
 * The runtime's one-shot call makes a new context each time, some 5 MiB of fresh memory for 2 MiB
 * of input: on /usr/share that was 315,000 page faults in a backup, now 70,000.
 */
import { constants, createZstdCompress, type ZstdCompress } from 'node:zlib';

/** Output is collected in buffers of this size. */
const OUTPUT_CHUNK_BYTES = 1024 * 1024;

export class FrameCompressor {
  readonly #stream: ZstdCompress;
  /** Of the frame being made. */
  #output: Buffer[] = [];

  /** `level` undefined is zstd's default. */
  constructor(level: number | undefined) {
    const params = level === undefined ? {} : { [constants.ZSTD_c_compressionLevel]: level };
    this.#stream = createZstdCompress({
      chunkSize: OUTPUT_CHUNK_BYTES,
      // Every write is a frame of its own, as independent pieces are.
      flush: constants.ZSTD_e_end,
      params: { [constants.ZSTD_c_checksumFlag]: 1, ...params },
    });
    this.#stream.on('data', (part: Buffer) => this.#output.push(part));
    // Told by the callback of the write as well.
    this.#stream.on('error', () => undefined);
  }

  /** One frame of `piece`, which must stay as it is until then. One call at a time. */
  compress(piece: Buffer): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#stream.write(piece, (error) => {
        const [first, ...more] = this.#output;
        this.#output = [];
        if (error || first === undefined) reject(error ?? new Error('the zstd codec gave nothing'));
        else resolve(more.length === 0 ? first : Buffer.concat([first, ...more]));
      });
    });
  }

  /** Gives its memory back. */
  close(): void {
    this.#stream.destroy();
  }
}
