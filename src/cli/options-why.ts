/** The options of `lbs why`: those of a backup that say what belongs to it. A part of options. */
import {
  type CommandSpec,
  INTERRUPTED,
  MISUSED,
  LOCALDB,
  STORE,
  WHAT_IS_SAID_SHORTLY,
} from './option-groups.ts';
import { WHAT_TO_TAKE } from './options-select.ts';

export const WHY: CommandSpec = {
  name: 'why',
  usage: ['[OPTION...] PATH [ROOT...]'],
  summary: 'Says whether a path is in a backup, and what decided that.',
  details: [
    'PATH is on disk. ROOTs are the paths that the backup is given, options those of the backup. Without a ROOT it is supposed that PATH lies below one.',
  ],
  groups: [{ title: 'Where', options: [STORE, LOCALDB] }, WHAT_TO_TAKE, WHAT_IS_SAID_SHORTLY],
  exits: [
    [0, 'answered, whether it is in the backup or not'],
    [1, 'failed; or there is no such path'],
    MISUSED,
    [10, 'no such store'],
    INTERRUPTED,
  ],
  example: ['lbs why --exclude-caches --dir-merge=.lbsrules /home/ann/.cache/x /home'],
};
