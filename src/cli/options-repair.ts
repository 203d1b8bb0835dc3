/** The commands that mend a store from what is in it: parity, repair. A part of the table in options.ts. */
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

export const PARITY: CommandSpec = {
  name: 'parity',
  usage: ['--store=STORE [OPTION...]'],
  summary: 'Makes parity of segments, by which damage can be healed.',
  details: [
    'Segments that no parity protects yet are put into sets of 16, each of which gives back about any four that are lost or damaged: by "lbs heal", or by par2 alone. The program par2 is needed. Parity that is not needed any more is removed by "lbs gc".',
  ],
  groups: [
    {
      title: 'How',
      options: [
        {
          name: 'redundancy',
          value: 'PERCENT',
          help: 'size of the parity in percent of the segments; default: 30',
        },
        { name: 'dry-run', short: 'n', help: 'say what would be made; change nothing' },
      ],
    },
    WHAT_TO_READ,
    WHAT_IS_SAID,
  ],
  exits: [
    [0, 'all segments are protected'],
    FAILED,
    MISUSED,
    [4, 'something is damaged, and was left out; each was named'],
    MISSING,
    UNSIGNED,
    INTERRUPTED,
  ],
  example: ['lbs parity --store=/mnt/backup'],
};
