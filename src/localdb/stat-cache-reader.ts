/**
 * The stat cache of the run before, read as a merge with the scan: both are in path order, so
 * each lookup only moves forward and memory does not grow with the tree.
 *
 * Safe to delete: the next backup then reads every file again. A cache that is damaged or of
 * another version is as good as none: every group of records has a checksum, and so has the end
 * with its roots and account names. Format: stat-cache-record.ts, lbs-localdb(5).
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { errnoName } from '../errors.ts';
import { uriUnescape } from '../format/uri-escape.ts';
import { type ByteText, joinText } from '../std/byte-text.ts';
import { LineReader } from './line-reader.ts';
import { CACHE_MAGIC, crcText, readGroup } from './stat-cache-group.ts';
import {
  type CacheGroup,
  CacheRecord,
  EscapedDirectory,
  compareEscaped,
  compareRest,
  recordEnd,
} from './stat-cache-record.ts';

/** `trailer `, 16 digits, a blank, 8 hex digits, newline: where the end begins, and its CRC. */
export const TRAILER_BYTES = 34;

const ROOT_LINE = /^(\S+)\[(\d+)\+(\d+)\]$/;
const TRAILER = /^trailer (\d{16}) ([0-9a-f]{8})\n$/;
const ACCOUNT = /^account ([ug]\d+)(?: (\S+))?$/;
const CHECK_PIECE_BYTES = 256 * 1024;
const NEWLINE = 0x0a;

export class StatCacheReader {
  readonly #fd: number;
  readonly #groups: LineReader;
  readonly #roots: LineReader;
  /** Reference of the root of the snapshot that this cache was written with. */
  readonly root: string;
  /** Names of users (`u0`) and groups (`g0`) as that snapshot has them. */
  readonly accounts: ReadonlyMap<string, string | undefined>;
  #group: CacheGroup | undefined;
  /** Where the next record begins in the present group, and its number there. */
  #at = 0;
  #indexInGroup = 0;
  #groupsSeen = 0;
  /** That of the last record that was found. */
  #directory: EscapedDirectory | undefined;
  #atEnd = false;
  /** Ended by something that makes no sense. */
  #isDamaged = false;

  #seen: ((group: CacheGroup) => void) | undefined;

  private constructor(fd: number, endAt: number, end: number) {
    this.#fd = fd;
    this.#groups = new LineReader(fd, { start: 0, end: endAt });
    this.#roots = new LineReader(fd, { start: endAt, end });
    this.root = this.#roots.line()?.slice('root '.length) ?? '';
    const count = Number(this.#roots.line()?.slice('accounts '.length) ?? 0);
    this.accounts = readAccounts(this.#roots, count);
  }

  /** Undefined when there is none, or none that can be used. */
  static open(file: string): StatCacheReader | undefined {
    let fd: number;
    try {
      fd = openSync(file, 'r');
    } catch (error) {
      if (errnoName(error) === 'ENOENT') return undefined;
      throw error;
    }
    const size = fstatSync(fd).size;
    const endAt = checkedEnd(fd, size);
    if (endAt !== undefined) {
      const reader = new StatCacheReader(fd, endAt, size - TRAILER_BYTES);
      if (reader.#groups.line() === CACHE_MAGIC && reader.root !== '') return reader;
    }
    closeSync(fd);
    return undefined;
  }

  /** The record of `name` in a directory, skipping those before it. Ask in path order. */
  find(directory: ByteText, name: ByteText): CacheRecord | undefined {
    for (let group = this.#present(); group !== undefined; group = this.#present()) {
      const order = this.#compare(group, directory, name);
      if (order > 0) return undefined;
      if (order === 0) return this.#take(group);
      this.#skipTo(recordEnd(group.bytes, this.#at));
    }
    return undefined;
  }

  /** Compares the path of the next record with another. */
  #compare({ bytes }: CacheGroup, directory: ByteText, name: ByteText): number {
    const nameAt = this.#directory?.nameAt(directory, bytes, this.#at) ?? -1;
    if (nameAt >= 0) return compareRest(bytes, nameAt, name);
    const order = compareEscaped(bytes, this.#at, joinText(directory, name));
    if (order === 0 && directory !== '.') {
      this.#directory = new EscapedDirectory(directory, bytes, this.#at);
    }
    return order;
  }

  /** `seen` is told of each group that is begun from now on. */
  watchGroups(seen: (group: CacheGroup) => void): void {
    this.#seen = seen;
  }

  /** Groups begun so far. */
  get groupsSeen(): number {
    return this.#groupsSeen;
  }

  /** True when nothing is left: every record has been found or skipped. */
  isConsumed(): boolean {
    return this.#present() === undefined && !this.#isDamaged;
  }

  /** The group of the next record; undefined at the end. */
  #present(): CacheGroup | undefined {
    if (this.#atEnd) return undefined;
    if (this.#group !== undefined && this.#at < this.#group.bytes.length) return this.#group;
    // The end, or text that makes no sense: the rest of the files are then read again.
    this.#group = this.#beginGroup();
    this.#atEnd = this.#group === undefined;
    return this.#group;
  }

  /**
   * What was not come to yet: records of the present group, if it was begun, then whole groups.
   * Nothing can be found afterwards.
   */
  *rest(): Generator<CacheRecord | CacheGroup> {
    for (let group = this.#present(); group !== undefined; group = this.#present()) {
      if (this.#indexInGroup === 0) {
        yield group;
        this.#at = group.bytes.length;
        continue;
      }
      const record = this.#take(group);
      if (record !== undefined) yield record;
    }
  }

  /** The record that is next. */
  #take(group: CacheGroup): CacheRecord | undefined {
    const path = this.#at;
    const status = group.bytes.indexOf(NEWLINE, path) + 1;
    try {
      const record = new CacheRecord(group, this.#indexInGroup, { path, status });
      this.#skipTo(record.contentEnd);
      return record;
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      this.#skipTo(-1);
      return undefined;
    }
  }

  /** Goes on behind a record that ends at `end`; -1 where there is none. */
  #skipTo(end: number): void {
    if (end < 0) this.#atEnd = this.#isDamaged = true;
    this.#at = end + 1;
    this.#indexInGroup++;
  }

  #beginGroup(): CacheGroup | undefined {
    if (this.#groups.isAtEnd()) return undefined;
    this.#isDamaged = true;
    const start = this.#groups.position;
    const line = this.#groups.line() ?? '';
    const root = ROOT_LINE.exec(this.#roots.line() ?? '');
    if (!root) return undefined;
    const place = { object: root[1] ?? '', start: Number(root[2]), length: Number(root[3]) };
    const group = readGroup(line, this.#groups, { start, root: place });
    if (group === undefined) return undefined;
    this.#at = 0;
    this.#indexInGroup = 0;
    this.#groupsSeen++;
    this.#isDamaged = false;
    this.#seen?.(group);
    return group;
  }

  /** Bytes of the file as it is; fewer at its end, undefined when they cannot be read. */
  stretch(start: number, length: number): Buffer | undefined {
    const into = Buffer.allocUnsafeSlow(length);
    let size = 0;
    try {
      for (let count = -1; count !== 0 && size < length; size += count) {
        count = readSync(this.#fd, into, size, length - size, start + size);
      }
    } catch {
      // What it is for can be done without it, or says so.
      return undefined;
    }
    return into.subarray(0, size);
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** The next `count` lines as names of accounts. */
export function readAccounts(lines: LineReader, count: number): Map<string, string | undefined> {
  const accounts = new Map<string, string | undefined>();
  for (let at = 0; at < count; at++) {
    const match = ACCOUNT.exec(lines.line() ?? '');
    const name = match?.[2];
    if (match) accounts.set(match[1] ?? '', name && uriUnescape(name).toString());
  }
  return accounts;
}

/** Where the end of the cache (roots and accounts) begins, if its checksum is right. */
function checkedEnd(fd: number, size: number): number | undefined {
  if (size < TRAILER_BYTES) return undefined;
  const tail = Buffer.alloc(TRAILER_BYTES);
  readSync(fd, tail, 0, TRAILER_BYTES, size - TRAILER_BYTES);
  const match = TRAILER.exec(tail.toString('latin1'));
  const endAt = Number(match?.[1] ?? Number.NaN);
  if (!match || !(endAt < size - TRAILER_BYTES)) return undefined;
  const lines = new LineReader(fd, { start: endAt, end: size - TRAILER_BYTES });
  let crc = '00000000';
  for (let left = size - TRAILER_BYTES - endAt; left > 0; left -= CHECK_PIECE_BYTES) {
    const bytes = lines.bytes(Math.min(left, CHECK_PIECE_BYTES));
    if (bytes === undefined) return undefined;
    crc = crcText(bytes, Number.parseInt(crc, 16));
  }
  return crc === match[2] ? endAt : undefined;
}
