/**
 * What `statx` says of one entry, read out of its buffer.
 *
 * Seconds and nanoseconds stay apart as numbers, because two bigints per entry are a third of
 * the cost of a scan; `mtimeNs` and friends give exact bigint nanoseconds where one is wanted.
 */
import { constants } from 'node:os';
import type { ByteText } from '../std/byte-text.ts';
import { fstatxInto, statxInto, SystemError } from './libc.ts';

/** The letters that stanzas use for file types. */
export type EntryType = 'f' | 'd' | 'l' | 'p' | 's' | 'c' | 'b';

const TYPE_OF_FORMAT: Record<number, EntryType> = {
  0o10: 'f',
  0o04: 'd',
  0o12: 'l',
  0o01: 'p',
  0o14: 's',
  0o02: 'c',
  0o06: 'b',
};

/** File type bits of st_mode for each letter, for mknod. */
export const FORMAT_BITS: Record<EntryType, number> = {
  f: 0o100000,
  d: 0o040000,
  l: 0o120000,
  p: 0o010000,
  s: 0o140000,
  c: 0o020000,
  b: 0o060000,
};

const TWO_32 = 4294967296;
const NS_PER_S = 1_000_000_000n;
const STATX_BTIME = 0x800;
/** compressed, immutable, append, nodump, encrypted, verity, dax: what belongs to the file and
 * not to how it is mounted just now. */
const KEPT_ATTRIBUTES = 0x4 | 0x10 | 0x20 | 0x40 | 0x800 | 0x100000 | 0x200000;
const STATX_BYTES = 256;
/** Linux has names of up to 255 bytes; more is possible. */
const NAME_BYTES = 512;

/** A moment: whole seconds (floor, may be negative) and 0..999999999 nanoseconds. */
export type Timespec = { readonly s: number; readonly ns: number };

/** Nanoseconds since 1970. */
export function toNs(time: Timespec): bigint {
  return BigInt(time.s) * NS_PER_S + BigInt(time.ns);
}

export type FileStatus = {
  /** Undefined for a type that Linux does not have. */
  readonly type: EntryType | undefined;
  /** Permission bits, st_mode & 07777. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly links: number;
  /** Decimal text: inode numbers may exceed 2^53. */
  readonly inode: string;
  readonly sizeBytes: number;
  /** Space taken, in 512-byte units. */
  readonly blocks: number;
  readonly mtime: Timespec;
  readonly ctime: Timespec;
  /** Time of birth, where the filesystem keeps one. */
  readonly btime: Timespec | undefined;
  /** `major/minor` of the filesystem's device. */
  readonly device: string;
  /** `major/minor` that a device node stands for. */
  readonly rdev: string;
  /** STATX_ATTR bits that the filesystem says are set (compressed, immutable, append, ...). */
  readonly attributes: number;
};

function time(raw: Buffer, at: number): Timespec {
  return {
    s: raw.readInt32LE(at + 4) * TWO_32 + raw.readUInt32LE(at),
    ns: raw.readUInt32LE(at + 8),
  };
}

function u64(raw: Buffer, at: number): number {
  return raw.readUInt32LE(at + 4) * TWO_32 + raw.readUInt32LE(at);
}

function u64Text(raw: Buffer, at: number): string {
  const value = u64(raw, at);
  return Number.isSafeInteger(value) ? String(value) : String(raw.readBigUInt64LE(at));
}

/** `major/minor`; remembers the last one, since most entries have the same. */
class DeviceText {
  #major = 0;
  #minor = 0;
  #text = '0/0';

  of(major: number, minor: number): string {
    if (major !== this.#major || minor !== this.#minor) {
      this.#major = major;
      this.#minor = minor;
      this.#text = `${major}/${minor}`;
    }
    return this.#text;
  }
}

const deviceText = new DeviceText();
const rdevText = new DeviceText();

function read(raw: Buffer): FileStatus {
  const mode = raw.readUInt16LE(28);
  return {
    type: TYPE_OF_FORMAT[mode >> 12],
    mode: mode & 0o7777,
    uid: raw.readUInt32LE(20),
    gid: raw.readUInt32LE(24),
    links: raw.readUInt32LE(16),
    inode: u64Text(raw, 32),
    sizeBytes: u64(raw, 40),
    blocks: u64(raw, 48),
    mtime: time(raw, 112),
    ctime: time(raw, 96),
    btime: (raw.readUInt32LE(0) & STATX_BTIME) === 0 ? undefined : time(raw, 80),
    device: deviceText.of(raw.readUInt32LE(136), raw.readUInt32LE(140)),
    rdev: rdevText.of(raw.readUInt32LE(128), raw.readUInt32LE(132)),
    attributes: raw.readUInt32LE(8) & KEPT_ATTRIBUTES,
  };
}

// One buffer for all calls: they are synchronous and `read` copies everything out.
const scratch = Buffer.allocUnsafeSlow(STATX_BYTES);

/** lstat of `name` (NUL-terminated) in an open directory. @throws {SystemError} */
export function statusAt(dir: number, name: Buffer): FileStatus {
  const errno = statxInto(dir, name, scratch);
  if (errno !== 0) throw new SystemError('statx', errno, name.subarray(0, -1));
  return read(scratch);
}

/** A name as NUL-terminated bytes, in memory that the next one uses again. */
class NameBytes {
  #bytes = Buffer.allocUnsafeSlow(NAME_BYTES);

  of(name: ByteText): Buffer {
    const { length } = name;
    if (length >= this.#bytes.length) this.#bytes = Buffer.allocUnsafeSlow(2 * length);
    const bytes = this.#bytes;
    for (let at = 0; at < length; at++) bytes[at] = name.charCodeAt(at);
    bytes[length] = 0;
    return bytes;
  }
}

const nameBytes = new NameBytes();

/** Like `statusAt`, without a Buffer for each name: half of the garbage of a scan. @throws {SystemError} */
export function statusOfName(dir: number, name: ByteText): FileStatus {
  const errno = statxInto(dir, nameBytes.of(name), scratch);
  if (errno !== 0) throw new SystemError('statx', errno, Buffer.from(name, 'latin1'));
  return read(scratch);
}

/** Like `statusAt`; undefined when there is no such entry. */
export function statusIfAny(dir: number, name: Buffer): FileStatus | undefined {
  const errno = statxInto(dir, name, scratch);
  if (errno === 0) return read(scratch);
  if (errno === constants.errno.ENOENT) return undefined;
  throw new SystemError('statx', errno, name.subarray(0, -1));
}

/** fstat. @throws {SystemError} */
export function statusOf(fd: number): FileStatus {
  const errno = fstatxInto(fd, scratch);
  if (errno !== 0) throw new SystemError('statx', errno);
  return read(scratch);
}

/**
 * True when size, mtime and ctime of an open file are still those of `status`: the question after
 * each reading, answered without making an answer's worth of objects. @throws {SystemError}
 */
export function hasSameTimes(fd: number, status: FileStatus): boolean {
  const errno = fstatxInto(fd, scratch);
  if (errno !== 0) throw new SystemError('statx', errno);
  return (
    u64(scratch, 40) === status.sizeBytes && isTime(status.mtime, 112) && isTime(status.ctime, 96)
  );
}

function isTime(time: Timespec, at: number): boolean {
  return (
    scratch.readUInt32LE(at + 8) === time.ns &&
    scratch.readInt32LE(at + 4) * TWO_32 + scratch.readUInt32LE(at) === time.s
  );
}
