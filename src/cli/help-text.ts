/** The text of `--help`, made from the options table; lines fit a terminal of 80 columns. */
import { COMMANDS, type CommandSpec, type OptionSpec } from './options.ts';

const WIDTH = 79;
const INDENT = 2;
/** Where the words about an option begin; a longer option has them on the next line. */
const HELP_COLUMN = 27;

/** Breaks text into lines of at most `WIDTH`, all but the first indented. */
function wrap(text: string, indent: number, firstIndent = indent): string[] {
  const lines: string[] = [];
  let line = '';
  let room = WIDTH - firstIndent;
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > room) {
      lines.push(line);
      line = word;
      room = WIDTH - indent;
    } else {
      line += line === '' ? word : ` ${word}`;
    }
  }
  lines.push(line);
  return lines.map((each, at) => ' '.repeat(at === 0 ? firstIndent : indent) + each);
}

/** `-x, --one-file-system` or `--dest=STORE, --store=STORE`. */
export function optionWords(option: OptionSpec): string {
  const value = option.value === undefined ? '' : `=${option.value}`;
  const names = [option.name, ...(option.also ?? [])].map((name) => `--${name}${value}`);
  if (option.name === 'progress') names.push('--no-progress');
  return [...(option.short === undefined ? [] : [`-${option.short}`]), ...names].join(', ');
}

function optionLines(option: OptionSpec): string[] {
  const words = ' '.repeat(INDENT) + optionWords(option);
  const help = wrap(option.help, HELP_COLUMN);
  if (words.length > HELP_COLUMN - 2) return [words, ...help];
  const [first = '', ...rest] = help;
  return [words.padEnd(HELP_COLUMN) + first.trimStart(), ...rest];
}

function exitLines(command: CommandSpec): string[] {
  return command.exits.flatMap(([code, meaning]) => {
    const [first = '', ...rest] = wrap(meaning, 7);
    return [`  ${String(code).padStart(3)}  ${first.trimStart()}`, ...rest];
  });
}

/** What `lbs COMMAND --help` prints, with a line end. */
export function commandHelp(command: CommandSpec): string {
  const usage = command.usage.map((words) => `lbs ${command.name} ${words}`);
  const isRepeatable = command.groups.some(({ options }) =>
    options.some((option) => option.repeatable === true),
  );
  const lines = [
    ...usage.flatMap((words, at) =>
      wrap(at === 0 ? `Usage: ${words}` : words, 9, at === 0 ? 0 : 7),
    ),
    '',
    ...wrap(command.summary, 0),
    ...command.details.flatMap((text) => ['', ...wrap(text, 0)]),
    ...command.groups.flatMap(({ title, options }) => [
      '',
      `${title}:`,
      ...options.flatMap(optionLines),
    ]),
    ...(isRepeatable ? ['', ...wrap(repeatableWords(command), 0)] : []),
    '',
    'Exit codes:',
    ...exitLines(command),
    '',
    'Example:',
    ...command.example.map((line) => `  ${line}`),
    '',
    `More in the manual page: man lbs-${command.name}`,
  ];
  return `${lines.join('\n')}\n`;
}

function repeatableWords(command: CommandSpec): string {
  const names = command.groups
    .flatMap(({ options }) => options)
    .filter((option) => option.repeatable === true)
    .map(({ name }) => `--${name}`);
  const last = names.pop() ?? '';
  const all = names.length === 0 ? last : `${names.join(', ')} and ${last}`;
  return `${all} may be given several times.`;
}

/** What `lbs --help` prints, with a line end. */
export function programHelp(): string {
  const width = Math.max(...COMMANDS.map(({ name }) => name.length));
  const lines = [
    'Usage: lbs [backup] --dest=STORE [OPTION...] PATH...',
    '       lbs COMMAND --store=STORE [OPTION...] ...',
    '',
    ...wrap(
      'Incremental backups in a store made of tar files, text and checksums, which can be restored without lbs.',
      0,
    ),
    '',
    'Commands:',
    ...COMMANDS.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`),
    '',
    ...wrap(
      'The command is the first word; without one it is a backup. "lbs COMMAND --help" lists the options of a command. --dest and --store are the same option.',
      0,
    ),
    '',
    'Exit codes:',
    '    0  done',
    '    1  failed; nothing new was made',
    '    2  wrong use, or an unusable configuration',
    '    3  done, but some entries could not be read or put back as they were',
    '    4  the store is damaged',
    '   10  no such store (or it went away), snapshot or local database',
    '   11  another run holds the local database',
    '   12  a signature or a key is missing or bad',
    '  130  interrupted by a signal',
    '',
    'Examples:',
    '  lbs --dest=/mnt/backup /home',
    '  lbs list --store=/mnt/backup',
    '  lbs restore --store=/mnt/backup latest /tmp/back home/ann/letters',
    '',
    'More in the manual page: man lbs',
  ];
  return `${lines.join('\n')}\n`;
}
