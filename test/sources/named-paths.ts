/** From paths as a person writes them to a top directory and roots; in a process of its own,
 * because what a relative path means depends on the working directory. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { PROJECT } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { tempDir } from '../helpers/temp-dir.ts';

type Resolved = {
  readonly top: string;
  readonly roots: readonly string[];
  readonly notes: readonly string[];
  readonly rules: readonly string[];
  readonly code?: string;
  readonly message?: string;
};

const MODULES = {
  named: join(PROJECT, 'src', 'sources', 'filesystem', 'named-paths.ts'),
  bytes: join(PROJECT, 'src', 'std', 'byte-path.ts'),
};

function resolveIn(cwd: string, paths: readonly string[], rules: readonly string[] = []): Resolved {
  const script = `
    import { resolveNamedPaths } from ${JSON.stringify(MODULES.named)};
    import { bytePath } from ${JSON.stringify(MODULES.bytes)};
    const [paths, rules] = ${JSON.stringify([paths, rules])};
    try {
      const { top, roots, notes, relocate } = resolveNamedPaths(paths.map((path) => bytePath(path)));
      const placed = rules.map((rule) => relocate(bytePath(rule)));
      console.log(JSON.stringify({ top: String(top), roots, notes, rules: placed }));
    } catch ({ code, message }) {
      console.log(JSON.stringify({ code, message }));
    }`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    cwd,
    encoding: 'utf8',
  });
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout) as Resolved;
}

/** `BASE/tree` with some files and links; the working directory of most tests. */
function newTree(t: ExecutionContext): string {
  const tree = join(tempDir(t), 'tree');
  makeFiles(tree, { 'p/one': '', 'p/q/two': '', 'p/p/p': '', 'u/five': '', 'a.': '', '...': '' });
  symlinkSync('p', join(tree, 'link'));
  symlinkSync('absent', join(tree, 'dangling'));
  symlinkSync('p/q', join(tree, 'deep'));
  return tree;
}

test('however a path is written, it is the same root', (t) => {
  const tree = newTree(t);
  const cases: readonly (readonly [path: string, root: string])[] = [
    ['p', 'p'],
    ['./p', 'p'],
    ['p/', 'p'],
    ['p/.', 'p'],
    ['p//', 'p'],
    ['.//p/./', 'p'],
    ['p/../p', 'p'],
    ['p/q/..', 'p'],
    ['p/q/../', 'p'],
    ['p/one', 'p/one'],
    ['p/p/p', 'p/p/p'],
    ['p/p', 'p/p'],
    ['p/../u', 'u'],
    ['u/../p/q/two', 'p/q/two'],
    ['.', '.'],
    ['./', '.'],
    ['p/..', '.'],
    ['./.', '.'],
    ['a.', 'a.'],
    ['...', '...'],
    ['../tree/p', 'p'],
  ];
  // One process for all of them: the order of first naming is kept.
  const roots = cases.map(([, root]) => root);
  const inside = cases.slice(0, -1).map(([path]) => path);
  const all = resolveIn(tree, inside);
  t.is(all.top, tree);
  t.deepEqual(all.roots, [...new Set(roots)]);
  t.deepEqual(all.notes, []);
  for (const path of ['p/q/../', 'p/.', 'a.', './', 'p/p']) {
    const wanted = cases.find(([text]) => text === path)?.[1] ?? '';
    t.deepEqual(resolveIn(tree, [path]).roots, [wanted], path);
  }
});

test('".." moves the top up, for all paths', (t) => {
  const tree = newTree(t);
  const there = join(tree, 'p');
  const up = resolveIn(there, ['..'], ['one', './one', '../u', '/u', `${tree}/u`, '../../x']);
  t.is(up.top, tree);
  t.deepEqual(up.roots, ['.']);
  t.deepEqual(up.rules.slice(0, 5), ['p/one', 'p/one', 'u', 'u', 'u']);
  const mixed = resolveIn(there, ['one', '../u', 'q']);
  t.is(mixed.top, tree);
  t.deepEqual(mixed.roots, ['p/one', 'u', 'p/q']);
  const back = resolveIn(there, ['../p/one']);
  t.is(back.top, tree, 'the top does not depend on what lies where');
  t.deepEqual(back.roots, ['p/one']);
  const far = resolveIn(there, ['../..']);
  t.is(far.top, dirname(tree));
  const beyond = resolveIn(there, [`${'../'.repeat(50)}`]);
  t.is(beyond.top, '/');
  t.deepEqual(beyond.roots, ['.']);
});

test('absolute paths are below "/", and rules may leave out the slash', (t) => {
  const tree = newTree(t);
  const rules = [`${tree}/p`, `${tree.slice(1)}/p`, `${tree}/p/`, `${tree}/x/../p`, '/'];
  const found = resolveIn('/', [tree, `${tree}/p/`, `${tree}//p/q/../one`], rules);
  const inside = tree.slice(1);
  t.is(found.top, '/');
  t.deepEqual(found.roots, [inside, `${inside}/p`, `${inside}/p/one`]);
  t.deepEqual(found.rules, [`${inside}/p`, `${inside}/p`, `${inside}/p`, `${inside}/p`, '.']);
  t.deepEqual(resolveIn(tree, ['/']).roots, ['.']);
  t.deepEqual(resolveIn(tree, ['/..']).roots, ['.']);
});

test('in relative mode a rule with a slash in front is absolute, or from the top', (t) => {
  const tree = newTree(t);
  const rules = ['p', './p', '/p', `${tree}/p`, 'p/../u', '/p/q/', '*.o', '/p/*'];
  const found = resolveIn(tree, ['.'], rules);
  t.deepEqual(found.rules, ['p', 'p', 'p', 'p', 'u', 'p/q', '*.o', 'p/*']);
});

test('a path through a link is stored where it really is, with a note', (t) => {
  const tree = newTree(t);
  const through = resolveIn(tree, ['link/q/two']);
  t.deepEqual(through.roots, ['p/q/two']);
  t.is(through.notes.length, 1);
  t.regex(through.notes[0] ?? '', /link\/q\/two is reached through a symbolic link.*p\/q\/two/);
  t.deepEqual(resolveIn(tree, ['link/']).roots, ['p']);
  t.deepEqual(resolveIn(tree, ['link/.']).roots, ['p']);
  t.deepEqual(resolveIn(tree, ['link']).roots, ['link'], 'a link itself is stored as one');
  t.deepEqual(resolveIn(tree, ['link']).notes, []);
  t.deepEqual(resolveIn(tree, ['dangling']).roots, ['dangling']);
  // As the system has it: `deep/..` is the directory above where the link leads.
  t.deepEqual(resolveIn(tree, ['deep/..']).roots, ['p']);
  t.deepEqual(resolveIn(tree, ['deep/../one']).roots, ['p/one']);
});

test('a working directory that was reached through a link is meant where it is', (t) => {
  const tree = newTree(t);
  const found = resolveIn(join(tree, 'link'), ['one', 'q']);
  t.is(found.top, join(tree, 'p'));
  t.deepEqual(found.roots, ['one', 'q']);
});

test('a link that leads out of the top is refused with what to write instead', (t) => {
  const tree = newTree(t);
  const elsewhere = join(dirname(tree), 'elsewhere');
  mkdirSync(join(elsewhere, 'dir'), { recursive: true });
  symlinkSync(elsewhere, join(tree, 'out'));
  const found = resolveIn(tree, ['out/dir']);
  t.is(found.code, 'usage');
  t.true(found.message?.includes(join(elsewhere, 'dir')), found.message);
  t.deepEqual(resolveIn(tree, ['out']).roots, ['out']);
  const absolute = resolveIn(tree, [join(tree, 'out/dir')]);
  t.deepEqual(absolute.roots, [join(elsewhere, 'dir').slice(1)]);
});

const MISTAKES: readonly (readonly [what: string, paths: readonly string[], code: string, message: RegExp])[] = [
  ['no path at all', [], 'usage', /no path/],
  ['an empty path', ['p', ''], 'usage', /empty path/],
  ['relative and absolute paths mixed', ['p', '/tmp'], 'usage', /cannot mix .* p and \/tmp/],
  ['a path that is not there', ['p', 'absent'], 'source-missing', /absent/],
  ['a path below a file', ['p/one/x'], 'source-missing', /p\/one\/x/],
  ['a file written like a directory', ['p/one/'], 'source-missing', /p\/one\//],
  ['a dangling link with a slash', ['dangling/'], 'source-missing', /dangling/],
]; // prettier-ignore

for (const [what, paths, code, message] of MISTAKES) {
  test(`${what} is an error before anything is written`, (t) => {
    const found = resolveIn(newTree(t), paths);
    t.is(found.code, code);
    t.regex(found.message ?? '', message);
  });
}
