/**
 * A file of which a rebuilt stat cache says where its content was, and its checksum: if it is still
 * that, what is stored already is referred to again. Called by store-entry.
 *
 * The SHA-256 of each object that the file is made of is learnt on the way, so that later the
 * block index finds it, in this file or any other. The old programs recorded SHA-1 or SHA-224 of
 * files, and these are believed here, of one path and size: what is recorded anew is SHA-256, and
 * `verify --data` holds the stored bytes against it.
 */
import { createHash } from 'node:crypto';
import { parseChecksum } from '../format/checksum.ts';
import { formatObjectName, parseReference } from '../format/reference.ts';
import type { CacheRecord } from '../localdb/stat-cache-record.ts';
import type { SourceContent, SourceEntry } from '../sources/source.ts';
import { nowSeconds } from '../std/clock.ts';
import { coarseExtents } from './coarse-extents.ts';
import { type Fields, contentFields } from './entry-fields.ts';
import { BLOCK_BYTES, type ReadingTools, type StoredContent } from './store-content.ts';

/** A stretch of the file, and what it is a part of; undefined for zeros. */
type KeptStretch = {
  readonly length: number;
  readonly object:
    | {
        readonly segment: string;
        readonly number: number;
        /** Where in the object it begins; undefined: it is all of it. */
        readonly start: number | undefined;
      }
    | undefined;
};

type KeptContent = {
  readonly checksum: string;
  readonly sizeBytes: number;
  readonly stretches: readonly KeptStretch[];
};

/**
 * Undefined when the content is another one, or changes under the reading.
 * @throws {SourceTrouble} when it cannot be opened or read; {LbsError} for all else
 */
export async function keepContent(
  entry: SourceEntry,
  record: CacheRecord,
  tools: ReadingTools,
): Promise<StoredContent | undefined> {
  const kept = keptContentOf(record);
  const openedS = nowSeconds();
  const content = entry.openContent();
  try {
    const { status } = content;
    if (status.sizeBytes !== kept.sizeBytes) return undefined;
    const found = await digestsOf(content, kept, tools);
    if (found === undefined || !content.isUnchanged()) return undefined;
    const xattrs = content.xattrs();
    kept.stretches.forEach(({ object, length }, at) => {
      const sha256 = found.ofStretches[at];
      if (object === undefined || sha256 === undefined) return;
      tools.blocks.learn({ segment: object.segment, object: object.number }, sha256, length);
    });
    const { sizeBytes } = kept;
    return {
      status,
      fields: fieldsOf(kept, found, holesOf(content)),
      xattrs,
      word: 'old',
      sizeBytes,
      bytesRead: sizeBytes,
      sha256: found.sha256,
      openedS,
      isStable: true,
      isKept: true,
    };
  } finally {
    content.close();
  }
}

/** What `maintain/rebuilt-cache` wrote. */
function keptContentOf(record: CacheRecord): KeptContent {
  const fields = new Map(contentFields(record.content));
  const stretches = (fields.get('data') ?? '').split('\n').map((text): KeptStretch => {
    const reference = parseReference(text, 'prefix');
    if (reference.kind === 'zero') return { length: reference.length, object: undefined };
    const { segment, object: number, slice, exactSize = 0 } = reference;
    const object = { segment, number, start: slice?.start };
    return { length: slice?.length ?? exactSize, object };
  });
  const sizeBytes = Number(fields.get('size') ?? -1);
  return { checksum: fields.get('checksum') ?? '', sizeBytes, stretches };
}

type FoundDigests = {
  readonly sha1: string;
  readonly sha256: string;
  /** Of each stretch that is all of an object. */
  readonly ofStretches: readonly (string | undefined)[];
};

/** Undefined when the file is shorter, or its checksum another one. */
async function digestsOf(
  content: SourceContent,
  { checksum, stretches }: KeptContent,
  { block, breathe }: ReadingTools,
): Promise<FoundDigests | undefined> {
  const { algorithm, hex } = parseChecksum(checksum);
  const [sha1, sha256] = [createHash('sha1'), createHash('sha256')];
  const other = algorithm === 'sha224' ? createHash('sha224') : undefined;
  const ofStretches: (string | undefined)[] = [];
  let offset = 0;
  for (const { length, object } of stretches) {
    const own = object !== undefined && object.start === undefined ? createHash('sha256') : undefined; // prettier-ignore
    for (const end = offset + length; offset < end;) {
      const wanted = Math.min(end - offset, BLOCK_BYTES);
      if (content.read(block, offset, wanted) < wanted) return undefined;
      const bytes = block.subarray(0, wanted);
      for (const digest of [sha1, sha256, other, own]) digest?.update(bytes);
      offset += wanted;
      await breathe();
    }
    ofStretches.push(own?.digest('hex'));
  }
  const found = { sha1: sha1.digest('hex'), sha256: sha256.digest('hex'), ofStretches };
  const expected = algorithm === 'sha224' ? other?.digest('hex') : found[algorithm];
  return expected === hex ? found : undefined;
}

function holesOf(content: SourceContent): string[] {
  const holes: string[] = [];
  for (const { kind, start, length } of coarseExtents(content)) {
    if (kind === 'hole') holes.push(`${start}+${length}`);
  }
  return holes;
}

/** As a reading would write them, but for parts of objects, whose digest says nothing of the object. */
function fieldsOf(
  { sizeBytes, stretches }: KeptContent,
  { sha1, sha256, ofStretches }: FoundDigests,
  holes: readonly string[],
): Fields {
  const data = stretches.map(({ object, length }, at) => {
    if (object === undefined) return `zero[${length}]`;
    const name = formatObjectName(object.segment, object.number);
    const isPlaced = at === stretches.length - 1 || length === BLOCK_BYTES;
    const isUsual = object.start === undefined && holes.length === 0 && isPlaced;
    return isUsual ? name : `${name}[${object.start ?? 0}+${length}]`;
  });
  const fields: Fields = [
    ['checksum', `sha1=${sha1}`],
    ['data', data.join('\n')],
    ['sha256', sha256],
    ['size', String(sizeBytes)],
  ];
  if (data.length > 1) {
    fields.push(['block_sha256', ofStretches.map((digest) => digest ?? '-').join('\n')]);
  }
  if (holes.length > 0) fields.push(['holes', holes.join('\n')]);
  return fields;
}
