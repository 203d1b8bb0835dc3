/**
 * The parity sets of a store: which segments each is of, and what it is still good for. Called by
 * parity, verify, heal and the collector.
 */
import { errnoName, LbsError } from '../errors.ts';
import { type ParityList, parseParityFile, parseParityList } from '../format/parity-file.ts';
import { readSmallFile } from '../snapshots/open-snapshot.ts';
import type { Store, StoredFile } from '../stores/store.ts';

/** Of 16 segments it has some 3 KB. */
const LIST_BYTES_MAX = 1024 * 1024;
/** Blocks of the largest segment of a set; others have fewer. */
export const BLOCKS_PER_SEGMENT = 16;
/** A set that could not bring back this part of its segments any more is as good as none. */
const STRENGTH_MIN = 1 / 8;

export type ParitySet = ParityList & {
  readonly listFile: string;
  /** Segments of it that are not in the store any more. */
  readonly gone: number;
  /** Segments that may be lost and come back, those that are gone included. */
  readonly capacity: number;
};

export type ParitySets = {
  readonly sets: readonly ParitySet[];
  /** Lists that contradict themselves or cannot be read. */
  readonly damagedLists: readonly string[];
};

/** Reads the lists among `files`, a listing. */
export function paritySets(store: Store, files: Iterable<StoredFile>): ParitySets {
  const names = new Set([...files].map(({ name }) => name));
  const sets: ParitySet[] = [];
  const damagedLists: string[] = [];
  for (const listFile of [...names].sort()) {
    const parsed = parseParityFile(listFile);
    if (parsed?.isList !== true) continue;
    const list = parseParityList(parsed.id, textOf(store, listFile));
    if (list === undefined) {
      damagedLists.push(listFile);
      continue;
    }
    const gone = [...list.segments.keys()].filter((file) => !names.has(file)).length;
    sets.push({ ...list, listFile, gone, capacity: capacityOf(list) });
  }
  return { sets, damagedLists };
}

function textOf(store: Store, name: string): string {
  try {
    return readSmallFile(store, name, LIST_BYTES_MAX).toString('latin1');
  } catch (error) {
    if (!(error instanceof LbsError) && errnoName(error) === undefined) throw error;
    return '';
  }
}

/** par2 writes the number of blocks into the names of its files. */
function capacityOf({ parity }: ParityList): number {
  const counts = [...parity.keys()].map((file) => Number(/\+(\d+)\.par2$/.exec(file)?.[1] ?? 0));
  return Math.floor(counts.reduce((sum, count) => sum + count, 0) / BLOCKS_PER_SEGMENT);
}

/**
 * True for a set that protects what is left of its segments well enough. With all of them it does as
 * it was asked to: made again, it would be the same.
 */
export function isStrong({ segments, gone, capacity }: ParitySet): boolean {
  if (gone === 0) return capacity > 0;
  const left = segments.size - gone;
  return left > 0 && capacity - gone >= Math.max(1, Math.ceil(left * STRENGTH_MIN));
}

/**
 * The sets, by their ids, that are the best which some of the segment files `needed` have. The
 * others protect nothing that is not protected by these.
 */
export function usefulSets(
  sets: readonly ParitySet[],
  isNeeded: (file: string) => boolean,
): ReadonlySet<string> {
  const best = new Map<string, { set: ParitySet; worth: number }>();
  for (const set of sets) {
    if (set.capacity <= set.gone) continue;
    const live = [...set.segments.keys()].filter(isNeeded);
    // A larger set needs less room for the same; one that is strong comes first in any case.
    const worth = live.length + (isStrong(set) ? set.segments.size * 1000 : 0);
    for (const file of live) {
      const other = best.get(file);
      if (other === undefined || worth > other.worth) best.set(file, { set, worth });
    }
  }
  return new Set([...best.values()].map(({ set }) => set.id));
}
