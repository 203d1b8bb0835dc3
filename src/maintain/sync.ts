/**
 * `lbs sync`: snapshots from one store to another, with what they need that is not there yet.
 *
 *     descriptor, checksums files -> what is needed           of each snapshot, the oldest first
 *       -> segments                                           checked on arrival, durable
 *       -> checksums files
 *       -> descriptor                                         from here on it is a snapshot there
 *       -> notes: holds and tags
 *
 * The order of a backup, so stopping anywhere leaves no broken snapshot, and the next run goes on.
 * Nothing in the destination is changed; what is there already is not read again. Any store can be
 * the source; the destination gets the flat layout, or keeps the one that it has.
 */
import { LbsError, messageOf } from '../errors.ts';
import { parseNoteFile } from '../format/snapshot-name.ts';
import { isDamage } from '../metadata/metadata-objects.ts';
import { type Report, silentReport } from '../report.ts';
import { SegmentSource } from '../segments/segment-source.ts';
import { lostToCollection } from '../snapshots/collection-lists.ts';
import {
  type OpenSnapshot,
  type SnapshotFile,
  openSnapshot,
  readSmallFile,
  resolveAmong,
  snapshotsAmong,
} from '../snapshots/open-snapshot.ts';
import { writeRecoveryFiles } from '../snapshots/recovery-files.ts';
import { openStore } from '../stores/open-store.ts';
import { SMALL_FILE_BYTES_MAX, type Store, type StoredFile } from '../stores/store.ts';
import { copyFile } from './copy-file.ts';
import type { Sums } from './examine-file.ts';
import { segmentListsAmong } from './read-segment-list.ts';
import { type SumsSource, sumsOfSnapshot } from './snapshot-sums.ts';

export type SyncOptions = {
  readonly source: string;
  /** A directory that exists. */
  readonly destination: string;
  /** Names, `latest`, prefixes; none means every snapshot of the source (of `scheme`). */
  readonly snapshots?: readonly string[];
  readonly scheme?: string;
  readonly verifyKey?: string;
  readonly unfilters?: ReadonlyMap<string, string>;
  readonly dryRun?: boolean;
  readonly report?: Report;
  readonly signal?: AbortSignal;
};

export type SyncSummary = {
  readonly dryRun: boolean;
  /** Names of snapshots that were copied, and of those that were there already. */
  readonly copied: readonly string[];
  readonly present: readonly string[];
  readonly segments: number;
  /** Bytes of all files that were copied. */
  readonly bytes: number;
  /** Snapshots that could not be copied, each also reported as damage. */
  readonly damaged: number;
};

/**
 * Copies snapshots. What is damaged in the source is reported, and costs only the snapshots that
 * need it.
 * @throws {LbsError} store-missing, snapshot-missing, snapshot-ambiguous, usage, store-exists (the
 * destination has another snapshot or file of a name), signature-*, no-space, store-unwritable, io,
 * interrupted
 */
export async function sync(options: SyncOptions): Promise<SyncSummary> {
  const from = openStore(options.source);
  const to = openStore(options.destination);
  const files = from.list();
  const chosen = choose(from, snapshotsAmong(files), options);
  const run = new SyncRun({ from, to, files, options });
  for (const snapshot of chosen) await run.add(snapshot);
  return run.summary();
}

function choose(
  store: Store,
  all: readonly SnapshotFile[],
  { snapshots = [], scheme }: SyncOptions,
): readonly SnapshotFile[] {
  if (snapshots.length === 0) {
    const eligible =
      scheme === undefined ? all : all.filter((one) => (one.scheme ?? '') === scheme);
    if (eligible.length > 0) return eligible;
    throw new LbsError('snapshot-missing', `the store ${store.place} has no snapshots to copy`, {
      hint: 'is the disk mounted? "lbs list" shows what there is',
    });
  }
  const wanted = new Set(snapshots.map((word) => resolveAmong(store, all, word, scheme).name));
  return all.filter(({ name }) => wanted.has(name));
}

type Parts = {
  readonly from: Store;
  readonly to: Store;
  readonly files: readonly StoredFile[];
  readonly options: SyncOptions;
};

class SyncRun {
  readonly #from: Store;
  readonly #to: Store;
  readonly #options: SyncOptions;
  readonly #files: readonly StoredFile[];
  readonly #sums: SumsSource;
  readonly #report: Report;
  /** Sizes of files of the destination, those that a dry run would copy included. */
  readonly #present = new Map<string, number>();
  readonly #copied: string[] = [];
  readonly #known: string[] = [];
  #segments = 0;
  #bytes = 0;
  #damaged = 0;
  #hasRecovery = false;

  constructor({ from, to, files, options }: Parts) {
    this.#from = from;
    this.#to = to;
    this.#options = options;
    this.#files = files;
    this.#report = options.report ?? silentReport;
    this.#sums = {
      source: new SegmentSource(from, options.unfilters, files),
      segmentLists: segmentListsAmong(files),
      signal: options.signal,
    };
    for (const { name, sizeBytes } of to.list()) this.#present.set(name, sizeBytes);
  }

  summary(): SyncSummary {
    return {
      dryRun: this.#options.dryRun ?? false,
      copied: this.#copied,
      present: this.#known,
      segments: this.#segments,
      bytes: this.#bytes,
      damaged: this.#damaged,
    };
  }

  async add(snapshot: SnapshotFile): Promise<void> {
    const { name, file } = snapshot;
    try {
      const opened = await openSnapshot(this.#from, snapshot, this.#options);
      if (this.#isThere(file)) this.#known.push(name);
      else {
        await this.#copySnapshot(opened);
        this.#copied.push(name);
      }
      await this.#copyNotes(name);
    } catch (error) {
      if (!(error instanceof LbsError) || !isDamage(error)) throw error;
      this.#damaged++;
      const message = `it was not copied: ${messageOf(error)}`;
      const damage = { what: 'store-file', name: file.name, snapshot: name, message } as const;
      this.#report({ type: 'damage', damage });
    }
  }

  /** @throws {LbsError} store-exists for another one of that name */
  #isThere(file: StoredFile): boolean {
    if (this.#to.find(file.name) === undefined) return false;
    const [ours, theirs] = [this.#from, this.#to].map((store) =>
      readSmallFile(store, file.name, SMALL_FILE_BYTES_MAX),
    );
    if (ours !== undefined && theirs?.equals(ours) === true) return true;
    throw new LbsError('store-exists', `${this.#to.place} has another ${file.name}`, {
      hint: 'two stores that were written to at the same second cannot be joined like this: name the snapshots to copy',
    });
  }

  async #copySnapshot(snapshot: OpenSnapshot): Promise<void> {
    const { lists, segments: sums } = await sumsOfSnapshot(snapshot, this.#sums);
    const needed = snapshot.descriptor.segments.map((segment) => {
      const file = this.#sums.source.fileOf(segment);
      if (file !== undefined) return file;
      throw new LbsError('store-missing-file', `segment ${segment} is missing in the source`);
    });
    for (const file of needed) {
      if (this.#hasSameSize(file)) continue;
      await this.#copy(file, sums.get(file.name) ?? {});
      this.#segments++;
    }
    await this.#settle();
    for (const [name, listSums] of lists) {
      const file = this.#from.find(name);
      if (file !== undefined && !this.#hasSameSize(file)) await this.#copy(file, listSums);
    }
    await this.#writeRecovery();
    await this.#settle();
    await this.#copy(snapshot.file, {});
    await this.#settle();
    await this.#withdrawIfCollected(
      snapshot.file.name,
      needed.map(({ name }) => name),
    );
  }

  /** As after a backup: a collector in the destination may not have known of this snapshot. */
  async #withdrawIfCollected(descriptor: string, needed: readonly string[]): Promise<void> {
    if (this.#options.dryRun === true) return;
    const lost = lostToCollection(this.#to, needed);
    if (lost === undefined) return;
    this.#to.remove(descriptor);
    await this.#to.settle();
    const message = `${lost} was taken out of ${this.#to.place} during the copy`;
    throw new LbsError('segment-collected', message, {
      hint: 'run the same command again: it copies that segment anew',
    });
  }

  /** @throws {LbsError} store-exists for a file of that name and another size */
  #hasSameSize({ name, sizeBytes }: StoredFile): boolean {
    const there = this.#present.get(name);
    if (there === undefined) return false;
    if (there === sizeBytes) return true;
    const message = `${name} in ${this.#to.place} has ${there} bytes instead of ${sizeBytes}`;
    throw new LbsError('store-exists', message, {
      hint: `it is not whole, or not the same: lbs heal --store=${this.#to.place} --from=${this.#from.place}`,
    });
  }

  async #copyNotes(snapshot: string): Promise<void> {
    for (const file of this.#files) {
      if (parseNoteFile(file.name)?.name !== snapshot || this.#present.has(file.name)) continue;
      await this.#copy(file, {});
    }
    await this.#settle();
  }

  async #copy({ name, sizeBytes }: StoredFile, sums: Sums): Promise<void> {
    const { signal, dryRun = false } = this.#options;
    if (!dryRun) await copyFile(this.#from, this.#to, name, { sums, signal });
    this.#present.set(name, sizeBytes);
    this.#bytes += sizeBytes;
    this.#report({ type: 'copied', file: name, sizeBytes });
  }

  async #writeRecovery(): Promise<void> {
    if (this.#hasRecovery || this.#options.dryRun === true) return;
    this.#hasRecovery = true;
    await writeRecoveryFiles(this.#to);
  }

  async #settle(): Promise<void> {
    if (this.#options.dryRun !== true) await this.#to.settle();
  }
}
