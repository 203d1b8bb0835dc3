/**
 * One of the two stores of a healing: its snapshots, its lists, and whether a descriptor belongs
 * to what lies there. Called by heal.
 */
import { LbsError, errnoName, messageOf } from '../errors.ts';
import { parseSegmentFile } from '../format/snapshot-name.ts';
import { isDamage } from '../metadata/metadata-objects.ts';
import { SegmentSource } from '../segments/segment-source.ts';
import {
  type OpenSnapshot,
  type SnapshotFile,
  openStored,
  snapshotsAmong,
  storedDescriptor,
} from '../snapshots/open-snapshot.ts';
import type { Store } from '../stores/store.ts';
import type { Sums } from './examine-file.ts';
import type { HealOptions } from './heal-options.ts';
import { segmentListsAmong } from './read-segment-list.ts';
import { addSums, listsOf, readList, type SumsSource } from './snapshot-sums.ts';

/** A descriptor that can be read, and is signed where that is asked for. */
export type Described = { readonly opened: OpenSnapshot; readonly stored: Buffer };

/** One that cannot. */
export type Undescribed = {
  readonly trouble: string;
  readonly error: unknown;
  /** It may be no damage at all, so that the run cannot go on without it. */
  readonly isFinal: boolean;
};

export class HealSide {
  readonly store: Store;
  readonly source: SegmentSource;
  readonly sums: SumsSource;
  /** By name, oldest first. */
  readonly snapshots: ReadonlyMap<string, SnapshotFile>;
  readonly #verifyKey: string | undefined;
  /** What all lists say; read at first use. */
  #allSums: Map<string, Sums> | undefined;

  constructor(store: Store, options: HealOptions) {
    const { verifyKey, signal } = options;
    const files = store.list();
    this.store = store;
    this.source = new SegmentSource(store, options, files);
    this.sums = { source: this.source, segmentLists: segmentListsAmong(files), signal };
    this.snapshots = new Map(snapshotsAmong(files).map((snapshot) => [snapshot.name, snapshot]));
    this.#verifyKey = verifyKey;
  }

  /** Reads a descriptor. @throws {LbsError} signature-key, internal */
  async describe(snapshot: SnapshotFile | undefined): Promise<Described | Undescribed> {
    if (snapshot === undefined) {
      return { trouble: 'it is not there', error: undefined, isFinal: false };
    }
    try {
      const stored = storedDescriptor(this.store, snapshot);
      const opened = await openStored(snapshot, stored, { verifyKey: this.#verifyKey });
      // Checksums that are none are found out here.
      listsOf(opened, this.sums);
      return { opened, stored };
    } catch (error) {
      const code = error instanceof LbsError ? error.code : undefined;
      const isUnclear = code === 'format-version' || code?.startsWith('signature-') === true;
      if (code === 'signature-key') throw error;
      if (!isUnclear && !isDamage(error) && errnoName(error) === undefined) throw error;
      return { trouble: messageOf(error), error, isFinal: isUnclear };
    }
  }

  /**
   * How well the checksums files here fit a descriptor: of each that is as it says, 2 when it lists
   * just the segments that are named, 1 when some are left out, which old programs did.
   */
  async fitOfLists(opened: OpenSnapshot): Promise<number> {
    const named = new Set(opened.descriptor.segments);
    let fitting = 0;
    for (const list of listsOf(opened, this.sums)) {
      if (list.recorded === undefined) continue;
      try {
        const sums = await readList(this.sums, list, named.size);
        const segments = [...sums.keys()].flatMap((file) => parseSegmentFile(file)?.segment ?? []);
        if (segments.some((segment) => !named.has(segment))) continue;
        fitting += new Set(segments).size === named.size ? 2 : 1;
      } catch (error) {
        if (!isDamage(error) && errnoName(error) === undefined) throw error;
      }
    }
    return fitting;
  }

  /**
   * True when a descriptor from elsewhere can only be that of the snapshot of its name here:
   * names of segments are made once in the world.
   */
  async isOfSame(opened: OpenSnapshot): Promise<boolean> {
    const { segments } = opened.descriptor;
    if (segments.some((segment) => this.source.fileOf(segment) !== undefined)) return true;
    return (await this.fitOfLists(opened)) > 0;
  }

  /** What the lists of this store say of a file; undefined for nothing. */
  async sumsOf(file: string): Promise<Sums | undefined> {
    this.#allSums ??= await this.#readAll();
    return this.#allSums.get(file);
  }

  async #readAll(): Promise<Map<string, Sums>> {
    const all = new Map<string, Sums>();
    for (const snapshot of this.snapshots.values()) {
      const described = await this.describe(snapshot);
      if (!('opened' in described)) continue;
      for (const list of listsOf(described.opened, this.sums)) {
        try {
          addSums(
            all,
            await readList(this.sums, list, described.opened.descriptor.segments.length),
          );
        } catch (error) {
          // It says nothing, then.
          const isOwn =
            error instanceof LbsError ? error.code === 'interrupted' : !errnoName(error);
          if (isOwn) throw error;
        }
      }
    }
    return all;
  }
}

/** Snapshots of a scheme, oldest first; without one all. */
export function namesOf(side: HealSide, scheme: string | undefined): SnapshotFile[] {
  const all = [...side.snapshots.values()];
  return scheme === undefined ? all : all.filter((one) => (one.scheme ?? '') === scheme);
}
