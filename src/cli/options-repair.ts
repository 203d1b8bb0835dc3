/** The commands that mend a store from what is in it: repair. A part of the table in options.ts. */
import {
  type CommandSpec,
  FAILED,
  INTERRUPTED,
  LOCKED,
  MISSING,
  MISUSED,
  SIGNING,
  UNSIGNED,
  WHAT_IS_SAID,
  WHAT_TO_READ,
} from './option-groups.ts';

export const REPAIR: CommandSpec = {
  name: 'repair',
  usage: ['--store=STORE [--localdb=DIR] [OPTION...]'],
  summary: 'Makes lost descriptors and checksums files again from what is left.',
  details: [
    'Nothing is deleted or changed: what is replaced is kept beside it, as NAME.damaged. A checksums file is made from the segments, and put in place when the descriptor proves it right; a descriptor from its checksums files and metadata. Segments are mended by "lbs heal".',
  ],
  groups: [
    {
      title: 'How',
      options: [
        { name: 'dry-run', short: 'n', help: 'say what would be made again; change nothing' },
        {
          name: 'localdb',
          value: 'DIR',
          help: 'make the local database in DIR again, too, if it is lost or damaged',
        },
      ],
    },
    SIGNING,
    WHAT_TO_READ,
    WHAT_IS_SAID,
  ],
  exits: [
    [0, 'all that was lost is there again'],
    FAILED,
    MISUSED,
    [4, 'something could not be made again; each was named'],
    MISSING,
    LOCKED,
    UNSIGNED,
    INTERRUPTED,
  ],
  example: ['lbs repair --store=/mnt/backup'],
};
