/**
 * Goes through the metadata of many snapshots of one store, each distinct part of it once, and notes
 * which snapshots hold the entries that are looked for.
 *
 * Called by find and history. Snapshots share most parts: of a part that was read, what was found in
 * it is known to be in every other snapshot that names it.
 */
import { EXIT, exitCodeOf, LbsError, messageOf } from '../errors.ts';
import type { Entry } from '../format/entry.ts';
import { type IncludeMemory, readMetadata } from '../metadata/metadata-log-reader.ts';
import { MetadataObjects } from '../metadata/metadata-objects.ts';
import { metadataDamage } from '../report.ts';
import type { ReadOptions } from '../restore/restore-options.ts';
import { normalisePath } from '../restore/select-paths.ts';
import { SegmentSource } from '../segments/segment-source.ts';
import {
  listSnapshots,
  type OpenSnapshot,
  openSnapshot,
  type SnapshotFile,
} from '../snapshots/open-snapshot.ts';
import { type BytePath, isTop, isWithin } from '../std/byte-path.ts';
import { openStore } from '../stores/open-store.ts';
import type { Store } from '../stores/store.ts';
import { VersionTable } from './version-table.ts';

/** Metadata kept on disk from one snapshot to the next; then it is fetched anew. */
const KEPT_BYTES_MAX = 2 * 1024 * 1024 * 1024;
/** Parts remembered, some 100 bytes each; beyond it, parts are read again. */
const PARTS_MAX = 500_000;
/** A part in which nothing was found. */
const NOTHING = 0;

export type Search = {
  /** Only this path and what is below it. */
  readonly path: BytePath | undefined;
  readonly isWanted: (entry: Entry) => boolean;
};

/** What was found, and the names of the snapshots that were looked into, oldest first. */
export type SearchResult = {
  readonly snapshots: readonly SnapshotFile[];
  readonly versions: VersionTable;
  /** Places in `snapshots` of those that could not be looked into as a whole. */
  readonly damaged: ReadonlySet<number>;
};

/** A part of the metadata that is being read. */
type OpenPart = { readonly id: number; readonly damagedBefore: number; isEmpty: boolean };

/**
 * Looks into all snapshots of the store, or of `scheme`. Those that are damaged are reported and
 * left out. The caller closes `versions`.
 * @throws {LbsError} store-missing, snapshot-missing when there is none, signature-..., interrupted
 */
export async function searchSnapshots(options: ReadOptions, search: Search): Promise<SearchResult> {
  const { scheme } = options;
  const store = openStore(options.store);
  const all = listSnapshots(store);
  const snapshots = all.filter((file) => scheme === undefined || (file.scheme ?? '') === scheme);
  if (snapshots.length === 0) {
    const which = all.length === 0 ? 'snapshots yet' : `snapshots of the scheme "${scheme}"`;
    throw new LbsError('snapshot-missing', `the store ${store.place} has no ${which}`, {
      hint: `see what there is: lbs list --store=${store.place}`,
    });
  }
  const run = new SnapshotSearch(store, options, search);
  try {
    for (const [at, file] of snapshots.entries()) await run.read(at, file);
    return { snapshots, versions: run.versions, damaged: run.damaged };
  } catch (error) {
    run.versions.close();
    throw error;
  } finally {
    run.close();
  }
}

class SnapshotSearch {
  readonly versions = new VersionTable();
  readonly damaged = new Set<number>();
  readonly #store: Store;
  readonly #options: ReadOptions;
  readonly #search: Search;
  readonly #source: SegmentSource;
  /** Parts that were read without damage, by their names. */
  readonly #parts = new Map<string, number>();
  #nextPart = NOTHING + 1;
  #objects: MetadataObjects;

  constructor(store: Store, options: ReadOptions, search: Search) {
    this.#store = store;
    this.#options = options;
    this.#search = search;
    this.#source = new SegmentSource(store, options);
    this.#objects = this.#newObjects();
  }

  #newObjects(): MetadataObjects {
    const { path } = this.#search;
    const isSearch = path !== undefined && !isTop(path);
    return new MetadataObjects(this.#source, { signal: this.#options.signal, isSearch });
  }

  /** Looks into the snapshot at that place of the list. */
  async read(at: number, file: SnapshotFile): Promise<void> {
    let snapshot: OpenSnapshot;
    try {
      snapshot = await openSnapshot(this.#store, file, { verifyKey: this.#options.verifyKey });
    } catch (error) {
      if (exitCodeOf(error) !== EXIT.damaged) throw error;
      this.damaged.add(at);
      this.#tell(file.name, messageOf(error), undefined);
      return;
    }
    await this.#readLog(at, snapshot);
    if (this.#objects.fileBytes < KEPT_BYTES_MAX) return;
    this.#objects.close();
    this.#objects = this.#newObjects();
  }

  async #readLog(at: number, { name, descriptor }: OpenSnapshot): Promise<void> {
    const { path, isWanted } = this.#search;
    const open: OpenPart[] = [];
    let damaged = 0;
    const isOurs = descriptor.checksumsSha256 !== undefined;
    const log = readMetadata(this.#source, descriptor, {
      objects: this.#objects,
      signal: this.#options.signal,
      memory: this.#memory(at, open, () => damaged),
      only: path === undefined || isTop(path) || !isOurs ? undefined : [path],
      onDamage: (message, where) => {
        damaged++;
        this.damaged.add(at);
        this.#tell(name, message, where.path);
      },
    });
    for await (const entry of log) {
      if (path !== undefined && !isWithin(normalisePath(entry.path), path)) continue;
      if (!isWanted(entry)) continue;
      const parts = open.map((part) => part.id);
      this.versions.add(entry, at, parts);
      for (const part of open) part.isEmpty = false;
    }
  }

  /** `open` are the parts being read, the outermost first. */
  #memory(at: number, open: OpenPart[], damaged: () => number): IncludeMemory {
    return {
      isKnown: (reference) => {
        const known = this.#parts.get(reference);
        if (known === undefined) return false;
        if (known === NOTHING) return true;
        const around = open.map((part) => part.id);
        this.versions.addPart(known, at, around);
        for (const part of open) part.isEmpty = false;
        return true;
      },
      enter: () =>
        void open.push({ id: this.#nextPart++, damagedBefore: damaged(), isEmpty: true }),
      leave: (reference) => {
        const part = open.pop();
        if (part === undefined || part.damagedBefore !== damaged()) return;
        if (this.#parts.size < PARTS_MAX)
          this.#parts.set(reference, part.isEmpty ? NOTHING : part.id);
      },
    };
  }

  #tell(snapshot: string, message: string, path: BytePath | undefined): void {
    const damage = metadataDamage(snapshot, message, path);
    this.#options.report?.({ type: 'damage', damage });
  }

  close(): void {
    this.#objects.close();
  }
}
