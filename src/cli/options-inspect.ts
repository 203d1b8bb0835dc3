/** The options of the commands that look into snapshots: the part of options.ts that is about them. */
import type { CommandSpec, OptionGroup, OptionSpec } from './options.ts';

/** What these commands have in common with the others. */
export type SharedWords = {
  readonly reading: OptionGroup;
  readonly said: OptionGroup;
  readonly saidWithProgress: OptionGroup;
  readonly snapshotWords: string;
};

const FAILED = [1, 'failed'] as const;
const MISUSED = [2, 'wrong use, or an unusable configuration'] as const;
const DAMAGED = [4, 'the store is damaged; what that costs was named'] as const;
const MISSING = [10, 'no such store or snapshot'] as const;
const UNSIGNED = [12, 'a signature or a key is missing or bad'] as const;
const INTERRUPTED = [130, 'interrupted by a signal'] as const;

const LETTERS =
  'A line is letters and a path. "+" added, "-" removed, "M" moved (the same content elsewhere), "C" content, "O" owner or group, "P" permissions, "T" time of change, "X" extended attributes.';
const PATH_ON_DISK =
  'PATH is on disk, as it was given to the backup; below it, all that the snapshot does not have counts as added. Without it, only what was changed since the snapshot was made does.';
const ADDED: OptionGroup = {
  title: 'What counts as added',
  options: [
    {
      name: 'exclude',
      value: 'PATTERN',
      repeatable: true,
      help: 'not a path with all below it, or whatever matches a pattern with wildcards',
    },
    {
      name: 'include',
      value: 'PATTERN',
      repeatable: true,
      help: 'but something that an --exclude left out',
    },
  ],
};
const STAT: OptionSpec = { name: 'stat', help: 'only how many and how large, for each letter' };

function diffSpec(shared: SharedWords): CommandSpec {
  return {
    name: 'diff',
    usage: ['--store=STORE [OPTION...] SNAPSHOT [SNAPSHOT2 | PATH]'],
    summary: 'Shows what differs between two snapshots, or one and the disk.',
    details: [
      shared.snapshotWords,
      LETTERS,
      `${PATH_ON_DISK} A PATH has a slash in it, or is ".".`,
    ],
    groups: [
      {
        title: 'How',
        options: [
          STAT,
          { name: 'read', help: 'read files on disk even if size and time are as recorded' },
        ],
      },
      ADDED,
      shared.reading,
      shared.saidWithProgress,
    ],
    exits: [
      [0, 'done, whether there are differences or not'],
      FAILED,
      MISUSED,
      [3, 'some entries on disk could not be read; each was named'],
      DAMAGED,
      MISSING,
      UNSIGNED,
      INTERRUPTED,
    ],
    example: [
      'lbs diff --store=/mnt/backup latest~1 latest',
      'lbs diff --store=/mnt/backup latest',
    ],
  };
}

function compareSpec(shared: SharedWords): CommandSpec {
  return {
    name: 'compare',
    usage: ['--store=STORE [OPTION...] SNAPSHOT [PATH]'],
    summary: 'Checks whether the disk is still as a snapshot has it.',
    details: [shared.snapshotWords, PATH_ON_DISK, LETTERS],
    groups: [{ title: 'How', options: [STAT] }, ADDED, shared.reading, shared.saidWithProgress],
    exits: [
      [0, 'all is equal'],
      FAILED,
      MISUSED,
      [3, 'there are differences, or some entries could not be read; each was named'],
      DAMAGED,
      MISSING,
      UNSIGNED,
      INTERRUPTED,
    ],
    example: ['lbs compare --store=/mnt/backup latest /home/ann'],
  };
}

function findSpec(shared: SharedWords): CommandSpec {
  return {
    name: 'find',
    usage: [
      '--store=STORE [--name=GLOB] [--newer=DATE] [--size=[+|-]SIZE] [--sha256=HEX] [OPTION...] [PATH]',
    ],
    summary: 'Finds entries in all snapshots, and says which snapshots hold them.',
    details: [
      'PATH is as "lbs ls" shows it; what is below it is looked at too. At least one of the conditions or PATH must be given.',
      'A line is the first and the last snapshot that hold a version, their number, its size, its time of change, and the path.',
    ],
    groups: [
      {
        title: 'What to find',
        options: [
          { name: 'name', value: 'GLOB', help: 'the last part of the path fits, as in "*.tex"' },
          {
            name: 'newer',
            value: 'DATE',
            help: 'changed after 2026-11-01 or 2026-11-01T12:30, in local time',
          },
          {
            name: 'size',
            value: 'SIZE',
            help: 'files of more (+1M), fewer (-1M) or exactly so many bytes',
          },
          { name: 'sha256', value: 'HEX', help: 'files whose SHA-256 is or begins with HEX' },
        ],
      },
      shared.reading,
      shared.said,
    ],
    exits: [
      [0, 'done, whether something was found or not'],
      FAILED,
      MISUSED,
      DAMAGED,
      MISSING,
      UNSIGNED,
      INTERRUPTED,
    ],
    example: ["lbs find --store=/mnt/backup --name='*.tex' home/ann"],
  };
}

function historySpec(shared: SharedWords): CommandSpec {
  return {
    name: 'history',
    usage: ['--store=STORE [OPTION...] PATH'],
    summary: 'Lists the versions of one path through all snapshots.',
    details: [
      'PATH is as "lbs ls" shows it. A line is the first snapshot with a version, its size, its time of change, and the beginning of its SHA-256.',
    ],
    groups: [shared.reading, shared.said],
    exits: [
      [0, 'done'],
      [1, 'failed; or PATH is in no snapshot'],
      MISUSED,
      DAMAGED,
      MISSING,
      UNSIGNED,
      INTERRUPTED,
    ],
    example: ['lbs history --store=/mnt/backup home/ann/letters/one'],
  };
}

/** Their specifications. */
export function inspectCommands(
  shared: SharedWords,
): Readonly<Record<'COMPARE' | 'DIFF' | 'FIND' | 'HISTORY', CommandSpec>> {
  return {
    COMPARE: compareSpec(shared),
    DIFF: diffSpec(shared),
    FIND: findSpec(shared),
    HISTORY: historySpec(shared),
  };
}
