/**
 * The stat cache of the run before, read as a merge with the scan: both are in path order, so
 * each lookup only moves forward and memory does not grow with the tree.
 *
 * Safe to delete: the next backup then reads every file again. A cache that is damaged or of
 * another version is as good as none: every group of records has a checksum, and so has the end
 * with its roots and account names. Format: stat-cache-record.ts, lbs-localdb(5).
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import { errnoName } from '../errors.ts';
import { uriUnescape } from '../format/uri-escape.ts';
import { type ByteText, compareTexts } from '../std/byte-text.ts';
import { LineReader } from './line-reader.ts';
import { type CacheGroup, type CacheRecord, parseRecord } from './stat-cache-record.ts';

export const CACHE_MAGIC = 'lbs stat cache 2';
/** `trailer `, 16 digits, a blank, 8 hex digits, newline: where the end begins, and its CRC. */
export const TRAILER_BYTES = 34;

const GROUP_LINE = /^@(\S+) (flat|nested) (\d{1,10}) ([0-9a-f]{8})$/;
const ROOT_LINE = /^(\S+)\[(\d+)\+(\d+)\]$/;
const TRAILER = /^trailer (\d{16}) ([0-9a-f]{8})\n$/;
const ACCOUNT = /^account ([ug]\d+)(?: (\S+))?$/;
/** Records of a group take a few hundred KiB; more than this is damage. */
const GROUP_BYTES_MAX = 256 * 1024 * 1024;
const CHECK_PIECE_BYTES = 256 * 1024;

/** What the checksum of a group begins with: the words of its line count as well. */
export function groupCrc(object: string, kind: string): number {
  return crc32(`${object} ${kind}`);
}

/** CRC-32 as it stands in the file. */
export function crcText(bytes: Buffer, before = 0): string {
  return crc32(bytes, before).toString(16).padStart(8, '0');
}

export class StatCacheReader {
  readonly #fd: number;
  readonly #groups: LineReader;
  readonly #roots: LineReader;
  /** Reference of the root of the snapshot that this cache was written with. */
  readonly root: string;
  /** Names of users (`u0`) and groups (`g0`) as that snapshot has them. */
  readonly accounts: ReadonlyMap<string, string | undefined>;
  #group: CacheGroup | undefined;
  /** Text of the present group, and what of it is still to be read. */
  #text = '';
  #textAt = 0;
  #indexInGroup = 0;
  #groupsSeen = 0;
  #current: CacheRecord | undefined;
  #atEnd = false;
  /** Ended by something that makes no sense. */
  #isDamaged = false;

  private constructor(fd: number, endAt: number, end: number) {
    this.#fd = fd;
    this.#groups = new LineReader(fd, { start: 0, end: endAt });
    this.#roots = new LineReader(fd, { start: endAt, end });
    this.root = this.#roots.line()?.slice('root '.length) ?? '';
    const count = Number(this.#roots.line()?.slice('accounts '.length) ?? 0);
    const accounts = new Map<string, string | undefined>();
    for (let at = 0; at < count; at++) {
      const match = ACCOUNT.exec(this.#roots.line() ?? '');
      const name = match?.[2];
      if (match) accounts.set(match[1] ?? '', name && uriUnescape(name).toString());
    }
    this.accounts = accounts;
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

  /** The record of `text`, skipping those before it. Ask in path order. */
  find(text: ByteText): CacheRecord | undefined {
    while (!this.#atEnd) {
      if (this.#current === undefined) {
        this.#advance();
        continue;
      }
      const order = compareTexts(this.#current.text, text);
      if (order > 0) return undefined;
      const found = this.#current;
      this.#current = undefined;
      if (order === 0) return found;
    }
    return undefined;
  }

  /** Groups begun so far. */
  get groupsSeen(): number {
    return this.#groupsSeen;
  }

  /** True when nothing is left: every record has been found or skipped. */
  isConsumed(): boolean {
    if (this.#current === undefined && !this.#atEnd) this.#advance();
    return this.#atEnd && !this.#isDamaged;
  }

  #advance(): void {
    if (this.#textAt >= this.#text.length && !this.#beginGroup()) {
      // The end, or text that makes no sense: the rest of the files are then read again.
      this.#atEnd = true;
      return;
    }
    const end = this.#text.indexOf('\n\n', this.#textAt);
    const raw = this.#text.slice(this.#textAt, end);
    this.#textAt = end + 2;
    const group = this.#group;
    const isLast = this.#textAt >= this.#text.length;
    this.#current =
      end < 0 || group === undefined
        ? undefined
        : parseRecord(raw, { group, index: this.#indexInGroup++, isLast });
    this.#atEnd = this.#isDamaged = this.#current === undefined;
  }

  #beginGroup(): boolean {
    if (this.#groups.isAtEnd()) return false;
    this.#isDamaged = true;
    const match = GROUP_LINE.exec(this.#groups.line() ?? '');
    const root = ROOT_LINE.exec(this.#roots.line() ?? '');
    const length = Number(match?.[3] ?? 0);
    if (!match || !root || length === 0 || length > GROUP_BYTES_MAX) return false;
    const bytes = this.#groups.bytes(length);
    if (
      bytes === undefined ||
      crcText(bytes, groupCrc(match[1] ?? '', match[2] ?? '')) !== match[4]
    )
      return false;
    this.#text = bytes.toString('latin1');
    this.#textAt = 0;
    this.#group = {
      object: match[1] ?? '',
      isFlat: match[2] === 'flat',
      root: { object: root[1] ?? '', start: Number(root[2]), length: Number(root[3]) },
    };
    this.#indexInGroup = 0;
    this.#groupsSeen++;
    this.#isDamaged = false;
    return true;
  }

  close(): void {
    closeSync(this.#fd);
  }
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
