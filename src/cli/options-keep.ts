/** The commands that keep or forget snapshots: forget, hold, release, tag. A part of options.ts. */
import {
  type CommandSpec,
  DECRYPT_KEY,
  ENCRYPT_TO,
  DONE,
  FAILED,
  FILTER,
  FILTER_EXTENSION,
  INTERRUPTED,
  LOCKED,
  MISSING,
  MISUSED,
  type OptionGroup,
  type OptionSpec,
  SCHEME,
  SIGNING,
  SNAPSHOT_WORDS,
  STORE,
  UNFILTER,
  UNSIGNED,
  VERIFY_KEY,
  WHAT_IS_SAID_SHORTLY,
} from './option-groups.ts';

export const LOCALDB_ELSEWHERE: OptionSpec = {
  name: 'localdb',
  value: 'DIR',
  help: 'directory of the local database, if it is not in the store',
};

const GRACE: OptionSpec = {
  name: 'grace',
  value: 'DURATION',
  help: 'how long a file stays when nothing needs it, in each of the two steps; default: 1d; as in 1d12h or 90s. 0h removes at once: a backup that runs meanwhile may have to be run again',
};
const MIN_USED: OptionSpec = {
  name: 'min-used',
  value: 'PERCENT',
  help: 'give up segments of which less is used, however young; default: 40',
};

const counted = (name: string, help: string): OptionSpec => ({
  name: `keep-${name}`,
  value: 'N',
  help,
});
const within = (period: string, help: string): OptionSpec => ({
  name: period === '' ? 'keep-within' : `keep-within-${period}`,
  value: 'DURATION',
  help,
});

export const KEEP: OptionGroup = {
  title: 'What to keep',
  options: [
    counted('last', 'the last N snapshots; "all" for N keeps every one'),
    counted('hourly', 'the last snapshot of each of the last N hours that have one'),
    counted('daily', 'the same for days'),
    counted('weekly', 'for weeks'),
    counted('monthly', 'for months'),
    counted('yearly', 'for years'),
    within('', 'all of this time before the newest one, as in 1y6m2w3d12h'),
    within('hourly', 'the last one of each hour of this time'),
    within('daily', 'of each day'),
    within('weekly', 'of each week'),
    within('monthly', 'of each month'),
    within('yearly', 'of each year'),
    { name: 'keep-tag', value: 'TAG', repeatable: true, help: 'all that have this tag' },
  ],
};

export const FORGET: CommandSpec = {
  name: 'forget',
  usage: ['--store=STORE --keep-...=N [OPTION...]', '--store=STORE [OPTION...] SNAPSHOT...'],
  summary: 'Takes snapshots out of a store that no rule keeps.',
  details: [
    'Rules add up, and hold for each scheme by itself; they may stand in the configuration. Whatever they say, the last complete snapshot of a scheme is kept, and what is held, cannot be read, or has a date that is not believed. Room is made by "lbs gc".',
    SNAPSHOT_WORDS,
  ],
  groups: [
    KEEP,
    {
      title: 'How',
      options: [
        {
          name: 'dry-run',
          short: 'n',
          help: 'say what would be forgotten, and why; change nothing',
        },
      ],
    },
    { title: 'Where', options: [STORE, SCHEME, VERIFY_KEY, LOCALDB_ELSEWHERE] },
    SIGNING,
    WHAT_IS_SAID_SHORTLY,
  ],
  exits: [DONE, FAILED, MISUSED, MISSING, LOCKED, UNSIGNED, INTERRUPTED],
  example: [
    'lbs forget --store=/mnt/backup --keep-daily=14 --keep-monthly=12 -n',
    'lbs forget --store=/mnt/backup latest~3',
  ],
};

export const GC: CommandSpec = {
  name: 'gc',
  usage: ['--store=STORE [OPTION...]'],
  summary: 'Removes files from a store that no snapshot needs.',
  details: [
    'What no snapshot names is listed first, and removed by a later run when the list has been in the store for the grace period. So it is safe while backups run, here or on other machines. A descriptor that cannot be read stops it.',
  ],
  groups: [
    {
      title: 'How',
      options: [
        {
          name: 'dry-run',
          short: 'n',
          help: 'name what would be removed or listed; change nothing',
        },
        GRACE,
      ],
    },
    { title: 'Where', options: [STORE, VERIFY_KEY, LOCALDB_ELSEWHERE] },
    WHAT_IS_SAID_SHORTLY,
  ],
  exits: [
    DONE,
    FAILED,
    MISUSED,
    [4, 'a descriptor cannot be read; nothing was removed'],
    [10, 'no such store'],
    LOCKED,
    UNSIGNED,
    INTERRUPTED,
  ],
  example: ['lbs gc --store=/mnt/backup'],
};

export const CLEAN: CommandSpec = {
  name: 'clean',
  usage: ['--store=STORE [OPTION...]'],
  summary: 'Gives up little-used segments; backups store anew what they need.',
  details: [
    'Only the local database is changed, and nothing is read from the store but its list of files. A segment that was given up is removed by "lbs gc" when no snapshot names it any more.',
  ],
  groups: [
    {
      title: 'How',
      options: [
        { name: 'dry-run', short: 'n', help: 'say what would be given up; change nothing' },
        MIN_USED,
      ],
    },
    { title: 'Where', options: [STORE, LOCALDB_ELSEWHERE] },
    WHAT_IS_SAID_SHORTLY,
  ],
  exits: [DONE, FAILED, MISUSED, [10, 'no such store or local database'], LOCKED],
  example: ['lbs clean --store=/mnt/backup --dry-run'],
};

export const PRUNE: CommandSpec = {
  name: 'prune',
  usage: ['--store=STORE --keep-...=N [OPTION...]'],
  summary: 'Does "forget", "clean" and "gc" one after the other.',
  details: [
    'For the end of a nightly job: what no rule keeps is forgotten, segments of little use are given up where there is a local database, and what no snapshot needs is removed.',
  ],
  groups: [
    KEEP,
    {
      title: 'How',
      options: [
        { name: 'dry-run', short: 'n', help: 'say all that would be done; change nothing' },
        {
          name: 'compact',
          help: 'also do "compact", before "gc"; the options below say how it stores',
        },
        GRACE,
        MIN_USED,
      ],
    },
    { title: 'Where', options: [STORE, SCHEME, VERIFY_KEY, LOCALDB_ELSEWHERE] },
    {
      title: 'How compacting stores',
      options: [FILTER, FILTER_EXTENSION, ENCRYPT_TO, UNFILTER, DECRYPT_KEY],
    },
    SIGNING,
    WHAT_IS_SAID_SHORTLY,
  ],
  exits: [
    DONE,
    FAILED,
    MISUSED,
    [4, 'a descriptor cannot be read, so nothing was removed but snapshots; or damage was found'],
    [10, 'no such store'],
    LOCKED,
    UNSIGNED,
    INTERRUPTED,
  ],
  example: ['lbs prune --store=/mnt/backup --keep-daily=14 --keep-monthly=12'],
};

const WHERE: OptionGroup = { title: 'Where', options: [STORE, SCHEME] };

export const HOLD: CommandSpec = {
  name: 'hold',
  usage: ['--store=STORE [OPTION...] SNAPSHOT...'],
  summary: 'Holds snapshots: they are never forgotten until they are released.',
  details: [SNAPSHOT_WORDS],
  groups: [WHERE, WHAT_IS_SAID_SHORTLY],
  exits: [DONE, FAILED, MISUSED, MISSING],
  example: ['lbs hold --store=/mnt/backup before:2026-11-01'],
};

export const RELEASE: CommandSpec = {
  name: 'release',
  usage: ['--store=STORE [OPTION...] SNAPSHOT...'],
  summary: 'Releases snapshots that were held.',
  details: [SNAPSHOT_WORDS],
  groups: [WHERE, WHAT_IS_SAID_SHORTLY],
  exits: [DONE, FAILED, MISUSED, MISSING],
  example: ['lbs release --store=/mnt/backup 20261101T001502'],
};

export const TAG: CommandSpec = {
  name: 'tag',
  usage: ['--store=STORE [--remove] [OPTION...] SNAPSHOT TAG...'],
  summary: 'Gives tags to a snapshot, or takes them away.',
  details: [
    SNAPSHOT_WORDS,
    'A TAG is a word of letters, digits, "_", "-" and "."; "lbs list" shows it, and "lbs forget --keep-tag" keeps what has it.',
  ],
  groups: [
    { title: 'How', options: [{ name: 'remove', help: 'take the tags away' }] },
    WHERE,
    WHAT_IS_SAID_SHORTLY,
  ],
  exits: [DONE, FAILED, MISUSED, MISSING],
  example: ['lbs tag --store=/mnt/backup latest before-upgrade'],
};
