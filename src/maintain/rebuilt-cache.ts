/**
 * A stat cache made from a snapshot, so that the next backup stores neither metadata nor content
 * again. An entry of ours has its whole line, but for the inode, and where its stanza is. For a file
 * whose blocks cannot be found by content there is only where they are and what its checksum was: if
 * its content is still that, the next backup refers to them (backup/keep-content).
 *
 * That is how the stores of other programs are gone on with: they recorded no SHA-256 of blocks. Of
 * our own snapshots it takes the files of several blocks, which may be cut as another program cut
 * them, and parts of objects, which have no digest. No file is spared the reading: inodes are not recorded, and without them a file that took
 * the place of another one of the same size and times could not be told from it.
 */
import type { Entry } from '../format/entry.ts';
import { referencesOf } from '../format/entry.ts';
import {
  type ObjectReference,
  type Reference,
  formatObjectName,
  formatReference,
} from '../format/reference.ts';
import { formatField } from '../format/stanza.ts';
import {
  NO_OBJECT,
  NO_PLACE,
  type StanzaPlace,
  formatRecord,
  lookedAtCrc,
} from '../localdb/stat-cache-record.ts';
import { type CachedAccount, StatCacheWriter } from '../localdb/stat-cache-writer.ts';
import { REBUILT, untrusted } from '../localdb/status-line.ts';
import { LbsError } from '../errors.ts';
import type { MetadataObjects } from '../metadata/metadata-objects.ts';
import { readMetadata } from '../metadata/metadata-log-reader.ts';
import { layoutOf } from '../restore/file-layout.ts';
import { normalisePath } from '../restore/select-paths.ts';
import type { SegmentSource } from '../segments/segment-source.ts';
import type { OpenSnapshot } from '../snapshots/open-snapshot.ts';
import { byteText } from '../std/byte-text.ts';
import { RebuiltAccounts, rebuiltStatus } from './rebuilt-status.ts';
import { GrowingBytes } from '../std/growing-bytes.ts';
import { openScratchDatabase } from '../std/scratch-database.ts';

const GROUP_BYTES = 64 * 1024;
const SEGMENT_NAME_CHARS = 36;

const CACHE_KIB = 8 * 1024;
/** Logs of other programs are in the order of their command lines; what is written later counts. */
const SCHEMA = `create table records (key blob primary key, record text not null) without rowid`;

export type CacheSource = {
  readonly source: SegmentSource;
  readonly objects: MetadataObjects;
  readonly signal: AbortSignal | undefined;
};

/**
 * Writes the cache, unless it would hold nothing.
 * @throws {LbsError} filter-missing, interrupted, io, no-space
 */
export async function writeRebuiltCache(
  file: string,
  snapshot: OpenSnapshot,
  from: CacheSource,
): Promise<void> {
  const db = openScratchDatabase(SCHEMA, CACHE_KIB);
  try {
    const add = db.prepare<[Buffer, string]>('insert or replace into records values (?, ?)');
    let place: StanzaPlace | undefined;
    let count = 0;
    const accounts = new RebuiltAccounts();
    // Damage was told of when the snapshot was read for the first time.
    const { source, ...options } = from;
    const entries = readMetadata(source, snapshot.descriptor, {
      ...options,
      takeStanza: (text, start, object) => {
        place = placeOf(text, start, object);
        return undefined;
      },
    });
    for await (const entry of entries) {
      const record = recordOf(entry, snapshot, place);
      accounts.add(entry);
      if (record === undefined) continue;
      add.run(keyOf(normalisePath(entry.path)), record);
      count++;
    }
    if (count === 0) return;
    const rows = db.prepare<[], string>('select record from records order by key').pluck();
    writeRecords(file, () => rows.iterate(), accounts.all());
  } finally {
    db.close();
  }
}

/** Paths in the order of their components: no name holds a zero byte. */
function keyOf(path: Buffer): Buffer {
  return Buffer.from(path.toString('latin1').replaceAll('/', '\0'), 'latin1');
}

/** `rows` is asked when the file is open: an unfinished iteration would keep its database open. */
function writeRecords(
  file: string,
  rows: () => Iterable<string>,
  accounts: readonly CachedAccount[],
): void {
  const cache = new StatCacheWriter(file);
  const records = new GrowingBytes(2 * GROUP_BYTES);
  let groups = 0;
  const flush = () => {
    if (records.length > 0) cache.addGroup(NO_OBJECT, false, records.bytes);
    if (records.length > 0) groups++;
    records.clear();
  };
  try {
    for (const record of rows()) {
      records.addText(record);
      if (records.length > GROUP_BYTES) flush();
    }
    flush();
    const places = Array.from({ length: groups }, () => NO_PLACE);
    cache.finish(NO_OBJECT, accounts, places);
    cache.commit();
  } finally {
    cache.discard();
  }
}

/** Where the stanza is that begins there; undefined where there begins none. */
function placeOf(text: string, start: number, source: ObjectReference): StanzaPlace | undefined {
  const end = text.indexOf('\n\n', start) + 2;
  if (end < 2 || end === start + 1) return undefined;
  const object = formatReference({ ...source, slice: undefined });
  return { object, start: (source.slice?.start ?? 0) + start, length: end - start };
}

/** Text of the record of an entry; undefined where there is nothing that could be used again. */
function recordOf(
  entry: Entry,
  snapshot: OpenSnapshot,
  place: StanzaPlace | undefined,
): string | undefined {
  const text = byteText(normalisePath(entry.path));
  const toKeep = contentToKeep(entry, snapshot);
  if (toKeep !== undefined) {
    const facts = { text, statusLine: REBUILT, xattrs: '', content: toKeep };
    return formatRecord(facts, NO_PLACE, NO_OBJECT);
  }
  const status = rebuiltStatus(entry);
  const isOurs = snapshot.descriptor.checksumsSha256 !== undefined;
  if (!isOurs || place === undefined || status === undefined || entry.volatile) return undefined;
  const content = ownContent(entry);
  const xattrs = lookedAtCrc(entry.xattrs, entry.target);
  return formatRecord({ text, statusLine: untrusted(status), xattrs, content }, place, NO_OBJECT);
}

/** The content lines of a file of one block or none, as a backup writes them. */
function ownContent(entry: Entry): string {
  const { type, checksum = '', data, sha256 = '', sizeBytes, holes = [] } = entry;
  if (type !== 'f') return '';
  const lines = [
    formatField('checksum', checksum),
    formatField('data', data.join('\n')),
    formatField('sha256', sha256),
    formatField('size', String(sizeBytes)),
  ];
  const ranges = holes.map(({ start, length }) => `${start}+${length}`);
  if (ranges.length > 0) lines.push(formatField('holes', ranges.join('\n')));
  return lines.join('');
}

/** The content lines of a record; undefined for a file whose blocks are found by themselves. */
function contentToKeep(entry: Entry, { descriptor }: OpenSnapshot): string | undefined {
  const checksum = entry.sha256 === undefined ? entry.checksum : `sha256=${entry.sha256}`;
  if (entry.type !== 'f' || checksum === undefined) return undefined;
  try {
    const references = referencesOf(entry, descriptor.dialect);
    if (!references.some(isObject) || !references.every(canBeRead)) return undefined;
    const [only, ...others] = references;
    const isOurs = descriptor.checksumsSha256 !== undefined;
    // All of one object, with the digest of the file: it is found by that.
    if (isOurs && others.length === 0 && isWhole(only)) return undefined;
    const data = layoutOf(references, entry.sizeBytes, entry.holes)
      .filter(({ length }) => length > 0)
      .map(({ reference, length }) => placeText(reference, length));
    return [
      formatField('checksum', checksum),
      formatField('data', data.join('\n')),
      formatField('size', String(entry.sizeBytes)),
    ].join('');
  } catch (error) {
    // It was told of already; the file is stored again.
    if (error instanceof LbsError) return undefined;
    throw error;
  }
}

function isObject(reference: Reference): boolean {
  return reference.kind === 'object';
}

/** By those who walk through references as bytes. */
function canBeRead(reference: Reference): boolean {
  return reference.kind === 'zero' || reference.segment.length === SEGMENT_NAME_CHARS;
}

function isWhole(reference: Reference | undefined): boolean {
  return reference?.kind === 'object' && reference.slice === undefined;
}

/** `[=n]`: all of an object of n bytes. */
function placeText(reference: Reference, length: number): string {
  if (reference.kind === 'zero') return `zero[${length}]`;
  const { segment, object, slice } = reference;
  const name = formatObjectName(segment, object);
  return slice === undefined ? `${name}[=${length}]` : `${name}[${slice.start}+${length}]`;
}
