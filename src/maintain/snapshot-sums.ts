/**
 * What the descriptor and the checksums files of a snapshot say of the other files of the store
 * that it needs: for those who copy files and must know that they are right. Verify has its own way,
 * because it tells of everything that is wrong with the lists; here a list that is not as the
 * descriptor says is an error.
 */
import { LbsError } from '../errors.ts';
import { checksumOf, parseChecksum } from '../format/checksum.ts';
import { parseSums } from '../format/sums-file.ts';
import type { SegmentSource } from '../segments/segment-source.ts';
import { type OpenSnapshot, readSmallFile } from '../snapshots/open-snapshot.ts';
import { SMALL_FILE_BYTES_MAX, type StoredFile } from '../stores/store.ts';
import type { Sums } from './examine-file.ts';
import { readSegmentList } from './read-segment-list.ts';

export type SnapshotSums = {
  /** Of the checksums files of the snapshot itself, by name. */
  readonly lists: ReadonlyMap<string, Sums>;
  /** Of segments, by file name. Old programs did not list all. */
  readonly segments: ReadonlyMap<string, Sums>;
};

/** Of the lists of Cumulus 0.11, by snapshot, and what reads them. */
export type SumsSource = {
  readonly source: SegmentSource;
  readonly segmentLists: ReadonlyMap<string, StoredFile>;
  readonly signal: AbortSignal | undefined;
};

/**
 * Reads the lists of a snapshot, each held against the descriptor.
 * @throws {LbsError} checksum-mismatch, store-missing-file, format-syntax, filter-missing, io
 */
export async function sumsOfSnapshot(
  { name, descriptor }: OpenSnapshot,
  { source, segmentLists, signal }: SumsSource,
): Promise<SnapshotSums> {
  const { store } = source;
  const lists = new Map<string, Sums>();
  const segments = new Map<string, Sums>();
  const add = (file: string, sums: Sums) => segments.set(file, { ...segments.get(file), ...sums });
  for (const [algorithm, recorded] of [
    ['sha1', descriptor.checksums] as const,
    ['sha256', descriptor.checksumsSha256] as const,
  ]) {
    const file = `snapshot-${name}.${algorithm}sums`;
    if (recorded === undefined && store.find(file) === undefined) continue;
    const bytes = readSmallFile(store, file, SMALL_FILE_BYTES_MAX);
    if (recorded !== undefined) {
      const checksum = parseChecksum(recorded);
      if (checksumOf(checksum.algorithm, bytes) !== `${checksum.algorithm}=${checksum.hex}`) {
        throw new LbsError('checksum-mismatch', `${file} is not as the descriptor says`);
      }
      lists.set(file, { [checksum.algorithm]: checksum.hex });
    } else lists.set(file, {});
    for (const [segmentFile, hex] of parseSums(bytes.toString('utf8'), file)) {
      add(segmentFile, { [algorithm]: hex });
    }
  }
  const list = segmentLists.get(name);
  if (list !== undefined && (descriptor.segmentMetadata !== undefined || lists.size === 0)) {
    const { segmentMetadata: expected, segments: named } = descriptor;
    const found = { name: list.name, expected, segmentCount: named.length };
    const options = { overrides: source.unfilters, signal };
    for (const { segment, file, checksum } of await readSegmentList(store, found, options)) {
      const segmentFile = file ?? source.fileOf(segment)?.name;
      if (segmentFile === undefined || checksum === undefined) continue;
      add(segmentFile, { [checksum.algorithm]: checksum.hex });
    }
    const checksum = expected === undefined ? undefined : parseChecksum(expected);
    lists.set(list.name, checksum === undefined ? {} : { [checksum.algorithm]: checksum.hex });
  }
  return { lists, segments };
}
