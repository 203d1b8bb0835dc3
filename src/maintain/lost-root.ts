/**
 * Finds the root of a snapshot whose descriptor is lost, by the segments that its checksums files
 * list. Called by repair.
 *
 * A root is the last object that a run stores, so it is the last one of a segment of metadata. Of
 * those, it is the one from which just the listed segments can be reached, with nothing damaged on
 * the way: older roots need fewer segments, and what a user's file holds cannot name the segment
 * that it will be in.
 */
import { checksumOf } from '../format/checksum.ts';
import type { Descriptor, SnapshotCounts } from '../format/descriptor.ts';
import { parseDescriptor } from '../format/descriptor.ts';
import { referencesOf } from '../format/entry.ts';
import { formatObjectName } from '../format/reference.ts';
import { isDamage, type MetadataObjects } from '../metadata/metadata-objects.ts';
import { readMetadata } from '../metadata/metadata-log-reader.ts';
import type { SegmentSource } from '../segments/segment-source.ts';

const AT = 0x40;
/** How a root begins: with a line that names another object, or, of a small tree, with a stanza. */
const STANZA = /^[a-z][\w-]*: /;
const BEGINNING_BYTES = 64;

export type FoundRoot = {
  /** `segment/object(sha1=..)`. */
  readonly root: string;
  readonly counts: SnapshotCounts;
};

export type RootSearch = {
  readonly source: SegmentSource;
  /** Kept from one snapshot to the next. */
  readonly objects: MetadataObjects;
  readonly signal: AbortSignal | undefined;
};

/**
 * The root that needs just `segments`; those in `likely` are looked into first.
 * @throws {LbsError} filter-missing, decryption-key, interrupted
 */
export async function findRoot(
  search: RootSearch,
  segments: ReadonlySet<string>,
  likely: ReadonlySet<string>,
): Promise<FoundRoot | undefined> {
  const isLikely = (segment: string) => (likely.has(segment) ? 0 : 1);
  const order = [...segments].sort((a, b) => isLikely(a) - isLikely(b) || (a < b ? -1 : 1));
  for (const segment of order) {
    const root = await lastOf(search, segment);
    if (root === undefined) continue;
    const counts = await countsWhenFits(search, root, segments);
    if (counts !== undefined) return { root, counts };
  }
  return undefined;
}

function looksLikeMetadata(data: Buffer): boolean {
  return data[0] === AT || STANZA.test(data.toString('latin1', 0, BEGINNING_BYTES));
}

/** A reference to the last object of a segment of metadata; undefined for another, or damage. */
async function lastOf(
  { source, signal }: RootSearch,
  segment: string,
): Promise<string | undefined> {
  let last: string | undefined;
  try {
    for await (const batch of source.objects(segment, signal)) {
      const end = batch.at(-1);
      if (end === undefined) continue;
      if (last === undefined && !batch.some(({ data }) => looksLikeMetadata(data)))
        return undefined;
      const isLooked = looksLikeMetadata(end.data);
      const name = formatObjectName(segment, end.object);
      last = isLooked ? `${name}(${checksumOf('sha1', end.data)})` : undefined;
    }
  } catch (error) {
    if (!isDamage(error)) throw error;
    return undefined;
  }
  return last;
}

/** What the snapshot of that root holds, when it needs just those segments and is undamaged. */
async function countsWhenFits(
  { source, objects, signal }: RootSearch,
  root: string,
  segments: ReadonlySet<string>,
): Promise<SnapshotCounts | undefined> {
  const descriptor: Descriptor = parseDescriptor(`Format: LBS Snapshot v0.6\nRoot: ${root}\n`);
  const used = new Set<string>([descriptor.root.segment]);
  let isFitting = true;
  const use = (segment: string) => {
    used.add(segment);
    if (!segments.has(segment)) isFitting = false;
  };
  const log = readMetadata(source, descriptor, {
    signal,
    objects,
    onObject: ({ segment }) => use(segment),
    onDamage: () => {
      isFitting = false;
    },
  });
  const counts = { entries: 0, files: 0, bytes: 0, stored: 0, warnings: 0 };
  for await (const entry of log) {
    try {
      for (const reference of referencesOf(entry, descriptor.dialect)) {
        if (reference.kind === 'object') use(reference.segment);
      }
    } catch (error) {
      if (!isDamage(error)) throw error;
      return undefined;
    }
    if (!isFitting) return undefined;
    counts.entries++;
    if (entry.type !== 'f') continue;
    counts.files++;
    counts.bytes += entry.sizeBytes;
  }
  return isFitting && used.size === segments.size ? counts : undefined;
}
