/**
 * Did the target's filesystem keep the recorded holes of a file? FAT and exFAT have none and write
 * zeros, so that a sparse file may take many times its room.
 *
 * Asked by write-file.ts before a file gets its name. One call where the holes were kept; there is
 * no other way to know, since a filesystem that has no holes takes a seek for one and finds none.
 */
import type { ByteRange } from '../format/entry.ts';
import { statusOf } from '../posix/file-status.ts';
import * as libc from '../posix/libc.ts';

/** Smaller holes are not worth a word, and may be within one block of the filesystem. */
const HOLE_BYTES_MIN = 64 * 1024;

/** How many bytes of `holes` an open file takes room for; 0 where that cannot be told for sure. */
export function filledBytes(fd: number, holes: readonly ByteRange[]): number {
  const large = holes.filter(({ length }) => length >= HOLE_BYTES_MIN);
  if (large.length === 0) return 0;
  const largest = large.reduce((a, b) => (b.length > a.length ? b : a));
  try {
    // One hole that was kept is enough: the filesystem has such a thing.
    if (dataIn(fd, largest) < largest.length) return 0;
    const filled = large.reduce((sum, hole) => sum + dataIn(fd, hole), 0);
    // Some filesystems cannot tell holes of a file that is still on its way to the disk, or at all;
    // then the room that it takes does.
    const { blocks } = statusOf(fd);
    return blocks * 512 >= filled ? filled : 0;
  } catch {
    return 0;
  }
}

/** The bytes of a range that are not in a hole. */
function dataIn(fd: number, { start, length }: ByteRange): number {
  const end = start + length;
  let bytes = 0;
  for (let at = start; at < end;) {
    const hole = Math.min(libc.seek(fd, at, libc.SEEK_HOLE) ?? end, end);
    bytes += hole - at;
    if (hole >= end) break;
    at = libc.seek(fd, hole, libc.SEEK_DATA) ?? end;
  }
  return bytes;
}
