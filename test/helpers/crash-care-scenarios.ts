/** More of the crash matrix: what keeps a store well, and what people note in it. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { damagedWithParity, held, tagged, unlisted, unlistedNames } from './crash-care-worlds.ts';
import {
  lacksDatabase,
  names,
  SAVING,
  type Scenario,
  stillHas,
  unneeded,
  where,
} from './crash-scenario.ts';
import { type CrashPlaces, saveArgs, threeSaved, type World } from './crash-worlds.ts';
import { filesEndingIn } from './store-state.ts';

/** Notes of the newest snapshots that are there, or are not, unlike they should be. */
function unlike(isWanted: boolean, endings: readonly string[]) {
  return ({ store }: CrashPlaces, world: World): string[] => {
    const newest = names(world).toReversed();
    const files = endings.map((ending, number) => `snapshot-${newest[number]}.${ending}`);
    const wrong = files.filter((file) => existsSync(join(store, file)) !== isWanted);
    return wrong.map((file) => `${file} is ${isWanted ? 'not there' : 'still there'}`);
  };
}

const CARING = { watched: ['store', 'home'], stores: ['store'] } as const;

export const CARE_SCENARIOS: readonly Scenario[] = [
  {
    name: 'parity',
    world: threeSaved,
    args: ({ store }) => ['parity', `--store=${store}`],
    missing: ({ store }) => (filesEndingIn(store, '.sums').length === 1 ? [] : ['there is no set']),
    ...CARING,
  },
  {
    name: 'heal-parity',
    world: damagedWithParity,
    args: ({ store }) => ['heal', `--store=${store}`],
    watched: ['store', 'home'],
    stores: [],
    mended: ['store'],
    harmed: names,
    missing: () => [],
    // par2 does not say why it cannot write.
    codes: [4],
    // As in `heal`.
    mayLeave: ['store/.lbs-tmp-x-UUID'],
  },
  {
    name: 'repair',
    world: unlisted,
    args: (at) => ['repair', ...where(at)],
    afterwards: (at) => ['backup', ...saveArgs(at), 'tree'],
    watched: ['store', 'localdb', 'home'],
    stores: [],
    mended: ['store'],
    harmed: unlistedNames,
    // The damaged database is kept as it was, with what SQLite could not remove beside it.
    mayLeave: [
      'store/.lbs-tmp-x-UUID',
      ...['wal', 'shm'].map((end) => `localdb/lbs-localdb.sqlite.damaged-${end}`),
    ],
    missing: lacksDatabase,
  },
  {
    name: 'hold',
    world: threeSaved,
    args: ({ store }) => ['hold', `--store=${store}`, 'latest', 'latest~1'],
    missing: unlike(true, ['hold', 'hold']),
    ...CARING,
  },
  {
    name: 'release',
    world: held,
    args: ({ store }) => ['release', `--store=${store}`, 'latest', 'latest~1'],
    missing: unlike(false, ['hold', 'hold']),
    ...CARING,
  },
  {
    name: 'untag',
    world: tagged,
    args: ({ store }) => ['tag', `--store=${store}`, '--remove', 'latest', 'good'],
    missing: unlike(false, ['tag-good']),
    ...CARING,
  },
  {
    name: 'prune-compact',
    world: threeSaved,
    args: (at) => [
      ...['prune', ...where(at), '--keep-last=1', '--compact', '--min-used=95', '--grace=0h'],
    ],
    mayLack: (world) => names(world).slice(0, -1),
    mayRename: true,
    missing: (at, world) => [...stillHas(at, names(world).slice(0, -1)), ...unneeded(at)],
    ...SAVING,
  },
];
