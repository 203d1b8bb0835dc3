/** The options of restore: the part of the table in options.ts that is about it. */
import {
  type CommandSpec,
  DAMAGED,
  DONE,
  EXCLUDE,
  FAILED,
  INCLUDE,
  INTERRUPTED,
  MISSING,
  MISUSED,
  SNAPSHOT_WORDS,
  UNSIGNED,
  WHAT_IS_SAID,
  WHAT_TO_READ,
} from './option-groups.ts';
import { RULES } from './options-select.ts';

export const RESTORE: CommandSpec = {
  name: 'restore',
  usage: [
    '--store=STORE [OPTION...] SNAPSHOT TARGET [PATH...]',
    '--store=STORE --original-place [OPTION...] SNAPSHOT [PATH...]',
    '--store=STORE --target=- [OPTION...] SNAPSHOT PATH',
  ],
  summary: 'Puts a snapshot, or parts of it, back into a directory.',
  details: [
    SNAPSHOT_WORDS,
    'TARGET is made when only its parent exists. What is already there as recorded is left alone, other files of the same names are replaced. PATHs are as "lbs ls" shows them. Run again after an interruption, it writes only what is missing.',
  ],
  groups: [
    {
      title: 'Where',
      options: [
        {
          name: 'target',
          value: 'TARGET',
          help: 'TARGET as an option; "-" writes the one file PATH to standard output',
        },
        {
          name: 'original-place',
          help: 'restore to where the snapshot was made; never done unless asked for',
        },
        {
          name: 'strip-components',
          value: 'N',
          help: 'take the first N components off each path; what has no more is left out',
        },
      ],
    },
    { title: 'What', options: [EXCLUDE, INCLUDE, RULES] },
    {
      title: 'How',
      options: [
        {
          name: 'overwrite',
          value: 'WHEN',
          help: 'replace what is in TARGET: "if-changed" (default), "always", "if-newer" in the snapshot, or "never"',
        },
        {
          name: 'delete',
          help: 'delete from restored directories what the snapshot does not have in them',
        },
        {
          name: 'undo-dir',
          value: 'DIR',
          help: 'move what is overwritten or deleted to DIR, on the same file system',
        },
        {
          name: 'dry-run',
          short: 'n',
          help: 'say what would be written, deleted and fetched; with -v, all names',
        },
        { name: 'numeric-owner', help: 'set owners and groups by number, not by name' },
      ],
    },
    WHAT_TO_READ,
    WHAT_IS_SAID,
  ],
  exits: [
    DONE,
    FAILED,
    MISUSED,
    [3, 'restored, but some attributes or entries could not be put back; each was named'],
    DAMAGED,
    MISSING,
    UNSIGNED,
    INTERRUPTED,
  ],
  example: [
    'lbs restore --store=/mnt/backup latest /tmp/back home/ann/letters',
    'lbs restore --store=/mnt/backup --original-place -n latest~1 home/ann',
  ],
};
