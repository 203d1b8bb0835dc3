/**
 * Reads large files through two windows of memory and cuts them into blocks there, for
 * store-content. Where the blocks end is decided by cut-points, or at multiples of a size where
 * in-place-formats says so and in huge files; never by where a read ends.
 */
import type { Extent, SourceContent } from '../sources/source.ts';
import { type ContentDigests, DigestsHere } from './content-digests.ts';
import { CUT_BYTES_MAX, cutLength } from './cut-points.ts';
import { DigestThread } from './digest-thread.ts';
import { HEAD_BYTES, inPlaceBlockBytes } from './in-place-formats.ts';
import type { SideThread } from './side-thread.ts';

/** What one read brings. */
const READ_BYTES = CUT_BYTES_MAX;
/** Before it is room for the rest of the read before, which is less than a block. */
const WINDOW_BYTES = CUT_BYTES_MAX + READ_BYTES;
const WINDOWS = 2;

/** Below this a thread is not worth its start and its memory (some 15 MB). */
const THREAD_FILE_BYTES_MIN = 8 * 1024 * 1024;
/**
 * Larger files are cut into blocks of one size: cut by content they have more than twice as many, and
 * the list of a file's blocks passes through memory whole.
 */
const BY_CONTENT_BYTES_MAX = 64 * 1024 ** 3;
/** Beyond this many blocks they are made larger; each takes some 150 bytes of the list. */
const BLOCKS_MAX = 256 * 1024;
/** By large steps, because a file that grows across one is stored anew. */
const BLOCK_BYTES_STEP = 4;
/** Readers accept objects of 64 MiB. */
const BLOCK_BYTES_MAX = 32 * 1024 * 1024;

/**
 * Length of the block that begins with `next`, at `at` of the file. `next` holds `CUT_BYTES_MAX`
 * bytes, or all that are left of a stretch of data.
 */
type CutRule = (next: Buffer, at: number) => number;

/** One large file on its way. */
export type LargeFile = {
  /** Of the whole file: they take the data themselves, and must be told of the holes. */
  readonly digests: ContentDigests;
  /**
   * The blocks of one stretch of data, in order; fewer bytes in all than the stretch has, when
   * the file ends before it. A block is valid until the next one is asked for.
   * @throws {SourceTrouble} unreadable
   */
  blocks(extent: Extent): AsyncGenerator<Buffer>;
};

/** Cuts the large files of one run, one at a time. */
export class BlockCutter {
  readonly #side: SideThread;
  /** Shared with the thread; made when the first large file comes. */
  #memory: SharedArrayBuffer | undefined;
  #thread: DigestThread | undefined;

  constructor(side: SideThread) {
    this.#side = side;
  }

  /**
   * `isOneSize`: its content would make too many blocks, so let it not decide.
   * @throws {SourceTrouble} unreadable
   */
  async begin(content: SourceContent, isOneSize: boolean): Promise<LargeFile> {
    const { sizeBytes } = content.status;
    const rule = ruleFor(content, isOneSize);
    const shared = (this.#memory ??= new SharedArrayBuffer(WINDOWS * WINDOW_BYTES));
    const digests = await this.#digests(shared, sizeBytes);
    const memory = Buffer.from(shared);
    const blocks = (extent: Extent) => cut(extent, { content, rule, digests, memory });
    const blockBytes = hugeBlockBytes(sizeBytes);
    if (blockBytes === CUT_BYTES_MAX) return { digests, blocks };
    return { digests, blocks: (extent) => joined(blocks(extent), extent.start, blockBytes) };
  }

  async #digests(memory: SharedArrayBuffer, sizeBytes: number): Promise<ContentDigests> {
    if (sizeBytes < THREAD_FILE_BYTES_MIN) return new DigestsHere();
    this.#thread ??= new DigestThread(this.#side, memory);
    return await this.#thread.begin();
  }
}

/** Size of the blocks of files that have too many of 1 MiB; 1 MiB for all others. */
export function hugeBlockBytes(sizeBytes: number): number {
  let size = CUT_BYTES_MAX;
  while (sizeBytes > size * BLOCKS_MAX) size *= BLOCK_BYTES_STEP;
  return Math.min(size, BLOCK_BYTES_MAX);
}

function ruleFor(content: SourceContent, isOneSize: boolean): CutRule {
  const head = Buffer.alloc(HEAD_BYTES);
  content.read(head, 0, HEAD_BYTES);
  const { sizeBytes } = content.status;
  const isHuge = isOneSize || sizeBytes > BY_CONTENT_BYTES_MAX;
  const size = inPlaceBlockBytes(head, sizeBytes) ?? (isHuge ? CUT_BYTES_MAX : undefined);
  if (size === undefined) return cutLength;
  return (next, at) => Math.min(next.length, size - (at % size));
}

type Cutting = {
  readonly content: SourceContent;
  readonly rule: CutRule;
  readonly digests: ContentDigests;
  readonly memory: Buffer;
};

async function* cut(
  { start, length }: Extent,
  { content, rule, digests, memory }: Cutting,
): AsyncGenerator<Buffer> {
  let end = start + length;
  /** Where in the file that begins which is read and not yet cut. */
  let at = start;
  let uncut = memory.subarray(0, 0);
  for (let window = 0; ;) {
    const next = at + uncut.length;
    if (uncut.length < CUT_BYTES_MAX && next < end) {
      // The rest moves to before what comes, so that no block lies in two windows.
      const fresh = window + CUT_BYTES_MAX;
      await digests.room();
      uncut.copy(memory, fresh - uncut.length);
      const wanted = Math.min(end - next, READ_BYTES);
      const count = content.read(memory.subarray(fresh), next, wanted);
      if (count > 0) await digests.update(memory.subarray(fresh, fresh + count));
      if (count < wanted) end = next + count;
      uncut = memory.subarray(fresh - uncut.length, fresh + count);
      window = WINDOW_BYTES - window;
    }
    if (uncut.length === 0) return;
    const size = rule(uncut.subarray(0, CUT_BYTES_MAX), at);
    yield uncut.subarray(0, size);
    uncut = uncut.subarray(size);
    at += size;
  }
}

/** Blocks that end at multiples of `blockBytes` in the file, out of parts that do not cross these. */
async function* joined(
  parts: AsyncIterable<Buffer>,
  start: number,
  blockBytes: number,
): AsyncGenerator<Buffer> {
  const block = Buffer.allocUnsafeSlow(blockBytes);
  let at = start;
  let length = 0;
  for await (const part of parts) {
    length += part.copy(block, length);
    at += part.length;
    if (at % blockBytes > 0) continue;
    yield block.subarray(0, length);
    length = 0;
  }
  if (length > 0) yield block.subarray(0, length);
}
