/** Entries of all snapshots by name, time, size or content, for `lbs find`. */
import { Minimatch } from 'minimatch';
import type { Entry } from '../format/entry.ts';
import type { ReadOptions } from '../restore/restore-options.ts';
import { normalisePath } from '../restore/select-paths.ts';
import { type BytePath, nameOf, utf8Of } from '../std/byte-path.ts';
import { searchSnapshots, type SearchResult } from './snapshot-search.ts';

/** What an entry must be like; what is not said does not matter. */
export type Criteria = {
  /** Pattern of the last component. */
  readonly name?: string;
  /** Changed after this moment, in seconds since 1970. */
  readonly newerThan?: number;
  /** Regular files of more, fewer or exactly so many bytes. */
  readonly size?: { readonly relation: 'more' | 'fewer' | 'exactly'; readonly bytes: number };
  /** The first digits of the SHA-256 of the content, in lower case. */
  readonly sha256?: string;
};

export type FindOptions = ReadOptions & {
  readonly criteria: Criteria;
  /** Only this path and what is below it. */
  readonly path?: BytePath;
};

const SHA256_PREFIX = 'sha256=';

/**
 * Versions of entries that fit, and the snapshots that hold them. The caller closes `versions`.
 * @throws {LbsError} as `searchSnapshots`
 */
export async function find(options: FindOptions): Promise<SearchResult> {
  const { path } = options;
  return await searchSnapshots(options, {
    path: path === undefined ? undefined : normalisePath(path),
    isWanted: matcherOf(options.criteria),
  });
}

/** A check of entries, the cheap questions first. */
function matcherOf(criteria: Criteria): (entry: Entry) => boolean {
  const { newerThan, size, sha256 } = criteria;
  const isNamed = nameMatcher(criteria.name);
  return (entry) =>
    (newerThan === undefined || isNewer(entry, newerThan)) &&
    (size === undefined || hasSize(entry, size)) &&
    (sha256 === undefined || sha256Of(entry)?.startsWith(sha256) === true) &&
    isNamed(entry);
}

function nameMatcher(pattern: string | undefined): (entry: Entry) => boolean {
  if (pattern === undefined) return () => true;
  const options = { dot: true, nocomment: true, nonegate: true, noext: true, nobrace: true };
  const matcher = new Minimatch(pattern, { ...options, platform: 'linux' });
  return ({ path }) => {
    const name = nameOf(path);
    return matcher.match(utf8Of(name) ?? name.toString('latin1'));
  };
}

function isNewer({ mtime }: Entry, seconds: number): boolean {
  if (mtime === undefined) return false;
  return mtime.s > seconds || (mtime.s === seconds && mtime.ns > 0);
}

function hasSize({ type, sizeBytes }: Entry, size: NonNullable<Criteria['size']>): boolean {
  if (type !== 'f') return false;
  switch (size.relation) {
    case 'more':
      return sizeBytes > size.bytes;
    case 'fewer':
      return sizeBytes < size.bytes;
    case 'exactly':
      return sizeBytes === size.bytes;
  }
}

function sha256Of({ sha256, checksum }: Entry): string | undefined {
  if (sha256 !== undefined) return sha256;
  return checksum?.startsWith(SHA256_PREFIX) ? checksum.slice(SHA256_PREFIX.length) : undefined;
}
