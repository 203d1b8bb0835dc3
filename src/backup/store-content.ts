/**
 * The content of one file: read, cut into blocks, each block stored or found.
 *
 * A file that changes while it is read is read again a few times; the last reading is then kept
 * as it is and said to be unstable. Holes are not read, unless there are too many. A file of up to
 * 1 MiB is one block, apart from its holes; a larger one is cut by its content (cut-points). Blocks
 * that are all zeros become `zero[n]`.
 */
import { hash } from 'node:crypto';
import type { Xattr } from '../format/entry.ts';
import type { FileStatus } from '../posix/file-status.ts';
import type { FileStatusWord } from '../report.ts';
import { type SourceContent, type SourceEntry, SourceTrouble } from '../sources/source.ts';
import { nowSeconds } from '../std/clock.ts';
import type { BlockCutter } from './block-cutter.ts';
import { coarseExtents } from './coarse-extents.ts';
import { type ContentDigests, DigestsHere, type WholeDigests } from './content-digests.ts';
import { CUT_BYTES_MAX } from './cut-points.ts';
import type { Fields } from './entry-fields.ts';
import type { BlockOutcome, BlockStore } from './store-block.ts';

/** A file up to this size is read at once, and is one block. */
export const BLOCK_BYTES = CUT_BYTES_MAX;
/** How often a file that changes under us is read before what was read is kept. */
const ATTEMPTS = 3;
/** The longest zero[n]: old tools make the zeros in memory. */
const ZERO_BYTES_MAX = 16 * BLOCK_BYTES;
/**
 * What a file's list of blocks may take: no reader accepts an object of more than 64 MiB, and the
 * list is within one. Files are cut so that they stay below it, up to some 12 TiB.
 */
const LIST_BYTES_MAX = 60 * 1024 * 1024;
/** `[start+length]` and the newlines, at most. */
const LIST_LINE_BYTES = 32;

const ZEROS = Buffer.alloc(BLOCK_BYTES);

export function isAllZeros(data: Buffer): boolean {
  for (let at = 0; at < data.length; at += BLOCK_BYTES) {
    const part = data.subarray(at, at + BLOCK_BYTES);
    if (part[0] !== 0 || !part.equals(ZEROS.subarray(0, part.length))) return false;
  }
  return data.length > 0;
}

/** The content of a file makes more blocks than a list has room for. */
class ListFull extends Error {}

export type StoredContent = {
  /** Status of the file as it was opened for the reading that counts. */
  readonly status: FileStatus;
  readonly fields: Fields;
  /** Read from the open file; undefined when they could not be. */
  readonly xattrs: readonly Xattr[] | undefined;
  readonly word: FileStatusWord;
  readonly sizeBytes: number;
  readonly bytesRead: number;
  readonly sha256: string;
  /** Seconds since 1970, before the first byte was read. */
  readonly openedS: number;
  /** False when the file kept changing: what is stored may mix its states. */
  readonly isStable: boolean;
  /** True when it was found to be what a rebuilt stat cache says. */
  readonly isKept?: true;
};

/** What reading needs of its run. */
export type ReadingTools = {
  readonly blocks: BlockStore;
  /** `BLOCK_BYTES` of memory, of this run alone: it is in use while others may run. */
  readonly block: Buffer;
  /** For files larger than that. */
  readonly cutter: BlockCutter;
  /** Lets signals and displays have their turn. */
  readonly breathe: () => Promise<void>;
};

/** @throws {SourceTrouble} when the file cannot be opened or read; {LbsError} for all else */
export async function storeContent(
  entry: SourceEntry,
  tools: ReadingTools,
): Promise<StoredContent> {
  let bytesRead = 0;
  let isOneSize = false;
  for (let attempt = 1; ; attempt++) {
    const content = entry.openContent();
    try {
      const reading = await readOnce(content, tools, isOneSize);
      bytesRead += reading.bytesRead;
      if (reading.isStable || attempt === ATTEMPTS) return { ...reading, bytesRead };
    } catch (error) {
      if (!(error instanceof ListFull)) throw error;
      if (isOneSize)
        throw new SourceTrouble('unreadable', 'has more blocks than a snapshot can list');
      isOneSize = true;
    } finally {
      content.close();
    }
  }
}

async function readOnce(
  content: SourceContent,
  tools: ReadingTools,
  isOneSize: boolean,
): Promise<StoredContent> {
  const { blocks, block, cutter, breathe } = tools;
  const { sizeBytes } = content.status;
  const openedS = nowSeconds();
  const large = sizeBytes > BLOCK_BYTES ? await cutter.begin(content, isOneSize) : undefined;
  const reading = new Reading(blocks, openedS, large?.digests);
  if (sizeBytes === 0 && content.read(block, 0, 1) > 0) {
    if (!content.isUnchanged()) return reading.finish(content, false);
    // What others of no size have, an empty file in its place would hide.
    throw new SourceTrouble('unreadable', 'has content, although its size is 0: it is not stored');
  }
  for (const extent of coarseExtents(content)) {
    if (extent.kind === 'hole') {
      await reading.addHole(extent.start, extent.length, breathe);
      continue;
    }
    const { start, length } = extent;
    let count = 0;
    if (large !== undefined) {
      for await (const part of large.blocks(extent)) {
        await reading.addBlock(part, hash('sha256', part, 'hex'));
        count += part.length;
        await breathe();
      }
    } else {
      count = content.read(block, start, length);
      if (count > 0) await reading.addData(block.subarray(0, count), count === sizeBytes);
    }
    // Shorter than it was when opened: the status below will say so.
    if (count < length) return reading.finish(content, false);
  }
  return reading.finish(content, content.isUnchanged());
}

/** One reading of one file. */
class Reading {
  readonly #blocks: BlockStore;
  readonly #openedS: number;
  readonly #references: { text: string; length: number }[] = [];
  readonly #digests: string[] = [];
  readonly #holes: string[] = [];
  readonly #outcomes = new Set<BlockOutcome>();
  #sizeBytes = 0;
  #bytesRead = 0;
  #zeroRun = 0;
  #listBytes = 0;
  /** Digests of the whole content: running ones, unless one block is all of it. */
  #running: ContentDigests | undefined;
  #whole: WholeDigests | undefined;

  /** `running` when a large file takes its own data. */
  constructor(blocks: BlockStore, openedS: number, running: ContentDigests | undefined) {
    this.#blocks = blocks;
    this.#openedS = openedS;
    this.#running = running;
  }

  /** `isWhole`: these bytes are the whole file, as most files are. */
  async addData(data: Buffer, isWhole: boolean): Promise<void> {
    const sha256 = hash('sha256', data, 'hex');
    if (isWhole) this.#whole = { sha1: hash('sha1', data, 'hex'), sha256 };
    else await (this.#running ??= new DigestsHere()).update(data);
    await this.addBlock(data, sha256);
  }

  /** One block, without what the file's checksum needs of it. */
  async addBlock(data: Buffer, sha256: string): Promise<void> {
    this.#bytesRead += data.length;
    if (isAllZeros(data)) {
      this.#addZeros(data.length);
      return;
    }
    this.#endZeros();
    this.#sizeBytes += data.length;
    await this.#blocks.room();
    const { reference, outcome } = this.#blocks.store(data, sha256);
    this.#list(reference, data.length, sha256);
    this.#outcomes.add(outcome);
  }

  /** The file's checksum covers its holes as zeros, which takes its time for a huge one. */
  async addHole(start: number, length: number, breathe: () => Promise<void>): Promise<void> {
    this.#holes.push(`${start}+${length}`);
    this.#listBytes += LIST_LINE_BYTES;
    const digests = (this.#running ??= new DigestsHere());
    for (let done = 0; done < length; done += ZERO_BYTES_MAX) {
      await digests.zeros(Math.min(ZERO_BYTES_MAX, length - done));
      await breathe();
    }
    this.#addZeros(length);
  }

  #addZeros(length: number): void {
    this.#sizeBytes += length;
    this.#zeroRun += length;
  }

  #endZeros(): void {
    while (this.#zeroRun > 0) {
      const length = Math.min(this.#zeroRun, ZERO_BYTES_MAX);
      this.#list(`zero[${length}]`, length, '-');
      this.#zeroRun -= length;
    }
  }

  /** @throws {ListFull} when nobody could read the list any more */
  #list(text: string, length: number, digest: string): void {
    this.#listBytes += text.length + digest.length + LIST_LINE_BYTES;
    if (this.#listBytes > LIST_BYTES_MAX) throw new ListFull();
    this.#references.push({ text, length });
    this.#digests.push(digest);
  }

  #word(): FileStatusWord {
    if (this.#outcomes.has('new')) return this.#outcomes.size > 1 ? 'partial' : 'new';
    return this.#outcomes.has('repack') ? 'repack' : 'old';
  }

  /**
   * Only the last block may be short without saying so: whoever plans a restore must know where
   * each block goes before it reads any. Readers of sparse files take a length that is not said
   * to end at a multiple of 1 MiB.
   */
  #dataText(): string {
    const last = this.#references.length - 1;
    const isSparse = this.#holes.length > 0;
    return this.#references
      .map(({ text, length }, at) => {
        const isUsual = !isSparse && (at === last || length === BLOCK_BYTES);
        return isUsual || text.startsWith('zero') ? text : `${text}[0+${length}]`;
      })
      .join('\n');
  }

  async finish(content: SourceContent, isStable: boolean): Promise<StoredContent> {
    this.#endZeros();
    const digests = this.#running ?? new DigestsHere();
    const { sha1, sha256 } = this.#whole ?? (await digests.finish());
    const fields: Fields = [
      ['checksum', `sha1=${sha1}`],
      ['data', this.#dataText()],
      ['sha256', sha256],
      ['size', String(this.#sizeBytes)],
    ];
    if (this.#references.length > 1) fields.push(['block_sha256', this.#digests.join('\n')]);
    if (this.#holes.length > 0) fields.push(['holes', this.#holes.join('\n')]);
    return {
      status: content.status,
      fields,
      xattrs: content.xattrs(),
      word: this.#word(),
      sizeBytes: this.#sizeBytes,
      bytesRead: this.#bytesRead,
      sha256,
      openedS: this.#openedS,
      isStable,
    };
  }
}
