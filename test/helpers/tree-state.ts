/**
 * Everything of a tree that a backup must bring back, as comparable records, and a readable
 * difference of two of them. Walks by open directories (paths may be longer than PATH_MAX) and
 * shares nothing with the program's scanner or restore, which it is there to check.
 */
import { createHash } from 'node:crypto';
import { closeSync, readdirSync, readSync } from 'node:fs';
import type { ExecutionContext } from 'ava';
import { type FileStatus, statusAt, statusOf, toNs } from '../../src/posix/file-status.ts';
import * as libc from '../../src/posix/libc.ts';
import { showPath } from '../../src/std/byte-path.ts';

export type EntryState = {
  readonly type: string;
  readonly mode: string;
  readonly owner: string;
  readonly mtimeNs: bigint;
  /** Not compared: no program can set it. */
  readonly ctimeNs: bigint;
  /** Regular files. */
  readonly size?: number;
  readonly content?: string;
  /** `start+length` of each hole, as the filesystem tells them. */
  readonly holes?: string;
  readonly target?: string;
  readonly device?: string;
  readonly xattrs: string;
  /** Number of names, of anything but directories. */
  readonly links?: number;
  /** First path that is the same file, when there are several names. */
  readonly sameAs?: string;
};

/** By path relative to the top, as Latin-1 text of its bytes; the top is `.`. */
export type TreeState = ReadonlyMap<string, EntryState>;

const BLOCK_BYTES = 4096;
const READ_BYTES = 1 << 20;
const OPEN_TO_READ = libc.O.RDONLY | libc.O.NOFOLLOW | libc.O.NONBLOCK;
const readBuffer = Buffer.allocUnsafe(READ_BYTES);
const zeros = Buffer.alloc(BLOCK_BYTES);

/** Where data lies in an open file: [start, end) pairs. */
function dataExtents(fd: number, size: number): [start: number, end: number][] {
  const extents: [number, number][] = [];
  for (let at = 0; at < size;) {
    const start = libc.seek(fd, at, libc.SEEK_DATA);
    if (start === undefined || start >= size) break;
    const end = Math.min(libc.seek(fd, start, libc.SEEK_HOLE) ?? size, size);
    extents.push([start, end]);
    at = end;
  }
  return extents;
}

function holesBetween(extents: readonly [number, number][], size: number): string {
  const holes: string[] = [];
  let at = 0;
  for (const [start, end] of [...extents, [size, size] as const]) {
    if (start > at) holes.push(`${at}+${start - at}`);
    at = end;
  }
  return holes.join(' ');
}

/**
 * A digest of the content that does not depend on what of it is holes: of every block that is
 * not all zeros, with its offset. Holes are not read.
 */
function contentDigest(fd: number, extents: readonly [number, number][]): string {
  const digest = createHash('sha256');
  for (const [start, end] of extents) {
    for (let at = start - (start % BLOCK_BYTES); at < end;) {
      const length = readSync(fd, readBuffer, 0, Math.min(READ_BYTES, end - at), at);
      if (length === 0) break;
      for (let from = 0; from < length; from += BLOCK_BYTES) {
        const block = readBuffer.subarray(from, Math.min(from + BLOCK_BYTES, length));
        if (block.equals(zeros.subarray(0, block.length))) continue;
        digest.update(`@${at + from}:`).update(block);
      }
      at += length;
    }
  }
  return digest.digest('hex').slice(0, 16);
}

function xattrsOf(dir: number, name: Buffer): string {
  const place = libc.xattrPathAt(dir, name);
  return libc
    .listXattrs(place)
    .map((key) => {
      const value = libc.getXattr(place, key)?.toString('hex') ?? 'gone';
      return `${key.toString('latin1')}=${value.length > 64 ? digestOf(value) : value}`;
    })
    .sort()
    .join(' ');
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16);
}

function fileFields(dir: number, name: Buffer, size: number): Partial<EntryState> {
  const fd = libc.tryOpenAt(dir, libc.cString(name), OPEN_TO_READ);
  if (fd < 0) return { size, content: 'unreadable' };
  try {
    const extents = dataExtents(fd, size);
    return { size, content: contentDigest(fd, extents), holes: holesBetween(extents, size) };
  } finally {
    closeSync(fd);
  }
}

class TreeReader {
  readonly state = new Map<string, EntryState>();
  readonly #firstPathOf = new Map<string, string>();

  directory(fd: number, path: string): void {
    const names = readdirSync(`/proc/self/fd/${fd}`, { encoding: 'buffer' });
    for (const name of names.sort(Buffer.compare)) {
      const text = name.toString('latin1');
      this.#entry(fd, name, path === '.' ? text : `${path}/${text}`);
    }
  }

  #entry(dir: number, name: Buffer, path: string): void {
    const status = statusAt(dir, libc.cString(name));
    this.state.set(path, this.record(status, dir, name, path));
    if (status.type !== 'd') return;
    const fd = libc.tryOpenAt(dir, libc.cString(name), OPEN_TO_READ | libc.O.DIRECTORY);
    if (fd < 0) return;
    try {
      this.directory(fd, path);
    } finally {
      closeSync(fd);
    }
  }

  record(status: FileStatus, dir: number, name: Buffer, path: string): EntryState {
    const type = status.type ?? '?';
    const inode = `${status.device}/${status.inode}`;
    const isShared = type !== 'd' && status.links > 1;
    if (isShared && !this.#firstPathOf.has(inode)) this.#firstPathOf.set(inode, path);
    return {
      type,
      mode: status.mode.toString(8).padStart(4, '0'),
      owner: `${status.uid}:${status.gid}`,
      mtimeNs: toNs(status.mtime),
      ctimeNs: toNs(status.ctime),
      xattrs: xattrsOf(dir, name),
      ...(type === 'f' ? fileFields(dir, name, status.sizeBytes) : {}),
      ...(type === 'l'
        ? { target: libc.readLinkAt(dir, libc.cString(name)).toString('latin1') }
        : {}),
      ...(type === 'b' || type === 'c' ? { device: status.rdev } : {}),
      ...(type === 'd' ? {} : { links: status.links }),
      ...(isShared ? { sameAs: this.#firstPathOf.get(inode) ?? path } : {}),
    };
  }
}

/** Reads the tree below a directory, the directory itself included as `.`. */
export function readTree(top: string | Buffer): TreeState {
  const fd = libc.openAt(libc.AT_FDCWD, libc.cString(top), libc.O.RDONLY | libc.O.DIRECTORY);
  try {
    const reader = new TreeReader();
    reader.state.set('.', reader.record(statusOf(fd), fd, Buffer.from('.'), '.'));
    reader.directory(fd, '.');
    return reader.state;
  } finally {
    closeSync(fd);
  }
}

export type TreeDifference = {
  /** Latin-1 text of the path's bytes. */
  readonly path: string;
  /** `missing`, `extra`, or the field of `EntryState`. */
  readonly field: string;
  readonly text: string;
};

/** A path for a message: unambiguous and short. */
export function shownPath(path: string): string {
  const shown = showPath(Buffer.from(path, 'latin1'));
  return shown.length > 120 ? `${shown.slice(0, 50)}[...]${shown.slice(-50)}` : shown;
}

function shownValue(value: unknown): string {
  return shownPath(String(value));
}

type CompareOptions = {
  /** Compare change times too, to show that nothing was touched. */
  readonly ctimes?: boolean;
};

/** What differs, in order of paths. */
export function treeDifferences(
  wanted: TreeState,
  found: TreeState,
  options: CompareOptions = {},
): TreeDifference[] {
  const differences: TreeDifference[] = [];
  for (const path of [...new Set([...wanted.keys(), ...found.keys()])].sort()) {
    const before = wanted.get(path);
    const after = found.get(path);
    if (!before || !after) {
      const field = before ? 'missing' : 'extra';
      differences.push({ path, field, text: `${shownPath(path)}: ${field}` });
      continue;
    }
    const old = new Map<string, unknown>(Object.entries(before));
    const now = new Map<string, unknown>(Object.entries(after));
    for (const field of new Set([...old.keys(), ...now.keys()])) {
      if (field === 'ctimeNs' && options.ctimes !== true) continue;
      const [left, right] = [old.get(field), now.get(field)];
      if (left === right) continue;
      const text = `${shownPath(path)}: ${field}: ${shownValue(left)} -> ${shownValue(right)}`;
      differences.push({ path, field, text });
    }
  }
  return differences;
}

/** Asserts that two trees are the same in everything that can be restored. */
export function sameTree(
  t: ExecutionContext,
  wanted: TreeState,
  found: TreeState,
  options: CompareOptions = {},
): void {
  const texts = treeDifferences(wanted, found, options).map((difference) => difference.text);
  t.deepEqual(texts, [], `${texts.length} differences between trees`);
}
