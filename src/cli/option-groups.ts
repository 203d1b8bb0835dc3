/**
 * What the options of several commands have in common: types, groups of options, exit codes. Data
 * only, like the tables made of it.
 */

export type OptionSpec = {
  /** Long name without dashes; the only name that the rest of the program uses. */
  readonly name: string;
  /** Other long names of the same option. */
  readonly also?: readonly string[];
  /** One letter, without the dash. */
  readonly short?: string;
  /** Placeholder of the value; an option without one is a switch. */
  readonly value?: string;
  /** May be given more than once; otherwise the last one counts. */
  readonly repeatable?: true;
  /** A switch that also has a `--no-` form. */
  readonly negatable?: true;
  readonly help: string;
};

export type OptionGroup = { readonly title: string; readonly options: readonly OptionSpec[] };

export type CommandName =
  | 'backup'
  | 'cat'
  | 'clean'
  | 'compact'
  | 'compare'
  | 'diff'
  | 'dump'
  | 'find'
  | 'forget'
  | 'gc'
  | 'heal'
  | 'history'
  | 'hold'
  | 'list'
  | 'ls'
  | 'parity'
  | 'prune'
  | 'rebuild'
  | 'release'
  | 'repair'
  | 'restore'
  | 'stanza'
  | 'sync'
  | 'tag'
  | 'usage'
  | 'verify'
  | 'why';

export type CommandSpec = {
  readonly name: CommandName;
  /** Another word for it. */
  readonly also?: string;
  /** What stands after `lbs NAME`, one way of use a line. */
  readonly usage: readonly string[];
  /** One sentence; also the line in `lbs --help`. */
  readonly summary: string;
  /** More about the operands, one paragraph each. */
  readonly details: readonly string[];
  readonly groups: readonly OptionGroup[];
  /** Long options that people expect here, and why there is none. */
  readonly refusals?: Readonly<Record<string, string>>;
  /** Exit codes of this command and their meaning, 0 first. */
  readonly exits: readonly (readonly [number, string])[];
  readonly example: readonly string[];
};

export const STORE: OptionSpec = {
  name: 'store',
  also: ['dest'],
  value: 'STORE',
  help: 'the directory of the backups; or set LBS_STORE',
};
export const LOCALDB: OptionSpec = {
  name: 'localdb',
  value: 'DIR',
  help: 'directory of the local database; default: the store',
};
export const UNFILTER: OptionSpec = {
  name: 'unfilter',
  value: 'EXT=COMMAND',
  repeatable: true,
  help: 'how to read files of the store that end in EXT, as in --unfilter=".gpg=gpg --decrypt"',
};
export const DECRYPT_KEY: OptionSpec = {
  name: 'decrypt-key',
  value: 'FILE',
  help: 'decrypt .gpg segments with the OpenPGP secret keys in FILE, and no gpg; a passphrase comes from LBS_DECRYPT_PASSPHRASE, LBS_DECRYPT_PASSPHRASE_FILE or LBS_DECRYPT_PASSPHRASE_COMMAND',
};

export const ENCRYPT_TO: OptionSpec = {
  name: 'encrypt-to',
  value: 'FILE',
  repeatable: true,
  help: 'encrypt segments, behind the filter, to all OpenPGP public keys in FILE; needs no gpg and no secret key',
};
export const FILTER: OptionSpec = {
  name: 'filter',
  value: 'COMMAND',
  help: 'compress or encrypt segments; default: "zstd -c"',
};
export const FILTER_EXTENSION: OptionSpec = {
  name: 'filter-extension',
  value: 'EXT',
  help: 'how names of filtered segments end; default: what goes with the filter',
};
export const SEGMENT_SIZE: OptionSpec = {
  name: 'segment-size',
  value: 'SIZE',
  help: 'size of a segment in the store, as in 16M',
};
export const SIGNING: OptionGroup = {
  title: 'Signing',
  options: [
    {
      name: 'signature-filter',
      value: 'COMMAND',
      help: 'sign with a command, as in "gpg --clearsign"',
    },
    {
      name: 'sign-key',
      value: 'FILE',
      help: 'sign with the OpenPGP secret key in FILE; its passphrase comes from LBS_SIGN_PASSPHRASE, LBS_SIGN_PASSPHRASE_FILE or LBS_SIGN_PASSPHRASE_COMMAND',
    },
  ],
};

const QUIET: OptionSpec = {
  name: 'quiet',
  short: 'q',
  help: 'say nothing unless something is wrong',
};
const SCREEN: readonly OptionSpec[] = [
  { name: 'verbose', short: 'v', help: 'say more: a backup or restore names every file' },
  QUIET,
  { name: 'json', help: 'write JSON lines to standard output, for programs' },
];
const PROGRESS: OptionSpec = {
  name: 'progress',
  negatable: true,
  help: 'show progress, or do not; default: only on a terminal',
};
const OTHER: readonly OptionSpec[] = [
  { name: 'config', value: 'FILE', help: 'read the configuration from FILE' },
  { name: 'help', short: 'h', help: 'show this help' },
];

export const WHAT_IS_SAID: OptionGroup = {
  title: 'What is said',
  options: [...SCREEN, PROGRESS, ...OTHER],
};
export const WHAT_IS_SAID_SHORTLY: OptionGroup = {
  title: 'What is said',
  options: [...SCREEN, ...OTHER],
};
/** Of commands whose standard output is content. */
export const WHAT_IS_SAID_BESIDES: OptionGroup = {
  title: 'What is said',
  options: [QUIET, ...OTHER],
};

export const SCHEME: OptionSpec = {
  name: 'scheme',
  value: 'NAME',
  help: 'only snapshots of this scheme; says what "latest" means',
};
export const VERIFY_KEY: OptionSpec = {
  name: 'verify-key',
  value: 'FILE',
  help: 'use only snapshots signed by an OpenPGP key of FILE; or set LBS_VERIFY_KEY',
};

export const WHAT_TO_READ: OptionGroup = {
  title: 'What to read',
  options: [STORE, SCHEME, VERIFY_KEY, UNFILTER, DECRYPT_KEY],
};

/** Rules of a backup and of a restore. */
export const EXCLUDE: OptionSpec = {
  name: 'exclude',
  value: 'PATTERN',
  repeatable: true,
  help: 'leave out a path with all below it, or whatever matches a pattern with wildcards',
};
export const INCLUDE: OptionSpec = {
  name: 'include',
  value: 'PATTERN',
  repeatable: true,
  help: 'bring back something that an --exclude left out',
};

export const SNAPSHOT_WORDS =
  'SNAPSHOT is a name as "lbs list" prints it, the beginning of one, "latest", "latest~N" for the Nth before that, or "before:DATE" for the last one older than DATE (2026-11-01 or 2026-11-01T12:30, in local time).';

export const DONE = [0, 'done'] as const;
export const FAILED = [1, 'failed'] as const;
export const MISUSED = [2, 'wrong use, or an unusable configuration'] as const;
export const DAMAGED = [4, 'the store is damaged; what that costs was named'] as const;
export const MISSING = [10, 'no such store or snapshot'] as const;
export const LOCKED = [11, 'another run holds the local database'] as const;
export const UNSIGNED = [12, 'a signature or a key is missing or bad'] as const;
export const INTERRUPTED = [130, 'interrupted by a signal'] as const;
