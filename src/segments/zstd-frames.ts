/**
 * Reads a zstd file frame by frame, the main way of reading segments.
 *
 * Our segments are many independent frames of some MiB each, and the runtime's own zstd stream
 * ends silently after the first one; so the frames are found here, by their block headers
 * (zstd-headers), and each is given to the decompressor alone. A frame that says its
 * size and is small is decompressed in one call, with the next one already under way on another
 * thread; any other is streamed. Called by unfilter. Memory: a few frames of FRAME_BYTES_MAX.
 */
import { read } from 'node:fs';
import { promisify } from 'node:util';
import { createZstdDecompress, zstdDecompress } from 'node:zlib';
import { LbsError, messageOf } from '../errors.ts';
import type { OpenFile } from '../stores/store.ts';
import { freeMemory } from '../std/free-memory.ts';
import { decoded } from './stream-chunks.ts';
import {
  BLOCK_HEADER_BYTES,
  FRAME_BYTES_MAX,
  type FrameHeader,
  HEADER_BYTES_MAX,
  corruptZstd,
  readBlockHeader,
  readFrameHeader,
  skippableBytes,
} from './zstd-headers.ts';

const readAsync = promisify(read);
const decompress = promisify(zstdDecompress);

/** Bytes asked of the file at once. */
const READ_BYTES = 1024 * 1024;
/** Bytes given out at once by the streaming way. */
const CHUNK_BYTES = 1024 * 1024;
/** Room beyond the expected size, so that the decompressor sees the end in the same call. */
const SLACK_BYTES = 1024;

/**
 * A forward-only view of the file. Memory handed out by `take` is never written again, since the
 * decompressor may still be reading it.
 */
class FileWindow {
  readonly #fd: number;
  readonly #sizeBytes: number;
  #buffer = Buffer.alloc(0);
  /** Frames still in use, by the buffer that they are in. */
  readonly #frames = new Map<ArrayBufferLike, number>();
  /** Buffers that a streaming decompressor may read at any time. */
  readonly #keptForGood = new WeakSet<ArrayBufferLike>();
  #start = 0;
  #end = 0;
  #position = 0;

  constructor(file: OpenFile) {
    this.#fd = file.fd;
    this.#sizeBytes = file.sizeBytes;
  }

  /** Bytes buffered from the present place on. */
  get buffered(): Buffer {
    return this.#buffer.subarray(this.#start, this.#end);
  }

  /** Reads until `bytes` are buffered; false when the file ends before. */
  async ensure(bytes: number): Promise<boolean> {
    while (this.#end - this.#start < bytes) {
      const wanted = this.#readBytes;
      if (this.#buffer.length - this.#end < wanted) this.#makeRoom(bytes, wanted);
      const { bytesRead } = await readAsync(
        this.#fd,
        this.#buffer,
        this.#end,
        wanted,
        this.#position,
      );
      if (bytesRead === 0) return false;
      this.#end += bytesRead;
      this.#position += bytesRead;
    }
    return true;
  }

  /** Bytes to ask for: of a small file all, and one more to see its end. */
  get #readBytes(): number {
    const left = this.#sizeBytes - this.#position;
    return left > 0 ? Math.min(left + 1, READ_BYTES) : READ_BYTES;
  }

  #makeRoom(bytes: number, readBytes: number): void {
    // Not more ahead: both threads of a restore have such a buffer, and small files are many.
    const keptBytes = this.#end - this.#start;
    const buffer = Buffer.allocUnsafeSlow(Math.max(bytes, keptBytes, readBytes) + readBytes);
    this.buffered.copy(buffer);
    const old = this.#buffer;
    this.#buffer = buffer;
    this.#start = 0;
    this.#end = keptBytes;
    // Last of all, since nothing can be said of views of it any more.
    this.#giveUp(old);
  }

  /** The next `bytes` bytes, which must be buffered; moves past them. They stay as they are. */
  take(bytes: number): Buffer {
    const taken = this.#next(bytes);
    this.#keptForGood.add(taken.buffer);
    return taken;
  }

  /** Like `take`, for bytes that nobody uses any more after `release`. */
  lend(bytes: number): Buffer {
    const lent = this.#next(bytes);
    this.#frames.set(lent.buffer, (this.#frames.get(lent.buffer) ?? 0) + 1);
    return lent;
  }

  release(lent: Buffer): void {
    const left = (this.#frames.get(lent.buffer) ?? 1) - 1;
    if (left > 0) this.#frames.set(lent.buffer, left);
    else {
      this.#frames.delete(lent.buffer);
      if (lent.buffer !== this.#buffer.buffer) this.#giveUp(lent);
    }
  }

  #next(bytes: number): Buffer {
    const next = this.#buffer.subarray(this.#start, this.#start + bytes);
    this.#start += bytes;
    return next;
  }

  /** When nothing more will be read. */
  close(): void {
    const last = this.#buffer;
    this.#buffer = Buffer.alloc(0);
    this.#start = this.#end = 0;
    this.#giveUp(last);
  }

  #giveUp(bytes: Buffer): void {
    if (!this.#frames.has(bytes.buffer) && !this.#keptForGood.has(bytes.buffer)) freeMemory(bytes);
  }
}

async function need(window: FileWindow, bytes: number): Promise<void> {
  if (!(await window.ensure(bytes))) throw corruptZstd('it ends within a frame');
}

/** Bytes of the block whose header is `at` bytes from here, and whether it is the last one. */
async function blockAt(window: FileWindow, at: number): Promise<{ bytes: number; last: boolean }> {
  await need(window, at + BLOCK_HEADER_BYTES);
  return readBlockHeader(window.buffered.subarray(at));
}

/** The whole frame at this place, when it is no longer than FRAME_BYTES_MAX. */
async function takeSmallFrame(
  window: FileWindow,
  header: FrameHeader,
): Promise<Buffer | undefined> {
  let at = header.headerBytes;
  for (;;) {
    const block = await blockAt(window, at);
    at += block.bytes;
    if (at > FRAME_BYTES_MAX) return undefined;
    if (block.last) break;
  }
  await need(window, at + header.checksumBytes);
  return window.lend(at + header.checksumBytes);
}

/** The frame at this place, piece by piece. */
async function* takeLargeFrame(window: FileWindow, header: FrameHeader): AsyncGenerator<Buffer> {
  let at = header.headerBytes;
  for (let last = false; !last;) {
    const block = await blockAt(window, at);
    at += block.bytes;
    last = block.last;
    if (at < READ_BYTES && !last) continue;
    await need(window, at);
    yield window.take(at);
    at = 0;
  }
  if (header.checksumBytes === 0) return;
  await need(window, header.checksumBytes);
  yield window.take(header.checksumBytes);
}

/** The content of `frame`, which says that it is `contentBytes` long. @throws when it is damaged */
export async function decompressFrame(frame: Buffer, contentBytes: number): Promise<Buffer> {
  const content = await decompress(frame, {
    chunkSize: contentBytes + SLACK_BYTES,
    maxOutputLength: contentBytes + SLACK_BYTES,
  });
  if (content.length === contentBytes) return content;
  throw corruptZstd('a frame of a size other than it says');
}

async function* streamed(pieces: AsyncIterable<Buffer> | Iterable<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield* decoded(pieces, createZstdDecompress({ chunkSize: CHUNK_BYTES }));
  } catch (error) {
    throw error instanceof LbsError ? error : corruptZstd(messageOf(error), error);
  }
}

/** A small frame whose decompression is under way. */
class PendingFrame {
  readonly #frame: Buffer;
  readonly #content: Promise<Buffer>;
  readonly #window: FileWindow;

  /** `frame` is lent by `window`. */
  constructor(window: FileWindow, frame: Buffer, contentBytes: number) {
    this.#window = window;
    this.#frame = frame;
    this.#content = decompressFrame(frame, contentBytes);
    // It may fail before anybody waits for it, or be left alone: neither may end the process.
    this.#content.catch(() => undefined);
  }

  /** Of a damaged frame, first what is before the damage. */
  async *chunks(): AsyncGenerator<Buffer> {
    let content: Buffer;
    try {
      content = await this.#content;
    } catch (error) {
      yield* streamed([this.#frame]);
      throw corruptZstd(messageOf(error), error);
    }
    this.#window.release(this.#frame);
    yield content;
    freeMemory(content);
  }
}

/** Skips frames that hold no content; false at the end of the file. */
async function atFrame(window: FileWindow): Promise<boolean> {
  for (;;) {
    await window.ensure(HEADER_BYTES_MAX);
    const bytes = window.buffered;
    if (bytes.length === 0) return false;
    let left = skippableBytes(bytes);
    if (left === 0) return true;
    while (left > 0) {
      const step = Math.min(left, READ_BYTES);
      await need(window, step);
      window.take(step);
      left -= step;
    }
  }
}

type NextFrame =
  | { readonly kind: 'end' }
  | { readonly kind: 'small'; readonly frame: PendingFrame }
  | { readonly kind: 'large'; readonly header: FrameHeader }
  | { readonly kind: 'damaged'; readonly error: unknown };

async function nextFrame(window: FileWindow): Promise<NextFrame> {
  try {
    if (!(await atFrame(window))) return { kind: 'end' };
    const header = readFrameHeader(window.buffered);
    const { contentBytes } = header;
    if (contentBytes === undefined || contentBytes > FRAME_BYTES_MAX) {
      return { kind: 'large', header };
    }
    const frame = await takeSmallFrame(window, header);
    return frame === undefined
      ? { kind: 'large', header }
      : { kind: 'small', frame: new PendingFrame(window, frame, contentBytes) };
  } catch (error) {
    return { kind: 'damaged', error };
  }
}

/**
 * The decompressed content of all frames of `file`. A chunk is valid until the next is asked for.
 * @throws {LbsError} segment-corrupt for anything but whole frames, after all that is before
 */
export async function* readZstdFrames(file: OpenFile): AsyncGenerator<Buffer> {
  const window = new FileWindow(file);
  let pending: PendingFrame | undefined;
  try {
    for (;;) {
      // This starts the next frame on another thread before the caller gets the one before it.
      const next = await nextFrame(window);
      if (pending !== undefined) yield* pending.chunks();
      pending = undefined;
      if (next.kind === 'end') return;
      if (next.kind === 'damaged') throw next.error;
      if (next.kind === 'small') pending = next.frame;
      else yield* streamed(takeLargeFrame(window, next.header));
    }
  } finally {
    window.close();
  }
}
