/**
 * The content of one regular file, opened so that nothing but that file can be read.
 *
 * Flags and the race or trap each of them closes: O_NOFOLLOW, the name may have become a link
 * since it was looked at; O_NONBLOCK, it may have become a fifo, whose open would wait for ever;
 * O_NOATIME, reading a backup must not look like use (refused for files of others: retried
 * without). After opening, fstat must still say "regular file".
 */
import { readSync } from 'node:fs';
import { errnoName, messageOf } from '../../errors.ts';
import * as libc from '../../posix/libc.ts';
import { O, SEEK_DATA, SEEK_HOLE } from '../../posix/libc.ts';
import { type FileStatus, hasSameTimes, statusOf } from '../../posix/file-status.ts';
import type { Xattr } from '../../format/entry.ts';
import { readXattrs } from './read-xattrs.ts';
import { showPath } from '../../std/byte-path.ts';
import { passOwnTrouble } from './entry-trouble.ts';
import { type Extent, type SourceContent, SourceTrouble } from '../source.ts';

const FLAGS = O.RDONLY | O.NOFOLLOW | O.NONBLOCK;
/** Below one filesystem block there is either data or, with no blocks at all, one hole. */
const SMALLEST_WITH_HOLES_BYTES = 4096;
const STATUS_BLOCK_BYTES = 512;

/** The errno name of a failed open as trouble with the entry. */
function openTrouble(error: unknown, name: Buffer): SourceTrouble {
  passOwnTrouble(error, showPath(name.subarray(0, -1)));
  return entryTrouble(error);
}

function entryTrouble(error: unknown): SourceTrouble {
  const name = errnoName(error);
  if (name === 'ENOENT') return new SourceTrouble('vanished', 'vanished before it was read', error);
  if (name === 'ELOOP' || name === 'ENXIO') {
    return new SourceTrouble('changed-type', 'is no longer a regular file', error);
  }
  return new SourceTrouble('unreadable', messageOf(error), error);
}

/** Opens `name` (NUL-terminated) in an open directory. @throws {SourceTrouble} */
export function openContent(dir: number, name: Buffer): SourceContent {
  let fd = libc.tryOpenAt(dir, name, FLAGS | O.NOATIME);
  if (fd < 0) {
    try {
      fd = libc.openAt(dir, name, FLAGS);
    } catch (error) {
      throw openTrouble(error, name);
    }
  }
  try {
    return new FileContent(fd);
  } catch (error) {
    libc.close(fd);
    throw error;
  }
}

class FileContent implements SourceContent {
  readonly status: FileStatus;
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
    try {
      this.status = statusOf(fd);
    } catch (error) {
      throw new SourceTrouble('unreadable', messageOf(error), error);
    }
    if (this.status.type !== 'f') {
      throw new SourceTrouble('changed-type', 'is no longer a regular file');
    }
  }

  isUnchanged(): boolean {
    try {
      return hasSameTimes(this.#fd, this.status);
    } catch (error) {
      throw new SourceTrouble('unreadable', messageOf(error), error);
    }
  }

  xattrs(): Xattr[] | undefined {
    try {
      return readXattrs(this.#fd);
    } catch {
      // The caller says so, with the path.
      return undefined;
    }
  }

  isOneExtent(): boolean {
    const { sizeBytes, blocks } = this.status;
    // A size that its blocks cover has holes only where space beyond the end is reserved, which
    // one more seek finds out; tiny files cannot have both.
    if (blocks * STATUS_BLOCK_BYTES < sizeBytes) return false;
    if (sizeBytes <= SMALLEST_WITH_HOLES_BYTES) return true;
    // Data all the way also means data at the start.
    return (this.#seek(0, SEEK_HOLE) ?? sizeBytes) >= sizeBytes;
  }

  *extents(): Generator<Extent> {
    const { sizeBytes } = this.status;
    if (sizeBytes === 0) return;
    if (this.isOneExtent()) {
      yield { kind: 'data', start: 0, length: sizeBytes };
      return;
    }
    let at = 0;
    while (at < sizeBytes) {
      const data = Math.min(this.#seek(at, SEEK_DATA) ?? sizeBytes, sizeBytes);
      if (data > at) yield { kind: 'hole', start: at, length: data - at };
      if (data >= sizeBytes) return;
      const hole = Math.min(this.#seek(data, SEEK_HOLE) ?? sizeBytes, sizeBytes);
      // A file that is being rewritten may answer out of order: treat the rest as data.
      const end = hole > data ? hole : sizeBytes;
      yield { kind: 'data', start: data, length: end - data };
      at = end;
    }
  }

  #seek(offset: number, whence: number): number | undefined {
    try {
      return libc.seek(this.#fd, offset, whence);
    } catch (error) {
      // Filesystems without SEEK_DATA answer EINVAL: everything is data, nothing a hole.
      if (errnoName(error) === 'EINVAL') return whence === SEEK_DATA ? offset : undefined;
      throw new SourceTrouble('unreadable', messageOf(error), error);
    }
  }

  read(into: Buffer, offset: number, length: number): number {
    let done = 0;
    try {
      while (done < length) {
        const count = readSync(this.#fd, into, done, length - done, offset + done);
        if (count === 0) break;
        done += count;
      }
    } catch (error) {
      throw new SourceTrouble('unreadable', messageOf(error), error);
    }
    return done;
  }

  close(): void {
    libc.close(this.#fd);
  }
}
