/**
 * Writes the stat cache of this run beside the old one; `commit` puts it in its place, last of
 * all, when the snapshot is published. Until then a crash leaves the old cache as it was.
 *
 * Nothing is written as long as the new cache begins as the old one does; where nothing changed at
 * all, the old one stays. (Writing and syncing 67 MB for 213,000 entries took a sixth of such a run.)
 *
 * What is written can be used if the run is killed (stat-cache-leftover): behind the whole groups
 * stands a tail, which the next groups overwrite, with what the end of the cache will say of accounts,
 * and with the records that are in no group yet.
 */
import {
  closeSync,
  fdatasync,
  fdatasyncSync,
  ftruncateSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { LbsError, isOutOfSpace, messageOf } from '../errors.ts';
import { uriEscape } from '../format/uri-escape.ts';
import { closeAnyway } from '../std/close-file.ts';
import { GrowingBytes } from '../std/growing-bytes.ts';
import { CACHE_MAGIC, crcText, groupCrcText, groupWords } from './stat-cache-group.ts';
import type { StatCacheReader } from './stat-cache-reader.ts';
import { type CacheGroup, type CacheRecord, NO_OBJECT, NO_PLACE } from './stat-cache-record.ts';

const BUFFER_BYTES = 256 * 1024;
/** So much may be read again after a power cut; more often would keep the disk busy for little. */
const SYNC_INTERVAL_MS = 5000;
const NOTHING = Buffer.alloc(0);
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
  /** Without the tail. */
  #written = 0;
  /** True when something is in the file that the old cache does not have. */
  #isOfUse = false;
  #isFinished = false;
  #syncedMs = performance.now();
  readonly #accounts: () => readonly CachedAccount[];

  /**
   * Takes the name the cache is to have, and the one it has now; `accounts` says what is true of
   * all that was added so far, and of what the old one has behind it.
   * @throws {LbsError} io, no-space
   */
  constructor(
    file: string,
    old?: StatCacheReader,
    accounts: () => readonly CachedAccount[] = () => [],
  ) {
    this.#file = file;
    this.#old = old;
    this.#accounts = accounts;
    // What a run left that was killed, if it was of no use.
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
      this.#write();
    }
  }

  /** Appends the records of one metadata object. */
  addGroup(object: string, isFlat: boolean, records: Buffer): void {
    const words = groupWords(object, isFlat);
    this.#addChecked(words, records, groupCrcText(words, records));
  }

  /** Appends a group of the cache before, as it is. */
  addKept({ object, isFlat, bytes, crc, start, end }: CacheGroup): void {
    if (this.#fd === undefined && start === this.#keptBytes) {
      this.#keptBytes = end;
      return;
    }
    this.#addChecked(groupWords(object, isFlat), bytes, crc);
  }

  /**
   * Appends what an older cache has of the entries behind the last that was added; returns where
   * these groups are in a root.
   */
  addRest(rest: Iterable<CacheRecord | CacheGroup>): RootPlace[] {
    const places: RootPlace[] = [];
    // Not a whole object any more: each says where its stanza is.
    const records = new GrowingBytes(BUFFER_BYTES);
    const flush = () => {
      if (records.length === 0) return;
      this.addGroup(NO_OBJECT, false, records.bytes);
      places.push(NO_PLACE);
      records.clear();
    };
    for (const part of rest) {
      if ('isLast' in part) {
        part.copyTo(records, NO_OBJECT);
        continue;
      }
      flush();
      this.addKept(part);
      places.push(part.root);
    }
    flush();
    return places;
  }

  #addChecked(words: string, records: Buffer, crc: string): void {
    this.#open();
    this.#add(`@${words} ${records.length} ${crc}\n`);
    this.#buffered.addBytes(records);
    this.#isOfUse = true;
    if (this.#buffered.length >= BUFFER_BYTES) this.#flush(NOTHING);
  }

  #add(text: string): void {
    this.#buffered.addText(text);
  }

  /**
   * Writes what a run that is killed from now on must not have seen in vain: all groups so far, and
   * `records`, which follow these and are in no group yet. Syncs now and then, without waiting.
   * @throws {LbsError} io, no-space
   */
  checkpoint(records: Buffer): void {
    if (this.#isFinished || (this.#fd === undefined && records.length === 0)) return;
    this.#isOfUse ||= records.length > 0;
    this.#flush(records);
    const nowMs = performance.now();
    const fd = this.#fd;
    if (fd === undefined || nowMs - this.#syncedMs < SYNC_INTERVAL_MS) return;
    this.#syncedMs = nowMs;
    // Where it fails, `commit` does so too, and says it.
    fdatasync(fd, () => undefined);
  }

  /** Writes what is buffered, and a tail with `records` behind it, at once. */
  #flush(records: Buffer): void {
    this.#open();
    const length = this.#buffered.length;
    this.#addTail(records);
    this.#write(length);
  }

  #addTail(records: Buffer): void {
    const body = new GrowingBytes(records.length + 1024);
    body.addText(accountLines(this.#accounts()));
    if (records.length > 0) {
      const words = groupWords(NO_OBJECT, false);
      body.addText(`@${words} ${records.length} ${groupCrcText(words, records)}\n`);
      body.addBytes(records);
    }
    this.#add(`tail ${body.length} ${crcText(body.bytes)}\n`);
    this.#buffered.addBytes(body.bytes);
  }

  /** Writes what is buffered over the tail; behind `kept` of it is the next one. */
  #write(kept = this.#buffered.length): void {
    const fd = this.#open();
    const { bytes } = this.#buffered;
    try {
      for (let at = 0; at < bytes.length;) {
        at += writeSync(fd, bytes, at, bytes.length - at, this.#written + at);
      }
    } catch (error) {
      throw this.#error(error);
    }
    this.#written += kept;
    this.#buffered.clear();
  }

  /** Ends the file with the snapshot's root, its account names, and each group's place in it. */
  finish(root: string, accounts: readonly CachedAccount[], places: Iterable<RootPlace>): void {
    let text = `root ${root}\n${accountLines(accounts)}`;
    for (const { object, start, length } of places) text += `${object}[${start}+${length}]\n`;
    this.#isFinished = true;
    if (this.#isAsBefore(text)) return;
    const fd = this.#open();
    this.#write();
    this.#add(withTrailer(text, this.#written));
    this.#write();
    try {
      // The tail may have been longer.
      ftruncateSync(fd, this.#written);
    } catch (error) {
      throw this.#error(error);
    }
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

  #closeAnyway(): void {
    if (this.#fd !== undefined) closeAnyway(this.#fd);
    this.#fd = undefined;
  }

  /**
   * Leaves the old cache, and beside it what the last checkpoint wrote, for the next run to go on
   * with; after `commit` it does nothing.
   */
  leave(): void {
    if (this.#isOfUse) this.#closeAnyway();
    else this.discard();
  }

  /**
   * Leaves the old cache, and nothing else; after `commit` it does nothing. Called while something
   * else fails, and must not hide that; what it cannot remove, the next run writes over.
   */
  discard(): void {
    this.#closeAnyway();
    try {
      rmSync(`${this.#file}.new`, { force: true });
    } catch {
      // See above.
    }
  }

  #error(cause: unknown): LbsError {
    const code = isOutOfSpace(cause) ? 'no-space' : 'io';
    return new LbsError(code, `cannot write the stat cache ${this.#file}: ${messageOf(cause)}`, {
      cause,
      hint: 'what was stored is kept; run the same command again',
    });
  }
}

function accountLines(accounts: readonly CachedAccount[]): string {
  let text = `accounts ${accounts.length}\n`;
  for (const { kind, id, name } of accounts) {
    text += `account ${kind}${id}${name === undefined ? '' : ` ${uriEscape(Buffer.from(name))}`}\n`;
  }
  return text;
}

/** The end of a cache whose groups end at `endAt`. */
function withTrailer(end: string, endAt: number): string {
  const crc = crcText(Buffer.from(end, 'latin1'));
  return `${end}trailer ${String(endAt).padStart(16, '0')} ${crc}\n`;
}
