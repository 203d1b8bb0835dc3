/**
 * What the descriptor and the checksums files of a snapshot say of the other files of the store
 * that it needs: for those who copy files and must know that they are right. Verify has its own way,
 * because it tells of everything that is wrong with the lists; here a list that is not as the
 * descriptor says is an error. Called by sync, heal and rebuild.
 */
import { LbsError } from '../errors.ts';
import { type Checksum, checksumOf, parseChecksum } from '../format/checksum.ts';
import type { Descriptor } from '../format/descriptor.ts';
import { parseSums, sumsBytesMax } from '../format/sums-file.ts';
import type { SegmentSource } from '../segments/segment-source.ts';
import { readSmallFile } from '../snapshots/open-snapshot.ts';
import type { StoredFile } from '../stores/store.ts';
import type { Sums } from './examine-file.ts';
import { readSegmentList } from './read-segment-list.ts';

/** A store whose lists are read. */
export type SumsSource = {
  readonly source: SegmentSource;
  /** Of Cumulus 0.11, by snapshot. */
  readonly segmentLists: ReadonlyMap<string, StoredFile>;
  readonly signal: AbortSignal | undefined;
};

/** A checksums file of a snapshot, or the list of segments that Cumulus 0.11 had instead. */
export type ListOfSums = {
  readonly file: string;
  readonly kind: 'sha1' | 'sha256' | 'segments';
  /** What the descriptor says of it; undefined where it says nothing. */
  readonly recorded: Checksum | undefined;
};

/** A snapshot by its name and what its descriptor says. */
export type DescribedSnapshot = { readonly name: string; readonly descriptor: Descriptor };

/**
 * The lists that a snapshot should have: those that its descriptor vouches for, and, where it
 * vouches for none, those that are there, one at least.
 * @throws {LbsError} format-syntax for a checksum that is none
 */
export function listsOf(
  { name, descriptor }: DescribedSnapshot,
  { source, segmentLists }: SumsSource,
): ListOfSums[] {
  const { checksums, checksumsSha256, segmentMetadata, segments } = descriptor;
  const lists: ListOfSums[] = [];
  const add = (kind: ListOfSums['kind'], file: string, text: string | undefined) =>
    lists.push({ file, kind, recorded: text === undefined ? undefined : parseChecksum(text) });
  const found = segmentLists.get(name)?.name;
  // Where the descriptor vouches for other lists, anybody may have put this one beside them.
  if (segmentMetadata !== undefined || (found !== undefined && checksums === undefined)) {
    add('segments', found ?? `snapshot-${name}.meta`, segmentMetadata);
  }
  for (const [kind, text] of [['sha1', checksums] as const, ['sha256', checksumsSha256] as const]) {
    const file = `snapshot-${name}.${kind}sums`;
    if (text !== undefined || source.store.find(file) !== undefined) add(kind, file, text);
  }
  if (lists.length === 0 && segments.length > 0)
    add('sha1', `snapshot-${name}.sha1sums`, undefined);
  return lists;
}

/**
 * What a list says of segments, by file name; checked against the descriptor.
 * @throws {LbsError} checksum-mismatch, store-missing-file, format-syntax, io; filter-missing,
 * filter-failed, decryption-key for a list that went through a filter
 */
export async function readList(
  { source, signal }: SumsSource,
  list: ListOfSums,
  segmentCount: number,
): Promise<ReadonlyMap<string, Sums>> {
  const { file, kind, recorded } = list;
  const sums = new Map<string, Sums>();
  const expected = recorded === undefined ? undefined : `${recorded.algorithm}=${recorded.hex}`;
  if (kind === 'segments') {
    const options = { ...source.reading, signal };
    const found = { name: file, expected, segmentCount };
    for (const one of await readSegmentList(source.store, found, options)) {
      const segmentFile = one.file ?? source.fileOf(one.segment)?.name;
      if (segmentFile === undefined || one.checksum === undefined) continue;
      sums.set(segmentFile, { [one.checksum.algorithm]: one.checksum.hex });
    }
    return sums;
  }
  const bytes = readSmallFile(source.store, file, sumsBytesMax(segmentCount));
  if (recorded !== undefined && checksumOf(recorded.algorithm, bytes) !== expected) {
    throw new LbsError('checksum-mismatch', `${file} is not as the descriptor says`);
  }
  for (const [segmentFile, hex] of parseSums(bytes.toString('utf8'), file)) {
    sums.set(segmentFile, { [kind]: hex });
  }
  return sums;
}

/** The checksum that the descriptor has of a list, as `Sums`. */
export function sumsOfList({ recorded }: ListOfSums): Sums {
  return recorded === undefined ? {} : { [recorded.algorithm]: recorded.hex };
}

/**
 * What all lists of a snapshot say of its segments, by file name; nothing where there are none.
 * @throws {LbsError} as `readList`
 */
export async function sumsOfSnapshot(
  snapshot: DescribedSnapshot,
  from: SumsSource,
): Promise<{ readonly segments: ReadonlyMap<string, Sums> }> {
  const segments = new Map<string, Sums>();
  for (const list of listsOf(snapshot, from)) {
    const isThere = list.recorded !== undefined || from.source.store.find(list.file) !== undefined;
    if (!isThere) continue;
    addSums(segments, await readList(from, list, snapshot.descriptor.segments.length));
  }
  return { segments };
}

/** Adds what a list says to what is known. */
export function addSums(known: Map<string, Sums>, more: ReadonlyMap<string, Sums>): void {
  for (const [file, sums] of more) known.set(file, { ...sums, ...known.get(file) });
}

/**
 * True for what keeps the content of a list from us though it is as the descriptor says, or no
 * matter of the list at all: its filter or key.
 */
export function isLocked({ kind, recorded }: ListOfSums, error: unknown): boolean {
  if (kind !== 'segments' || !(error instanceof LbsError)) return false;
  const { code } = error;
  if (code === 'decryption-key' || code === 'filter-missing') return true;
  return code === 'filter-failed' && recorded !== undefined;
}
