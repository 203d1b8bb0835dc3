/**
 * The short way of a file that is one block: most files are. Opened, read, hashed, stored and
 * checked without waiting for anything; whatever is out of the ordinary is left to store-content.
 *
 * On /usr/share (47,000 files) it takes a third of what the long way took beside the calls of the
 * system: no promises, no list of blocks, one text instead of eight.
 */
import { hash } from 'node:crypto';
import type { SourceEntry } from '../sources/source.ts';
import type { FileStatusWord } from '../report.ts';
import { nowSeconds } from '../std/clock.ts';
import type { BlockStore } from './store-block.ts';
import { BLOCK_BYTES, isAllZeros, type ReadingTools, type StoredContent } from './store-content.ts';

/** What an empty file comes to, without hashing nothing for each. */
const EMPTY: Stored = {
  sha1: hash('sha1', '', 'hex'),
  sha256: hash('sha256', '', 'hex'),
  reference: '',
  word: 'old',
};

/**
 * Undefined when the file is of more than one block, has holes or only zeros, or changed
 * under the reading: then nothing is decided yet. Ask `tools.blocks.room` before.
 * @throws {SourceTrouble} when it cannot be opened or read; {LbsError} for all else
 */
export function storeSmallFile(entry: SourceEntry, tools: ReadingTools): StoredContent | undefined {
  const expected = entry.status.sizeBytes;
  if (expected > BLOCK_BYTES) return undefined;
  const openedS = nowSeconds();
  const content = entry.openContent();
  try {
    const { status } = content;
    const { sizeBytes } = status;
    if (sizeBytes > BLOCK_BYTES || !content.isOneExtent()) return undefined;
    if (sizeBytes === 0 && content.read(tools.block, 0, 1) > 0) return undefined;
    if (content.read(tools.block, 0, sizeBytes) < sizeBytes) return undefined;
    const data = tools.block.subarray(0, sizeBytes);
    if (isAllZeros(data)) return undefined;
    const xattrs = content.xattrs();
    if (!content.isUnchanged()) return undefined;
    const block = sizeBytes === 0 ? EMPTY : storeBlock(data, tools.blocks);
    const { sha1, sha256, reference, word } = block;
    return {
      status,
      fields: [
        ['checksum', `sha1=${sha1}`],
        ['data', reference],
        ['sha256', sha256],
        ['size', String(sizeBytes)],
      ],
      xattrs,
      word,
      sizeBytes,
      bytesRead: sizeBytes,
      sha256,
      openedS,
      isStable: true,
    };
  } finally {
    content.close();
  }
}

type Stored = {
  readonly sha1: string;
  readonly sha256: string;
  readonly reference: string;
  readonly word: FileStatusWord;
};

function storeBlock(data: Buffer, blocks: BlockStore): Stored {
  const sha256 = hash('sha256', data, 'hex');
  const sha1 = hash('sha1', data, 'hex');
  const { reference, outcome } = blocks.store(data, sha256);
  return { sha1, sha256, reference, word: outcome === 'known' ? 'old' : outcome };
}
