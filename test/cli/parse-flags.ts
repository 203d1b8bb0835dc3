/** Arguments as getopt_long understands them, and their exact bytes. */
import test from 'ava';
import { bytesOfArguments } from '../../src/cli/argument-bytes.ts';
import { FlagValues } from '../../src/cli/flag-values.ts';
import { BACKUP, COMMANDS, optionsOf } from '../../src/cli/options.ts';
import { RESTORE } from '../../src/cli/options-restore.ts';
import { parseFlags } from '../../src/cli/parse-flags.ts';
import { splitPaths } from '../../src/cli/path-list.ts';
import { LbsError } from '../../src/errors.ts';

const bytes = (args: readonly (string | Buffer)[]) => args.map((arg) => Buffer.from(arg));

/** What a command line of `backup` means, as text. */
function parse(...args: (string | Buffer)[]): Record<string, string[]> {
  const { given, operands } = parseFlags(BACKUP, bytes(args));
  const meaning: Record<string, string[]> = {};
  for (const [name, values] of given)
    meaning[name] = values.map((value) => value.toString('latin1'));
  if (operands.length > 0) meaning['paths'] = operands.map((path) => path.toString('latin1'));
  return meaning;
}

/** The refusal of a command line: message and hint. */
function refusal(...args: string[]): string {
  try {
    parse(...args);
  } catch (error) {
    if (error instanceof LbsError && error.code === 'usage')
      return `${error.message}; ${error.hint}`;
    throw error;
  }
  return '';
}

test('a value follows an equals sign or is the next argument', (t) => {
  t.deepEqual(parse('--filter=bzip2 -c'), { filter: ['bzip2 -c'] });
  t.deepEqual(parse('--filter', 'bzip2 -c'), { filter: ['bzip2 -c'] });
  t.deepEqual(parse('--filter='), { filter: [''] });
  t.deepEqual(parse('--exclude', '--', '/x'), { exclude: ['--'], paths: ['/x'] });
  t.deepEqual(parse('--unfilter=.x=a=b'), { unfilter: ['.x=a=b'] });
});

test('options may follow paths, until --', (t) => {
  t.deepEqual(parse('/a', '-v', '/b', '--', '-n', '--', '--dest=x'), {
    verbose: ['yes'],
    paths: ['/a', '/b', '-n', '--', '--dest=x'],
  });
});

test('a dash alone is a path, and so are words that look like numbers', (t) => {
  t.deepEqual(parse('-', '007', '1e3', '0x10', ''), { paths: ['-', '007', '1e3', '0x10', ''] });
  t.deepEqual(parse('--scheme=007', '--exclude=1e3'), { scheme: ['007'], exclude: ['1e3'] });
});

test('a value is taken as it is: quotes, dashes, spaces, line ends', (t) => {
  for (const value of ['"q"', "'q'", '-x', ' a ', 'a\nb', '--', '[a]', 'a.b', '%41', '__proto__']) {
    t.deepEqual(parse(`--exclude=${value}`), { exclude: [value] });
    t.deepEqual(parse('--exclude', value), { exclude: [value] });
    t.deepEqual(parse('--', value), { paths: [value] });
  }
});

test('bytes that are not UTF-8 survive in values and paths', (t) => {
  const name = Buffer.from([0x61, 0xff, 0xfe, 0x0a, 0x80]);
  const option = Buffer.concat([Buffer.from('--exclude='), name]);
  t.deepEqual(parse(option, name), {
    exclude: ['a\xff\xfe\n\x80'],
    paths: ['a\xff\xfe\n\x80'],
  });
});

test('short switches may be joined', (t) => {
  t.deepEqual(parse('-vnx'), { verbose: ['yes'], 'dry-run': ['yes'], 'one-file-system': ['yes'] });
});

test('repeated options are kept in order', (t) => {
  t.deepEqual(parse('--exclude=a', '/p', '--exclude=b', '--scheme=x', '--scheme=y'), {
    exclude: ['a', 'b'],
    scheme: ['x', 'y'],
    paths: ['/p'],
  });
});

test('--dest and --store are one option', (t) => {
  t.deepEqual(parse('--dest=a', '--store=b'), { store: ['a', 'b'] });
});

test('some switches can be turned off', (t) => {
  t.deepEqual(parse('--no-progress'), { progress: ['no'] });
  t.deepEqual(parse('-x', '--no-one-file-system'), { 'one-file-system': ['yes', 'no'] });
  t.regex(refusal('--no-dry-run'), /unknown option --no-dry-run/);
});

test('the beginning of a long option is enough when only one begins so', (t) => {
  t.deepEqual(parse('--full'), { 'full-metadata': ['yes'] });
  t.deepEqual(parse('--seg=1M', '--des', '/d'), { 'segment-size': ['1M'], store: ['/d'] });
  t.deepEqual(parse('--exclude=a'), { exclude: ['a'] });
  t.regex(refusal('--exclude-=a'), /not clear: it may be --exclude-if-present, --exclude-caches/);
  t.regex(
    refusal('--fil=a'),
    /not clear.*--files-from, --files-from0, --filter, --filter-extension/,
  );
});

test('an unknown option names the nearest one', (t) => {
  t.regex(refusal('--exlude=x'), /unknown option --exlude; did you mean --exclude\?/);
  t.regex(refusal('--progess'), /did you mean --progress\?/);
  t.regex(refusal('--zzzzzz'), /unknown option --zzzzzz; "lbs backup --help"/);
  t.regex(refusal('-Z'), /unknown option -Z/);
  t.regex(refusal('-5'), /unknown option -5/);
  t.regex(refusal('--=x'), /unknown option --/);
  t.regex(refusal('--constructor'), /unknown option --constructor/);
});

test('a missing value and an unwanted one are refused, in the words that were used', (t) => {
  t.regex(refusal('/x', '--dest'), /--dest needs a value; write --dest=STORE/);
  t.regex(refusal('--dry-run=yes'), /--dry-run takes no value/);
  t.regex(refusal('--no-progress=1'), /--no-progress takes no value/);
});

test('each command has its own options, and a name means the same in all', (t) => {
  t.throws(() => parseFlags(RESTORE, bytes(['--reread'])), {
    message: /unknown option --reread/,
  });
  const kinds = new Map<string, string | undefined>();
  for (const command of COMMANDS) {
    const names = optionsOf(command).flatMap(({ name, also }) => [name, ...(also ?? [])]);
    t.is(new Set(names).size, names.length, command.name);
    for (const { name, value } of optionsOf(command)) {
      if (kinds.has(name)) t.is(kinds.get(name), value, name);
      kinds.set(name, value);
    }
  }
});

test('the command line wins over the environment, and that over the configuration', (t) => {
  const config = new Map([
    ['store', bytes(['/config'])],
    ['exclude', bytes(['a'])],
    ['one-file-system', bytes(['yes'])],
  ]);
  const values = (args: string[], env: Record<string, string>) =>
    new FlagValues(parseFlags(BACKUP, bytes(args)), config, env);
  t.is(values(['--dest=/line'], { LBS_STORE: '/env' }).text('store'), '/line');
  t.is(values([], { LBS_STORE: '/env' }).text('store'), '/env');
  t.is(values([], { LBS_STORE: '' }).text('store'), '/config');
  t.is(values([], {}).text('scheme'), undefined);
  t.deepEqual(values(['--exclude=b'], {}).texts('exclude'), ['a', 'b']);
  t.true(values([], {}).isOn('one-file-system'));
  t.false(values(['--no-one-file-system'], {}).isOn('one-file-system'));
  const bad = new FlagValues(
    parseFlags(BACKUP, [Buffer.concat([Buffer.from('--scheme='), Buffer.from([0xff])])]),
    config,
    {},
  );
  t.throws(() => bad.text('scheme'), { instanceOf: LbsError, message: /--scheme is not UTF-8/ });
});

test('arguments that are not text are found in the command line of the process', (t) => {
  const raw = Buffer.from('node\0main.js\0-v\0a\xff\0\0\xef\xbf\xbd\0', 'latin1');
  const given = ['-v', 'a\ufffd', '', '\ufffd'];
  const wanted = ['-v', 'a\xff', '', '\xef\xbf\xbd'];
  t.deepEqual(
    bytesOfArguments(given, raw).map((each) => each.toString('latin1')),
    wanted,
  );
  // Without them, or when something else is there, the text must do.
  t.deepEqual(bytesOfArguments(['a\ufffd'], Buffer.alloc(0)), bytes(['a\ufffd']));
  t.deepEqual(bytesOfArguments(['b', 'c'], Buffer.from('x\0y\0z\0')), bytes(['b', 'c']));
});

test('lists of paths end at their byte, and the last line may lack it', (t) => {
  t.deepEqual(splitPaths(Buffer.from('a\n\nb c\n d'), 0x0a).map(String), ['a', 'b c', ' d']);
  t.deepEqual(splitPaths(Buffer.from('a\nb\0c\0'), 0).map(String), ['a\nb', 'c']);
  t.deepEqual(splitPaths(Buffer.alloc(0), 0), []);
});
