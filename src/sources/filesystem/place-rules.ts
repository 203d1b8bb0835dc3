/** Directories whose contents a backup leaves out by what they are, not by their path. */
import { readSync } from 'node:fs';
import * as libc from '../../posix/libc.ts';
import { O } from '../../posix/libc.ts';
import { asByteText } from '../../std/byte-text.ts';
import { openDirectory } from './directory-reader.ts';
import { nameBytes } from './filesystem-entry.ts';

/** The Cache Directory Tagging Specification's file name, and how such a file begins. */
export const CACHE_TAG = asByteText('CACHEDIR.TAG');
const CACHE_SIGNATURE = Buffer.from('Signature: 8a477f597d28d172789f06886806bc55');

/** True when the open directory's CACHEDIR.TAG is a real tag. */
export function isCacheTag(dir: number): boolean {
  const fd = libc.tryOpenAt(dir, nameBytes(CACHE_TAG), O.RDONLY | O.NOFOLLOW | O.NONBLOCK);
  if (fd < 0) return false;
  try {
    const head = Buffer.alloc(CACHE_SIGNATURE.length);
    return readSync(fd, head, 0, head.length, 0) === head.length && head.equals(CACHE_SIGNATURE);
  } catch {
    // A directory or an unreadable file of that name tags nothing.
    return false;
  } finally {
    libc.close(fd);
  }
}

/**
 * Filesystems that hold no files of anybody, only the kernel's own state: their files change
 * with every read, have wrong sizes, and some never end (statfs(2) magic numbers).
 */
const KERNEL_FILESYSTEMS = new Set([
  0x9fa0, // proc
  0x62656572, // sysfs
  0x1cd1, // devpts
  0x27e0eb, // cgroup
  0x63677270, // cgroup2
  0x64626720, // debugfs
  0x74726163, // tracefs
  0x73636673, // securityfs
  0xf97cff8c, // selinuxfs
  0xcafe4a11, // bpf
  0x6165676c, // pstore
  0x19800202, // mqueue
  0x62656570, // configfs
  0xde5e81e4, // efivarfs
  0x42494e4d, // binfmt_misc
  0x187, // autofs
]);

/** True when the directory `name` is where such a filesystem is mounted. */
export function isKernelFilesystem(dir: number, name: Buffer): boolean {
  const fd = openDirectory(dir, name);
  try {
    return KERNEL_FILESYSTEMS.has(libc.filesystemMagic(fd));
  } finally {
    libc.close(fd);
  }
}
