/**
 * Writes the stat cache of this run beside the old one; `commit` puts it in its place, last of
 * all, when the snapshot is published. Until then a crash leaves the old cache as it was.
 *
 * Nothing is written as long as the new cache begins as the old one does; where nothing changed at
 * all, the old one stays. (Writing and syncing 67 MB for 213,000 entries took a sixth of such a run.)
 */
import { closeSync, fdatasyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { LbsError, isOutOfSpace, messageOf } from '../errors.ts';
import { uriEscape } from '../format/uri-escape.ts';
import { GrowingBytes } from '../std/growing-bytes.ts';
import { CACHE_MAGIC, type StatCacheReader, crcText, groupCrc } from './stat-cache-reader.ts';
import type { CacheGroup } from './stat-cache-record.ts';

const BUFFER_BYTES = 256 * 1024;
const FIRST_LINE = `${CACHE_MAGIC}\n`;

/** Where the root of the new snapshot names a metadata object. */
export type RootPlace = {
  readonly object: string;
  readonly start: number;
  readonly length: number;
};

/** The name of a user (`u`) or group (`g`) when the snapshot was made; undefined for none. */
export type CachedAccount = {
  readonly kind: 'u' | 'g';
  readonly id: number;
  readonly name: string | undefined;
};

export class StatCacheWriter {
  readonly #file: string;
  readonly #old: StatCacheReader | undefined;
  /** How many bytes of the old cache the new one begins with, while there is no file yet. */
  #keptBytes = FIRST_LINE.length;
  #fd: number | undefined;
  readonly #buffered = new GrowingBytes(2 * BUFFER_BYTES);
  #written = 0;

  /** Takes the name the cache is to have, and the one it has now. @throws {LbsError} io, no-space */
  constructor(file: string, old?: StatCacheReader) {
    this.#file = file;
    this.#old = old;
    // What a run left that was killed.
    this.discard();
    // Without an old one at once, so that a place that cannot be written to is known early.
    if (old === undefined) this.#open();
  }

  #open(): number {
    if (this.#fd !== undefined) return this.#fd;
    try {
      this.#fd = openSync(`${this.#file}.new`, 'w', 0o600);
    } catch (error) {
      throw this.#error(error);
    }
    if (this.#old === undefined) this.#add(FIRST_LINE);
    else this.#copy(this.#old, this.#keptBytes);
    return this.#fd;
  }

  #copy(old: StatCacheReader, length: number): void {
    for (let at = 0; at < length; at += BUFFER_BYTES) {
      const wanted = Math.min(BUFFER_BYTES, length - at);
      const bytes = old.stretch(at, wanted);
      if (bytes?.length !== wanted) throw this.#error(new Error('the one before cannot be read'));
      this.#buffered.addBytes(bytes);
      this.#flush();
    }
  }

  /** Appends the records of one metadata object. */
  addGroup(object: string, isFlat: boolean, records: Buffer): void {
    const kind = isFlat ? 'flat' : 'nested';
    this.#addChecked(`${object} ${kind}`, records, crcText(records, groupCrc(object, kind)));
  }

  /** Appends a group of the cache before, as it is. */
  addKept({ object, isFlat, bytes, crc, start, end }: CacheGroup): void {
    if (this.#fd === undefined && start === this.#keptBytes) {
      this.#keptBytes = end;
      return;
    }
    this.#addChecked(`${object} ${isFlat ? 'flat' : 'nested'}`, bytes, crc);
  }

  #addChecked(words: string, records: Buffer, crc: string): void {
    this.#open();
    this.#add(`@${words} ${records.length} ${crc}\n`);
    this.#buffered.addBytes(records);
    if (this.#buffered.length >= BUFFER_BYTES) this.#flush();
  }

  #add(text: string): void {
    this.#buffered.addText(text);
    if (this.#buffered.length >= BUFFER_BYTES) this.#flush();
  }

  #flush(): void {
    const fd = this.#open();
    const { bytes } = this.#buffered;
    try {
      let at = 0;
      while (at < bytes.length) at += writeSync(fd, bytes, at);
    } catch (error) {
      throw this.#error(error);
    }
    this.#written += bytes.length;
    this.#buffered.clear();
  }

  /** Ends the file with the snapshot's root, its account names, and each group's place in it. */
  finish(root: string, accounts: readonly CachedAccount[], places: Iterable<RootPlace>): void {
    let text = `root ${root}\naccounts ${accounts.length}\n`;
    for (const { kind, id, name } of accounts) {
      text += `account ${kind}${id}${name === undefined ? '' : ` ${uriEscape(Buffer.from(name))}`}\n`;
    }
    for (const { object, start, length } of places) text += `${object}[${start}+${length}]\n`;
    if (this.#isAsBefore(text)) return;
    this.#open();
    this.#flush();
    this.#add(withTrailer(text, this.#written));
    this.#flush();
  }

  /** True when the old cache is what this one would be; `end` is the text behind the groups. */
  #isAsBefore(end: string): boolean {
    if (this.#fd !== undefined) return false;
    const text = Buffer.from(withTrailer(end, this.#keptBytes), 'latin1');
    const before = this.#old?.stretch(this.#keptBytes, text.length + 1);
    return before?.equals(text) === true;
  }

  /** Makes the new cache the one the next run reads. */
  commit(): void {
    if (this.#fd === undefined) return;
    try {
      fdatasyncSync(this.#fd);
      this.#close();
      renameSync(`${this.#file}.new`, this.#file);
    } catch (error) {
      throw this.#error(error);
    }
  }

  /** Once only, also where closing fails: the number may be somebody else's by then. */
  #close(): void {
    const fd = this.#fd;
    this.#fd = undefined;
    if (fd !== undefined) closeSync(fd);
  }

  /** Leaves the old cache, and nothing else; after `commit` it does nothing. */
  discard(): void {
    this.#close();
    rmSync(`${this.#file}.new`, { force: true });
  }

  #error(cause: unknown): LbsError {
    const code = isOutOfSpace(cause) ? 'no-space' : 'io';
    return new LbsError(code, `cannot write the stat cache ${this.#file}: ${messageOf(cause)}`, {
      cause,
      hint: 'what was stored is kept; run the same command again',
    });
  }
}

/** The end of a cache whose groups end at `endAt`. */
function withTrailer(end: string, endAt: number): string {
  const crc = crcText(Buffer.from(end, 'latin1'));
  return `${end}trailer ${String(endAt).padStart(16, '0')} ${crc}\n`;
}
