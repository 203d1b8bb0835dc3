/**
 * The first line of a stat cache, and its groups: a line with a checksum, then records.
 * Read by stat-cache-reader, and by stat-cache-leftover from what a killed run left.
 */
import { crc32 } from 'node:zlib';
import type { LineReader } from './line-reader.ts';
import type { CacheGroup, StanzaPlace } from './stat-cache-record.ts';

export const CACHE_MAGIC = 'lbs stat cache 2';

const GROUP_LINE = /^@(\S+) (flat|nested) (\d{1,10}) ([0-9a-f]{8})$/;
/** Records of a group take a few hundred KiB; more than this is damage. */
export const GROUP_BYTES_MAX = 256 * 1024 * 1024;

/** CRC-32 as it stands in the file. */
export function crcText(bytes: Buffer, before = 0): string {
  return crc32(bytes, before).toString(16).padStart(8, '0');
}

/** What the checksum of a group begins with: the words of its line count as well. */
function groupCrc(object: string, kind: string): number {
  return crc32(`${object} ${kind}`);
}

/** The words of a group's line. */
export function groupWords(object: string, isFlat: boolean): string {
  return `${object} ${isFlat ? 'flat' : 'nested'}`;
}

/** The checksum of a group with these words and records. */
export function groupCrcText(words: string, records: Buffer): string {
  return crcText(records, crc32(words));
}

/** The group whose line, without its newline, was read last; undefined where it is none, or damaged. */
export function readGroup(
  line: string,
  lines: LineReader,
  { start, root }: { start: number; root: StanzaPlace },
): CacheGroup | undefined {
  const match = GROUP_LINE.exec(line);
  const length = Number(match?.[3] ?? 0);
  if (!match || length === 0 || length > GROUP_BYTES_MAX) return undefined;
  const [, object = '', kind = '', , crc = ''] = match;
  const read = lines.bytes(length);
  if (read === undefined || crcText(read, groupCrc(object, kind)) !== crc) return undefined;
  // Its own memory: records are still asked for when the next groups have been read.
  const bytes = Buffer.allocUnsafeSlow(length);
  read.copy(bytes);
  return { object, isFlat: kind === 'flat', root, bytes, crc, start, end: lines.position };
}
