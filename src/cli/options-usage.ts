/** The options of usage: the part of the table in options.ts that is about it. */
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
  WHAT_IS_SAID_SHORTLY,
  WHAT_TO_READ,
} from './option-groups.ts';

export const USAGE: CommandSpec = {
  name: 'usage',
  usage: [
    '--store=STORE [OPTION...]',
    '--store=STORE --segments [--localdb=DIR] [OPTION...]',
    '--store=STORE --paths [--depth=N] [--since=SNAPSHOT] [OPTION...] [SNAPSHOT]',
  ],
  summary: 'Shows what takes the space of a store: snapshots, segments or paths.',
  details: [
    'Without an option: for each snapshot the size of its files, what it takes in the store, what of that was new with it, and what only it needs, which forgetting it would free.',
    SNAPSHOT_WORDS,
  ],
  groups: [
    {
      title: 'What',
      options: [
        { name: 'segments', help: 'for each segment, how much of it snapshots use' },
        { name: 'paths', help: 'for each directory of SNAPSHOT (default: latest), its files' },
        { name: 'depth', value: 'N', help: 'directories down to N levels; default: 2' },
        { name: 'since', value: 'SNAPSHOT', help: 'how much they have grown since this one' },
        {
          name: 'localdb',
          value: 'DIR',
          help: 'directory of the local database, which knows segments; default: the store',
        },
      ],
    },
    WHAT_TO_READ,
    WHAT_IS_SAID_SHORTLY,
  ],
  exits: [DONE, FAILED, MISUSED, DAMAGED, MISSING, UNSIGNED, INTERRUPTED],
  example: [
    'lbs usage --store=/mnt/backup',
    'lbs usage --store=/mnt/backup --paths --since=latest~7',
  ],
};
