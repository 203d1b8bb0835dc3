/** The options of the commands that look into snapshots: the part of options.ts that is about them. */
import {
  type CommandSpec,
  DAMAGED,
  FAILED,
  INTERRUPTED,
  MISSING,
  MISUSED,
  type OptionGroup,
  type OptionSpec,
  SNAPSHOT_WORDS,
  UNSIGNED,
  WHAT_IS_SAID,
  WHAT_IS_SAID_SHORTLY,
  WHAT_TO_READ,
} from './option-groups.ts';
import { RULE_FILES } from './options-select.ts';

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
      help: 'but something that an --exclude or a rule left out',
    },
    ...RULE_FILES,
  ],
};
const STAT: OptionSpec = { name: 'stat', help: 'only how many and how large, for each letter' };

export const DIFF: CommandSpec = {
  name: 'diff',
  usage: ['--store=STORE [OPTION...] SNAPSHOT [SNAPSHOT2 | PATH]'],
  summary: 'Shows what differs between two snapshots, or one and the disk.',
  details: [SNAPSHOT_WORDS, LETTERS, `${PATH_ON_DISK} A PATH has a slash in it, or is ".".`],
  groups: [
    {
      title: 'How',
      options: [
        STAT,
        { name: 'read', help: 'read files on disk even if size and time are as recorded' },
      ],
    },
    ADDED,
    WHAT_TO_READ,
    WHAT_IS_SAID,
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
  example: ['lbs diff --store=/mnt/backup latest~1 latest', 'lbs diff --store=/mnt/backup latest'],
};

export const COMPARE: CommandSpec = {
  name: 'compare',
  usage: ['--store=STORE [OPTION...] SNAPSHOT [PATH]'],
  summary: 'Checks whether the disk is still as a snapshot has it.',
  details: [SNAPSHOT_WORDS, PATH_ON_DISK, LETTERS],
  groups: [{ title: 'How', options: [STAT] }, ADDED, WHAT_TO_READ, WHAT_IS_SAID],
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

export const FIND: CommandSpec = {
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
    WHAT_TO_READ,
    WHAT_IS_SAID_SHORTLY,
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

export const HISTORY: CommandSpec = {
  name: 'history',
  usage: ['--store=STORE [OPTION...] PATH'],
  summary: 'Lists the versions of one path through all snapshots.',
  details: [
    'PATH is as "lbs ls" shows it. A line is the first snapshot with a version, its size, its time of change, and the beginning of its SHA-256.',
  ],
  groups: [WHAT_TO_READ, WHAT_IS_SAID_SHORTLY],
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
