/** What is done while faults happen: each command that changes something, or might. */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { neededSegments } from './collected-store.ts';
import {
  condemned,
  type CrashPlaces,
  damaged,
  emptyWorld,
  forgotten,
  killedBackup,
  oneSaved,
  type PlaceName,
  restoredBefore,
  saveArgs,
  threeSaved,
  withoutLocaldb,
  type World,
} from './crash-worlds.ts';
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
  /** Snapshots that may go, or may not be there yet. */
  readonly mayLack?: (world: World) => readonly string[];
  /** Snapshots may be replaced by others of the same minute. */
  readonly mayRename?: boolean;
  /** What is missing of what the command is for; nothing when it has said 0. */
  readonly missing: (at: CrashPlaces, world: World) => string[];
  /** What may stay besides the usual, as a kind of file (see crash-points.ts). */
  readonly mayLeave?: readonly string[];
  /** Exit codes of a run in which something failed, beside 1. */
  readonly codes?: readonly number[];
};

/** Oldest first. */
const names = ({ snapshots }: World) => [...snapshots.keys()];

function lacksNew(at: CrashPlaces, world: World): string[] {
  const isNew = snapshotNames(at.store).some((name) => !world.snapshots.has(name));
  return isNew ? [] : ['there is no new snapshot'];
}

function lacksNewInBoth(at: CrashPlaces, world: World): string[] {
  const { copy } = at;
  return [at, { ...at, store: copy }].some((one) => lacksNew(one, world).length === 0)
    ? []
    : ['there is no new snapshot'];
}

function stillHas(at: CrashPlaces, gone: readonly string[]): string[] {
  const left = snapshotNames(at.store).filter((name) => gone.includes(name));
  return left.map((name) => `${name} is still there`);
}

function unneeded(at: CrashPlaces): string[] {
  const needed = new Set(neededSegments(at.store));
  const left = segmentFiles(at.store).filter((file) => !needed.has(file));
  return left.map((file) => `${file} is needed by nothing, and still there`);
}

function unrestored(at: CrashPlaces, world: World): string[] {
  const wanted = world.snapshots.get(names(world).at(-1) ?? '') ?? new Map();
  const top = join(at.target, 'tree');
  if (!existsSync(top)) return ['nothing is restored'];
  return treeDifferences(wanted, readTree(top)).map(({ text }) => `restored ${text}`);
}

function lacksDatabase(at: CrashPlaces): string[] {
  const file = join(at.localdb, 'lbs-localdb.sqlite');
  return existsSync(file) && statSync(file).size > 0 ? [] : ['there is no local database'];
}

const where = (at: CrashPlaces) => [`--store=${at.store}`, `--localdb=${at.localdb}`];
const SAVING = { watched: ['store', 'localdb', 'home'], stores: ['store'] } as const;

export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'first-backup',
    world: emptyWorld,
    args: (at) => ['backup', ...saveArgs(at), 'tree'],
    missing: lacksNew,
    ...SAVING,
  },
  {
    name: 'second-backup',
    world: oneSaved,
    args: (at) => ['backup', ...saveArgs(at), 'tree'],
    missing: lacksNew,
    ...SAVING,
  },
  {
    name: 'resumed-backup',
    world: killedBackup,
    args: (at) => ['backup', ...saveArgs(at), 'tree'],
    missing: lacksNew,
    ...SAVING,
  },
  {
    name: 'filter-backup',
    world: oneSaved,
    args: (at) => [
      ...['backup', ...saveArgs(at), '--filter=gzip -1 -n -c | cat', '--filter-extension=.gz'],
      ...['--tag=made-by-a-command', 'tree'],
    ],
    missing: lacksNew,
    ...SAVING,
  },
  {
    name: 'two-stores',
    world: emptyWorld,
    args: (at) => ['backup', ...saveArgs(at), `--dest=${at.copy}`, 'tree'],
    watched: ['store', 'copy', 'localdb', 'home'],
    stores: ['store', 'copy'],
    // One may have failed: then it is told of, and the other has the snapshot.
    codes: [3],
    againCodes: [3],
    missing: lacksNewInBoth,
  },
  {
    name: 'forget',
    world: threeSaved,
    args: (at) => ['forget', ...where(at), '--keep-last=2'],
    mayLack: (world) => names(world).slice(0, 1),
    missing: (at, world) => stillHas(at, names(world).slice(0, 1)),
    ...SAVING,
  },
  {
    name: 'clean',
    world: threeSaved,
    args: (at) => ['clean', ...where(at), '--min-used=95'],
    missing: () => [],
    ...SAVING,
  },
  {
    name: 'gc',
    world: forgotten,
    args: (at) => ['gc', ...where(at), '--grace=0h'],
    missing: unneeded,
    ...SAVING,
  },
  {
    name: 'gc-listed',
    world: condemned,
    args: (at) => ['gc', ...where(at), '--grace=0h'],
    missing: unneeded,
    ...SAVING,
  },
  {
    name: 'prune',
    world: threeSaved,
    args: (at) => ['prune', ...where(at), '--keep-last=1', '--grace=0h'],
    mayLack: (world) => names(world).slice(0, -1),
    missing: (at, world) => [...stillHas(at, names(world).slice(0, -1)), ...unneeded(at)],
    ...SAVING,
  },
  {
    name: 'compact',
    world: forgotten,
    args: (at) => [...['compact', ...where(at), '--all', '--min-used=95', '--segment-size=64K']],
    mayRename: true,
    missing: () => [],
    ...SAVING,
  },
  {
    name: 'tag',
    world: threeSaved,
    args: (at) => ['tag', `--store=${at.store}`, 'latest', 'good', 'better'],
    missing: () => [],
    ...SAVING,
  },
  {
    name: 'sync',
    world: threeSaved,
    args: ({ store, copy }) => ['sync', store, copy],
    watched: ['store', 'copy', 'home'],
    stores: ['store', 'copy'],
    missing: ({ copy }, world) =>
      names(world)
        .filter((name) => !snapshotNames(copy).includes(name))
        .map((name) => `${name} is not copied`),
  },
  {
    name: 'heal',
    world: damaged,
    args: ({ store, copy }) => ['heal', `--store=${store}`, `--from=${copy}`],
    watched: ['store', 'copy', 'home'],
    stores: ['copy'],
    missing: () => [],
    // Nobody can tell whether another one is at work on it: it goes after a day.
    mayLeave: ['store/.lbs-tmp-x-UUID'],
  },
  {
    name: 'rebuild',
    world: withoutLocaldb,
    args: (at) => ['rebuild', ...where(at)],
    // Where it was all but done there is a database already.
    againCodes: [2],
    afterwards: (at) => ['backup', ...saveArgs(at), 'tree'],
    // What backups remember of the store; a rebuild does not.
    mayLeave: ['localdb/lbs-seen'],
    missing: lacksDatabase,
    ...SAVING,
  },
  {
    name: 'restore',
    world: threeSaved,
    args: ({ store, target }) => ['restore', `--store=${store}`, 'latest', target],
    watched: ['store', 'target', 'home'],
    stores: ['store'],
    missing: unrestored,
    codes: [3],
  },
  {
    name: 'restore-over',
    world: restoredBefore,
    args: ({ store, target }) => ['restore', `--store=${store}`, '--delete', 'latest', target],
    watched: ['store', 'target', 'home'],
    stores: ['store'],
    missing: unrestored,
    codes: [3],
  },
  {
    name: 'verify',
    world: threeSaved,
    args: ({ store }) => ['verify', `--store=${store}`, '--data'],
    watched: ['store', 'localdb', 'home'],
    stores: ['store'],
    missing: () => [],
  },
];
