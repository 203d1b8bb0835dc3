/** What a scenario of the crash matrix is made of, and what several of them ask for. */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { neededSegments } from './collected-store.ts';
import type { CrashPlaces, PlaceName, World } from './crash-worlds.ts';
import { segmentFiles, snapshotNames } from './store-state.ts';
import { readTree, treeDifferences } from './tree-state.ts';

export type Scenario = {
  readonly name: string;
  readonly world: () => World | Promise<World>;
  readonly args: (at: CrashPlaces, world: World) => string[];
  /** What the same command says the second time, beside 0. */
  readonly againCodes?: readonly number[];
  /** What is done after that, and must work. */
  readonly afterwards?: (at: CrashPlaces) => string[];
  /** Where changes can fail. */
  readonly watched: readonly PlaceName[];
  /** Stores whose snapshots must be whole at any time. */
  readonly stores: readonly ('store' | 'copy')[];
  /** Of these, those that have the snapshots of the world from the beginning; default: `store`. */
  readonly hadAll?: readonly ('store' | 'copy')[];
  /** Stores that are damaged at first, and must be whole after the next run. */
  readonly mended?: readonly ('store' | 'copy')[];
  /** Snapshots of theirs that the damage is to; all others must be whole at any time. */
  readonly harmed?: (world: World) => readonly string[];
  /** A key that has signed all snapshots. */
  readonly verifyKey?: () => string;
  /** It changes nothing, and so has nothing that could fail. */
  readonly isReading?: boolean;
  /** Snapshots that may go, or may not be there yet. */
  readonly mayLack?: (world: World) => readonly string[];
  /** Snapshots may be replaced by others of the same minute. */
  readonly mayRename?: boolean;
  /** It relies on changes of names being written in their order, as all common filesystems do. */
  readonly needsOrder?: boolean;
  /** What must be there at any moment, besides snapshots, and is not. */
  readonly lost?: (at: CrashPlaces, world: World) => string[];
  /** What is missing of what the command is for; nothing when it has said 0. */
  readonly missing: (at: CrashPlaces, world: World) => string[];
  /** What may stay besides the usual, as a kind of file (see crash-points.ts). */
  readonly mayLeave?: readonly string[];
  /** Exit codes of a run in which something failed, beside 1. */
  readonly codes?: readonly number[];
};

/** Oldest first. */
export const names = ({ snapshots }: World) => [...snapshots.keys()];

export function lacksNew(at: CrashPlaces, world: World): string[] {
  const isNew = snapshotNames(at.store).some((name) => !world.snapshots.has(name));
  return isNew ? [] : ['there is no new snapshot'];
}

export function lacksNewInBoth(at: CrashPlaces, world: World): string[] {
  const { copy } = at;
  return [at, { ...at, store: copy }].some((one) => lacksNew(one, world).length === 0)
    ? []
    : ['there is no new snapshot'];
}

export function stillHas(at: CrashPlaces, gone: readonly string[]): string[] {
  const left = snapshotNames(at.store).filter((name) => gone.includes(name));
  return left.map((name) => `${name} is still there`);
}

export function unneeded(at: CrashPlaces): string[] {
  const needed = new Set(neededSegments(at.store));
  const left = segmentFiles(at.store).filter((file) => !needed.has(file));
  return left.map((file) => `${file} is needed by nothing, and still there`);
}

export function unrestored(at: CrashPlaces, world: World): string[] {
  const wanted = world.snapshots.get(names(world).at(-1) ?? '') ?? new Map();
  const top = join(at.target, 'tree');
  if (!existsSync(top)) return ['nothing is restored'];
  return treeDifferences(wanted, readTree(top)).map(({ text }) => `restored ${text}`);
}

export function lacksDatabase(at: CrashPlaces): string[] {
  const file = join(at.localdb, 'lbs-localdb.sqlite');
  return existsSync(file) && statSync(file).size > 0 ? [] : ['there is no local database'];
}

export const where = (at: CrashPlaces) => [`--store=${at.store}`, `--localdb=${at.localdb}`];
export const SAVING = { watched: ['store', 'localdb', 'home'], stores: ['store'] } as const;
