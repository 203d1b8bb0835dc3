/**
 * Collects files that no descriptor names: segments, and what forgotten snapshots left.
 *
 *     listing, every descriptor                what is needed, and what is not
 *       -> lost-snapshots                      nor is what could still be repaired
 *       -> local database told first           it offers nothing of that any more
 *       -> a list: condemned                   no backup refers to it from now on
 *     and in a later run, a grace period after that list came to the store:
 *       -> a list: removing                    backups that are about to end look at it
 *       -> every new descriptor                what it names is spared
 *       -> removed
 *       -> every new descriptor                of a backup that was hit and died: taken back
 *       -> the lists removed
 *     and in each run, last:
 *       -> descriptors against the listing     damage, or what two that died have left
 *
 * No segment is read. Ages are differences of times that the store itself gave to its files. See
 * snapshots/collection-lists.ts for why nothing that a snapshot needs is ever removed. Stopping
 * anywhere leaves files and lists, which the next run goes on with.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { LbsError } from '../errors.ts';
import { parseSegmentFile } from '../format/snapshot-name.ts';
import { BlockIndex } from '../localdb/block-index.ts';
import { forgetGone } from '../localdb/gone-segments.ts';
import { lockLocaldb } from '../localdb/lock.ts';
import { LOCALDB_FILE, type OpenDatabase, openDatabase } from '../localdb/open-localdb.ts';
import { SeenSnapshots } from '../localdb/seen-snapshots.ts';
import { type Report, silentReport } from '../report.ts';
import type { ReadOptions } from '../restore/restore-options.ts';
import {
  type CollectionList,
  collectionLists,
  putCollectionList,
} from '../snapshots/collection-lists.ts';
import { noteForgotten } from '../snapshots/forgotten-notes.ts';
import type { SnapshotFile } from '../snapshots/open-snapshot.ts';
import { openStore } from '../stores/open-store.ts';
import type { Store, StoredFile } from '../stores/store.ts';
import { lostSnapshots } from './lost-snapshots.ts';
import { NeededFiles, interrupted } from './needed-files.ts';

/** Longer than backups take, and than a store is in the making of a copy. */
export const GRACE_S = 24 * 3600;
/** Longer than it takes to remove anything: a list of that age has no collector any more. */
const REMOVAL_S_MAX = 24 * 3600;

export type CollectOptions = Pick<ReadOptions, 'store' | 'verifyKey' | 'signal'> & {
  /** Directory of the local database; default: the store. */
  readonly localdb?: string;
  /** Seconds that a file stays in the store when nothing needs it, in each of the two steps. */
  readonly graceS?: number;
  readonly dryRun?: boolean;
  /** Of a dry run: snapshots that would be gone by then. */
  readonly without?: ReadonlySet<string>;
  /** Of a dry run: segments that snapshots would need which are not there yet. */
  readonly needed?: ReadonlySet<string>;
  /** Told of every file before it is removed, or in a dry run would be. */
  readonly onFile?: (file: CollectedFile) => void;
  /** Told of snapshots that need what is not there. */
  readonly report?: Report;
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
  /**
   * Snapshots that need segments which the store does not have, and those whose descriptor is lost;
   * each was reported as damage.
   */
  readonly damaged: number;
};

/**
 * @throws {LbsError} store-missing; format-syntax, format-version, signature-*, io when a descriptor
 * cannot be read: then nothing is touched; localdb-*, store-unwritable, no-space, interrupted
 */
export async function collect(options: CollectOptions): Promise<CollectSummary> {
  const store = openStore(options.store);
  const localdb = options.localdb ?? store.place;
  const isDry = options.dryRun === true;
  if (isDry || !existsSync(join(localdb, LOCALDB_FILE))) {
    return await new Collection(store, options, undefined).run();
  }
  const lock = lockLocaldb(localdb);
  try {
    const open = openDatabase(localdb);
    try {
      return await new Collection(store, options, open).run();
    } finally {
      open.close();
    }
  } finally {
    lock.release();
  }
}

class Collection {
  readonly #store: Store;
  readonly #options: CollectOptions;
  readonly #localdb: OpenDatabase | undefined;
  readonly #needed: NeededFiles;
  readonly #removed: StoredFile[] = [];

  constructor(store: Store, options: CollectOptions, localdb: OpenDatabase | undefined) {
    this.#store = store;
    this.#options = options;
    this.#localdb = localdb;
    this.#needed = new NeededFiles(store, options);
  }

  async run(): Promise<CollectSummary> {
    const { dryRun = false, graceS = GRACE_S } = this.#options;
    const files = this.#store.list();
    const lists = collectionLists(this.#store, files);
    await this.#needed.read(files);
    const lost = await this.#keepLost(files);
    const clockS = this.#clockS(files);
    const isOld = ({ arrivedS }: StoredFile) => arrivedS <= clockS - graceS;
    const ripe = new Set(lists.filter(({ file }) => isOld(file)).flatMap(namesOf));
    const unneeded = files.filter((file) => this.#needed.isUnneeded(file.name));
    const old = unneeded.filter(isOld);
    // Without a grace period there is nobody to wait for.
    const due = new Set(old.filter(({ name }) => graceS === 0 || ripe.has(name)));
    const condemned = old.filter((file) => !due.has(file));
    this.#tell(condemned, 'condemned');
    if (dryRun) {
      for (const file of due) this.#countRemoved(file);
    } else {
      this.#forgetLocally([...condemned, ...due], new Set(files.map(nameOf)));
      const listed = new Set(lists.flatMap(namesOf));
      const names = condemned.map(nameOf).filter((name) => !listed.has(name));
      if (names.length > 0) await this.#putList('condemned', names);
      if (due.size > 0) await this.#remove([...due]);
      const waiting = unneeded.filter((file) => !due.has(file)).map(nameOf);
      await this.#clearLists(lists, new Set(waiting), clockS);
    }
    return {
      dryRun,
      ...{ removed: this.#removed.length, removedBytes: sizeOf(this.#removed) },
      ...{ condemned: condemned.length, condemnedBytes: sizeOf(condemned) },
      young: unneeded.length - old.length,
      damaged: lost + (await this.#reportLacking()),
    };
  }

  /** Where a descriptor is gone and nobody forgot the snapshot, what is left of it stays. */
  async #keepLost(files: readonly StoredFile[]): Promise<number> {
    const { report = silentReport, verifyKey, localdb = this.#store.place } = this.#options;
    const lost = await lostSnapshots(this.#store, files, {
      ...{ verifyKey, predecessors: this.#needed.predecessors },
      note: (message) => report({ type: 'note', message }),
      seen: SeenSnapshots.open(localdb, this.#store.place),
    });
    for (const name of lost) {
      this.#needed.addLost(name);
      const message = `is gone, and no note says that it was forgotten, so what it needs is kept: "lbs repair" makes it again; where it is to be given up, remove snapshot-${name}.*`;
      const damage = { what: 'store-file', name: `snapshot-${name}.lbs`, snapshot: name, message } as const; // prettier-ignore
      report({ type: 'damage', damage });
    }
    return lost.length;
  }

  /**
   * A collector that dies between removing a segment and taking back the descriptor of a backup that
   * was hit, and died as well, leaves a snapshot without that segment. Nothing tells it from a
   * snapshot of which a segment was lost otherwise, and what is odd about a snapshot never makes it
   * go: so it is told of, in every run.
   */
  async #reportLacking(): Promise<number> {
    const lacking = await this.#needed.lacking(this.#store.names());
    for (const { snapshot, segments } of lacking) {
      const { name, file } = snapshot;
      const count = segments.length === 1 ? 'a segment' : `${segments.length} segments`;
      const message = `needs ${count} that the store does not have (${segments[0]}): "lbs verify" says what of it is lost; "lbs heal" gets it from a copy of the store, or "lbs forget ${name}" gives the snapshot up`;
      const damage = { what: 'store-file', name: file.name, snapshot: name, message } as const;
      this.#options.report?.({ type: 'damage', damage });
    }
    return lacking.length;
  }

  /**
   * A look at the clock is a file without a name, or one that is there for a moment. A dry run may
   * be of a store that cannot be written to: then the newest file says how late it is at least.
   */
  #clockS(files: readonly StoredFile[]): number {
    try {
      return this.#store.clockS();
    } catch (error) {
      if (this.#options.dryRun !== true || !(error instanceof LbsError)) throw error;
      return files.reduce((newest, { arrivedS }) => Math.max(newest, arrivedS), 0);
    }
  }

  #tell(files: readonly StoredFile[], step: CollectedFile['step']): void {
    for (const { name, sizeBytes } of files) this.#options.onFile?.({ name, sizeBytes, step });
  }

  #countRemoved(file: StoredFile): void {
    this.#tell([file], 'removed');
    this.#removed.push(file);
  }

  /** Before anything goes, so that no later backup of this machine refers to it. */
  #forgetLocally(files: readonly StoredFile[], present: ReadonlySet<string>): void {
    const segments = files.flatMap(({ name }) => parseSegmentFile(name)?.segment ?? []);
    if (this.#localdb === undefined) return;
    const index = new BlockIndex(this.#localdb);
    if (segments.length > 0) index.removeSegments(segments);
    // What another machine has collected before.
    forgetGone(this.#localdb, index, present);
  }

  #putList(step: CollectionList['step'], names: readonly string[]): Promise<string> {
    return putCollectionList(this.#store, { step, owner: this.#localdb?.owner, names });
  }

  /** What its backup would have done itself, had it lived. */
  async #takeBack(snapshot: SnapshotFile): Promise<void> {
    const { name, file } = snapshot;
    this.#countRemoved(file);
    await noteForgotten(this.#store, [{ name, sha256: undefined }], {});
    this.#store.remove(file.name);
    await this.#store.settle();
  }

  async #remove(due: readonly StoredFile[]): Promise<void> {
    const list = await this.#putList('removing', due.map(nameOf));
    // Whoever publishes from now on sees that list; whoever did before is seen here.
    await this.#needed.read(this.#store.list());
    const gone = new Set<string>();
    for (const file of due) {
      if (!this.#needed.isUnneeded(file.name)) continue;
      if (this.#options.signal?.aborted === true) throw interrupted();
      this.#checkListed(list);
      this.#countRemoved(file);
      this.#store.remove(file.name);
      const segment = parseSegmentFile(file.name)?.segment;
      if (segment !== undefined) gone.add(segment);
    }
    await this.#store.settle();
    for (const hit of await this.#needed.read(this.#store.list(), gone)) await this.#takeBack(hit);
    this.#store.remove(list);
    await this.#store.settle();
  }

  /** Without it a backup does not know: after a standstill somebody may have taken us for dead. */
  #checkListed(list: string): void {
    if (this.#store.find(list) !== undefined) return;
    throw new LbsError('io', `${list} was removed from the store by somebody else`, {
      hint: 'nothing that a snapshot needs was removed; run the same command again',
    });
  }

  /** Removes lists of which nothing waits any more, but none of a collector that may be alive. */
  async #clearLists(
    lists: readonly CollectionList[],
    waiting: ReadonlySet<string>,
    clockS: number,
  ): Promise<void> {
    for (const { file, step, owner, names } of lists) {
      if (names.some((name) => waiting.has(name))) continue;
      // With the lock of its local database in our hands, the one who made it is no more.
      const isDead = owner !== undefined && owner === this.#localdb?.owner;
      if (step === 'removing' && !isDead && file.arrivedS > clockS - REMOVAL_S_MAX) continue;
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
