/** `lbs why`, word by word: a line for a person, an object for a program. */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { giveToOrdinaryUser, places } from '../helpers/places.ts';
import { jsonLines, lbsExits, lbsOk, ordinaryUserCanRun } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { mountTmpfs } from '../helpers/temp-dir.ts';

const TAG = 'Signature: 8a477f597d28d172789f06886806bc55\n';
const FILES = {
  'home/.lbsrules': '# What can be made again.\n\n- *.o\n- build/\n',
  'home/ann/.lbsrules': '+ keep.o \n',
  'home/ann/a.c': '',
  'home/ann/a.o': '',
  'home/ann/build/made': '',
  'home/ann/build/plan': '',
  'home/ann/keep.o ': '',
  'home/bob/.gitignore': 'x\n!y\n',
  'home/bob/x': '',
  'home/bob/y': '',
  'home/no/.nobackup': '',
  'home/no/x': '',
  'home/cache/CACHEDIR.TAG': TAG,
  'home/cache/x': '',
  'mnt/': '',
  other: '',
};

/** Makes the tree; a function that asks in it and gives the words after the path and a colon. */
function asker(t: ExecutionContext) {
  const at = places(t);
  makeFiles(at.tree, FILES);
  const say = async (...args: string[]) => {
    const { stdout, stderr } = await lbsOk(t, ['why', ...args], { cwd: at.tree });
    t.is(stderr, '');
    return stdout;
  };
  return { at, say };
}

test('why names what decided, with file and line', async (t) => {
  const { say } = asker(t);
  const rules = ['--dir-merge=.lbsrules', '--ignore-file=.gitignore', '--exclude=*.c'];
  const include = '--include=home/ann/build/plan';
  const cases: readonly (readonly [string, string])[] = [
    ['home', 'in the backup, because it is a ROOT'],
    ['home/ann', 'in the backup, because it lies below the ROOT home, and no rule leaves it out'],
    ['home/ann/a.c', 'not in the backup: --exclude=*.c'],
    ['home/ann/a.o', 'not in the backup: home/.lbsrules, line 3: - *.o'],
    ['home/ann/keep.o ', 'in the backup, because of home/ann/.lbsrules, line 1: + keep.o '],
    ['home/ann/build', 'in the backup, because something below it is; without its other contents'],
    [
      'home/ann/build/made',
      'not in the backup: home/ann/build is left out by home/.lbsrules, line 4: - build/',
    ],
    ['home/ann/build/plan', `in the backup, because of ${include}`],
    ['home/bob/x', 'not in the backup: home/bob/.gitignore, line 1: x'],
    ['home/bob/y', 'in the backup, because of home/bob/.gitignore, line 2: !y'],
    ['other', 'not in the backup: it does not lie below any ROOT'],
    ['.', 'in the backup, because the top always is'],
  ];
  for (const [path, words] of cases) {
    t.is(await say(...rules, include, path, 'home'), `${path}: ${words}\n`);
  }
});

test('why names what a place leaves out', async (t) => {
  const { at, say } = asker(t);
  const options = ['--exclude-if-present=.nobackup', '--exclude-caches'];
  t.is(await say(...options, 'home/no', 'home'), 'home/no: in the backup, because it lies below the ROOT home, and no rule leaves it out\n'); // prettier-ignore
  t.is(await say(...options, 'home/no/x', 'home'), 'home/no/x: not in the backup: what is in home/no is left out, since it holds .nobackup (--exclude-if-present)\n'); // prettier-ignore
  t.is(await say(...options, 'home/cache/x', 'home'), 'home/cache/x: not in the backup: what is in home/cache is left out, since it is tagged as a cache (--exclude-caches)\n'); // prettier-ignore
  t.is(await say(...options, 'home/cache/CACHEDIR.TAG', 'home'), 'home/cache/CACHEDIR.TAG: in the backup, because it lies below the ROOT home, and no rule leaves it out\n'); // prettier-ignore
  t.is(await say('/proc/self/stat', '/').then((line) => line.replace(/\d+/, 'N')), 'proc/N/stat: not in the backup: what is in proc is left out, since it is a file system of the kernel\n'); // prettier-ignore
  makeFiles(at.store, { 'lbs-localdb.sqlite': '', notes: '' });
  t.is(await say(`--dest=${at.store}`, join(at.store, 'lbs-localdb.sqlite'), at.base), `${at.store.slice(1)}/lbs-localdb.sqlite: not in the backup: it is a file of the backup itself\n`); // prettier-ignore
  t.regex(await say(`--dest=${at.store}`, join(at.store, 'notes'), at.base), /in the backup, because it lies/); // prettier-ignore
});

test('why tells of another file system', async (t) => {
  const { at, say } = asker(t);
  if (!mountTmpfs(join(at.tree, 'mnt'), 1 << 20)) return t.pass('no mounts here');
  makeFiles(at.tree, { 'mnt/x': '' });
  t.is(await say('-x', 'mnt/x', '.'), 'mnt/x: not in the backup: what is in mnt is left out, since it is another file system (--one-file-system)\n'); // prettier-ignore
  t.is(await say('-x', 'mnt/x'), 'mnt/x: not in the backup: what is in mnt is left out, since it is another file system (--one-file-system), unless a ROOT lies on it\n'); // prettier-ignore
  t.is(await say('-x', 'mnt', '.'), 'mnt: in the backup, because it lies below the ROOT ., and no rule leaves it out\n'); // prettier-ignore
});

test('why without a ROOT supposes one, and says so', async (t) => {
  const { at, say } = asker(t);
  const words =
    'in the backup, because no rule leaves it out, supposing that it lies below a ROOT\n';
  t.is(await say('home/ann/a.c'), `home/ann/a.c: ${words}`);
  t.is(await say(join(at.tree, 'other')), `${at.tree.slice(1)}/other: ${words}`);
  t.is(await say('--dir-merge=.lbsrules', 'home/ann/a.o'), 'home/ann/a.o: not in the backup: home/.lbsrules, line 3: - *.o\n'); // prettier-ignore
  const up = await lbsOk(t, ['why', '../other'], { cwd: join(at.tree, 'home') });
  t.is(up.stdout, `other: ${words}`);
});

test('why takes options and paths from where a backup takes them', async (t) => {
  const { at, say } = asker(t);
  const config = join(at.base, 'config');
  writeFileSync(config, 'exclude = *.o\ninclude = home/ann/a.o\n', { mode: 0o600 });
  t.is(await say(`--config=${config}`, 'home/ann/keep.o ', '.'), 'home/ann/keep.o : in the backup, because it lies below the ROOT ., and no rule leaves it out\n'); // prettier-ignore
  t.is(await say(`--config=${config}`, 'home/ann/a.o', '.'), 'home/ann/a.o: in the backup, because of include = home/ann/a.o in the configuration file\n'); // prettier-ignore
  makeFiles(at.tree, { 'b.o': '' });
  t.is(await say(`--config=${config}`, 'b.o', '.'), 'b.o: not in the backup: exclude = *.o in the configuration file\n'); // prettier-ignore
  const list = join(at.base, 'list');
  writeFileSync(list, 'home\0');
  t.is(await say(`--files-from0=${list}`, 'home'), 'home: in the backup, because it is a ROOT\n');
  t.is(await say(`--files-from0=${list}`, 'other'), 'other: not in the backup: it does not lie below any ROOT\n'); // prettier-ignore
});

test('why --include of a directory speaks of what is below it', async (t) => {
  const { say } = asker(t);
  const options = ['--exclude=/home/*', '--include=home/ann'];
  t.is(await say(...options, 'home/ann/a.c', 'home'), 'home/ann/a.c: in the backup, because --include=home/ann includes home/ann, and no rule leaves it out\n'); // prettier-ignore
  t.is(await say(...options, 'home/bob/x', 'home'), 'home/bob/x: not in the backup: home/bob is left out by --exclude=/home/*\n'); // prettier-ignore
});

test('why --json gives the parts', async (t) => {
  const { at } = asker(t);
  const ask = async (...args: (string | Buffer)[]) => {
    const run = await lbsOk(t, ['why', '--json', '--dir-merge=.lbsrules', ...args], {
      cwd: at.tree,
    });
    return jsonLines(run);
  };
  t.deepEqual(await ask('home/ann/build/made', 'home'), [
    {
      message_type: 'why',
      path: 'home/ann/build/made',
      included: false,
      reason: 'rule',
      message: 'not in the backup: home/ann/build is left out by home/.lbsrules, line 4: - build/',
      at: 'home/ann/build',
      rule: '- build/',
      file: 'home/.lbsrules',
      line: 4,
      root_supposed: false,
    },
  ]);
  t.deepEqual(await ask('other'), [
    {
      message_type: 'why',
      path: 'other',
      included: true,
      reason: 'named',
      message: 'in the backup, because no rule leaves it out, supposing that it lies below a ROOT',
      at: '.',
      root_supposed: true,
    },
  ]);
  const odd = Buffer.from('o\xffd', 'latin1');
  writeFileSync(Buffer.concat([Buffer.from(`${at.tree}/`), odd]), '');
  const [line] = await ask(odd, '.');
  t.is(line?.['path_escaped'], 'o%ffd');
});

test('why about names that could write to the terminal', async (t) => {
  const { at, say } = asker(t);
  makeFiles(at.tree, { '\u001b[31m': '', r: '- \u001b*\n' });
  t.is(await say('--dir-merge=r', '\u001b[31m', '.'), '\\x1b[31m: not in the backup: r, line 1: - \\x1b*\n'); // prettier-ignore
});

test('why follows links above a path as a backup does, and takes a link as one', async (t) => {
  const { at, say } = asker(t);
  symlinkSync('home/ann', join(at.tree, 'link'));
  t.is(await say('link/a.c', 'home'), 'home/ann/a.c: in the backup, because it lies below the ROOT home, and no rule leaves it out\n'); // prettier-ignore
  t.is(await say('link', '.'), 'link: in the backup, because it lies below the ROOT ., and no rule leaves it out\n'); // prettier-ignore
  t.is(await say('/proc/version', '.'), '/proc/version: not in the backup: it does not lie below any ROOT\n'); // prettier-ignore
});

test('why says what cannot be read', async (t) => {
  if (!ordinaryUserCanRun(t)) return;
  const at = places(t, 'ordinary');
  makeFiles(at.tree, { 'd/x': '', 'e/x': '' });
  giveToOrdinaryUser(at.tree);
  const socket = createServer().listen(join(at.tree, 'socket'));
  t.teardown(() => socket.close());
  const { chmodSync } = await import('node:fs');
  chmodSync(join(at.tree, 'd/x'), 0);
  const options = { cwd: at.tree, user: 'ordinary' } as const;
  const { stdout } = await lbsOk(t, ['why', 'd/x', '.'], options);
  t.regex(stdout, /^d\/x: not in the backup: it cannot be read: .*permission denied/i);
  const stored = await lbsOk(t, ['why', 'socket', '.'], options);
  t.regex(stored.stdout, /^socket: in the backup, /, 'it is recorded as what it is');
});

test('why warns of rule files that cannot be used, and answers', async (t) => {
  const { at } = asker(t);
  mkdirSync(join(at.tree, 'home/bob/.lbsrules'));
  const args = ['why', '--dir-merge=.lbsrules', 'home/bob/x', 'home'];
  const { stdout, stderr } = await lbsOk(t, args, { cwd: at.tree });
  t.regex(stdout, /^home\/bob\/x: in the backup/);
  t.is(stderr, 'lbs: warning: home/bob/.lbsrules: is not a regular file; nothing is left out because of it\n'); // prettier-ignore
});

test('why refuses what cannot be answered', async (t) => {
  const { at } = asker(t);
  const cases: readonly (readonly [number, RegExp, ...string[]])[] = [
    [2, /no path given/],
    [2, /no path given/, ''],
    [2, /cannot mix/, 'home', 'home', '/etc'],
    [2, /lies outside of the paths/, '--include=other', 'home', 'home'],
    [1, /cannot look at gone: .*\n {5}only of what is there/, 'gone', 'home'],
    [1, /cannot look at gone: /, 'gone'],
    [1, /cannot back up gone: /, 'home', 'gone'],
    [1, /there is no rule file nowhere/, '--rules=nowhere', 'home', 'home'],
    [2, /nothing\/slashes" is not the name/, '--exclude-if-present=nothing/slashes', 'home'],
    [10, /no store at/, '--dest=nowhere', 'home', 'home'],
  ];
  for (const [code, message, ...args] of cases) {
    const { stdout, stderr } = await lbsExits(t, code, ['why', ...args], { cwd: at.tree });
    t.regex(stderr, message);
    t.is(stdout, '');
  }
});
