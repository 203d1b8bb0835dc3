/** More of the crash matrix: backups to other places than one store, signed ones, and undoing. */
import { join } from 'node:path';
import {
  PUBLIC_KEY,
  signedOnce,
  signOptions,
  uploadOptions,
  uploadedBy,
} from './crash-care-worlds.ts';
import {
  lacksNew,
  lacksNewInBoth,
  names,
  SAVING,
  type Scenario,
  unrestored,
} from './crash-scenario.ts';
import {
  type CrashPlaces,
  crashTop,
  restoredBefore,
  saveArgs,
  savedBy,
  type World,
} from './crash-worlds.ts';
import { readTree } from './tree-state.ts';

const bothOptions = (at: CrashPlaces) => [...saveArgs(at), `--dest=${at.copy}`];

/** What lay in the target before is there still, or in the undo directory. */
function notKept({ target, copy }: CrashPlaces, world: World): string[] {
  const before = world.snapshots.get(names(world)[0] ?? '') ?? new Map();
  const now = readTree(join(target, 'tree'));
  const kept = new Set([...readTree(copy).values()].map(({ content }) => content));
  const lost = [...before].filter(
    ([path, { type, content }]) =>
      type === 'f' && now.get(path)?.content !== content && !kept.has(content),
  );
  return lost.map(([path]) => `${path} of before is nowhere`);
}

export const SAVING_SCENARIOS: readonly Scenario[] = [
  ...(['stream', 'call'] as const).map((protocol): Scenario => {
    return {
      name: `upload-${protocol}`,
      world: () => uploadedBy(protocol),
      args: (at) => ['backup', ...uploadOptions(protocol, at), 'tree'],
      missing: lacksNew,
      ...SAVING,
    };
  }),
  {
    name: 'two-stores-again',
    world: () => savedBy({ name: 'both', saved: 1, options: bothOptions }),
    args: (at) => ['backup', ...bothOptions(at), 'tree'],
    watched: ['store', 'copy', 'localdb', 'home'],
    stores: ['store', 'copy'],
    hadAll: ['store', 'copy'],
    codes: [3],
    againCodes: [3],
    missing: lacksNewInBoth,
  },
  {
    name: 'signed-backup',
    world: signedOnce,
    args: (at) => ['backup', ...signOptions(at), 'tree'],
    verifyKey: () => join(crashTop(), PUBLIC_KEY),
    missing: lacksNew,
    ...SAVING,
  },
  {
    name: 'restore-undo',
    world: restoredBefore,
    args: ({ store, target, copy }) => [
      ...['restore', `--store=${store}`, '--delete', `--undo-dir=${copy}/undo`],
      ...['latest', target],
    ],
    watched: ['store', 'target', 'copy', 'home'],
    stores: ['store'],
    // Each file would have to wait for its second name to be on the disk.
    needsOrder: true,
    lost: notKept,
    missing: unrestored,
    codes: [3],
  },
];
