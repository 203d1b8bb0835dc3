/**
 * What a run that was killed left of its stat cache becomes the cache that the next run reads: its
 * whole groups, the records behind them, and behind the last of these what the cache before has.
 *
 * Nothing of it is believed that its checksum does not cover; a power cut leaves holes. Nor need it
 * be true of the store: what a record refers to is used only where the local database knows
 * it to be durable. Called by backup/run-backup before anything else; afterwards there is no leftover.
 * Format: lbs-localdb(5).
 */
import { closeSync, existsSync, fstatSync, fsyncSync, openSync, renameSync, rmSync } from 'node:fs';
import { LbsError, errnoName, isOutOfSpace, messageOf } from '../errors.ts';
import { uriUnescapeText } from '../format/uri-escape.ts';
import { type ByteText, asByteText, byteText } from '../std/byte-text.ts';
import { LineReader } from './line-reader.ts';
import { CACHE_MAGIC, GROUP_BYTES_MAX, crcText, readGroup } from './stat-cache-group.ts';
import { StatCacheReader, readAccounts } from './stat-cache-reader.ts';
import {
  type CacheGroup,
  NO_OBJECT,
  NO_PLACE,
  type StanzaPlace,
  recordEnd,
} from './stat-cache-record.ts';
import { type CachedAccount, StatCacheWriter } from './stat-cache-writer.ts';

const TAIL = /^tail (\d{1,10}) ([0-9a-f]{8})$/;
const NEWLINE = 0x0a;

function leftoverError(what: string, file: string, cause: unknown): LbsError {
  const code = isOutOfSpace(cause) ? 'no-space' : 'io';
  return new LbsError(code, `cannot ${what} the stat cache ${file}: ${messageOf(cause)}`, {
    cause,
  });
}

/** Removes what a killed run left. @throws {LbsError} io */
export function discardLeftover(file: string): void {
  for (const name of [`${file}.new`, `${file}.left`]) {
    try {
      rmSync(name, { force: true });
    } catch (error) {
      throw leftoverError('remove', name, error);
    }
  }
}

/**
 * Makes of what a killed run left, and of the cache `file`, a cache with which its work is gone on
 * with; false where nothing of use was left.
 * @throws {LbsError} io, no-space: then `file` is as it was, and the leftover is gone
 */
export function adoptLeftover(file: string): boolean {
  const left = `${file}.left`;
  try {
    // One that is there already was being adopted when that run was killed, too.
    if (!existsSync(left)) renameSync(`${file}.new`, left);
  } catch (error) {
    if (errnoName(error) === 'ENOENT') return false;
    throw leftoverError('rename', `${file}.new`, error);
  }
  let isAdopted = false;
  try {
    isAdopted = adoptWhole(file, left) || adoptPart(file, left);
  } catch (error) {
    try {
      discardLeftover(file);
    } catch {
      // What failed first says more.
    }
    throw error instanceof LbsError ? error : leftoverError('adopt', left, error);
  }
  discardLeftover(file);
  return isAdopted;
}

/** One that was complete when its run was killed. */
function adoptWhole(file: string, left: string): boolean {
  const reader = StatCacheReader.open(left);
  if (reader === undefined) return false;
  try {
    for (const group of reader.rest()) if ('isLast' in group) return false;
    if (!reader.isConsumed()) return false;
  } finally {
    reader.close();
  }
  const fd = openSync(left, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(left, file);
  return true;
}

function adoptPart(file: string, left: string): boolean {
  const fd = openSync(left, 'r');
  try {
    const leftover = new Leftover(fd);
    const cache = new StatCacheWriter(file);
    try {
      return joinCaches(leftover, file, cache);
    } finally {
      cache.discard();
    }
  } finally {
    closeSync(fd);
  }
}

function joinCaches(leftover: Leftover, file: string, cache: StatCacheWriter): boolean {
  const objects: string[] = [];
  let last: ByteText | undefined;
  for (const group of leftover.groups()) {
    cache.addKept(group);
    objects.push(group.object);
    last = lastPath(group.bytes);
  }
  if (last === undefined) return false;
  const old = StatCacheReader.open(file);
  try {
    // Where the groups that were kept have their lines in a root.
    const roots = new Map<string, StanzaPlace>();
    old?.watchGroups(({ object, root }) => roots.set(object, root));
    const slash = last.lastIndexOf('/');
    const directory = slash < 0 ? '.' : last.slice(0, slash);
    // Skips all up to there.
    old?.find(asByteText(directory), asByteText(last.slice(slash + 1)));
    const rest = cache.addRest(old?.rest() ?? []);
    const places = objects.map((object) => roots.get(object) ?? NO_PLACE);
    cache.finish(NO_OBJECT, leftover.accounts, [...places, ...rest]);
  } finally {
    old?.close();
  }
  cache.commit();
  return true;
}

function nextRecord(bytes: Buffer, at: number): number {
  const end = recordEnd(bytes, at);
  return end < 0 ? bytes.length : end + 1;
}

function lastPath(bytes: Buffer): ByteText {
  let last = 0;
  for (let at = 0; at < bytes.length; at = nextRecord(bytes, at)) last = at;
  const end = bytes.indexOf(NEWLINE, last);
  return asByteText(uriUnescapeText(byteText(bytes, last, end)));
}

/** Reads what is left as far as it is whole. */
class Leftover {
  readonly #lines: LineReader;
  readonly #fd: number;
  /** Of all that `groups` gave; none where the end is not whole, so that stanzas are written anew. */
  accounts: readonly CachedAccount[] = [];

  constructor(fd: number) {
    this.#fd = fd;
    this.#lines = new LineReader(fd, { start: 0, end: fstatSync(fd).size });
  }

  *groups(): Generator<CacheGroup> {
    if (this.#lines.line() !== CACHE_MAGIC) return;
    for (;;) {
      const start = this.#lines.position;
      const line = this.#lines.line() ?? '';
      const group = readGroup(line, this.#lines, { start, root: NO_PLACE });
      if (group === undefined) {
        yield* this.#tail(line);
        return;
      }
      yield group;
    }
  }

  /** What stands behind the last group: names of accounts, and records that were in no group. */
  *#tail(line: string): Generator<CacheGroup> {
    const match = TAIL.exec(line);
    const start = this.#lines.position;
    const length = Number(match?.[1] ?? 0);
    if (length === 0 || length > GROUP_BYTES_MAX) return;
    const body = this.#lines.bytes(length);
    if (body === undefined || crcText(body) !== match?.[2]) return;
    const lines = new LineReader(this.#fd, { start, end: start + length });
    const count = Number(lines.line()?.slice('accounts '.length) ?? 0);
    this.accounts = [...readAccounts(lines, count)].map(([key, name]) => ({
      kind: key.startsWith('u') ? 'u' : 'g',
      id: Number(key.slice(1)),
      name,
    }));
    const at = lines.position;
    const group = readGroup(lines.line() ?? '', lines, { start: at, root: NO_PLACE });
    if (group !== undefined) yield group;
  }
}
