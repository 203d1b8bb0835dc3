/**
 * The words of the command line: every option of every command, once. This table makes both the
 * parser (parse-flags) and the text of `--help` (help-text), and the man pages are checked
 * against it, so the three cannot disagree. Data only; imports nothing that does work.
 */
import {
  type CommandSpec,
  DECRYPT_KEY,
  DONE,
  ENCRYPT_TO,
  FAILED,
  FILTER,
  FILTER_EXTENSION,
  INTERRUPTED,
  LOCALDB,
  LOCKED,
  MISSING,
  MISUSED,
  SEGMENT_SIZE,
  SIGNING,
  SNAPSHOT_WORDS,
  STORE,
  UNFILTER,
  UNSIGNED,
  VERIFY_KEY,
  WHAT_IS_SAID,
  WHAT_IS_SAID_SHORTLY,
  WHAT_TO_READ,
  type OptionSpec,
} from './option-groups.ts';
import { CAT, DUMP, LS, STANZA } from './options-inside.ts';
import { COMPARE, DIFF, FIND, HISTORY } from './options-inspect.ts';
import { WHAT_TO_TAKE } from './options-select.ts';
import { UPLOAD } from './options-upload.ts';
import { WHY } from './options-why.ts';

import { COMPACT } from './options-compact.ts';
import { CLEAN, FORGET, GC, HOLD, PRUNE, RELEASE, TAG } from './options-keep.ts';
import { HEAL, REBUILD, SYNC } from './options-copy.ts';
import { PARITY, REPAIR } from './options-repair.ts';
import { USAGE } from './options-usage.ts';
import { RESTORE } from './options-restore.ts';

export type { CommandName, CommandSpec, OptionGroup, OptionSpec } from './option-groups.ts';

export const BACKUP: CommandSpec = {
  name: 'backup',
  usage: [
    '--dest=STORE [OPTION...] PATH...',
    '--dest=STORE --dest=STORE2 --localdb=DIR [OPTION...] PATH...',
    '--upload-script=COMMAND --localdb=DIR [OPTION...] PATH...',
  ],
  summary: 'Makes a snapshot of files and directories in a store.',
  details: [
    'The word "backup" may be left out. PATHs are all absolute or all relative to the current directory. Only what the store does not hold yet is added to it.',
  ],
  groups: [
    {
      title: 'Where',
      options: [
        { ...STORE, repeatable: true },
        LOCALDB,
        {
          name: 'scheme',
          value: 'NAME',
          help: 'name of this set of backups, a part of snapshot names',
        },
        ...UPLOAD,
      ],
    },
    WHAT_TO_TAKE,
    {
      title: 'How it is stored',
      options: [
        FILTER,
        FILTER_EXTENSION,
        ENCRYPT_TO,
        UNFILTER,
        DECRYPT_KEY,
        SEGMENT_SIZE,
        {
          name: 'full-metadata',
          help: 'write all metadata anew, reusing none of the last snapshot',
        },
        { name: 'rebuild-statcache', help: 'read every file, whether it looks changed or not' },
        {
          name: 'reread',
          value: 'PERCENT',
          help: 'read this share of the unchanged files again, to find silent corruption',
        },
        {
          name: 'max-duration',
          value: 'TIME',
          help: 'stop after TIME, as in 6h or 1h30min, without a snapshot; the next run goes on from there',
        },
        {
          name: 'dry-run',
          short: 'n',
          help: 'say what would be done; change neither store nor local state',
        },
      ],
    },
    {
      title: 'What is noted of it',
      options: [
        { name: 'tag', value: 'TAG', repeatable: true, help: 'give the snapshot this tag' },
        {
          name: 'intent',
          value: 'N',
          help: 'record how important it is, 1 being usual, as the old programs did',
        },
      ],
    },
    {
      title: 'Signing',
      options: [
        ...SIGNING.options,
        {
          ...VERIFY_KEY,
          help: 'believe only notes of forgotten snapshots that an OpenPGP key of FILE has signed; or set LBS_VERIFY_KEY',
        },
      ],
    },
    WHAT_IS_SAID,
  ],
  exits: [
    DONE,
    [1, 'failed; there is no new snapshot'],
    MISUSED,
    [
      3,
      'snapshot made, but some entries could not be read, or not in every store, or older ones are gone',
    ],
    [10, 'no such store'],
    LOCKED,
    UNSIGNED,
    INTERRUPTED,
  ],
  example: ['lbs --dest=/mnt/backup --exclude=/home/ann/tmp /home /etc'],
};

export const VERIFY: CommandSpec = {
  name: 'verify',
  also: 'check',
  usage: ['--store=STORE [--checksums | --objects | --data] [OPTION...] [SNAPSHOT...]'],
  summary: 'Checks that snapshots can be restored, and names what is damaged.',
  details: [
    `${SNAPSHOT_WORDS} Without one, every snapshot of the store is checked, and files that none of them needs are counted. "lbs check" is the same command.`,
  ],
  groups: [
    {
      title: 'How thoroughly',
      options: [
        { name: 'checksums', help: 'files of the store against their checksums (default)' },
        { name: 'objects', help: 'and every segment unpacked, every reference followed' },
        { name: 'data', help: 'and the bytes of every file rebuilt and compared' },
      ],
    },
    WHAT_TO_READ,
    {
      title: 'What is remembered',
      options: [
        {
          name: 'localdb',
          value: 'DIR',
          help: 'directory of the local database, which knows what was in the store; default: the store',
        },
      ],
    },
    WHAT_IS_SAID,
  ],
  exits: [
    [0, 'all is well'],
    FAILED,
    MISUSED,
    [4, 'damage found and named'],
    MISSING,
    [12, 'a signature or a key is missing or bad, or a snapshot is gone or replaced'],
    INTERRUPTED,
  ],
  example: ['lbs verify --store=/mnt/backup --data latest'],
};

export const LIST: CommandSpec = {
  name: 'list',
  usage: ['--store=STORE [OPTION...]'],
  summary: 'Lists the snapshots of a store, oldest first.',
  details: [],
  groups: [WHAT_TO_READ, WHAT_IS_SAID_SHORTLY],
  exits: [
    DONE,
    FAILED,
    MISUSED,
    [4, 'a descriptor cannot be read'],
    [10, 'no such store'],
    UNSIGNED,
  ],
  example: ['lbs list --store=/mnt/backup'],
};

/** Every command, in the order in which a person meets them. */
export const COMMANDS: readonly CommandSpec[] = [
  BACKUP,
  WHY,
  LIST,
  LS,
  CAT,
  STANZA,
  DIFF,
  COMPARE,
  FIND,
  HISTORY,
  RESTORE,
  DUMP,
  VERIFY,
  USAGE,
  SYNC,
  PARITY,
  HEAL,
  REPAIR,
  REBUILD,
  FORGET,
  CLEAN,
  COMPACT,
  GC,
  PRUNE,
  HOLD,
  RELEASE,
  TAG,
];

/** The command of that name; undefined when there is none. */
export function commandNamed(name: string): CommandSpec | undefined {
  return COMMANDS.find((command) => command.name === name || command.also === name);
}

/** All options of a command. */
export function optionsOf(command: CommandSpec): OptionSpec[] {
  return command.groups.flatMap((group) => group.options);
}
