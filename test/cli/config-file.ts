/** The configuration file: what it may say, where it is looked for, and when it is not trusted. */
import { chmodSync, chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { findConfig, parseConfig, readConfig } from '../../src/cli/config-file.ts';
import type { Values } from '../../src/cli/flag-values.ts';
import { LbsError } from '../../src/errors.ts';
import { isRoot, ORDINARY_USER, tempDir } from '../helpers/temp-dir.ts';

function textsOf(values: Values): Record<string, string[]> {
  return Object.fromEntries(
    [...values].map(([key, items]) => [key, items.map((item) => item.toString('latin1'))]),
  );
}

const parse = (text: string) => textsOf(parseConfig(Buffer.from(text, 'latin1'), 'the/file'));

/** A configuration file in a directory of its own. */
function configFile(t: ExecutionContext, text: string, mode = 0o644): string {
  const file = join(tempDir(t), 'config');
  writeFileSync(file, text);
  chmodSync(file, mode);
  return file;
}

test('lines are keys and values, comments and nothing', (t) => {
  const text = [
    '# a comment',
    '   # another',
    '',
    'store = /mnt/backup',
    '  filter=bzip2 -c   ',
    'signature-filter = gpg --clearsign -u "a b" # not a comment',
    'exclude = /home/x/tmp',
    'exclude =\tcaf\xe9',
    'unfilter = .gpg=gpg --decrypt',
    'one-file-system = yes\r',
    'exclude-caches = false',
  ].join('\n');
  t.deepEqual(parse(text), {
    store: ['/mnt/backup'],
    filter: ['bzip2 -c'],
    'signature-filter': ['gpg --clearsign -u "a b" # not a comment'],
    exclude: ['/home/x/tmp', 'caf\xe9'],
    unfilter: ['.gpg=gpg --decrypt'],
    'one-file-system': ['yes'],
    'exclude-caches': ['no'],
  });
  t.deepEqual(parse(''), {});
  t.deepEqual(parse('dest = /x\nstore = /y'), { store: ['/x', '/y'] });
});

test('what cannot be meant is refused with file and line', (t) => {
  const refuses = (text: string, words: RegExp) => {
    const error = t.throws(() => parse(text), { instanceOf: LbsError, message: words });
    t.is(error?.code, 'config');
    return error?.hint ?? '';
  };
  t.regex(
    refuses('store = /x\nexlude = y\n', /the\/file, line 2: unknown key "exlude"/),
    /exclude/,
  );
  t.regex(refuses('verbose = yes', /line 1: unknown key "verbose"/), /known keys: store/);
  refuses('\n\nstore', /line 3: not a "key = value" line/);
  refuses('store =', /line 1: store has no value/);
  refuses('scheme = a\nscheme = b', /line 2: scheme is given twice/);
  refuses('one-file-system = maybe', /line 1: one-file-system is neither yes nor no/);
});

test('the file is the one asked for, else the first that there is', (t) => {
  t.deepEqual(findConfig('/a', { LBS_CONFIG: '/b' }), { files: ['/a'], isRequired: true });
  t.deepEqual(findConfig(undefined, { LBS_CONFIG: '/b' }), { files: ['/b'], isRequired: true });
  t.deepEqual(findConfig(undefined, { LBS_CONFIG: '', HOME: '/h' }).files, []);
  const xdg = { XDG_CONFIG_HOME: '/c', HOME: '/h' };
  t.deepEqual(findConfig(undefined, xdg).files, ['/c/lbs/config', '/etc/lbs.conf']);
  const relative = { XDG_CONFIG_HOME: 'c', HOME: '/h' };
  t.deepEqual(findConfig(undefined, relative).files, ['/h/.config/lbs/config', '/etc/lbs.conf']);
  t.deepEqual(findConfig(undefined, {}), { files: ['/etc/lbs.conf'], isRequired: false });
});

test('a file that was asked for must be there', (t) => {
  const absent = join(tempDir(t), 'absent');
  t.throws(() => readConfig(absent, {}), { instanceOf: LbsError, message: /no such config/ });
  t.throws(() => readConfig(tempDir(t), {}), { instanceOf: LbsError, message: /directory/ });
  t.deepEqual(textsOf(readConfig(undefined, { LBS_CONFIG: '' })), {});
  t.deepEqual(textsOf(readConfig('/dev/null', {})), {});
});

test('a file in the home directory is found', (t) => {
  const home = tempDir(t);
  mkdirSync(join(home, '.config', 'lbs'), { recursive: true });
  writeFileSync(join(home, '.config', 'lbs', 'config'), 'store = /s\n', { mode: 0o600 });
  t.deepEqual(textsOf(readConfig(undefined, { HOME: home })), { store: ['/s'] });
});

test('a file that others may write to is refused, because it names commands', (t) => {
  t.deepEqual(textsOf(readConfig(configFile(t, 'filter = cat\n'), {})), { filter: ['cat'] });
  for (const mode of [0o664, 0o646, 0o666]) {
    const file = configFile(t, 'filter = cat\n', mode);
    const error = t.throws(() => readConfig(file, {}), { instanceOf: LbsError });
    t.is(error?.code, 'config');
    t.true(error?.message.includes(file) && error.hint?.includes('chmod go-w'));
  }
});

test('a file of another user is refused', (t) => {
  const file = configFile(t, 'filter = cat\n');
  if (isRoot) {
    chownSync(file, ORDINARY_USER, ORDINARY_USER);
    t.throws(() => readConfig(file, {}), { instanceOf: LbsError, message: /another user/ });
  } else t.deepEqual(textsOf(readConfig(file, {})), { filter: ['cat'] });
});

test('a passphrase in a command that others may read is warned of', (t) => {
  const warnings = (text: string, mode: number) => {
    const said: string[] = [];
    readConfig(configFile(t, text, mode), {}, (words) => said.push(words));
    return said;
  };
  for (const line of [
    'filter = gpg --batch --symmetric --passphrase abc',
    'filter = gpg --symmetric --passphrase="abc"',
    'upload-script = rclone --password=abc',
    'filter = openssl enc -aes-256-ctr -pass pass:abc',
    'unfilter = .x=RCLONE_PASSWORD=abc rclone cat',
    'signature-filter = env AWS_SECRET_ACCESS_KEY=abc sign',
  ]) {
    const said = warnings(`${line}\n`, 0o644);
    t.is(said.length, 1, line);
    t.regex(
      said[0] ?? '',
      /others may read it, and [a-z-]+ seems to hold a passphrase.*chmod go-r/,
    );
    t.false(said[0]?.includes('abc'));
    t.deepEqual(warnings(`${line}\n`, 0o600), []);
    t.is(warnings(`${line}\n`, 0o640).length, 1);
  }
  for (const line of [
    'filter = gpg --encrypt -r me',
    'filter = gpg --symmetric --passphrase-file /etc/secret',
    'filter = gpg --symmetric --passphrase-fd 3 3</etc/secret',
    'filter = gpg --symmetric --passphrase "$SECRET"',
    'filter = openssl enc -pass file:/etc/secret',
    'filter = openssl enc -pass pass:$SECRET',
    'exclude = --password=abc',
  ])
    t.deepEqual(warnings(`${line}\n`, 0o644), [], line);
});

test('no message of a mistake has a value in it', (t) => {
  for (const text of [
    'passphrase = c4nary',
    'sign-passphrase = c4nary',
    'filter c4nary',
    '  --passphrase c4nary | x=y',
    'c4nary-is a part of a command that is longer = than a key',
    'one-file-system = c4nary',
    'filter = c4nary\nfilter = c4nary',
  ]) {
    const error = t.throws(() => parse(text), { instanceOf: LbsError, code: 'config' });
    t.notRegex(`${error?.message} ${error?.hint}`, /c4nary/, text);
    if (/^(?:sign-)?passphrase/.test(text)) t.regex(error?.hint ?? '', /LBS_SIGN_PASSPHRASE_FILE/);
  }
});
