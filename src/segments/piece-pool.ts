/**
 * Large buffers for tar bytes, and their way into the files of segments, a few at once. Waiting
 * for room is the back-pressure on the scan; memory is bounded by the pieces in flight plus one
 * buffer for each open segment. Buffers are reused, because fresh memory costs a page fault every
 * 4 KiB; they are shared with the thread.
 */
import { availableParallelism } from 'node:os';
import { Limiter } from '../std/limiter.ts';
import { CompressedFile, Compressors } from './compressed-file.ts';
import type { Codec } from './filter.ts';
import type { PieceFile } from './filter-sink.ts';
import type { BeginMessage } from './recipients.ts';
import { type AskThread, ThreadFile } from './thread-file.ts';

/** Size of the independently compressed pieces; see codec-sink.ts. */
const PIECE_BYTES = 2 * 1024 * 1024;

export class PiecePool {
  /** Pieces waiting, being compressed or written. */
  readonly #inFlight: Limiter;
  readonly #codec: Codec;
  readonly #ask: AskThread;
  readonly #free: Buffer[] = [];
  /** Of this thread. */
  readonly #compressors: Compressors;
  readonly #begin: BeginMessage | undefined;
  #files = 0;

  /** With `begin` files are encrypted messages. */
  constructor(codec: Codec, ask: AskThread, begin?: BeginMessage) {
    this.#begin = begin;
    this.#codec = codec;
    this.#ask = ask;
    this.#inFlight = new Limiter(availableParallelism() + 1);
    this.#compressors = new Compressors(codec, 1);
  }

  /** A buffer of arbitrary content; give it back, or `send` it. */
  take(): Buffer {
    return this.#free.pop() ?? Buffer.from(new SharedArrayBuffer(PIECE_BYTES));
  }

  giveBack(piece: Buffer): void {
    this.#free.push(piece);
  }

  /** Undefined while another piece may be sent, else resolves when one may. */
  room(): Promise<void> | undefined {
    return this.#inFlight.room();
  }

  /** A file that the thread makes. */
  threadFile(fd: number): PieceFile {
    return new ThreadFile(this.#ask, { file: this.#files++, fd, codec: this.#codec }, this.#begin);
  }

  /** A file that is made here: a thread would take longer to start. */
  async smallFile(fd: number): Promise<PieceFile> {
    return new CompressedFile(fd, this.#compressors, await this.#begin?.());
  }

  /**
   * Appends the first `sizeBytes` of a piece, which is given back then; resolves with the bytes
   * that it came to. Sent at once, whether there is room or not, so that pieces stay in order.
   */
  async send(piece: Buffer, sizeBytes: number, file: PieceFile): Promise<number> {
    const turn = this.#inFlight.acquire();
    try {
      return await file.append(piece.subarray(0, sizeBytes));
    } finally {
      this.giveBack(piece);
      void turn.then(() => this.#inFlight.release());
    }
  }

  /** Gives the memory of the codec back; nothing may be in flight. */
  close(): void {
    this.#compressors.close();
    this.#free.length = 0;
  }
}
