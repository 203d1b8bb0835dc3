/**
 * Where the frames of a zstd file are, so that one of them can be decompressed without the rest.
 *
 * Called by object-finder. Only headers of frames and blocks are looked at; still the file is read
 * from its start in large pieces, because a disk or a network takes longer for hundreds of small
 * reads. 8 MiB in the system's cache take 2 ms.
 */
import { readSync } from 'node:fs';
import { zstdDecompressSync } from 'node:zlib';
import { freeMemory } from '../std/free-memory.ts';
import type { OpenFile } from '../stores/store.ts';
import { decompressFrame } from './zstd-frames.ts';
import {
  BLOCK_HEADER_BYTES,
  FRAME_BYTES_MAX,
  HEADER_BYTES_MAX,
  corruptZstd,
  readBlockHeader,
  readFrameHeader,
  skippableBytes,
} from './zstd-headers.ts';

const READ_BYTES = 256 * 1024;

export type IndexedFrame = {
  /** Place and length in the file. */
  readonly at: number;
  readonly bytes: number;
  /** Place and length in what the file holds. */
  readonly contentAt: number;
  readonly contentBytes: number;
};

/** Reads up to `bytes.length` bytes of the file from `at` on; how many there were. */
function readFully(fd: number, bytes: Buffer, at: number): number {
  let filled = 0;
  while (filled < bytes.length) {
    const bytesRead = readSync(fd, bytes, filled, bytes.length - filled, at + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled;
}

/** Something to look at a few bytes of. */
type View = {
  /** `bytes` bytes from `at` on, fewer at the end of the file; valid until the next call. */
  look(at: number, bytes: number): Buffer;
};

/** A view of a file, forwards only. */
class ForwardView implements View {
  readonly #fd: number;
  readonly #buffer: Buffer;
  #start = 0;
  #filled = 0;

  constructor({ fd, sizeBytes }: OpenFile) {
    this.#fd = fd;
    this.#buffer = Buffer.allocUnsafeSlow(Math.min(READ_BYTES, sizeBytes));
  }

  look(at: number, bytes: number): Buffer {
    if (at + bytes > this.#start + this.#filled) {
      this.#start = at;
      this.#filled = readFully(this.#fd, this.#buffer, at);
    }
    const from = at - this.#start;
    return this.#buffer.subarray(from, Math.min(from + bytes, this.#filled));
  }

  close(): void {
    freeMemory(this.#buffer);
  }
}

/** Bytes of the frame at `at`, and of its content. @throws {LbsError} segment-corrupt */
function frameAt(view: View, at: number): { bytes: number; contentBytes: number | undefined } {
  const start = view.look(at, HEADER_BYTES_MAX);
  const skippable = skippableBytes(start);
  if (skippable > 0) return { bytes: skippable, contentBytes: 0 };
  const { headerBytes, contentBytes, checksumBytes } = readFrameHeader(start);
  let end = at + headerBytes;
  for (let isLast = false; !isLast;) {
    const block = readBlockHeader(view.look(end, BLOCK_HEADER_BYTES));
    end += block.bytes;
    isLast = block.last;
  }
  return { bytes: end + checksumBytes - at, contentBytes };
}

/**
 * All frames of `file` in order; undefined when one is large, or does not say how much it holds.
 * @throws {LbsError} segment-corrupt
 */
export function indexZstdFrames(file: OpenFile): IndexedFrame[] | undefined {
  const view = new ForwardView(file);
  try {
    return framesIn(view, file.sizeBytes);
  } finally {
    view.close();
  }
}

function framesIn(view: View, sizeBytes: number): IndexedFrame[] | undefined {
  const frames: IndexedFrame[] = [];
  let contentAt = 0;
  for (let at = 0; at < sizeBytes;) {
    const { bytes, contentBytes } = frameAt(view, at);
    if (contentBytes === undefined || Math.max(bytes, contentBytes) > FRAME_BYTES_MAX) {
      return undefined;
    }
    if (contentBytes > 0) frames.push({ at, bytes, contentAt, contentBytes });
    at += bytes;
    contentAt += contentBytes;
  }
  return frames;
}

/** What `frame` of `file` holds. @throws when it is damaged */
export async function readZstdFrame(file: OpenFile, frame: IndexedFrame): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(frame.bytes);
  try {
    if (readFully(file.fd, bytes, frame.at) < frame.bytes) {
      throw corruptZstd('it ends within a frame');
    }
    return await decompressFrame(bytes, frame.contentBytes);
  } finally {
    freeMemory(bytes);
  }
}

/**
 * All that a small file holds, read and decompressed at once in this thread; undefined when it is
 * damaged, or more than `contentBytesMax`: the usual way tells. Runs in which little changed leave
 * such files, a restore may need hundreds of them, and handing each to other threads and back took
 * 2 ms.
 */
export function readSmallZstd(file: OpenFile, contentBytesMax: number): Buffer | undefined {
  try {
    const whole = Buffer.allocUnsafe(file.sizeBytes);
    if (readFully(file.fd, whole, 0) < whole.length) return undefined;
    const view = { look: (at: number, bytes: number) => whole.subarray(at, at + bytes) };
    const frames = framesIn(view, whole.length) ?? [];
    const last = frames.at(-1);
    if (last === undefined || last.contentAt + last.contentBytes > contentBytesMax)
      return undefined;
    const content = Buffer.allocUnsafe(last.contentAt + last.contentBytes);
    for (const frame of frames) {
      const bytes = whole.subarray(frame.at, frame.at + frame.bytes);
      if (bytes.length < frame.bytes) return undefined;
      const part = zstdDecompressSync(bytes, { maxOutputLength: frame.contentBytes });
      if (part.length !== frame.contentBytes) return undefined;
      part.copy(content, frame.contentAt);
    }
    return content;
  } catch {
    return undefined;
  }
}
