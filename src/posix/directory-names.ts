/**
 * The names in one directory, by its handle. They come from getdents64 as bytes and are sorted as
 * bytes. Called for each directory of a scan and of the target of a restore, and for stores.
 */
import { type ByteText, byteText } from '../std/byte-text.ts';
import * as libc from './libc.ts';

const LISTING_BYTES = 256 * 1024;
const listing = Buffer.allocUnsafeSlow(LISTING_BYTES);

/** struct linux_dirent64: record length at 16, name from 19, NUL-terminated. */
const RECORD_LENGTH_AT = 16;
const NAME_AT = 19;

/** All names of an open directory but `.` and `..`, in byte order. @throws {SystemError} */
export function sortedNames(fd: number): ByteText[] {
  const names: ByteText[] = [];
  for (;;) {
    const size = libc.getdents(fd, listing);
    if (size === 0) break;
    for (let at = 0; at < size;) {
      const start = at + NAME_AT;
      let end = start;
      while (listing[end] !== 0) end++;
      const name = byteText(listing, start, end);
      if (name !== '.' && name !== '..') names.push(name);
      at += listing.readUInt16LE(at + RECORD_LENGTH_AT);
    }
  }
  // Default order compares UTF-16 units, which are bytes here. Slices of one string for all names
  // would be made sooner, but compared so much slower that it takes a quarter longer.
  return names.sort();
}
