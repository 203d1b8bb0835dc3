/**
 * How those who make snapshots and those who collect what no snapshot needs keep out of each
 * other's way, on one machine or several, with no lock and no clock but the store's.
 *
 *     collector                                   backup
 *     lists what no descriptor names: condemned   does not refer to what is on any list
 *     a grace period later: lists it: removing    publishes its descriptor
 *     reads the descriptors once more             reads the lists, then the names of all files
 *     removes what is still in none               takes its descriptor back if it is hit
 *     reads the descriptors a last time           (and if it has died, the collector does)
 *     removes its list
 *
 * In the middle each writes before it reads, so whatever their order, one of them sees the other:
 * either the collector spares a file, or the backup finds out that it is lost. For that a list that
 * says "removing" must stay as long as its collector lives: nobody else may remove it, and a
 * collector whose list is gone stops. That of a collector that has died goes when its local
 * database is locked by us, so that it cannot be alive, or when it is older than any collection.
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
import { textLines } from '../std/text-lines.ts';
import type { Store, StoredFile } from '../stores/store.ts';
import { readSmallFile } from './open-snapshot.ts';
import { putFile } from './put-file.ts';

/** A million names; anything beyond this is no list. */
const LIST_BYTES_MAX = 64 * 1024 * 1024;
const HEADING = '# files that no snapshot needs; see lbs-gc(1)';
const OWNER = /^# by ([0-9a-f-]{36})$/m;

export type CollectionList = {
  readonly file: StoredFile;
  readonly step: CollectionStep;
  /** The local database that was locked by its collector. */
  readonly owner: string | undefined;
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
    const names: string[] = [];
    for (const name of textLines(text)) if (isStoreFile(name)) names.push(name);
    lists.push({ file, step, owner: OWNER.exec(text)?.[1], names });
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

/** What a list says, and who made it. */
export type NewCollectionList = {
  readonly step: CollectionStep;
  /** The name of the local database that the collector has locked, if any. */
  readonly owner: string | undefined;
  readonly names: readonly string[];
};

/** Puts a list into the store, durably; its name. @throws {LbsError} store-unwritable, no-space, io */
export async function putCollectionList(
  store: Store,
  { step, owner, names }: NewCollectionList,
): Promise<string> {
  const name = `gc-${newUuid()}.${step}`;
  const lines = [HEADING, ...(owner === undefined ? [] : [`# by ${owner}`]), ...names];
  await putFile(store, name, Buffer.from(`${lines.join('\n')}\n`, 'latin1'));
  await store.settle();
  return name;
}

/**
 * Segments that no new snapshot may refer to: all that are on a list. One that a descriptor has
 * come to name meanwhile is not made an exception of: the collector that listed it may be removing
 * it, and nothing but a block or two is stored twice.
 * @throws {LbsError} io
 */
export function condemnedSegments(store: Store): Set<string> {
  const condemned = new Set<string>();
  for (const { names } of listsOf(store)) {
    for (const name of names) {
      const segment = parseSegmentFile(name)?.segment;
      if (segment !== undefined) condemned.add(segment);
    }
  }
  return condemned;
}

/**
 * The first of `fileNames` that is gone or about to go; undefined when all stay. To be asked
 * after a descriptor that needs them was published. @throws {LbsError} io
 */
export function lostToCollection(store: Store, fileNames: Iterable<string>): string | undefined {
  const going = new Set<string>();
  for (const { step, names } of listsOf(store)) {
    if (step === 'removing') for (const name of names) going.add(name);
  }
  // After the lists, never before: a collector that is through has removed its list last.
  const present = new Set(store.names());
  for (const name of fileNames) if (!present.has(name) || going.has(name)) return name;
  return undefined;
}

function listsOf(store: Store): CollectionList[] {
  const names = store.names().filter((name) => parseCollectionFile(name) !== undefined);
  return collectionLists(
    store,
    names.flatMap((name) => store.find(name) ?? []),
  );
}
