/**
 * Headers of a zip archive that other programs read. Called by maintain/zip-archive.
 *
 * Names are bytes: those that are UTF-8 are marked so, others stand as they are, which readers on
 * Unix take for what they are. Permissions and types are those of Unix (in the upper half of the
 * external attributes), the time of change and the numbers of owner and group are in the extra
 * fields of Info-ZIP; a reader without these has the time in DOS form, in the local zone and to two
 * seconds. What is too large for 32 bits (16 for the number of members) is in zip64 fields.
 */
import type { Timespec } from '../posix/file-status.ts';
import { utf8Of } from '../std/byte-path.ts';

export type ZipMethod = 'stored' | 'deflated';

/** What is said of a member before its content. */
export type ZipMember = {
  /** Of a directory with a slash at the end. */
  readonly path: Buffer;
  /** With the bits of the type, as `stat` has them. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: Timespec | undefined;
  readonly method: ZipMethod;
  /** Known only after the content: a descriptor follows it. */
  readonly isStreamed: boolean;
  /** Sizes may need more than 32 bits: only when they are streamed is that decided before. */
  readonly isLarge: boolean;
};

/** What is known of the content of a member. */
export type ZipSizes = {
  readonly crc32: number;
  readonly storedBytes: number;
  readonly sizeBytes: number;
};

/** Names longer than that have no place in a header. */
export const ZIP_NAME_BYTES_MAX = 0xffff;
/** Sizes and places below it need no zip64 fields. */
export const ZIP64_BYTES_MIN = 0xffff_ffff;
const ZIP64_MEMBERS_MIN = 0xffff;

const LOCAL_SIGNATURE = 0x0403_4b50;
const DESCRIPTOR_SIGNATURE = 0x0807_4b50;
const CENTRAL_SIGNATURE = 0x0201_4b50;
const END_SIGNATURE = 0x0605_4b50;
const END64_SIGNATURE = 0x0606_4b50;
const LOCATOR64_SIGNATURE = 0x0706_4b50;

/** Version 4.5 of the specification, which brought zip64; 2.0 brought directories and deflate. */
const VERSION_ZIP64 = 45;
const VERSION_PLAIN = 20;
const MADE_ON_UNIX = 3 << 8;
const STREAMED_FLAG = 1 << 3;
const UTF8_FLAG = 1 << 11;
const METHODS: Readonly<Record<ZipMethod, number>> = { stored: 0, deflated: 8 };
const DOS_DIRECTORY = 0x10;
const DIRECTORY_MODE = 0o040000;
const TYPE_BITS = 0o170000;

const ZIP64_ID = 0x0001;
const TIME_ID = 0x5455;
const OWNER_ID = 0x7875;
const HAS_MTIME = 1;
const INT32_MAX = 0x7fff_ffff;

const DOS_FIRST_YEAR = 1980;
const DOS_LAST_YEAR = 2107;
/** Milliseconds from 1970 that a `Date` can hold, either way. */
const DATE_MS_MAX = 8.64e15;

/** Little-endian numbers, each with its size in bytes. */
function packed(...numbers: readonly (readonly [value: number, bytes: 1 | 2 | 4 | 8])[]): Buffer {
  const buffer = Buffer.allocUnsafe(numbers.reduce((sum, [, bytes]) => sum + bytes, 0));
  let at = 0;
  for (const [value, bytes] of numbers) {
    if (bytes === 8) buffer.writeBigUInt64LE(BigInt(value), at);
    else buffer.writeUIntLE(value, at, bytes);
    at += bytes;
  }
  return buffer;
}

/** Time and date in DOS form; times before 1980 and after 2107 become the first and the last. */
function dosTime(mtime: Timespec | undefined): [time: number, date: number] {
  const date = new Date(Math.max(-DATE_MS_MAX, Math.min((mtime?.s ?? 0) * 1000, DATE_MS_MAX)));
  const year = date.getFullYear();
  if (year < DOS_FIRST_YEAR) return [0, (1 << 5) | 1];
  if (year > DOS_LAST_YEAR) return [(23 << 11) | (59 << 5) | 29, (127 << 9) | (12 << 5) | 31];
  const time = (date.getHours() << 11) | (date.getMinutes() << 5) | (date.getSeconds() >> 1);
  const day = ((year - DOS_FIRST_YEAR) << 9) | ((date.getMonth() + 1) << 5) | date.getDate();
  return [time, day];
}

/** Time and owner; in both headers of a member. */
function commonExtra({ mtime, uid, gid }: ZipMember): Buffer {
  // Before 1970 readers disagree on the sign, so these have the time in DOS form only.
  const hasTime = mtime !== undefined && mtime.s >= 0 && mtime.s <= INT32_MAX;
  const time = hasTime ? packed([TIME_ID, 2], [5, 2], [HAS_MTIME, 1], [mtime.s, 4]) : [];
  // Version 1, then each number with its size.
  const owner = packed([OWNER_ID, 2], [11, 2], [1, 1], [4, 1], [uid, 4], [4, 1], [gid, 4]);
  return Buffer.concat([Buffer.from(time), owner]);
}

/** Flags, method, time and date: the same in both headers. */
function commonFields(member: ZipMember): Buffer {
  const isMarked = member.path.some((byte) => byte >= 0x80) && utf8Of(member.path) !== undefined;
  const flags = (member.isStreamed ? STREAMED_FLAG : 0) | (isMarked ? UTF8_FLAG : 0);
  const [time, date] = dosTime(member.mtime);
  return packed([flags, 2], [METHODS[member.method], 2], [time, 2], [date, 2]);
}

/** What stands before the content; `sizes` unless they are streamed. */
export function zipLocalHeader(member: ZipMember, sizes?: ZipSizes): Buffer {
  const { path, isLarge } = member;
  const { crc32 = 0, storedBytes = 0, sizeBytes = 0 } = sizes ?? {};
  const zip64 = isLarge ? packed([ZIP64_ID, 2], [16, 2], [sizeBytes, 8], [storedBytes, 8]) : [];
  const extra = Buffer.concat([Buffer.from(zip64), commonExtra(member)]);
  return Buffer.concat([
    packed([LOCAL_SIGNATURE, 4], [isLarge ? VERSION_ZIP64 : VERSION_PLAIN, 2]),
    commonFields(member),
    packed([crc32, 4]),
    packed(
      [isLarge ? ZIP64_BYTES_MIN : storedBytes, 4],
      [isLarge ? ZIP64_BYTES_MIN : sizeBytes, 4],
    ),
    packed([path.length, 2], [extra.length, 2]),
    path,
    extra,
  ]);
}

/** What stands behind the content of a streamed member. */
export function zipDescriptor({ isLarge }: ZipMember, sizes: ZipSizes): Buffer {
  const bytes = isLarge ? 8 : 4;
  return packed(
    [DESCRIPTOR_SIGNATURE, 4],
    [sizes.crc32, 4],
    [sizes.storedBytes, bytes],
    [sizes.sizeBytes, bytes],
  );
}

/** The member's record in the table at the end; its local header begins at `offset`. */
export function zipCentralRecord(member: ZipMember, sizes: ZipSizes, offset: number): Buffer {
  const { path, mode } = member;
  const numbers = [sizes.sizeBytes, sizes.storedBytes, offset];
  const large = numbers.filter((number) => number >= ZIP64_BYTES_MIN);
  const zip64 = large.length === 0 ? [] : [packed([ZIP64_ID, 2], [large.length * 8, 2])];
  const extra = Buffer.concat([
    ...zip64,
    ...large.map((number) => packed([number, 8])),
    commonExtra(member),
  ]);
  const needed = large.length > 0 || member.isLarge ? VERSION_ZIP64 : VERSION_PLAIN;
  const small = (number: number) => Math.min(number, ZIP64_BYTES_MIN);
  const isDirectory = (mode & TYPE_BITS) === DIRECTORY_MODE;
  const attributes = mode * 0x1_0000 + (isDirectory ? DOS_DIRECTORY : 0);
  return Buffer.concat([
    packed([CENTRAL_SIGNATURE, 4], [MADE_ON_UNIX | VERSION_ZIP64, 2], [needed, 2]),
    commonFields(member),
    packed([sizes.crc32, 4], [small(sizes.storedBytes), 4], [small(sizes.sizeBytes), 4]),
    // No comment, on the first disk, and nothing said of whether it is text.
    packed([path.length, 2], [extra.length, 2], [0, 2], [0, 2], [0, 2]),
    packed([attributes, 4], [small(offset), 4]),
    path,
    extra,
  ]);
}

/** What ends the archive: a table of `members` records, `tableBytes` long, began at `offset`. */
export function zipEnd(members: number, tableBytes: number, offset: number): Buffer {
  const needs64 = members >= ZIP64_MEMBERS_MIN || offset + tableBytes >= ZIP64_BYTES_MIN;
  const count = Math.min(members, ZIP64_MEMBERS_MIN);
  const end = packed(
    [END_SIGNATURE, 4],
    [0, 2],
    [0, 2],
    [count, 2],
    [count, 2],
    [Math.min(tableBytes, ZIP64_BYTES_MIN), 4],
    [Math.min(offset, ZIP64_BYTES_MIN), 4],
    [0, 2],
  );
  if (!needs64) return end;
  const version = MADE_ON_UNIX | VERSION_ZIP64;
  const end64 = packed(
    [END64_SIGNATURE, 4],
    // Of the record, without what stands before here.
    [44, 8],
    [version, 2],
    [VERSION_ZIP64, 2],
    [0, 4],
    [0, 4],
    [members, 8],
    [members, 8],
    [tableBytes, 8],
    [offset, 8],
  );
  const locator = packed([LOCATOR64_SIGNATURE, 4], [0, 4], [offset + tableBytes, 8], [1, 4]);
  return Buffer.concat([end64, locator, end]);
}
