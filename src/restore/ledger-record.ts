/**
 * What a restore remembers of one entry, as bytes: writing 16 columns of a database was 13 us of
 * each entry in a profile. A helper thread gets the same bytes.
 *
 *     type, what is there (a byte each), padding
 *     links, size, mode, uid, gid, mtime s, mtime ns, first   (eight bytes each)
 *     lengths of path, checksum and the rest                  (four bytes each)
 *     path; checksum; the parts that few entries have, as JSON
 */
import type { ByteRange } from '../format/entry.ts';
import type { EntryType } from '../posix/file-status.ts';
import type { LedgerEntry } from './restore-ledger.ts';

/** An entry without what changes while it is restored. */
export type LedgerRecord = Omit<LedgerEntry, 'id' | 'state'>;

/** The parts that few entries have. */
type Extra = {
  xattrs?: [string, string][];
  zeros?: [number, number][];
  holes?: [number, number][];
  target?: string;
  device?: [number, number];
};

const HAS = { mode: 1, uid: 2, gid: 4, mtime: 8, xattrs: 16, checksum: 32, selected: 64 } as const;
const AT = { type: 0, has: 1, numbers: 8, lengths: 72, path: 84 } as const;

const scratch = Buffer.alloc(AT.path);

/** The bytes of `record`, in memory of their own. */
export function encodeRecord(record: LedgerRecord): Buffer {
  const { path, wish, checksum, role } = record;
  const { mode, uid, gid, mtime, xattrs } = wish;
  let has = role === 'selected' ? HAS.selected : 0;
  if (mode !== undefined) has |= HAS.mode;
  if (uid !== undefined) has |= HAS.uid;
  if (gid !== undefined) has |= HAS.gid;
  if (mtime !== undefined) has |= HAS.mtime;
  if (xattrs !== undefined) has |= HAS.xattrs;
  if (checksum !== undefined) has |= HAS.checksum;
  scratch[AT.type] = record.type.charCodeAt(0);
  scratch[AT.has] = has;
  let at: number = AT.numbers;
  at = scratch.writeDoubleLE(record.links, at);
  at = scratch.writeDoubleLE(record.sizeBytes, at);
  at = scratch.writeDoubleLE(mode ?? 0, at);
  at = scratch.writeDoubleLE(uid ?? 0, at);
  at = scratch.writeDoubleLE(gid ?? 0, at);
  at = scratch.writeDoubleLE(mtime?.s ?? 0, at);
  at = scratch.writeDoubleLE(mtime?.ns ?? 0, at);
  scratch.writeDoubleLE(record.first ?? 0, at);
  const extra = extraOf(record);
  const checksumText = checksum ?? '';
  at = scratch.writeUInt32LE(path.length, AT.lengths);
  at = scratch.writeUInt32LE(checksumText.length, at);
  scratch.writeUInt32LE(extra.length, at);
  const bytes = Buffer.allocUnsafe(AT.path + path.length + checksumText.length + extra.length);
  scratch.copy(bytes);
  at = AT.path + path.copy(bytes, AT.path);
  at += bytes.write(checksumText, at, 'latin1');
  bytes.write(extra, at, 'latin1');
  return bytes;
}

/** Base64 and digits only, so Latin-1; `''` when there is nothing. */
function extraOf({ wish, zeros, holes, target, device }: LedgerRecord): string {
  const xattrs = wish.xattrs ?? [];
  const isPlain = xattrs.length === 0 && zeros.length === 0 && holes.length === 0;
  if (isPlain && target === undefined && device === undefined) return '';
  const extra: Extra = {};
  if (xattrs.length > 0) {
    extra.xattrs = xattrs.map(({ name, value }) => [
      name.toString('base64'),
      value.toString('base64'),
    ]);
  }
  if (zeros.length > 0) extra.zeros = pairs(zeros);
  if (holes.length > 0) extra.holes = pairs(holes);
  if (target !== undefined) extra.target = target.toString('base64');
  if (device !== undefined) extra.device = [device.major, device.minor];
  return JSON.stringify(extra);
}

/** Of what `encodeRecord` made; `path` is a part of `bytes`. */
export function decodeRecord(bytes: Buffer): LedgerRecord {
  const has = bytes[AT.has] ?? 0;
  const number = (index: number) => bytes.readDoubleLE(AT.numbers + 8 * index);
  const pathEnd = AT.path + bytes.readUInt32LE(AT.lengths);
  const checksumEnd = pathEnd + bytes.readUInt32LE(AT.lengths + 4);
  const extraEnd = checksumEnd + bytes.readUInt32LE(AT.lengths + 8);
  const extra: Extra =
    extraEnd === checksumEnd
      ? {}
      : (JSON.parse(bytes.toString('latin1', checksumEnd, extraEnd)) as Extra);
  const xattrs = (extra.xattrs ?? []).map(([name, value]) => ({
    name: Buffer.from(name, 'base64'),
    value: Buffer.from(value, 'base64'),
  }));
  return {
    path: bytes.subarray(AT.path, pathEnd),
    type: String.fromCharCode(bytes[AT.type] ?? 0) as EntryType,
    // Ids begin with 1.
    first: number(7) || undefined,
    role: (has & HAS.selected) === 0 ? 'parent' : 'selected',
    links: number(0),
    sizeBytes: number(1),
    checksum:
      (has & HAS.checksum) === 0 ? undefined : bytes.toString('latin1', pathEnd, checksumEnd),
    wish: {
      mode: (has & HAS.mode) === 0 ? undefined : number(2),
      uid: (has & HAS.uid) === 0 ? undefined : number(3),
      gid: (has & HAS.gid) === 0 ? undefined : number(4),
      mtime: (has & HAS.mtime) === 0 ? undefined : { s: number(5), ns: number(6) },
      xattrs: (has & HAS.xattrs) === 0 ? undefined : xattrs,
    },
    zeros: ranges(extra.zeros),
    holes: ranges(extra.holes),
    target: extra.target === undefined ? undefined : Buffer.from(extra.target, 'base64'),
    device: extra.device && { major: extra.device[0], minor: extra.device[1] },
  };
}

/** True for a regular file of bytes and common attributes only; the path and size of any entry. */
export function outlineOf(bytes: Buffer): { isPlain: boolean; sizeBytes: number; path: Buffer } {
  const pathBytes = bytes.readUInt32LE(AT.lengths);
  return {
    isPlain: bytes[AT.type] === 0x66 && bytes.readUInt32LE(AT.lengths + 8) === 0,
    sizeBytes: bytes.readDoubleLE(AT.numbers + 8),
    path: bytes.subarray(AT.path, AT.path + pathBytes),
  };
}

function pairs(ranges: readonly ByteRange[]): [number, number][] {
  return ranges.map(({ start, length }) => [start, length]);
}

function ranges(list: [number, number][] | undefined): ByteRange[] {
  return (list ?? []).map(([start, length]) => ({ start, length }));
}
