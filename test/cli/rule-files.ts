/** Rule files and ignore files with a real tree and store: what is taken, and what is said of a file that cannot be used. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { backupOptions, giveToOrdinaryUser, places, type Places } from '../helpers/places.ts';
import {
  jsonLines,
  lbsExits,
  lbsOk,
  ordinaryUserCanRun,
  type Run,
  type RunOptions,
} from '../helpers/run-lbs.ts';
import { savedPaths } from '../helpers/saved-paths.ts';
import { makeFiles } from '../helpers/small-tree.ts';

/** Backs up in the tree with that exit code; what was saved, without the top. */
async function saved(
  t: ExecutionContext,
  at: Places,
  args: readonly (string | Buffer)[],
  options: RunOptions & { code?: number } = {},
): Promise<{ paths: string[]; run: Run }> {
  const { code = 0, ...rest } = options;
  const run = await lbsExits(t, code, [...backupOptions(at), ...args], { cwd: at.tree, ...rest });
  return { paths: (await savedPaths(t, at.store)).slice(1), run };
}

const FILES = {
  'home/.lbsrules': '# What can be made again.\n- *.o\n- build/\n',
  'home/ann/.lbsrules': '+ keep.o\n',
  'home/ann/a.c': 'c',
  'home/ann/a.o': 'o',
  'home/ann/build/made': 'b',
  'home/ann/keep.o': 'k',
  'home/bob/.gitignore': '/*\n!.gitignore\n!text\n',
  'home/bob/keep.o': 'k',
  'home/bob/text': 't',
  'home/bob/junk': 'j',
};
const RULED = ['home', 'home/.lbsrules', 'home/ann', 'home/ann/.lbsrules', 'home/ann/a.c', 'home/ann/keep.o', 'home/bob', 'home/bob/.gitignore', 'home/bob/junk', 'home/bob/text']; // prettier-ignore

test('rule files and ignore files in the tree say what is left out', async (t) => {
  const at = places(t);
  makeFiles(at.tree, FILES);
  t.deepEqual((await saved(t, at, ['--dir-merge=.lbsrules', 'home'])).paths, RULED);
  const both = ['--dir-merge=.lbsrules', '--ignore-file=.gitignore', 'home'];
  const wanted = RULED.filter((path) => path !== 'home/bob/junk');
  t.deepEqual((await saved(t, at, both)).paths, wanted);
});

test('without an option no file in the tree says anything', async (t) => {
  const at = places(t);
  makeFiles(at.tree, FILES);
  const all = Object.keys(FILES).concat('home', 'home/ann', 'home/ann/build', 'home/bob');
  t.deepEqual((await saved(t, at, ['home'])).paths, all.sort());
});

test('--rules are asked in order, merge other files, and ask for files in the tree', async (t) => {
  const at = places(t);
  makeFiles(at.tree, FILES);
  makeFiles(at.base, {
    'rules/main': '+ /home/ann/a.o\n. more/common\n: .lbsrules\n',
    'rules/more/common': '. same\n',
    'rules/more/same': '- junk\r\n',
    'rules/second': '- text\n',
  });
  const rules = [`--rules=${at.base}/rules/main`, `--rules=${at.base}/rules/second`];
  const wanted = [...RULED, 'home/ann/a.o'].filter((path) => !/junk|text/.test(path)).sort();
  t.deepEqual((await saved(t, at, [...rules, 'home'])).paths, wanted);
  const whole = `+ /home/ann/a.o\n. ${at.base}/rules/more/common\n: .lbsrules\n- text`;
  writeFileSync(join(at.base, 'whole'), whole);
  t.deepEqual((await saved(t, at, [`--rules=${at.base}/whole`, 'home'])).paths, wanted);
});

test('the configuration can name rules', async (t) => {
  const at = places(t);
  makeFiles(at.tree, FILES);
  makeFiles(at.base, { rules: '- junk\n- .lbsrules\n' });
  const config = join(at.base, 'config');
  const lines = ['dir-merge = .lbsrules', `rules = ${at.base}/rules`, 'ignore-file = .gitignore'];
  writeFileSync(config, lines.join('\n'), { mode: 0o600 });
  const wanted = RULED.filter((path) => !/junk|lbsrules/.test(path));
  t.deepEqual((await saved(t, at, [`--config=${config}`, 'home'])).paths, wanted);
});

test('a slash in front means the top of the snapshot, be paths absolute or relative', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { 'a/x': '1', 'b/a/x': '2' });
  makeFiles(at.base, { relative: '- /a/x\n', absolute: `- ${at.tree}/a/x\n` });
  const relative = [`--rules=${at.base}/relative`, '.'];
  t.deepEqual((await saved(t, at, relative)).paths, ['a', 'b', 'b/a', 'b/a/x']);
  const up = [`--rules=${at.base}/relative`, '..'];
  const { paths } = await saved(t, at, up, { cwd: join(at.tree, 'b') });
  t.deepEqual(paths, ['a', 'b', 'b/a', 'b/a/x']);
  const absolute = await saved(t, at, [`--rules=${at.base}/absolute`, at.tree]);
  const below = absolute.paths.filter((path) => `/${path}`.startsWith(`${at.tree}/`));
  t.deepEqual(
    below.map((path) => `/${path}`.slice(at.tree.length + 1)),
    ['a', 'b', 'b/a', 'b/a/x'],
  );
});

test('a mistake in --rules is an error with file and line, before anything is written', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { a: '1' });
  makeFiles(at.base, {
    bad: '- a\n\n*.o\n',
    outer: '# x\n. bad\n',
    lost: '. nowhere\n',
    self: '. self\n',
    dotted: '- ./a\n',
    binary: Buffer.from([0x2d, 0x20, 0x61, 0, 0x0a]),
  });
  const rule = 'is not a rule: it begins with none of "+ ", "- ", ": ", ". " and "#"';
  const wrong = [
    ['bad', `${at.base}/bad, line 3 ${rule}`],
    ['outer', `${at.base}/bad, line 3 ${rule}`],
    ['lost', `${at.base}/lost, line 1 cannot be done: there is no rule file ${at.base}/nowhere`],
    ['self', `${at.base}/self, line 1 merges more than 16 files: does one merge itself?`],
    ['dotted', `${at.base}/dotted, line 1 has ".", which no path in a snapshot has`],
    ['binary', `${at.base}/binary, line 1 has a NUL byte: is this a text file?`],
  ] as const;
  for (const [name, message] of wrong) {
    const args = [...backupOptions(at), `--rules=${at.base}/${name}`, '.'];
    const { stderr } = await lbsExits(t, 2, args, { cwd: at.tree });
    t.is(stderr, `lbs: ${message}\n     the rules are described in lbs-rules(5)\n`);
  }
  const missing = [...backupOptions(at), `--rules=${at.base}/nowhere`, '.'];
  const { stderr } = await lbsExits(t, 1, missing, { cwd: at.tree });
  t.is(stderr, `lbs: there is no rule file ${at.base}/nowhere\n`);
  t.deepEqual(readdirSync(at.store), []);
});

test('a mistake in a file of the tree is a warning, and that file leaves nothing out', async (t) => {
  const at = places(t);
  makeFiles(at.tree, {
    '.lbsrules': '- *.o\n- b\n',
    'd/.lbsrules': '*.c\n+ a.o\n- x\n',
    'd/a.o': '',
    'd/b.o': '',
    'd/x': '',
    'e/.lbsrules': '. more\n- y\n',
    'e/more': '- z\n',
    'e/y': '',
    'e/z': '',
    'f/.lbsrules': '. ../d/.lbsrules\n- y\n',
    'f/y': '',
  });
  const { paths, run } = await saved(t, at, ['--dir-merge=.lbsrules', '.'], { code: 3 });
  const kept = ['.lbsrules', 'd', 'd/.lbsrules', 'd/a.o', 'd/x', 'e', 'e/.lbsrules', 'e/more', 'f', 'f/.lbsrules', 'f/y']; // prettier-ignore
  t.deepEqual(paths, kept, 'a + of the file still keeps');
  const warnings = run.stderr.split('\n').filter((line) => line.includes('warning: '));
  t.deepEqual(warnings, [
    'lbs: warning: d/.lbsrules: line 1 is not a rule: it begins with none of "+ ", "- ", ": ", ". " and "#"; nothing is left out because of this file',
    'lbs: warning: f/.lbsrules: line 1 names a file elsewhere: only files beside it can be merged; nothing is left out because of this file',
  ]);
});

test('only five lines of a file are complained about one by one', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { r: 'bad\n'.repeat(1000), a: '' });
  const run = await lbsExits(t, 3, [...backupOptions(at), '--json', '--dir-merge=r', '.'], {
    cwd: at.tree,
  });
  const errors = jsonLines(run).filter((line) => line['message_type'] === 'error');
  t.deepEqual(
    errors.map(({ code, item }) => [code, item]),
    Array.from({ length: 6 }, () => ['unusable-rules', 'r']),
  );
  t.deepEqual(errors[5]?.['error'], { message: 'and 995 more lines that are no rules' });
});

test('what is no regular file, too large or no text is no rule file, and says so', async (t) => {
  const at = places(t);
  makeFiles(at.base, { secret: '- *\n' });
  makeFiles(at.tree, {
    'link/x': '',
    'fifo/x': '',
    'directory/x': '',
    'directory/r/': '',
    'large/x': '',
    'large/r': '- x\n'.repeat(2_500_000),
    'binary/x': '',
    'binary/r': Buffer.from([0x7f, 0x45, 0x4c, 0x46, 0, 1, 0x0a]),
    'merged/r': '. r2\n- y\n',
    'merged/y': '',
  });
  symlinkSync(join(at.base, 'secret'), join(at.tree, 'link/r'));
  symlinkSync(join(at.base, 'secret'), join(at.tree, 'merged/r2'));
  spawnSync('mkfifo', [join(at.tree, 'fifo/r')]);
  const { paths, run } = await saved(t, at, ['--dir-merge=r', '.'], { code: 3 });
  const all = ['binary', 'binary/r', 'binary/x', 'directory', 'directory/r', 'directory/x', 'fifo', 'fifo/r', 'fifo/x', 'large', 'large/r', 'large/x', 'link', 'link/r', 'link/x', 'merged', 'merged/r', 'merged/r2', 'merged/y']; // prettier-ignore
  t.deepEqual(paths, all);
  const warnings = run.stderr.split('\n').filter((line) => line.includes('warning: '));
  t.deepEqual(warnings, [
    'lbs: warning: binary/r: line 1 has a NUL byte: is this a text file?; nothing is left out because of this file',
    'lbs: warning: directory/r: is not a regular file; nothing is left out because of it',
    'lbs: warning: fifo/r: is not a regular file; nothing is left out because of it',
    'lbs: warning: large/r: is too large: the rules for one directory may take 256 KiB in all; nothing is left out because of it',
    'lbs: warning: link/r: is not a regular file; nothing is left out because of it',
    'lbs: warning: merged/r: line 1 is not a regular file; nothing is left out because of this file',
  ]);
});

test('the room for rules is for all files that hold in a directory, not for each', async (t) => {
  const at = places(t);
  const filler = `# ${'x'.repeat(60)}\n`;
  const lines = (count: number) => `- ${'n'.repeat(61)}\n`.repeat(count);
  makeFiles(at.tree, {
    r: `${filler.repeat(3000)}${lines(1000)}`,
    'd/r': `${lines(2900)}- x\n`,
    'd/e/r': `${lines(900)}- y\n`,
    'd/e/y': '',
    'd/x': '',
    'f/r': `${lines(2900)}- x\n`,
    'f/x': '',
  });
  const { paths, run } = await saved(t, at, ['--dir-merge=r', '.'], { code: 3 });
  t.deepEqual(paths, ['d', 'd/e', 'd/e/r', 'd/e/y', 'd/r', 'f', 'f/r', 'r'], 'd/x and f/x are out');
  t.is(run.stderr.match(/lbs: warning: /g)?.length, 1);
  t.regex(run.stderr, /warning: d\/e\/r: is too large/);
});

test('as many lines as there is room for do no harm', async (t) => {
  const at = places(t);
  makeFiles(at.tree, {
    'a/r': '. many\n',
    'a/many': 'x\n'.repeat(125_000),
    'b/r': ': r\n'.repeat(64_000),
    'b/c/r': '- y\n'.repeat(2_000),
    'b/c/y': '',
    'd/.gitignore': 'y\n'.repeat(125_000),
    'd/y': '',
  });
  const args = ['--dir-merge=r', '--ignore-file=.gitignore', '.'];
  const { paths, run } = await saved(t, at, args, { code: 3 });
  t.deepEqual(paths, ['a', 'a/many', 'a/r', 'b', 'b/c', 'b/c/r', 'b/c/y', 'b/r', 'd', 'd/.gitignore']); // prettier-ignore
  t.regex(run.stderr, /a\/many: and 124,?995 more lines/);
  t.regex(run.stderr, /b\/c\/r: is too large/, 'what asks for files takes room too');
});

test('a rule file that may not be read leaves nothing out', async (t) => {
  if (!ordinaryUserCanRun(t)) return;
  const at = places(t, 'ordinary');
  makeFiles(at.tree, { 'd/r': '- x\n', 'd/x': '' });
  giveToOrdinaryUser(at.tree);
  chmodSync(join(at.tree, 'd/r'), 0);
  const options = { code: 3, user: 'ordinary' } as const;
  const { paths, run } = await saved(t, at, ['--dir-merge=r', '.'], options);
  t.deepEqual(paths, ['d', 'd/x']);
  t.regex(run.stderr, /warning: d\/r: cannot be read: .*; nothing is left out because of it\n/);
});

test('names that are not text are matched as bytes', async (t) => {
  const at = places(t);
  const dir = Buffer.from(`${at.tree}/`);
  const name = Buffer.from([0x6e, 0xff]);
  for (const each of [name, Buffer.from([0x6e, 0xfe]), Buffer.from('new\nline')]) {
    writeFileSync(Buffer.concat([dir, each]), '');
  }
  const sub = Buffer.concat([dir, Buffer.from([0xff])]);
  mkdirSync(sub);
  const rules = Buffer.concat([Buffer.from('- '), name, Buffer.from('\n- new?line\n')]);
  writeFileSync(Buffer.concat([dir, Buffer.from('r')]), rules);
  writeFileSync(Buffer.concat([sub, Buffer.from('/r\xfe', 'latin1')]), '- /x\n');
  writeFileSync(Buffer.concat([sub, Buffer.from('/x')]), '');
  const merge = Buffer.from('--dir-merge=r\xfe', 'latin1');
  const { paths } = await saved(t, at, ['--dir-merge=r', merge, '.']);
  t.deepEqual(paths, ['n\xfe', 'r', '\xff', '\xff/r\xfe']);
});

test('a rule for directories only is asked before it is known what a name is', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { r: '+ *.d/\n- a.d\n- b\n', 'a.d/x': '', b: '' });
  t.deepEqual((await saved(t, at, ['--dir-merge=r', '.'])).paths, ['a.d', 'a.d/x', 'r']);
});

test('the files of the backup itself are left out whatever rules say', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { 'store/': '', r: '+ store\n+ *\n' });
  const inside = { ...at, store: join(at.tree, 'store'), localdb: join(at.tree, 'store') };
  const { paths } = await saved(t, inside, ['--dir-merge=r', '.']);
  t.deepEqual(paths, ['r', 'store']);
});

test('what rules leave out does not count as added', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { 'd/r': '- *.o\n', 'd/a': '1', 'd/old.o': '2' });
  await saved(t, at, ['.']);
  makeFiles(at.tree, { 'd/new.o': '3', 'd/new': '4', 'i/.gitignore': 'x\n', 'i/x': '', 'i/y': '' });
  writeFileSync(join(at.tree, 'd/old.o'), 'changed');
  makeFiles(at.base, { rules: '- i/y\n' });
  const rules = ['--dir-merge=r', '--ignore-file=.gitignore', `--rules=${at.base}/rules`];
  const args = ['diff', `--store=${at.store}`, ...rules, 'latest', '.'];
  const { stdout } = await lbsOk(t, args, { cwd: at.tree });
  const paths = stdout.split('\n').filter((line) => line !== '').map((line) => line.split(/\s+/).at(-1)); // prettier-ignore
  t.deepEqual(paths, ['.', 'd', 'd/new', 'd/old.o', 'i', 'i/.gitignore']);
  const without = await lbsOk(t, ['diff', `--store=${at.store}`, 'latest', '.'], { cwd: at.tree });
  t.regex(without.stdout, /d\/new\.o\n[^]*i\/x\n\+ i\/y\n/);
  const compared = ['compare', `--store=${at.store}`, ...rules, 'latest', '.'];
  t.false((await lbsExits(t, 3, compared, { cwd: at.tree })).stdout.includes('new.o'));
});

test('a comparison warns of rule files as a backup does', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { a: '1', r: 'bad\n' });
  await saved(t, at, ['.']);
  const args = ['compare', `--store=${at.store}`, '--dir-merge=r', 'latest', '.'];
  const { stderr } = await lbsExits(t, 3, args, { cwd: at.tree });
  t.regex(stderr, /warning: r: line 1 is not a rule/);
});

test('rules change neither the order of entries nor what a dry run says', async (t) => {
  const at = places(t);
  makeFiles(at.tree, FILES);
  const args = ['--dir-merge=.lbsrules', 'home'];
  const dry = await lbsOk(t, [...backupOptions(at), '-n', '--json', ...args], { cwd: at.tree });
  const { paths } = await saved(t, at, args);
  const summary = jsonLines(dry).at(-1);
  t.is(summary?.['entries'], paths.length + 1);
  t.is(readFileSync(join(at.tree, 'home/ann/a.o'), 'utf8'), 'o');
});
