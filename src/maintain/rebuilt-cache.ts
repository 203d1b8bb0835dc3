/**
 * A stat cache made from a snapshot: for each file whose blocks cannot be found by content, where
 * its content is and what its checksum was. The next backup reads such a file, and refers to what
 * is stored already if its content is still that (backup/keep-content).
 *
 * That is how the stores of other programs are gone on with: they recorded no SHA-256 of blocks. Of
 * our own snapshots it takes the files of several blocks, which may be cut as another program cut
 * them, and parts of objects, which have no digest. No file is spared the reading: inodes are not recorded, and without them a file that took
 * the place of another one of the same size and times could not be told from it.
 */
import type { Entry } from '../format/entry.ts';
import { referencesOf } from '../format/entry.ts';
import { type Reference, formatObjectName } from '../format/reference.ts';
import { formatField } from '../format/stanza.ts';
import { NO_OBJECT, NO_PLACE, formatRecord } from '../localdb/stat-cache-record.ts';
import { StatCacheWriter } from '../localdb/stat-cache-writer.ts';
import { REBUILT } from '../localdb/status-line.ts';
import { LbsError } from '../errors.ts';
import type { MetadataObjects } from '../metadata/metadata-objects.ts';
import { readMetadata } from '../metadata/metadata-log-reader.ts';
import { layoutOf } from '../restore/file-layout.ts';
import { normalisePath } from '../restore/select-paths.ts';
import type { SegmentSource } from '../segments/segment-source.ts';
import type { OpenSnapshot } from '../snapshots/open-snapshot.ts';
import { byteText } from '../std/byte-text.ts';
import { GrowingBytes } from '../std/growing-bytes.ts';
import { openScratchDatabase } from '../std/scratch-database.ts';

const GROUP_BYTES = 64 * 1024;
const SEGMENT_NAME_CHARS = 36;

const CACHE_KIB = 8 * 1024;
/** Logs of other programs are in the order of their command lines; what is written later counts. */
const SCHEMA = `create table records (key blob primary key, path blob, content text not null)
  without rowid`;

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
    const add = db.prepare<[Buffer, Buffer, string]>('insert or replace into records values (?, ?, ?)'); // prettier-ignore
    let count = 0;
    // Damage was told of when the snapshot was read for the first time.
    const { source, ...options } = from;
    for await (const entry of readMetadata(source, snapshot.descriptor, options)) {
      const content = contentToKeep(entry, snapshot);
      if (content === undefined) continue;
      const path = normalisePath(entry.path);
      add.run(keyOf(path), path, content);
      count++;
    }
    if (count === 0) return;
    const rows = db.prepare<[], Row>('select path, content from records order by key');
    writeRecords(file, rows.iterate());
  } finally {
    db.close();
  }
}

type Row = { readonly path: Buffer; readonly content: string };

/** Paths in the order of their components: no name holds a zero byte. */
function keyOf(path: Buffer): Buffer {
  return Buffer.from(path.toString('latin1').replaceAll('/', '\0'), 'latin1');
}

function writeRecords(file: string, rows: Iterable<Row>): void {
  const cache = new StatCacheWriter(file);
  const records = new GrowingBytes(2 * GROUP_BYTES);
  let groups = 0;
  const flush = () => {
    if (records.length > 0) cache.addGroup(NO_OBJECT, false, records.bytes);
    if (records.length > 0) groups++;
    records.clear();
  };
  try {
    for (const { path, content } of rows) {
      const facts = { text: byteText(path), statusLine: REBUILT, xattrs: '', content };
      records.addText(formatRecord(facts, NO_PLACE, NO_OBJECT));
      if (records.length > GROUP_BYTES) flush();
    }
    flush();
    const places = Array.from({ length: groups }, () => NO_PLACE);
    cache.finish(NO_OBJECT, [], places);
    cache.commit();
  } finally {
    cache.discard();
  }
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
