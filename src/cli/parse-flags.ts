/**
 * Arguments to options and operands, as getopt_long understands them; the only user of meow.
 *
 * `--opt=v` and `--opt v`; options may follow operands; `--` ends options; unique beginnings of
 * long options are enough; short switches may be joined (`-vn`). meow does not know the last two,
 * takes an unknown option or a missing value without a word (or ends the process itself), strips
 * quotes from values and knows only text. So every argument is first resolved and checked here,
 * and meow gets the full names with values that nothing in them can be mistaken.
 */
import meow from 'meow';
import { LbsError } from '../errors.ts';
import { type BytePath, bytePath, showPath } from '../std/byte-path.ts';
import { nearestName } from './nearest-name.ts';
import { type CommandSpec, type OptionSpec, optionsOf } from './options.ts';

export const YES: Buffer = Buffer.from('yes');
export const NO: Buffer = Buffer.from('no');

export type ParsedFlags = {
  /** By the option's main name, in the order given. Switches have `YES` or `NO`. */
  readonly given: ReadonlyMap<string, readonly Buffer[]>;
  readonly operands: readonly BytePath[];
};

/** A way to write an option: `isOff` for the `--no-` form of a switch. */
type Spelling = { readonly name: string; readonly option: OptionSpec; readonly isOff: boolean };

const DASH = 0x2d;
const EQUALS = 0x3d;

function spellingsOf(options: readonly OptionSpec[]): Map<string, Spelling> {
  const spellings = new Map<string, Spelling>();
  for (const option of options) {
    for (const name of [option.name, ...(option.also ?? [])]) {
      spellings.set(name, { name, option, isOff: false });
      if (option.negatable)
        spellings.set(`no-${name}`, { name: `no-${name}`, option, isOff: true });
    }
  }
  return spellings;
}

function unknownOption(
  shown: string,
  spellings: Map<string, Spelling>,
  { name, refusals = {} }: CommandSpec,
): never {
  const word = shown.replace(/^--?/, '');
  const refusal = Object.hasOwn(refusals, word) ? refusals[word] : undefined;
  if (refusal !== undefined) {
    throw new LbsError('usage', `"lbs ${name}" has no ${shown}`, { hint: refusal });
  }
  const near = nearestName(word, [...spellings.keys()]);
  const help = `"lbs ${name} --help" lists the options`;
  throw new LbsError('usage', `unknown option ${shown}`, {
    hint: near === undefined ? help : `did you mean --${near}? ${help}`,
  });
}

/** Finds a long option by its name or the beginning of one. */
function findLong(name: string, spellings: Map<string, Spelling>, command: CommandSpec): Spelling {
  const exact = spellings.get(name);
  if (exact) return exact;
  const shown = `--${showPath(Buffer.from(name, 'latin1'))}`;
  const matches = [...spellings].filter(([full]) => name !== '' && full.startsWith(name));
  const first = matches[0]?.[1];
  if (!first) return unknownOption(shown, spellings, command);
  const different = matches.some(
    ([, { option, isOff }]) => option !== first.option || isOff !== first.isOff,
  );
  if (!different) return first;
  const names = matches.map(([full]) => `--${full}`).join(', ');
  throw new LbsError('usage', `option ${shown} is not clear: it may be ${names}`);
}

/** One option or operand of the command line, resolved. */
type Word = { readonly option: OptionSpec; readonly value: Buffer } | { readonly operand: Buffer };

function* longOption(
  args: Iterator<Buffer>,
  arg: Buffer,
  find: (name: string) => Spelling,
): Generator<Word> {
  const equals = arg.indexOf(EQUALS);
  const { name, option, isOff } = find(arg.toString('latin1', 2, equals < 0 ? undefined : equals));
  if (option.value === undefined) {
    if (equals >= 0) throw new LbsError('usage', `option --${name} takes no value`);
    yield { option, value: isOff ? NO : YES };
    return;
  }
  let value = equals < 0 ? undefined : arg.subarray(equals + 1);
  if (value === undefined) {
    const next = args.next();
    if (next.done !== true) value = next.value;
  }
  if (value === undefined) {
    throw new LbsError('usage', `option --${name} needs a value`, {
      hint: `write --${name}=${option.value}`,
    });
  }
  yield { option, value };
}

/** Resolves the arguments one by one. @throws {LbsError} usage */
function* wordsOf(command: CommandSpec, given: readonly Buffer[]): Generator<Word> {
  const options = optionsOf(command);
  const spellings = spellingsOf(options);
  const find = (name: string) => findLong(name, spellings, command);
  const args = given[Symbol.iterator]();
  for (let next = args.next(); next.done !== true; next = args.next()) {
    const arg = next.value;
    if (arg[0] !== DASH || arg.length === 1) {
      yield { operand: arg };
    } else if (arg[1] !== DASH) {
      for (const letter of arg.toString('latin1', 1)) {
        const option = options.find(({ short }) => short === letter);
        if (!option) {
          const shown = showPath(Buffer.from(letter, 'latin1'));
          unknownOption(`-${shown}`, spellings, command);
        }
        yield { option, value: YES };
      }
    } else if (arg.length === 2) {
      for (let rest = args.next(); rest.done !== true; rest = args.next()) {
        yield { operand: rest.value };
      }
    } else {
      yield* longOption(args, arg, find);
    }
  }
}

/** A name as meow has it in its tables. */
const camelCase = (name: string) =>
  name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
// Hexadecimal with a letter before it: no dash, quote, dot or digit first, so nothing to interpret.
const encode = (bytes: Buffer) => `x${bytes.toString('hex')}`;
const decode = (text: unknown) => Buffer.from(String(text).slice(1), 'hex');

/** Groups resolved words by option. `title` is what `ps` shows: meow sets it, come what may. */
function gather(
  words: readonly Word[],
  options: readonly OptionSpec[],
  title: string,
): ParsedFlags {
  const argv: string[] = [];
  const operands: string[] = [];
  for (const word of words) {
    if ('operand' in word) operands.push(encode(word.operand));
    else if (word.option.value !== undefined)
      argv.push(`--${word.option.name}=${encode(word.value)}`);
    else argv.push(`--${word.value === NO ? 'no-' : ''}${word.option.name}`);
  }
  const flags = Object.fromEntries(
    options.map(({ name, value }) => [
      camelCase(name),
      value === undefined
        ? { type: 'boolean' as const, isMultiple: true as const }
        : { type: 'string' as const, isMultiple: true as const },
    ]),
  );
  const parsed = meow({
    importMeta: import.meta,
    pkg: { name: title },
    argv: [...argv, '--', ...operands],
    flags,
    description: false,
    autoHelp: false,
    autoVersion: false,
    booleanDefault: undefined,
    allowUnknownFlags: true,
  });
  const values: Record<string, unknown> = parsed.flags;
  const given = new Map<string, Buffer[]>();
  for (const { name, value } of options) {
    const found = values[camelCase(name)];
    if (!Array.isArray(found) || found.length === 0) continue;
    const toBytes = value === undefined ? (on: unknown) => (on === true ? YES : NO) : decode;
    given.set(name, found.map(toBytes));
  }
  return { given, operands: parsed.input.map((text) => bytePath(decode(text))) };
}

/**
 * Reads the arguments of a command, as bytes.
 * @throws {LbsError} usage for an unknown or unclear option, a missing or unwanted value
 */
export function parseFlags(command: CommandSpec, args: readonly Buffer[]): ParsedFlags {
  const title = ['lbs', command.name, ...args.map(String)].join(' ');
  return gather([...wordsOf(command, args)], optionsOf(command), title);
}
