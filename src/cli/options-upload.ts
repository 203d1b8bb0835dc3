/** The options of a backup that are about upload scripts. A part of the table in options.ts. */
import type { OptionSpec } from './option-groups.ts';

export const UPLOAD: readonly OptionSpec[] = [
  {
    name: 'upload-script',
    value: 'COMMAND',
    help: 'give the files of the store to this command; see the manual page',
  },
  {
    name: 'upload-protocol',
    value: 'WORD',
    help: 'how: "stream", one command for all files (default), or "call", one for each',
  },
  {
    name: 'tmpdir',
    value: 'DIR',
    help: 'where files wait for the upload script; default: $TMPDIR, else /tmp',
  },
];
