/** The commands that copy between stores: sync, heal. A part of the table in options.ts. */
import {
  type CommandSpec,
  DECRYPT_KEY,
  DONE,
  FAILED,
  INTERRUPTED,
  LOCKED,
  MISSING,
  MISUSED,
  type OptionGroup,
  SCHEME,
  SNAPSHOT_WORDS,
  STORE,
  UNFILTER,
  UNSIGNED,
  VERIFY_KEY,
  WHAT_IS_SAID,
  WHAT_TO_READ,
} from './option-groups.ts';

const HOW: OptionGroup = {
  title: 'How',
  options: [{ name: 'dry-run', short: 'n', help: 'say what would be copied; change nothing' }],
};

export const SYNC: CommandSpec = {
  name: 'sync',
  usage: ['[OPTION...] SOURCE DESTINATION [SNAPSHOT...]'],
  summary: 'Copies snapshots to another store: only what is missing there.',
  details: [
    'SOURCE and DESTINATION are stores; DESTINATION is a directory that exists. Without a SNAPSHOT all are copied. Every file is checked where it arrives. Nothing is ever taken out of DESTINATION. Stopped at any time, the same command goes on.',
    SNAPSHOT_WORDS,
  ],
  groups: [
    HOW,
    { title: 'What to read', options: [SCHEME, VERIFY_KEY, UNFILTER, DECRYPT_KEY] },
    WHAT_IS_SAID,
  ],
  exits: [
    DONE,
    FAILED,
    MISUSED,
    [4, 'damage, or another file of that name, kept snapshots from being copied; each was named'],
    MISSING,
    UNSIGNED,
    INTERRUPTED,
  ],
  example: ['lbs sync /mnt/backup /mnt/second'],
};

export const REBUILD: CommandSpec = {
  name: 'rebuild',
  usage: ['--store=STORE [--localdb=DIR] [OPTION...]'],
  summary: 'Makes a lost local database again, so that nothing is stored twice.',
  details: [
    'It is made from descriptors, checksums files and metadata. The next backup reads every file once, and stores only what the store does not hold. Segments are believed to be as they were stored; where the store may be damaged, --check makes sure of it.',
  ],
  groups: [
    {
      title: 'Where',
      options: [
        STORE,
        { name: 'localdb', value: 'DIR', help: 'where the database is to be; default: the store' },
        VERIFY_KEY,
        UNFILTER,
        DECRYPT_KEY,
        {
          name: 'check',
          help: 'read all segments, and leave out those that are not as their checksums say',
        },
      ],
    },
    WHAT_IS_SAID,
  ],
  exits: [
    DONE,
    FAILED,
    [2, 'wrong use, as when there is a database; or an unusable configuration'],
    [3, 'snapshots without a good signature were left out; each was named'],
    [4, 'the store is damaged; what that costs was named, the rest is in the database'],
    MISSING,
    LOCKED,
    UNSIGNED,
    INTERRUPTED,
  ],
  example: ['lbs rebuild --store=/mnt/backup --localdb=/var/lib/lbs'],
};

export const HEAL: CommandSpec = {
  name: 'heal',
  usage: ['--store=STORE [--from=OTHER] [OPTION...]'],
  summary: 'Replaces damaged or missing files of a store by good ones.',
  details: [
    'Every file that the snapshots of STORE need is held against its checksums, as "lbs verify" does it; only bytes that have these are taken, from OTHER or, without it, of what the parity of STORE gives back ("lbs parity"), which has segments only. Snapshots that STORE does not have at all are copied by "lbs sync".',
  ],
  groups: [
    {
      title: 'From where',
      options: [
        { name: 'from', value: 'OTHER', help: 'a store that has good ones, such as a copy' },
      ],
    },
    HOW,
    WHAT_TO_READ,
    WHAT_IS_SAID,
  ],
  exits: [
    [0, 'all is well now'],
    FAILED,
    MISUSED,
    [4, 'some files are damaged still; each was named'],
    MISSING,
    UNSIGNED,
    INTERRUPTED,
  ],
  example: ['lbs heal --store=/mnt/backup --from=/mnt/second'],
};
