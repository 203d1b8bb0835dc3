/** The commands that look into a snapshot: ls, cat, stanza, dump. A part of the table in options. */
import {
  type CommandSpec,
  DAMAGED,
  DONE,
  FAILED,
  INTERRUPTED,
  MISSING,
  MISUSED,
  SNAPSHOT_WORDS,
  UNSIGNED,
  WHAT_IS_SAID_BESIDES,
  WHAT_IS_SAID_SHORTLY,
  WHAT_TO_READ,
} from './option-groups.ts';

const JSON_REFUSAL =
  'what it writes to standard output is content; "lbs ls" and "lbs stanza" have it';

export const LS: CommandSpec = {
  name: 'ls',
  usage: ['--store=STORE [-l] [-R] [OPTION...] SNAPSHOT [PATH]'],
  summary: 'Lists what is in a snapshot, or in one directory of it.',
  details: [
    SNAPSHOT_WORDS,
    'Without PATH the top is listed. A directory is listed with what lies directly in it; with -R, itself and everything below it.',
  ],
  groups: [
    {
      title: 'How',
      options: [
        { name: 'long', short: 'l', help: 'with mode, owner, group, size and time of change' },
        { name: 'recursive', short: 'R', help: 'with everything below it' },
      ],
    },
    WHAT_TO_READ,
    WHAT_IS_SAID_SHORTLY,
  ],
  exits: [DONE, FAILED, MISUSED, DAMAGED, MISSING, UNSIGNED, INTERRUPTED],
  example: ['lbs ls -l --store=/mnt/backup latest home/ann'],
};

export const CAT: CommandSpec = {
  name: 'cat',
  usage: ['--store=STORE [OPTION...] SNAPSHOT PATH...'],
  summary: 'Writes the content of files of a snapshot to standard output.',
  details: [
    SNAPSHOT_WORDS,
    'PATHs are as "lbs ls" shows them, and regular files; symbolic links are not followed. Content is checked as it is read: where it is not as it was, it is cut off before, and the exit code is 4.',
  ],
  groups: [WHAT_TO_READ, WHAT_IS_SAID_BESIDES],
  refusals: { json: JSON_REFUSAL },
  exits: [
    DONE,
    [1, 'failed; or there is no such path in the snapshot'],
    [2, 'wrong use, as of a path that is no regular file; or an unusable configuration'],
    DAMAGED,
    MISSING,
    UNSIGNED,
    INTERRUPTED,
  ],
  example: ['lbs cat --store=/mnt/backup latest home/ann/letters/bea'],
};

export const DUMP: CommandSpec = {
  name: 'dump',
  usage: ['--store=STORE [OPTION...] SNAPSHOT [PATH...]'],
  summary: 'Writes a snapshot, or parts of it, as a tar or zip archive.',
  details: [
    SNAPSHOT_WORDS,
    'PATHs are as "lbs ls" shows them; without one, everything is written. The directories above them are in the archive too. It is never written to a terminal.',
  ],
  groups: [
    {
      title: 'How',
      options: [
        { name: 'format', value: 'FORMAT', help: '"tar" (default) or "zip"' },
        {
          name: 'sparse',
          help: 'leave holes of files out of a tar archive, in the way of GNU tar',
        },
      ],
    },
    WHAT_TO_READ,
    WHAT_IS_SAID_BESIDES,
  ],
  refusals: { json: JSON_REFUSAL },
  exits: [
    DONE,
    [1, 'failed; or there is no such path in the snapshot'],
    MISUSED,
    [3, 'done, but something was left out that the archive cannot hold; it was named'],
    DAMAGED,
    MISSING,
    UNSIGNED,
    INTERRUPTED,
  ],
  example: [
    'lbs dump --store=/mnt/backup latest home/ann | tar xf - -C /tmp/back',
    'lbs dump --store=/mnt/backup --format=zip latest home/ann > ann.zip',
  ],
};

export const STANZA: CommandSpec = {
  name: 'stanza',
  usage: ['--store=STORE [OPTION...] SNAPSHOT PATH'],
  summary: 'Prints the metadata of one path of a snapshot as it is stored.',
  details: [
    SNAPSHOT_WORDS,
    'What the keys mean is in lbs-format(5). With --json it says too which object of the store it stands in.',
  ],
  groups: [WHAT_TO_READ, WHAT_IS_SAID_SHORTLY],
  exits: [
    DONE,
    [1, 'failed; or there is no such path in the snapshot'],
    MISUSED,
    DAMAGED,
    MISSING,
    UNSIGNED,
    INTERRUPTED,
  ],
  example: ['lbs stanza --store=/mnt/backup latest home/ann/letters/bea'],
};
