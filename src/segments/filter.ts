/**
 * The filter between tar and file: which command, which extension, and whether the runtime's own
 * codec can do the same work (same format, no process, and no such program needed).
 * Contract of filter commands: lbs-filters(7).
 */
import { LbsError } from '../errors.ts';
import { shownCommand } from '../std/shown-command.ts';

/** A codec of the runtime. `level` undefined is the codec's default. */
export type Codec =
  | { readonly kind: 'zstd'; readonly level: number | undefined }
  | { readonly kind: 'gzip'; readonly level: number | undefined }
  | { readonly kind: 'none' };

export type Filter = {
  /** The shell command, as given. */
  readonly command: string;
  /** Extension of filtered files, with its dot; '' for none. */
  readonly extension: string;
  /** Undefined: run the command. */
  readonly codec: Codec | undefined;
};

const DEFAULT_FILTER = 'zstd -c';
const EXTENSION_OF_PROGRAM = new Map([
  ['zstd', '.zst'],
  ['zstdmt', '.zst'],
  ['gzip', '.gz'],
  ['pigz', '.gz'],
  ['bzip2', '.bz2'],
  ['pbzip2', '.bz2'],
  ['lbzip2', '.bz2'],
  ['xz', '.xz'],
  ['lz4', '.lz4'],
  ['gpg', '.gpg'],
  ['gpg2', '.gpg'],
  ['age', '.age'],
  ['cat', ''],
]);

function isZstdOption(word: string): boolean {
  return /^(-c|--stdout|-q|--quiet|-T\d+|--threads=\d+)$/.test(word);
}

function levelOf(words: readonly string[], isOther: (word: string) => boolean, max: number) {
  let level: number | undefined;
  for (const word of words) {
    const digits = /^-(\d{1,2})$/.exec(word)?.[1];
    if (digits !== undefined && Number(digits) <= max && Number(digits) > 0) level = Number(digits);
    else if (!isOther(word)) return 'unknown';
  }
  return level;
}

/** The codec that does just what the command would; undefined when in any doubt. */
function codecOf(command: string): Codec | undefined {
  const [program, ...words] = command.trim().split(/\s+/);
  if (program === 'cat' && words.length === 0) return { kind: 'none' };
  if (program === 'zstd') {
    const level = levelOf(words, isZstdOption, 19);
    return level === 'unknown' ? undefined : { kind: 'zstd', level };
  }
  if (program === 'gzip') {
    const level = levelOf(words, (word) => /^(-c|--stdout|-q|-n)$/.test(word), 9);
    return level === 'unknown' ? undefined : { kind: 'gzip', level };
  }
  return undefined;
}

/**
 * Decides filter and extension from what a person gave. An empty command means "store as is".
 * @throws {LbsError} usage when the extension is needed and cannot be known, or unusable
 */
export function chooseFilter(command = DEFAULT_FILTER, extension?: string): Filter {
  const plain = command.trim() === '' ? 'cat' : command;
  const program = /^(?:\S*\/)?([^\s/]+)/.exec(plain.trim())?.[1] ?? '';
  // Of a pipeline the last program decides, and which one that is only a shell can tell.
  const isOneCommand = !/[|;&<>`$()\n]/.test(plain);
  const known = isOneCommand ? EXTENSION_OF_PROGRAM.get(program) : undefined;
  const chosen = extension ?? known;
  if (chosen === undefined) {
    throw new LbsError(
      'usage',
      `what extension do files have that "${shownCommand(plain)}" wrote?`,
      {
        hint: 'say it with --filter-extension=.EXT, and give --unfilter=.EXT=COMMAND to read them back',
      },
    );
  }
  if (!/^(\.[A-Za-z0-9_-]+)*$/.test(chosen) || chosen.length > 32) {
    throw new LbsError('usage', `--filter-extension=${JSON.stringify(chosen)} is not usable`, {
      hint: 'it starts with a dot, followed by letters, digits, "_" or "-"; or it is empty',
    });
  }
  return { command: plain, extension: chosen, codec: codecOf(plain) };
}
