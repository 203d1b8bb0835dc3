/**
 * The tar member of one object: a 512-byte header in the old GNU flavour the family writes, then
 * the data padded to 512. Written by hand because the exact bytes are the format (a library
 * writes POSIX ustar or pax headers). Format: lbs-format(5), "SEGMENTS".
 */
import { LbsError } from '../errors.ts';

export const TAR_RECORD_BYTES = 512;
/** Eleven octal digits: what the size field holds. */
const SIZE_MAX = 0o77777777777;

/** Bytes an object of `sizeBytes` takes in a tar file: header, data and padding. */
export function tarMemberBytes(sizeBytes: number): number {
  return TAR_RECORD_BYTES + Math.ceil(sizeBytes / TAR_RECORD_BYTES) * TAR_RECORD_BYTES;
}

/** A header whose fields that never change are filled in; copied for each member. */
const TEMPLATE = (() => {
  const header = Buffer.alloc(TAR_RECORD_BYTES);
  header.write('0000600\0', 100, 'latin1');
  header.write('0000000\0', 108, 'latin1');
  header.write('0000000\0', 116, 'latin1');
  header.write('        ', 148, 'latin1');
  header.write('0', 156, 'latin1');
  header.write('ustar  \0', 257, 'latin1');
  header.write('root', 265, 'latin1');
  header.write('root', 297, 'latin1');
  return header;
})();

const TEMPLATE_SUM = TEMPLATE.reduce((sum, byte) => sum + byte, 0);
const ZERO = 0x30;
/** Where a field is, and how many octal digits it has. */
const SIZE_FIELD = [124, 11] as const;
const MTIME_FIELD = [136, 11] as const;
const CHECKSUM_FIELD = [148, 6] as const;

/** Writes octal digits; their sum. Without making text of them, which took 1 us an object. */
function writeOctal(into: Buffer, value: number, [start, digits]: readonly [number, number]) {
  let sum = 0;
  let rest = value;
  for (let at = start + digits - 1; at >= start; at--) {
    // Values have up to 33 bits, so no shifting.
    const above = Math.floor(rest / 8);
    const digit = ZERO + (rest - above * 8);
    into[at] = digit;
    sum += digit;
    rest = above;
  }
  return sum;
}

/** Writes the header of `name` into the first 512 bytes of `into`. `mtime` in seconds. */
export function writeTarHeader(into: Buffer, name: string, sizeBytes: number, mtime: number): void {
  if (sizeBytes > SIZE_MAX) {
    throw new LbsError('internal', `object ${name} of ${sizeBytes} bytes is too large for tar`);
  }
  TEMPLATE.copy(into, 0);
  const length = into.write(name, 0, 100, 'latin1');
  let sum = TEMPLATE_SUM;
  for (let at = 0; at < length; at++) sum += into[at] ?? 0;
  sum += writeOctal(into, sizeBytes, SIZE_FIELD);
  sum += writeOctal(into, Math.min(Math.max(mtime, 0), SIZE_MAX), MTIME_FIELD);
  writeOctal(into, sum, CHECKSUM_FIELD);
  into[CHECKSUM_FIELD[0] + CHECKSUM_FIELD[1]] = 0;
}

export type TarHeader = { name: string; sizeBytes: number };

function field(header: Buffer, start: number, length: number): string {
  const end = header.indexOf(0, start);
  return header.toString('latin1', start, end < 0 || end > start + length ? start + length : end);
}

function octalField(header: Buffer, start: number, length: number): number {
  const text = field(header, start, length).trim();
  return /^[0-7]+$/.test(text) ? Number.parseInt(text, 8) : Number.NaN;
}

/**
 * Reads one header; undefined for a block of zeros (end of archive). Only regular members
 * (type `0` or NUL) are accepted: links, long names, pax and sparse members never occur in a
 * segment, and following them would let a hostile store choose names and sizes.
 * @throws {LbsError} segment-corrupt
 */
export function readTarHeader(header: Buffer): TarHeader | undefined {
  let sum = 0;
  for (let at = 0; at < TAR_RECORD_BYTES; at++) {
    sum += at >= 148 && at < 156 ? 0x20 : (header[at] ?? 0);
  }
  if (sum === 8 * 0x20) return undefined;
  if (octalField(header, 148, 8) !== sum) {
    throw new LbsError('segment-corrupt', 'tar header checksum does not match');
  }
  const type = header[156];
  if (type !== 0x30 && type !== 0) {
    throw new LbsError('segment-corrupt', `tar member of unexpected type ${type}`);
  }
  const sizeBytes = octalField(header, 124, 12);
  if (!Number.isSafeInteger(sizeBytes)) {
    throw new LbsError('segment-corrupt', 'tar member with an unreadable size');
  }
  return { name: field(header, 0, 100), sizeBytes };
}
