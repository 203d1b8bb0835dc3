/**
 * What the headers of zstd's frames and blocks say (RFC 8878, section 3.1), for those who find
 * their way in a zstd file without decompressing it: zstd-frames and zstd-index.
 */
import { LbsError } from '../errors.ts';

/** Frames of up to this many bytes, on both sides, are decompressed in one call. */
export const FRAME_BYTES_MAX = 8 * 1024 * 1024;
/** The longest header of a frame. */
export const HEADER_BYTES_MAX = 18;
export const BLOCK_HEADER_BYTES = 3;

const MAGIC = 0xfd2fb528;
const MAGIC_BYTES = 4;
const SKIPPABLE_MASK = 0xfffffff0;
const SKIPPABLE_MAGIC = 0x184d2a50;
const SKIPPABLE_HEADER_BYTES = 8;
const BLOCK_BYTES_MAX = 128 * 1024;
const RLE_BLOCK = 1;
const RESERVED_BLOCK = 3;

export type FrameHeader = {
  readonly headerBytes: number;
  readonly contentBytes: number | undefined;
  readonly checksumBytes: number;
};

export function corruptZstd(why: string, cause?: unknown): LbsError {
  return new LbsError('segment-corrupt', `zstd data is damaged: ${why}`, { cause });
}

/**
 * Bytes of the frame without content that `bytes` begins with; 0 where a frame with content
 * begins. @throws {LbsError} segment-corrupt where neither does
 */
export function skippableBytes(bytes: Buffer): number {
  if (bytes.length <= MAGIC_BYTES) throw corruptZstd('it ends within a frame');
  const magic = bytes.readUInt32LE(0);
  if (magic === MAGIC) return 0;
  if ((magic & SKIPPABLE_MASK) >>> 0 !== SKIPPABLE_MAGIC || bytes.length < SKIPPABLE_HEADER_BYTES) {
    throw corruptZstd('no zstd frame where one should be');
  }
  return SKIPPABLE_HEADER_BYTES + bytes.readUInt32LE(MAGIC_BYTES);
}

/** The header of the frame that `bytes` begins with. @throws {LbsError} segment-corrupt */
export function readFrameHeader(bytes: Buffer): FrameHeader {
  const descriptor = bytes[MAGIC_BYTES] ?? 0;
  const single = (descriptor & 0x20) !== 0;
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] ?? 0;
  const sizeBytes = [single ? 1 : 0, 2, 4, 8][descriptor >> 6] ?? 0;
  const at = 5 + (single ? 0 : 1) + dictionaryBytes;
  if (bytes.length < at + sizeBytes) throw corruptZstd('it ends within a frame');
  let contentBytes: number | undefined;
  if (sizeBytes === 1) contentBytes = bytes.readUInt8(at);
  else if (sizeBytes === 2) contentBytes = bytes.readUInt16LE(at) + 256;
  else if (sizeBytes === 4) contentBytes = bytes.readUInt32LE(at);
  else if (sizeBytes === 8) contentBytes = Number(bytes.readBigUInt64LE(at));
  const checksumBytes = (descriptor & 4) === 0 ? 0 : 4;
  return { headerBytes: at + sizeBytes, contentBytes, checksumBytes };
}

/**
 * Bytes of the block whose header `bytes` begins with, header included, and whether it is the
 * last of its frame. @throws {LbsError} segment-corrupt
 */
export function readBlockHeader(bytes: Buffer): { bytes: number; last: boolean } {
  if (bytes.length < BLOCK_HEADER_BYTES) throw corruptZstd('it ends within a frame');
  const header = bytes.readUIntLE(0, BLOCK_HEADER_BYTES);
  const type = (header >> 1) & 3;
  const size = header >> 3;
  if (type === RESERVED_BLOCK || size > BLOCK_BYTES_MAX) throw corruptZstd('an impossible block');
  const contentBytes = type === RLE_BLOCK ? 1 : size;
  return { bytes: BLOCK_HEADER_BYTES + contentBytes, last: (header & 1) === 1 };
}
