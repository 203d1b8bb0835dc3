/**
 * The file of one segment, made of pieces of tar text: each is compressed in the thread pool, then
 * hashed and written in its turn. Called by thread-file, and by codec-sink for segments that are
 * less than one piece. It may be encrypted on its way to the file.
 */
import { createHash } from 'node:crypto';
import { write as writeCallback } from 'node:fs';
import { promisify } from 'node:util';
import { gzip as gzipCallback } from 'node:zlib';
import { Limiter } from '../std/limiter.ts';
import { MessageEncryptor, type MessageStart } from './encrypt-segment.ts';
import type { Codec } from './filter.ts';
import type { FileDigests, FilteredFile, PieceFile } from './filter-sink.ts';
import { FrameCompressor } from './frame-compressor.ts';

const gzip = promisify(gzipCallback);
const write = promisify(writeCallback);

/** Output of gzip is collected in buffers of this size: two allocations for most pieces. */
const GZIP_CHUNK_BYTES = 512 * 1024;

/** Takes the parts of a compressed piece, which it may use until it resolves. */
type UseCompressed = (compressed: Promise<readonly Buffer[]>) => Promise<void>;

async function handOver(compressed: Promise<readonly Buffer[]>, use: UseCompressed): Promise<void> {
  // Awaited by `use`, which may have something to wait for before.
  compressed.catch(() => undefined);
  await use(compressed);
}

/** What compresses, a few pieces at once; reused, because a fresh one is some 3 MiB of page faults. */
export class Compressors {
  readonly #codec: Codec;
  readonly #busy: Limiter;
  readonly #free: FrameCompressor[] = [];

  constructor(codec: Codec, atOnceMax: number) {
    this.#codec = codec;
    this.#busy = new Limiter(atOnceMax);
  }

  /**
   * Compresses when its turn comes, and hands the result to `use`, which may wait only for pieces
   * that came before. Rejects with what either failed with.
   */
  async compress(bytes: Buffer, use: UseCompressed): Promise<void> {
    await this.#busy.acquire();
    try {
      await this.#compress(bytes, use);
    } finally {
      this.#busy.release();
    }
  }

  async #compress(bytes: Buffer, use: UseCompressed): Promise<void> {
    switch (this.#codec.kind) {
      case 'zstd': {
        const compressor = this.#free.pop() ?? new FrameCompressor(this.#codec.level);
        await handOver(compressor.compress(bytes), use);
        this.#free.push(compressor);
        return;
      }
      case 'gzip': {
        const { level } = this.#codec;
        const options = { chunkSize: GZIP_CHUNK_BYTES, ...(level === undefined ? {} : { level }) };
        await handOver(
          gzip(bytes, options).then((output) => [output]),
          use,
        );
        return;
      }
      case 'none':
        await use(Promise.resolve([bytes]));
    }
  }

  /** Gives the memory of the codec back; nothing may be in flight. */
  close(): void {
    for (const compressor of this.#free.splice(0)) compressor.close();
  }
}

export class CompressedFile implements PieceFile {
  readonly #fd: number;
  readonly #compressors: Compressors;
  readonly #digests: FileDigests = { sha1: createHash('sha1'), sha256: createHash('sha256') };
  /** Pieces are written in order, each after the one before it. */
  #written: Promise<void> = Promise.resolve();
  #storedBytes = 0;
  #isAborted = false;
  readonly #message: MessageEncryptor | undefined;

  /** With `message` the file is an encrypted message. */
  constructor(fd: number, compressors: Compressors, message?: MessageStart) {
    this.#fd = fd;
    this.#compressors = compressors;
    this.#message = message && new MessageEncryptor(message);
  }

  async append(piece: Buffer): Promise<number> {
    const before = this.#written;
    let storedBytes = 0;
    this.#written = this.#compressors.compress(piece, async (compressed) => {
      await before;
      for (const output of await compressed) {
        if (this.#isAborted) return;
        storedBytes += await this.#write(this.#message?.push(output) ?? output);
      }
    });
    await this.#written;
    return storedBytes;
  }

  async #write(output: Buffer): Promise<number> {
    this.#digests.sha1.update(output);
    this.#digests.sha256.update(output);
    let at = 0;
    while (at < output.length) {
      const { bytesWritten } = await write(this.#fd, output, at, output.length - at);
      at += bytesWritten;
    }
    this.#storedBytes += output.length;
    return output.length;
  }

  async finish(): Promise<FilteredFile> {
    await this.#written;
    if (this.#message !== undefined) await this.#write(this.#message.end());
    return {
      sha1: this.#digests.sha1.digest(),
      sha256: this.#digests.sha256.digest(),
      storedBytes: this.#storedBytes,
    };
  }

  async abort(): Promise<void> {
    this.#isAborted = true;
    await this.#written.catch(() => undefined);
  }
}
