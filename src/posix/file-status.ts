/**
 * What `statx` says of one entry, read out of its buffer.
 *
 * Seconds and nanoseconds stay apart as numbers, because two bigints per entry are a third of
 * the cost of a scan; `mtimeNs` and friends give exact bigint nanoseconds where one is wanted.
 */
import { constants, endianness } from 'node:os';
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
/** Since Linux 5.8. */
const STATX_ATTR_MOUNT_ROOT = 0x2000;
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
  /** A file system is mounted here, or a part of one, which may be the same one (a bind mount). */
  readonly isMountPoint: boolean;
};

/**
 * What statx wrote, by the words of its structure. One for all calls: they are synchronous, and
 * `read` copies everything out. (Buffer's read functions took half as long as the system call.)
 */
const scratch = Buffer.allocUnsafeSlow(STATX_BYTES);
const u16 = new Uint16Array(scratch.buffer, scratch.byteOffset, STATX_BYTES / 2);
const u32 = new Uint32Array(scratch.buffer, scratch.byteOffset, STATX_BYTES / 4);
const i32 = new Int32Array(scratch.buffer, scratch.byteOffset, STATX_BYTES / 4);
const u64 = new BigUint64Array(scratch.buffer, scratch.byteOffset, STATX_BYTES / 8);

/** Which half of a 64-bit number comes first in memory. */
const [LOW, HIGH] = endianness() === 'LE' ? [0, 1] : [1, 0];

function word16(at: number): number {
  return u16[at >> 1] ?? 0;
}

function word32(at: number): number {
  return u32[at >> 2] ?? 0;
}

function word64(at: number): number {
  return word32(at + 4 * HIGH) * TWO_32 + word32(at + 4 * LOW);
}

function text64(at: number): string {
  const value = word64(at);
  return Number.isSafeInteger(value) ? String(value) : String(u64[at >> 3]);
}

function seconds(at: number): number {
  return (i32[(at >> 2) + HIGH] ?? 0) * TWO_32 + word32(at + 4 * LOW);
}

function time(at: number): Timespec {
  return { s: seconds(at), ns: word32(at + 8) };
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

function read(): FileStatus {
  const mode = word16(28);
  return {
    type: TYPE_OF_FORMAT[mode >> 12],
    mode: mode & 0o7777,
    uid: word32(20),
    gid: word32(24),
    links: word32(16),
    inode: text64(32),
    sizeBytes: word64(40),
    blocks: word64(48),
    mtime: time(112),
    ctime: time(96),
    btime: (word32(0) & STATX_BTIME) === 0 ? undefined : time(80),
    device: deviceText.of(word32(136), word32(140)),
    rdev: rdevText.of(word32(128), word32(132)),
    attributes: word32(8 + 4 * LOW) & KEPT_ATTRIBUTES,
    isMountPoint: (word32(8 + 4 * LOW) & STATX_ATTR_MOUNT_ROOT) !== 0,
  };
}

/** lstat of `name` (NUL-terminated) in an open directory. @throws {SystemError} */
export function statusAt(dir: number, name: Buffer): FileStatus {
  const errno = statxInto(dir, name, scratch);
  if (errno !== 0) throw new SystemError('statx', errno, name.subarray(0, -1));
  return read();
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
  return read();
}

/** Like `statusAt`; undefined when there is no such entry. */
export function statusIfAny(dir: number, name: Buffer): FileStatus | undefined {
  const errno = statxInto(dir, name, scratch);
  if (errno === 0) return read();
  if (errno === constants.errno.ENOENT) return undefined;
  throw new SystemError('statx', errno, name.subarray(0, -1));
}

/** The same of what a link leads to. */
export function followedStatus(dir: number, name: Buffer): FileStatus | undefined {
  const errno = statxInto(dir, name, scratch, true);
  if (errno === 0) return read();
  if (errno === constants.errno.ENOENT) return undefined;
  throw new SystemError('statx', errno, name.subarray(0, -1));
}

/** fstat. @throws {SystemError} */
export function statusOf(fd: number): FileStatus {
  const errno = fstatxInto(fd, scratch);
  if (errno !== 0) throw new SystemError('statx', errno);
  return read();
}

/**
 * True when size, mtime and ctime of an open file are still those of `status`: the question after
 * each reading, answered without making an answer's worth of objects. @throws {SystemError}
 */
export function hasSameTimes(fd: number, status: FileStatus): boolean {
  const errno = fstatxInto(fd, scratch);
  if (errno !== 0) throw new SystemError('statx', errno);
  return word64(40) === status.sizeBytes && isTime(status.mtime, 112) && isTime(status.ctime, 96);
}

function isTime(before: Timespec, at: number): boolean {
  return word32(at + 8) === before.ns && seconds(at) === before.s;
}
