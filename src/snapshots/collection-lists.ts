/**
 * How those who make snapshots and the one who collects what no snapshot needs keep out of each
 * other's way, on one machine or several, with no lock and no clock but the store's.
 *
 *     collector                                   backup
 *     lists what no descriptor names: condemned   does not refer to what is condemned
 *     a grace period later: lists it: removing    publishes its descriptor
 *     reads the descriptors once more             reads the lists once more
 *     removes what is still in none               takes its descriptor back if it is hit
 *
 * In the last two steps each writes before it reads, so whatever their order, one of them sees the
 * other: either the collector spares the segment, or the backup finds out that it is lost.
 * A list is a file of the store, `gc-UUID.condemned` or `gc-UUID.removing`, a file name a line.
 */
import { LbsError } from '../errors.ts';
import {
  type CollectionStep,
  isStoreFile,
  parseCollectionFile,
  parseSegmentFile,
} from '../format/snapshot-name.ts';
import { newUuid } from '../std/clock.ts';
import type { Store, StoredFile } from '../stores/store.ts';
import { listSnapshots, openSnapshot, readSmallFile } from './open-snapshot.ts';
import { putFile } from './put-file.ts';

/** A million names; anything beyond this is no list. */
const LIST_BYTES_MAX = 64 * 1024 * 1024;
const HEADING = '# files that no snapshot needs; see lbs-gc(1)';

export type CollectionList = {
  readonly file: StoredFile;
  readonly step: CollectionStep;
  /** Names of files of the store. */
  readonly names: readonly string[];
};

/** The lists among `files`, a store's listing. One that is gone by now is none. @throws {LbsError} io */
export function collectionLists(store: Store, files: Iterable<StoredFile>): CollectionList[] {
  const lists: CollectionList[] = [];
  for (const file of files) {
    const step = parseCollectionFile(file.name);
    if (step === undefined) continue;
    const text = textOf(store, file.name);
    // Whatever it says, only names that a file of a store can have count.
    lists.push({ file, step, names: text.split('\n').filter((name) => isStoreFile(name)) });
  }
  return lists;
}

/** Empty when its collector has removed it by now. */
function textOf(store: Store, name: string): string {
  try {
    return readSmallFile(store, name, LIST_BYTES_MAX).toString('latin1');
  } catch (error) {
    if (error instanceof LbsError && error.code === 'store-missing-file') return '';
    throw error;
  }
}

/** Puts a list into the store, durably; its name. @throws {LbsError} store-unwritable, no-space, io */
export async function putCollectionList(
  store: Store,
  step: CollectionStep,
  names: Iterable<string>,
): Promise<string> {
  const name = `gc-${newUuid()}.${step}`;
  await putFile(store, name, Buffer.from(`${[HEADING, ...names].join('\n')}\n`, 'latin1'));
  await store.settle();
  return name;
}

/**
 * Segments that no new snapshot may refer to. One that a descriptor names by now is not among them:
 * the collector will spare it. @throws {LbsError} io
 */
export async function condemnedSegments(store: Store): Promise<Set<string>> {
  const lists = store.names().filter((name) => parseCollectionFile(name) !== undefined);
  const files = lists.flatMap((name) => store.find(name) ?? []);
  const condemned = new Set<string>();
  for (const { names } of collectionLists(store, files)) {
    for (const name of names) {
      const segment = parseSegmentFile(name)?.segment;
      if (segment !== undefined) condemned.add(segment);
    }
  }
  if (condemned.size === 0) return condemned;
  for (const snapshot of listSnapshots(store)) {
    try {
      const { descriptor } = await openSnapshot(store, snapshot);
      for (const segment of descriptor.segments) condemned.delete(segment);
    } catch (error) {
      // While there is one that cannot be read, nothing is removed.
      if (!(error instanceof LbsError)) throw error;
    }
  }
  return condemned;
}

/**
 * The first of `segmentFiles` that is gone or about to go; undefined when all stay. To be asked
 * after a descriptor that names them was published. @throws {LbsError} io
 */
export function lostToCollection(store: Store, segmentFiles: Iterable<string>): string | undefined {
  const present = new Set(store.names());
  const lists = [...present].filter((name) => parseCollectionFile(name) === 'removing');
  const files = lists.flatMap((name) => store.find(name) ?? []);
  const going = new Set(collectionLists(store, files).flatMap(({ names }) => names));
  for (const name of segmentFiles) if (!present.has(name) || going.has(name)) return name;
  return undefined;
}
