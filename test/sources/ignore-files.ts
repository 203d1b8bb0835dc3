/** Ignore files: what their lines mean, by hand and beside git. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'ava';
import fc from '../helpers/fast-check.ts';
import { readRules } from '../../src/sources/filesystem/rule-files.ts';
import { FilesystemSource } from '../../src/sources/filesystem/scan.ts';
import { Selector } from '../../src/sources/filesystem/select.ts';
import { bytePath } from '../../src/std/byte-path.ts';
import { asByteText } from '../../src/std/byte-text.ts';
import { bytes, recorded, type Tree } from '../helpers/ruled-tree.ts';
import { tempDir } from '../helpers/temp-dir.ts';

/** gitignore(5), line by line: what is left of the tree. */
const IGNORED: readonly (readonly [string, Tree, readonly string[]])[] = [
  ['*.o\n!keep.o', { 'a.o': '', 'keep.o': '' }, ['keep.o']],
  ['!keep.o\n*.o', { 'a.o': '', 'keep.o': '' }, []],
  ['/a', { a: '', d: { a: '' } }, ['d', 'd/a']],
  ['d/a', { d: { a: '', b: '' }, e: { d: { a: '' } } }, ['d', 'd/b', 'e', 'e/d', 'e/d/a']],
  ['**/d/a', { d: { a: '', b: '' }, e: { d: { a: '' } } }, ['d', 'd/b', 'e', 'e/d']],
  ['a/**/b', { a: { b: '', c: { d: { b: '' } } } }, ['a', 'a/c', 'a/c/d']],
  ['d/**', { d: { a: '' } }, ['d']],
  ['d/*', { d: { a: { x: '' } } }, ['d']],
  ['d/\n!d/a', { d: { a: '' } }, []],
  ['d/*\n!d/a', { d: { a: '', b: '' } }, ['d', 'd/a']],
  ['x/', { x: { y: '' }, d: { x: '' } }, ['d', 'd/x']],
  ['\\#a\n#b\n\\!c', { '#a': '', '#b': '', '!c': '' }, ['#b']],
  ['a \nb\\ ', { a: '', 'a ': '', b: '', 'b ': '' }, ['a ', 'b']],
  ['[a-c]x\n[!a-y]y\n[]]\n[\\]]z', { ax: '', dx: '', ay: '', zy: '', ']': '', ']z': '' }, ['ay', 'dx']],
  ['[[:digit:][:upper:]]', { 1: '', A: '', a: '' }, ['a']],
  ['a\\*', { 'a*': '', ab: '' }, ['ab']],
  ['a**b', { ab: '', axb: '' }, []],
  ['a\r\nb\r\n', { a: '', b: '', c: '' }, ['c']],
]; // prettier-ignore

for (const [text, tree, wanted] of IGNORED) {
  test(`ignore lines ${JSON.stringify(text)}`, (t) => {
    const left = recorded({ ...tree, zz: text }, { ignoreFile: ['zz'] });
    t.deepEqual(
      left.filter((path) => path !== 'zz'),
      [...wanted],
    );
  });
}

test('a deeper ignore file beats those above it', (t) => {
  const tree: Tree = { i: '*.o\n!b.o', 'a.o': '', d: { i: '!a.o\nb.o', 'a.o': '', 'b.o': '' } };
  t.deepEqual(recorded(tree, { ignoreFile: ['i'] }), ['d', 'd/a.o', 'd/i', 'i']);
});

/** What git leaves of a tree whose ignore files are called `.gitignore`. */
function leftByGit(top: string, repository: string): string[] | undefined {
  const { status, stdout } = spawnSync(
    'git',
    [
      '-c',
      'core.ignorecase=false',
      'ls-files',
      '-z',
      '--others',
      '--exclude-per-directory=.gitignore',
    ],
    {
      cwd: top,
      encoding: 'latin1',
      env: { PATH: process.env['PATH'], GIT_DIR: repository, GIT_WORK_TREE: top },
    },
  );
  return status === 0
    ? stdout
        .split('\0')
        .filter((path) => path !== '')
        .sort()
    : undefined;
}

function leftByUs(top: string): string[] {
  const roots = [asByteText('.')];
  const source = new FilesystemSource({
    top: bytePath(top),
    selector: new Selector({
      named: { roots, relocate: () => asByteText('.') },
      excludes: [],
      includes: [],
      rules: readRules({ ignoreFiles: bytes(['.gitignore']) }),
    }),
    oneFileSystem: false,
    excludeIfPresent: [],
    excludeCaches: false,
    withoutOwnFiles: (_, names) => names,
    warn: () => undefined,
    note: () => undefined,
  });
  const left: string[] = [];
  for (const { status, text } of source.entries()) if (status.type === 'f') left.push(text);
  return left.sort();
}

// Lines without a pattern, which git passes over. And a**/: gitignore(5) says that these are regular
// asterisks, but git takes off the "a" first, and then finds a pattern that begins with **/.
const ODD = /^!?[/]{0,2}$|[^/!][*]{2,}[/]/;

test('ignore files mean what git understands by them', (t) => {
  const base = tempDir(t);
  if (spawnSync('git', ['init', '-q', join(base, 'git')]).status !== 0) {
    t.log('left out: git is not installed');
    t.pass();
    return;
  }
  const name = fc.constantFrom('a', 'b', 'ab', 'a.o', 'b.o', '-', ']', 'a b', 'b ');
  const path = fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'));
  const piece = fc.constantFrom(
    'a',
    'b',
    '.o',
    '*',
    '**',
    '?',
    '/',
    '/**/',
    '**/',
    '[ab]',
    '[!a]',
    '[]-]',
    '\\*',
    '\\ ',
    ' ',
  );
  const pattern = fc.tuple(fc.constantFrom('', '', '!', '/', '#'), fc.array(piece, { minLength: 1, maxLength: 4 }), fc.constantFrom('', '/')); // prettier-ignore
  const lines = fc.array(
    pattern.map((parts) => parts.flat().join('')),
    { maxLength: 4 },
  );
  const ignore = fc.record({ at: fc.constantFrom('', 'a/', 'b/', 'a/b/'), lines });
  let count = 0;
  fc.assert(
    fc.property(
      fc.array(path, { minLength: 3, maxLength: 12 }),
      fc.array(ignore, { maxLength: 3 }),
      (paths, ignores) => {
        const top = join(base, String(count++), 'tree');
        mkdirSync(top, { recursive: true });
        for (const [full, text] of [
          ...paths.map((each) => [join(top, each), ''] as const),
          ...ignores.map(
            ({ at, lines: each }) => [join(top, at, '.gitignore'), each.join('\n')] as const,
          ),
        ]) {
          try {
            mkdirSync(dirname(full), { recursive: true });
            writeFileSync(full, text);
          } catch {
            // A file is in the way of a directory, or the other way round.
          }
        }
        const isOdd = ignores.some(({ lines: each }) => each.some((line) => ODD.test(line.trim())));
        if (!isOdd) t.deepEqual(leftByUs(top), leftByGit(top, join(base, 'git', '.git')));
      },
    ),
    { numRuns: 100 },
  );
  t.true(count >= 100);
});
