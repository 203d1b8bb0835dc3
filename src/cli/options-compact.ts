/** The command that stores anew what is still used of segments. A part of the table in options.ts. */
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
  MISUSED,
  type OptionSpec,
  SEGMENT_SIZE,
  SIGNING,
  SNAPSHOT_WORDS,
  STORE,
  UNFILTER,
  UNSIGNED,
  VERIFY_KEY,
  WHAT_IS_SAID,
} from './option-groups.ts';
import { LOCALDB_ELSEWHERE } from './options-keep.ts';

/** Not a choice: segments are of all schemes together. */
const SCHEME_OF_NAMED: OptionSpec = {
  name: 'scheme',
  value: 'NAME',
  help: 'the scheme in which SNAPSHOT is looked for',
};

export const COMPACT: CommandSpec = {
  name: 'compact',
  usage: ['--store=STORE [OPTION...] [SNAPSHOT...]'],
  summary: 'Copies what is still used of little-used segments into new ones.',
  details: [
    'From the store itself, so also for snapshots whose source is gone. Every snapshot that needs such a segment is replaced by one that says the same and whose name is a second later; "lbs gc" then makes room. Segments that the last snapshot of a scheme uses are left to "lbs clean", unless --all is given; where SNAPSHOTs are named, all segments that they need are looked at, and no others.',
    SNAPSHOT_WORDS,
  ],
  groups: [
    {
      title: 'How',
      options: [
        { name: 'dry-run', short: 'n', help: 'say what would be done; change nothing' },
        {
          name: 'all',
          help: 'also segments that the last snapshots use: the next backup reads their files again',
        },
        {
          name: 'min-used',
          value: 'PERCENT',
          help: 'compact segments of which less is used; default: 80',
        },
      ],
    },
    { title: 'Where', options: [STORE, SCHEME_OF_NAMED, VERIFY_KEY, LOCALDB_ELSEWHERE] },
    {
      title: 'How it is stored',
      options: [FILTER, FILTER_EXTENSION, ENCRYPT_TO, UNFILTER, DECRYPT_KEY, SEGMENT_SIZE],
    },
    SIGNING,
    WHAT_IS_SAID,
  ],
  exits: [
    DONE,
    FAILED,
    MISUSED,
    [4, 'something is damaged; each was named, and the segments that it concerns were left'],
    [10, 'no such store, snapshot or local database'],
    LOCKED,
    UNSIGNED,
    INTERRUPTED,
  ],
  example: ['lbs compact --store=/mnt/backup --dry-run'],
};
