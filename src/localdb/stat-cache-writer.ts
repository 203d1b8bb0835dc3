/**
 * Writes the stat cache of this run beside the old one; `commit` puts it in its place, last of
 * all, when the snapshot is published. Until then a crash leaves the old cache as it was.
 */
import { closeSync, fdatasyncSync, openSync, renameSync, rmSync, writeSync } from 'node:fs';
import { LbsError, isOutOfSpace, messageOf } from '../errors.ts';
import { uriEscape } from '../format/uri-escape.ts';
import { GrowingBytes } from '../std/growing-bytes.ts';
import { CACHE_MAGIC, crcText, groupCrc } from './stat-cache-reader.ts';
import type { CacheGroup } from './stat-cache-record.ts';

const BUFFER_BYTES = 256 * 1024;

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
  readonly #fd: number;
  readonly #buffered = new GrowingBytes(2 * BUFFER_BYTES);
  #written = 0;
  #isOpen = true;

  /** Takes the name the cache is to have. @throws {LbsError} io, no-space */
  constructor(file: string) {
    this.#file = file;
    try {
      this.#fd = openSync(`${file}.new`, 'w', 0o600);
    } catch (error) {
      throw this.#error(error);
    }
    this.#add(`${CACHE_MAGIC}\n`);
  }

  /** Appends the records of one metadata object. */
  addGroup(object: string, isFlat: boolean, records: Buffer): void {
    const kind = isFlat ? 'flat' : 'nested';
    this.#addChecked(`${object} ${kind}`, records, crcText(records, groupCrc(object, kind)));
  }

  /** Appends a group of the cache before, as it is. */
  addKept({ object, isFlat, bytes, crc }: CacheGroup): void {
    this.#addChecked(`${object} ${isFlat ? 'flat' : 'nested'}`, bytes, crc);
  }

  #addChecked(words: string, records: Buffer, crc: string): void {
    this.#add(`@${words} ${records.length} ${crc}\n`);
    this.#buffered.addBytes(records);
    if (this.#buffered.length >= BUFFER_BYTES) this.#flush();
  }

  #add(text: string): void {
    this.#buffered.addText(text);
    if (this.#buffered.length >= BUFFER_BYTES) this.#flush();
  }

  #flush(): void {
    const { bytes } = this.#buffered;
    try {
      let at = 0;
      while (at < bytes.length) at += writeSync(this.#fd, bytes, at);
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
    this.#flush();
    const endAt = String(this.#written).padStart(16, '0');
    this.#add(text);
    this.#add(`trailer ${endAt} ${crcText(Buffer.from(text, 'latin1'))}\n`);
    this.#flush();
  }

  /** Makes the new cache the one the next run reads. */
  commit(): void {
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
    if (!this.#isOpen) return;
    this.#isOpen = false;
    closeSync(this.#fd);
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
