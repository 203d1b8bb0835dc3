/** What is done while faults happen: each command that changes something, or might. */
import { CARE_SCENARIOS } from './crash-care-scenarios.ts';
import { SAVING_SCENARIOS } from './crash-saving-scenarios.ts';
import {
  lacksDatabase,
  lacksNew,
  lacksNewInBoth,
  names,
  SAVING,
  type Scenario,
  stillHas,
  unneeded,
  unrestored,
  where,
} from './crash-scenario.ts';
import {
  condemned,
  damaged,
  emptyWorld,
  forgotten,
  killedBackup,
  oneSaved,
  restoredBefore,
  saveArgs,
  threeSaved,
  withoutLocaldb,
} from './crash-worlds.ts';
import { snapshotNames } from './store-state.ts';

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
    mended: ['store'],
    harmed: names,
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
    args: (at) => ['verify', ...where(at), '--data'],
    watched: ['store', 'localdb', 'home'],
    stores: ['store'],
    isReading: true,
    missing: () => [],
  },
  ...SAVING_SCENARIOS,
  ...CARE_SCENARIOS,
];
