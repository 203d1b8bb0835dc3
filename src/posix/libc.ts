/**
 * The libc calls that Node lacks or can only do by path: everything relative to an open
 * directory (so that paths may be longer than PATH_MAX and nobody can swap a directory for a
 * link under us), extended attributes, exact times, devices, holes and locks.
 *
 * All are synchronous and take NUL-terminated Buffers (`cString`). Measured on the development
 * machine: statx through koffi 680,000/s, Node's lstat with bigint 520,000/s; openat + close
 * 470,000/s against 245,000/s.
 */
import { constants } from 'node:os';
import { getSystemErrorMessage, getSystemErrorName } from 'node:util';
import koffi from 'koffi';
import { showPath } from '../std/byte-path.ts';

// null is the running program itself, which has libc loaded, whatever its file name is.
const libc = koffi.load(null);

type Bytes = Buffer | null;

const fn = {
  openat: libc.func('int openat(int dir, void *path, int flags, uint32_t mode)'),
  close: libc.func('int close(int fd)'),
  statx: libc.func('int statx(int dir, void *path, int flags, uint32_t mask, void *buf)'),
  getdents64: libc.func('int64_t getdents64(int fd, void *buf, size_t size)'),
  readlinkat: libc.func('int64_t readlinkat(int dir, void *path, void *buf, size_t size)'),
  mkdirat: libc.func('int mkdirat(int dir, void *path, uint32_t mode)'),
  mknodat: libc.func('int mknodat(int dir, void *path, uint32_t mode, uint64_t device)'),
  symlinkat: libc.func('int symlinkat(void *target, int dir, void *path)'),
  linkat: libc.func('int linkat(int fromDir, void *from, int toDir, void *to, int flags)'),
  renameat: libc.func('int renameat(int fromDir, void *from, int toDir, void *to)'),
  unlinkat: libc.func('int unlinkat(int dir, void *path, int flags)'),
  fchownat: libc.func('int fchownat(int dir, void *path, uint32_t uid, uint32_t gid, int flags)'),
  fchmodat: libc.func('int fchmodat(int dir, void *path, uint32_t mode, int flags)'),
  fchmod: libc.func('int fchmod(int fd, uint32_t mode)'),
  fchown: libc.func('int fchown(int fd, uint32_t uid, uint32_t gid)'),
  utimensat: libc.func('int utimensat(int dir, void *path, void *times, int flags)'),
  futimens: libc.func('int futimens(int fd, void *times)'),
  lseek: libc.func('int64_t lseek(int fd, int64_t offset, int whence)'),
  flock: libc.func('int flock(int fd, int operation)'),
  syncfs: libc.func('int syncfs(int fd)'),
  memfd_create: libc.func('int memfd_create(void *name, uint32_t flags)'),
  llistxattr: libc.func('int64_t llistxattr(void *path, void *list, size_t size)'),
  lgetxattr: libc.func('int64_t lgetxattr(void *path, void *name, void *value, size_t size)'),
  lsetxattr: libc.func('int lsetxattr(void *path, void *name, void *value, size_t size, int f)'),
  lremovexattr: libc.func('int lremovexattr(void *path, void *name)'),
  flistxattr: libc.func('int64_t flistxattr(int fd, void *list, size_t size)'),
  fgetxattr: libc.func('int64_t fgetxattr(int fd, void *name, void *value, size_t size)'),
  fsetxattr: libc.func('int fsetxattr(int fd, void *name, void *value, size_t size, int f)'),
  fremovexattr: libc.func('int fremovexattr(int fd, void *name)'),
  fstatfs: libc.func('int fstatfs(int fd, void *buf)'),
};

/** "The current directory" as the directory of an *at call. */
export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
export const AT_REMOVEDIR = 0x200;
const AT_SYMLINK_FOLLOW = 0x400;
const AT_EMPTY_PATH = 0x1000;

const isX86 = process.arch === 'x64' || process.arch === 'ia32';

/** Open flags; those that Node has no constant for, or that differ between processors. */
export const O = {
  RDONLY: 0,
  WRONLY: 1,
  RDWR: 2,
  CREAT: 0o100,
  EXCL: 0o200,
  TRUNC: 0o1000,
  NONBLOCK: 0o4000,
  NOATIME: 0o1000000,
  CLOEXEC: 0o2000000,
  PATH: 0o10000000,
  // arm64 and powerpc number these two the other way round from x86.
  DIRECTORY: isX86 ? 0o200000 : 0o40000,
  NOFOLLOW: isX86 ? 0o400000 : 0o100000,
  TMPFILE: isX86 ? 0o20200000 : 0o20040000,
} as const;

export const SEEK_DATA = 3;
export const SEEK_HOLE = 4;
const LOCK = { alone: 2, shared: 1 } as const;
const LOCK_NB = 4;

/** A failed libc call: `code` is the errno name, like the errors of node:fs. */
export class SystemError extends Error {
  readonly code: string;
  readonly errno: number;
  readonly syscall: string;

  constructor(syscall: string, errno: number, path?: Buffer | string) {
    const shown = path === undefined ? '' : ` ${typeof path === 'string' ? path : showPath(path)}`;
    super(`${syscall}${shown}: ${getSystemErrorMessage(-errno) ?? `error ${errno}`}`);
    this.name = 'SystemError';
    this.errno = errno;
    this.code = getSystemErrorName(-errno);
    this.syscall = syscall;
  }
}

function fail(syscall: string, path?: Buffer | string): never {
  throw new SystemError(syscall, koffi.errno(), path);
}

/** A NUL-terminated copy of a name or path. @throws EINVAL when it contains a NUL itself */
export function cString(path: Buffer | string): Buffer {
  const bytes = typeof path === 'string' ? Buffer.from(path) : path;
  if (bytes.includes(0)) throw new SystemError('name with a NUL byte', constants.errno.EINVAL);
  const terminated = Buffer.allocUnsafe(bytes.length + 1);
  bytes.copy(terminated);
  terminated[bytes.length] = 0;
  return terminated;
}

function shown(path: Bytes): Buffer | undefined {
  return path?.subarray(0, -1);
}

/** Opens relative to a directory; always close-on-exec. Returns the descriptor. */
export function openAt(dir: number, path: Buffer, flags: number, mode = 0): number {
  const fd = Number(fn.openat(dir, path, flags | O.CLOEXEC, mode));
  return fd < 0 ? fail('openat', shown(path)) : fd;
}

/** Like `openAt`, but returns minus the errno instead of throwing (hot paths, expected misses). */
export function tryOpenAt(dir: number, path: Buffer, flags: number): number {
  const fd = Number(fn.openat(dir, path, flags | O.CLOEXEC, 0));
  return fd < 0 ? -koffi.errno() : fd;
}

export function close(fd: number): void {
  if (fn.close(fd) !== 0) fail('close');
}

const STATX_BASIC_AND_BTIME = 0xfff;
const AT_NO_AUTOMOUNT = 0x800;

/** lstat, or stat, relative to a directory into a 256-byte buffer; 0, or the errno. */
export function statxInto(dir: number, path: Buffer, into: Buffer, isFollowing = false): number {
  const flags = isFollowing ? AT_NO_AUTOMOUNT : AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
  return fn.statx(dir, path, flags, STATX_BASIC_AND_BTIME, into) === 0 ? 0 : koffi.errno();
}

const EMPTY_PATH = Buffer.from([0]);

/** fstat into a 256-byte buffer; 0, or the errno. */
export function fstatxInto(fd: number, into: Buffer): number {
  const result = Number(fn.statx(fd, EMPTY_PATH, AT_EMPTY_PATH, STATX_BASIC_AND_BTIME, into));
  return result === 0 ? 0 : koffi.errno();
}

/** Raw directory records into `into`; the bytes written, 0 at the end. */
export function getdents(fd: number, into: Buffer): number {
  const size = Number(fn.getdents64(fd, into, into.length));
  return size < 0 ? fail('getdents64') : size;
}

export function readLinkAt(dir: number, path: Buffer): Buffer {
  for (let size = 4096; ; size *= 2) {
    const into = Buffer.allocUnsafe(size);
    const length = Number(fn.readlinkat(dir, path, into, size));
    if (length < 0) fail('readlinkat', shown(path));
    // A full buffer may have been cut.
    if (length < size) return into.subarray(0, length);
  }
}

export function mkdirAt(dir: number, path: Buffer, mode: number): void {
  if (fn.mkdirat(dir, path, mode) !== 0) fail('mkdirat', shown(path));
}

/** `mode` includes the file type bits; `major`/`minor` are for devices. */
export function mknodAt(dir: number, path: Buffer, mode: number, major = 0, minor = 0): void {
  const device =
    (BigInt(major & 0xfff) << 8n) |
    (BigInt(major >>> 12) << 44n) |
    BigInt(minor & 0xff) |
    (BigInt(minor >>> 8) << 20n);
  if (fn.mknodat(dir, path, mode, device) !== 0) fail('mknodat', shown(path));
}

export function symlinkAt(target: Buffer, dir: number, path: Buffer): void {
  if (fn.symlinkat(target, dir, path) !== 0) fail('symlinkat', shown(path));
}

/** Hard link; does not follow a symlink at `from`. Fails with EEXIST. */
export function linkAt(fromDir: number, from: Buffer, toDir: number, to: Buffer): void {
  if (fn.linkat(fromDir, from, toDir, to, 0) !== 0) fail('linkat', shown(to));
}

/** Gives a file without a name (O_TMPFILE) its name. Fails with EEXIST. */
export function linkFd(fd: number, toDir: number, to: Buffer): void {
  const from = cString(`/proc/self/fd/${fd}`);
  if (fn.linkat(AT_FDCWD, from, toDir, to, AT_SYMLINK_FOLLOW) !== 0) fail('linkat', shown(to));
}

export function renameAt(fromDir: number, from: Buffer, toDir: number, to: Buffer): void {
  if (fn.renameat(fromDir, from, toDir, to) !== 0) fail('renameat', shown(to));
}

export function unlinkAt(dir: number, path: Buffer, flags = 0): void {
  if (fn.unlinkat(dir, path, flags) !== 0) fail('unlinkat', shown(path));
}

export function fchown(fd: number, uid: number, gid: number): void {
  if (fn.fchown(fd, uid, gid) !== 0) fail('fchown');
}

/** fchown that works on an O_PATH descriptor too, a symlink's included. */
export function chownPinned(fd: number, uid: number, gid: number): void {
  if (fn.fchownat(fd, EMPTY_PATH, uid, gid, AT_EMPTY_PATH) !== 0) fail('fchownat');
}

/** Follows a symlink (Linux before 6.6 cannot do otherwise): only for what we made ourselves. */
export function chmodAt(dir: number, path: Buffer, mode: number): void {
  if (fn.fchmodat(dir, path, mode, 0) !== 0) fail('fchmodat', shown(path));
}

export function fchmod(fd: number, mode: number): void {
  if (fn.fchmod(fd, mode) !== 0) fail('fchmod');
}

const NS_PER_S = 1_000_000_000n;
const UTIME_NOW = 0x3fffffffn;

/** struct timespec[2]: access time now, modification time as given (floor for negatives). */
function timespecs(mtimeNs: bigint): Buffer {
  const times = Buffer.alloc(32);
  const nanoseconds = ((mtimeNs % NS_PER_S) + NS_PER_S) % NS_PER_S;
  times.writeBigInt64LE(0n, 0);
  times.writeBigInt64LE(UTIME_NOW, 8);
  times.writeBigInt64LE((mtimeNs - nanoseconds) / NS_PER_S, 16);
  times.writeBigInt64LE(nanoseconds, 24);
  return times;
}

/** Sets the modification time of an entry, a symlink itself included. */
export function setTimeAt(dir: number, path: Buffer, mtimeNs: bigint): void {
  if (fn.utimensat(dir, path, timespecs(mtimeNs), AT_SYMLINK_NOFOLLOW) !== 0) {
    fail('utimensat', shown(path));
  }
}

export function setTime(fd: number, mtimeNs: bigint): void {
  if (fn.futimens(fd, timespecs(mtimeNs)) !== 0) fail('futimens');
}

/** setTime that works on an O_PATH descriptor too, a symlink's included. EINVAL before Linux 5.8. */
export function setTimePinned(fd: number, mtimeNs: bigint): void {
  if (fn.utimensat(fd, EMPTY_PATH, timespecs(mtimeNs), AT_EMPTY_PATH) !== 0) fail('utimensat');
}

/** Next data or hole at or after `offset`; undefined when there is none (ENXIO). */
export function seek(fd: number, offset: number, whence: number): number | undefined {
  const at = Number(fn.lseek(fd, offset, whence));
  if (at >= 0) return at;
  return koffi.errno() === constants.errno.ENXIO ? undefined : fail('lseek');
}

/**
 * Takes a lock that ends with the process, or makes the one that it has another; false when
 * somebody else's is in the way.
 */
export function tryLock(fd: number, kind: keyof typeof LOCK = 'alone'): boolean {
  if (fn.flock(fd, LOCK[kind] | LOCK_NB) === 0) return true;
  return koffi.errno() === constants.errno.EWOULDBLOCK ? false : fail('flock');
}

/** Writes everything of the filesystem that holds `fd` to its disk. */
export function syncFilesystem(fd: number): void {
  if (fn.syncfs(fd) !== 0) fail('syncfs');
}

const MFD_CLOEXEC = 1;

/** An anonymous file in memory; its contents never reach a disk. */
export function memoryFile(name: string): number {
  const fd = Number(fn.memfd_create(cString(name), MFD_CLOEXEC));
  return fd < 0 ? fail('memfd_create') : fd;
}

/** The kernel's magic number of the filesystem that holds `fd`. */
export function filesystemMagic(fd: number): number {
  const into = Buffer.alloc(256);
  if (fn.fstatfs(fd, into) !== 0) fail('fstatfs');
  return into.readUInt32LE(0);
}

/** Where extended attributes are read and written: an open file, or a path not followed. */
export type XattrPlace = number | Buffer;

function list(place: XattrPlace, into: Bytes, size: number): number {
  return Number(
    typeof place === 'number' ? fn.flistxattr(place, into, size) : fn.llistxattr(place, into, size),
  );
}

function get(place: XattrPlace, name: Buffer, into: Bytes, size: number): number {
  return Number(
    typeof place === 'number'
      ? fn.fgetxattr(place, name, into, size)
      : fn.lgetxattr(place, name, into, size),
  );
}

const UNSUPPORTED = new Set([constants.errno.ENOTSUP, constants.errno.ENOSYS]);
const XATTR_SIZE_MAX = 65536;
const xattrScratch = Buffer.allocUnsafeSlow(XATTR_SIZE_MAX);

/** Names of all extended attributes; none where the filesystem has no such thing. */
export function listXattrs(place: XattrPlace): Buffer[] {
  const size = list(place, xattrScratch, XATTR_SIZE_MAX);
  if (size < 0) return UNSUPPORTED.has(koffi.errno()) ? [] : fail('listxattr');
  const names: Buffer[] = [];
  for (let start = 0; start < size;) {
    const end = xattrScratch.indexOf(0, start);
    names.push(Buffer.from(xattrScratch.subarray(start, end)));
    start = end + 1;
  }
  return names;
}

/** The value of one attribute; undefined when it has gone meanwhile. */
export function getXattr(place: XattrPlace, name: Buffer): Buffer | undefined {
  const size = get(place, cString(name), xattrScratch, XATTR_SIZE_MAX);
  if (size >= 0) return Buffer.from(xattrScratch.subarray(0, size));
  return koffi.errno() === constants.errno.ENODATA ? undefined : fail('getxattr', name);
}

export function setXattr(place: XattrPlace, name: Buffer, value: Buffer): void {
  const result =
    typeof place === 'number'
      ? fn.fsetxattr(place, cString(name), value, value.length, 0)
      : fn.lsetxattr(place, cString(name), value, value.length, 0);
  if (result !== 0) fail('setxattr', name);
}

export function removeXattr(place: XattrPlace, name: Buffer): void {
  const result =
    typeof place === 'number'
      ? fn.fremovexattr(place, cString(name))
      : fn.lremovexattr(place, cString(name));
  if (result !== 0) fail('removexattr', name);
}

/** A path for the l*xattr calls that reaches `name` in an open directory, however deep it is. */
export function xattrPathAt(dir: number, name: Buffer): Buffer {
  if (dir === AT_FDCWD) return cString(name);
  return cString(Buffer.concat([Buffer.from(`/proc/self/fd/${dir}/`), name]));
}
