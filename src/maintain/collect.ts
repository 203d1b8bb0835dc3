/**
 * Collects files that no descriptor names: segments, and what forgotten snapshots left.
 *
 *     listing, every descriptor                what is needed, and what is not
 *       -> local database told first           it offers nothing of that any more
 *       -> a list: condemned                   no backup refers to it from now on
 *     and in a later run, a grace period after that list came to the store:
 *       -> a list: removing                    backups that are about to end look at it
 *       -> every new descriptor                what it names is spared
 *       -> removed; then the lists
 *
 * No segment is read. Ages are differences of times that the store itself gave to its files. See
 * snapshots/collection-lists.ts for why nothing that a snapshot needs is ever removed. Stopping
 * anywhere leaves files and lists, which the next run goes on with.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { LbsError } from '../errors.ts';
import {
  parseNoteFile,
  parseSegmentFile,
  parseSegmentListFile,
  parseSnapshotFile,
} from '../format/snapshot-name.ts';
import { BlockIndex } from '../localdb/block-index.ts';
import { lockLocaldb } from '../localdb/lock.ts';
import { LOCALDB_FILE, openDatabase } from '../localdb/open-localdb.ts';
import type { ReadOptions } from '../restore/restore-options.ts';
import {
  type CollectionList,
  collectionLists,
  putCollectionList,
} from '../snapshots/collection-lists.ts';
import { openSnapshot, snapshotsAmong } from '../snapshots/open-snapshot.ts';
import { openStore } from '../stores/open-store.ts';
import type { Store, StoredFile } from '../stores/store.ts';

/** Longer than backups take, and than a store is in the making of a copy. */
export const GRACE_S = 24 * 3600;

export type CollectOptions = Omit<ReadOptions, 'scheme'> & {
  /** Directory of the local database; default: the store. */
  readonly localdb?: string;
  /** Seconds that a file stays in the store when nothing needs it, in each of the two steps. */
  readonly graceS?: number;
  readonly dryRun?: boolean;
  /** Of a dry run: snapshots that would be gone by then. */
  readonly without?: ReadonlySet<string>;
  /** Told of every file before it is removed, or in a dry run would be. */
  readonly onFile?: (file: CollectedFile) => void;
};

export type CollectedFile = {
  readonly name: string;
  readonly sizeBytes: number;
  /** `removed` now, or `condemned`: to be removed by a later run. */
  readonly step: 'removed' | 'condemned';
};

export type CollectSummary = {
  readonly dryRun: boolean;
  readonly removed: number;
  readonly removedBytes: number;
  readonly condemned: number;
  readonly condemnedBytes: number;
  /** Not needed by any snapshot, but too young to be touched. */
  readonly young: number;
};

/**
 * @throws {LbsError} store-missing; format-syntax, format-version, signature-*, io when a descriptor
 * cannot be read: then nothing is touched; localdb-locked, store-unwritable, no-space, interrupted
 */
export async function collect(options: CollectOptions): Promise<CollectSummary> {
  const store = openStore(options.store);
  const localdb = options.localdb ?? store.place;
  const hasLocaldb = options.dryRun !== true && existsSync(join(localdb, LOCALDB_FILE));
  const lock = hasLocaldb ? lockLocaldb(localdb) : undefined;
  try {
    return await new Collection(store, options, hasLocaldb ? localdb : undefined).run();
  } finally {
    lock?.release();
  }
}

class Collection {
  readonly #store: Store;
  readonly #options: CollectOptions;
  readonly #localdb: string | undefined;
  /** Snapshots whose descriptors were read already. */
  readonly #known = new Set<string>();
  readonly #needed = new Set<string>();

  constructor(store: Store, options: CollectOptions, localdb: string | undefined) {
    this.#store = store;
    this.#options = options;
    this.#localdb = localdb;
  }

  async run(): Promise<CollectSummary> {
    const { dryRun = false, graceS = GRACE_S } = this.#options;
    const files = this.#store.list();
    await this.#readDescriptors(files);
    const clockS = this.#clockS(files);
    const isOld = ({ arrivedS }: StoredFile) => arrivedS <= clockS - graceS;
    const lists = collectionLists(this.#store, files);
    const ripe = new Set(
      lists.filter((list) => list.step === 'removing' || isOld(list.file)).flatMap(namesOf),
    );
    const listed = new Set(lists.flatMap(namesOf));
    const unneeded = files.filter((file) => this.#isUnneeded(file.name));
    const old = unneeded.filter(isOld);
    // Without a grace period there is nobody to wait for.
    const due = old.filter(({ name }) => graceS === 0 || ripe.has(name));
    const condemned = old.filter((file) => !due.includes(file));
    const fresh = condemned.filter(({ name }) => !listed.has(name));
    this.#tell(condemned, 'condemned');
    let removed = due;
    if (dryRun) this.#tell(due, 'removed');
    else {
      this.#forgetLocally([...condemned, ...due]);
      if (fresh.length > 0) await putCollectionList(this.#store, 'condemned', fresh.map(nameOf));
      if (due.length > 0) removed = await this.#remove(due);
      await this.#clearLists(lists, new Set(condemned.map(nameOf)));
    }
    return {
      dryRun,
      ...{ removed: removed.length, removedBytes: sizeOf(removed) },
      ...{ condemned: condemned.length, condemnedBytes: sizeOf(condemned) },
      young: unneeded.length - old.length,
    };
  }

  /** A dry run writes nothing, not even to look at the clock: then the newest file is as good. */
  #clockS(files: readonly StoredFile[]): number {
    if (this.#options.dryRun !== true) return this.#store.clockS();
    return files.reduce((newest, { arrivedS }) => Math.max(newest, arrivedS), 0);
  }

  /** Reads those that were not read before. One that cannot be read may need anything. */
  async #readDescriptors(files: readonly StoredFile[]): Promise<void> {
    const { verifyKey, signal, without } = this.#options;
    for (const snapshot of snapshotsAmong(files)) {
      if (without?.has(snapshot.name) === true) continue;
      if (signal?.aborted === true) throw interrupted();
      if (this.#known.has(snapshot.name)) continue;
      try {
        const { descriptor } = await openSnapshot(this.#store, snapshot, { verifyKey });
        for (const segment of descriptor.segments) this.#needed.add(segment);
      } catch (error) {
        if (!(error instanceof LbsError)) throw error;
        throw new LbsError(error.code, `nothing was removed: ${error.message}`, {
          cause: error,
          hint: 'a snapshot that cannot be read may need any segment; repair it, or move its descriptor away if it is to be given up',
        });
      }
      this.#known.add(snapshot.name);
    }
  }

  #isUnneeded(name: string): boolean {
    const segment = parseSegmentFile(name)?.segment;
    if (segment !== undefined) return !this.#needed.has(segment);
    const snapshot = parseSnapshotFile(name);
    // Only "forget" removes descriptors.
    if (snapshot?.kind === 'lbs' || snapshot?.kind === 'cumulus') return false;
    const of = snapshot?.name ?? parseNoteFile(name)?.name ?? parseSegmentListFile(name)?.name;
    return of !== undefined && !this.#known.has(of);
  }

  #tell(files: readonly StoredFile[], step: CollectedFile['step']): void {
    for (const { name, sizeBytes } of files) this.#options.onFile?.({ name, sizeBytes, step });
  }

  /** Before anything goes, so that no later backup of this machine refers to it. */
  #forgetLocally(files: readonly StoredFile[]): void {
    const segments = files.flatMap(({ name }) => parseSegmentFile(name)?.segment ?? []);
    if (this.#localdb === undefined || segments.length === 0) return;
    const open = openDatabase(this.#localdb);
    try {
      new BlockIndex(open).removeSegments(segments);
    } finally {
      open.close();
    }
  }

  async #remove(due: readonly StoredFile[]): Promise<StoredFile[]> {
    const list = await putCollectionList(this.#store, 'removing', due.map(nameOf));
    // Whoever publishes from now on sees that list; whoever did before is seen here.
    await this.#readDescriptors(this.#store.list());
    const going = due.filter(({ name }) => this.#isUnneeded(name));
    for (const file of going) {
      if (this.#options.signal?.aborted === true) throw interrupted();
      this.#tell([file], 'removed');
      this.#store.remove(file.name);
    }
    await this.#store.settle();
    this.#store.remove(list);
    await this.#store.settle();
    return going;
  }

  /** Removes lists of which nothing waits any more. */
  async #clearLists(
    lists: readonly CollectionList[],
    condemned: ReadonlySet<string>,
  ): Promise<void> {
    for (const { file, names } of lists) {
      if (names.some((name) => condemned.has(name))) continue;
      this.#store.remove(file.name);
    }
    await this.#store.settle();
  }
}

const namesOf = ({ names }: CollectionList): readonly string[] => names;
const nameOf = ({ name }: StoredFile): string => name;

function sizeOf(files: readonly StoredFile[]): number {
  return files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

function interrupted(): LbsError {
  return new LbsError('interrupted', 'the collection was interrupted', {
    hint: 'nothing that a snapshot needs was removed; the same command goes on',
  });
}
