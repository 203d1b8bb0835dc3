/** Which entries a backup takes: named paths, exclude and include rules, and rules by place. */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { backupOptions, places, type Places } from '../helpers/places.ts';
import { lbsExits, lbsOk, type RunOptions } from '../helpers/run-lbs.ts';
import { savedPaths } from '../helpers/saved-paths.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { mountTmpfs } from '../helpers/temp-dir.ts';

const FILES = {
  top: '1',
  'p/one': '2',
  'p/q/two': '3',
  'p/q/r/three': '4',
  'p/s/four': '5',
  'u/five': '6',
};
const P = ['p', 'p/one', 'p/q', 'p/q/r', 'p/q/r/three', 'p/q/two', 'p/s', 'p/s/four'];
const U = ['u', 'u/five'];
const Q = ['p/q', 'p/q/r', 'p/q/r/three', 'p/q/two'];

/** Backs up in the tree; what was saved, without the top. */
async function saved(
  t: ExecutionContext,
  at: Places,
  args: readonly (string | Buffer)[],
  options: RunOptions = {},
): Promise<string[]> {
  await lbsOk(t, [...backupOptions(at), ...args], { cwd: at.tree, ...options });
  const paths = await savedPaths(t, at.store);
  t.is(paths[0], '.', 'the top is always recorded');
  return paths.slice(1);
}

/** Arguments as a shell would split them, and what they save of FILES. */
const CASES: readonly (readonly [args: string, paths: readonly string[]])[] = [
  ['.', [...P, 'top', ...U]],
  ['p', P],
  ['./p', P],
  ['p/', P],
  ['.//p/./', P],
  ['p u', [...P, ...U]],
  ['u p', [...P, ...U]],
  ['p p/q p', P],
  ['p/q', ['p', ...Q]],
  ['p/q/', ['p', ...Q]],
  ['p/one', ['p', 'p/one']],
  ['p/../u', U],
  ['--exclude=p .', ['top', ...U]],
  ['--exclude=./p .', ['top', ...U]],
  ['--exclude=/p .', ['top', ...U]],
  ['--exclude=p/ .', ['top', ...U]],
  ['--exclude=p . p/q', ['p', ...Q, 'top', ...U]],
  ['--exclude=p/q p p/q/r', ['p', 'p/one', 'p/q', 'p/q/r', 'p/q/r/three', 'p/s', 'p/s/four']],
  ['--exclude=p/q p/q', []],
  ['--exclude=. .', []],
  ['--exclude=. p', P],
  ['--exclude=four .', [...P, 'top', ...U]],
  ['--exclude=q .', [...P, 'top', ...U]],
  ['--exclude=p/s/ p', ['p', 'p/one', ...Q]],
  ['--exclude=p/q --exclude=p/s --exclude=u .', ['p', 'p/one', 'top']],
  // Wildcards: without a slash any last component; anchored; only directories; across slashes.
  ['--exclude=t* .', ['p', 'p/one', 'p/q', 'p/q/r', 'p/s', 'p/s/four', ...U]],
  ['--exclude=?ou[rx] .', ['p', 'p/one', ...Q, 'p/s', 'top', ...U]],
  ['--exclude=/p/* .', ['p', 'top', ...U]],
  ['--exclude=/p/** .', ['p', 'top', ...U]],
  ['--exclude=/*o* .', [...P, ...U]],
  ['--exclude=t*/ .', [...P, 'top', ...U]],
  ['--exclude=[qu]/ .', ['p', 'p/one', 'p/s', 'p/s/four', 'top']],
  ['--exclude=q/* .', ['p', 'p/one', 'p/q', 'p/s', 'p/s/four', 'top', ...U]],
  ['--exclude=/**/three .', ['p', 'p/one', 'p/q', 'p/q/r', 'p/q/two', 'p/s', 'p/s/four', 'top', ...U]],
  ['--exclude=/p/*/two .', ['p', 'p/one', 'p/q', 'p/q/r', 'p/q/r/three', 'p/s', 'p/s/four', 'top', ...U]],
  ['--exclude=* .', []],
  // --include brings back what lies below an excluded place, with the directories on the way.
  ['--exclude=p --include=p/q/r .', ['p', 'p/q', 'p/q/r', 'p/q/r/three', 'top', ...U]],
  ['--exclude=p --include=p/s p', ['p', 'p/s', 'p/s/four']],
  ['--exclude=p/q --include=p/q p', P],
  ['--exclude=t* --include=t?p .', ['p', 'p/one', 'p/q', 'p/q/r', 'p/s', 'p/s/four', 'top', ...U]],
  ['--exclude=* --include=/p/q .', ['p', 'p/q']],
  ['--exclude=/p/* --include=/p/q .', ['p', ...Q, 'top', ...U]],
]; // prettier-ignore

for (const [args, paths] of CASES) {
  test(`selection: ${args}`, async (t) => {
    const at = places(t);
    makeFiles(at.tree, FILES);
    t.deepEqual(await saved(t, at, args.split(' ')), [...paths]);
  });
}

test('".." moves the top of the snapshot up', async (t) => {
  const at = places(t);
  makeFiles(at.tree, FILES);
  t.deepEqual(await saved(t, at, ['..'], { cwd: join(at.tree, 'p') }), [...P, 'top', ...U]);
  t.deepEqual(await saved(t, at, ['../u'], { cwd: join(at.tree, 'p') }), U);
  const both = await saved(t, at, ['..', '--exclude=q'], { cwd: join(at.tree, 'p') });
  t.deepEqual(
    both,
    ['p', 'p/one', 'p/s', 'p/s/four', 'top', ...U],
    'a rule is relative as a path is',
  );
});

/** The directories above an absolute path as entries, outermost first. */
function ancestors(path: string): string[] {
  const parts = path.split('/').slice(1);
  return parts.map((_, at) => parts.slice(0, at + 1).join('/'));
}

test('absolute paths are recorded below the root, with the directories above them', async (t) => {
  const at = places(t);
  makeFiles(at.tree, FILES);
  const below = (paths: readonly string[]) => [
    ...ancestors(at.tree),
    ...paths.map((path) => `${at.tree.slice(1)}/${path}`),
  ];
  t.deepEqual(await saved(t, at, [at.tree]), below([...P, 'top', ...U]));
  t.deepEqual(await saved(t, at, [`${at.tree}/p/q/`]), below(['p', ...Q]));
  const exclude = `--exclude=${at.tree}/p`;
  t.deepEqual(await saved(t, at, [at.tree, exclude]), below(['top', ...U]));
  t.deepEqual(await saved(t, at, [at.tree, exclude.replace('=/', '=')]), below(['top', ...U]));
  t.deepEqual(await saved(t, at, [at.tree, `--exclude=${at.tree}/*`]), below([]));
  const include = [exclude, `--include=${at.tree}/p/s`];
  t.deepEqual(
    await saved(t, at, [at.tree, ...include]),
    below(['p', 'p/s', 'p/s/four', 'top', ...U]),
  );
});

test('"/" means the whole machine', async (t) => {
  const at = places(t);
  makeFiles(at.tree, FILES);
  const args = ['--exclude=/*', `--include=${at.tree}/u`, '/'];
  const wanted = [...ancestors(at.tree), `${at.tree}/u`.slice(1), `${at.tree}/u/five`.slice(1)];
  t.deepEqual(await saved(t, at, args), wanted);
});

test('kernel filesystems below a named path are recorded as empty directories', async (t) => {
  const at = places(t);
  const args = ['--exclude=/*', '--include=/proc', '--include=/sys', '/'];
  t.deepEqual(await saved(t, at, args), ['proc', 'sys']);
});

test('paths from a file join those of the command line', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { ...FILES, 'a b/c': '7', 'new\nline': '8' });
  const list = join(at.base, 'list');
  writeFileSync(list, 'p/q/\n\na b\nu/five');
  t.deepEqual(await saved(t, at, [`--files-from=${list}`, 'top']), [
    'a b',
    'a b/c',
    'p',
    ...Q,
    'top',
    ...U,
  ]);
  writeFileSync(list, 'new\nline\0u\0');
  t.deepEqual(await saved(t, at, [`--files-from0=${list}`]), ['new\nline', ...U]);
  t.deepEqual(await saved(t, at, ['--files-from=-'], { input: 'u\n' }), U);
  t.deepEqual(await saved(t, at, ['--files-from0=-'], { input: 'new\nline\0' }), ['new\nline']);
});

test('names that are not text can be named in every way', async (t) => {
  const at = places(t);
  const name = Buffer.from([0x6e, 0xff, 0xfe]);
  const other = Buffer.from([0x6e, 0xff, 0xfd]);
  const dir = Buffer.from(`${at.tree}/`);
  for (const each of [name, other]) writeFileSync(Buffer.concat([dir, each]), 'x');
  const shown = name.toString('latin1');
  t.deepEqual(await saved(t, at, [name]), [shown]);
  const exclude = Buffer.concat([Buffer.from('--exclude='), other]);
  t.deepEqual(await saved(t, at, [exclude, '.']), [shown]);
  const pattern = Buffer.concat([Buffer.from('--exclude=?'), other.subarray(1)]);
  t.deepEqual(await saved(t, at, [pattern, '.']), [shown]);
  t.deepEqual(await saved(t, at, ['--files-from=-'], { input: name }), [shown]);
  t.deepEqual(await saved(t, at, ['--files-from0=-'], { input: name }), [shown]);
});

test('names that look like options are paths after "--" or "./"', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { '-n': '1', '--dest=x': '2', list: '3' });
  t.deepEqual(await saved(t, at, ['--', '-n', '--dest=x']), ['--dest=x', '-n']);
  t.deepEqual(await saved(t, at, ['./-n']), ['-n']);
  t.deepEqual(await saved(t, at, ['./list']), ['list']);
});

test('a link that is named is stored as a link, and is not followed', async (t) => {
  const at = places(t);
  makeFiles(at.tree, FILES);
  symlinkSync('p', join(at.tree, 'link'));
  t.deepEqual(await saved(t, at, ['link']), ['link']);
  t.deepEqual(await saved(t, at, ['link/']), P, 'a slash at the end means the directory');
  t.deepEqual(await saved(t, at, ['link/q']), ['p', ...Q], 'stored where it really is');
});

test('--exclude-if-present records the directory and nothing in it', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { ...FILES, 'p/q/.nobackup': '', 'u/.nobackup/': '' });
  const wanted = ['p', 'p/one', 'p/q', 'p/s', 'p/s/four', 'top', 'u'];
  t.deepEqual(await saved(t, at, ['--exclude-if-present=.nobackup', '.']), wanted);
});

test('--exclude-caches keeps a cache directory and its tag only', async (t) => {
  const at = places(t);
  const tag = 'Signature: 8a477f597d28d172789f06886806bc55\n# comment\n';
  makeFiles(at.tree, { ...FILES, 'p/q/CACHEDIR.TAG': tag, 'u/CACHEDIR.TAG': 'not a tag' });
  const wanted = ['p', 'p/one', 'p/q', 'p/q/CACHEDIR.TAG', 'p/s', 'p/s/four', 'top', 'u', 'u/CACHEDIR.TAG', 'u/five']; // prettier-ignore
  t.deepEqual(await saved(t, at, ['--exclude-caches', '.']), wanted);
});

test('--one-file-system records a mount point and not what is mounted', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { ...FILES, 'mnt/': '' });
  if (!mountTmpfs(join(at.tree, 'mnt'), 1 << 20)) return t.pass('no mounts here');
  makeFiles(at.tree, { 'mnt/inside': 'x', 'mnt/dir/file': 'y' });
  t.deepEqual(await saved(t, at, ['--one-file-system', '.']), ['mnt', ...P, 'top', ...U]);
  t.deepEqual(await saved(t, at, ['-x', 'mnt', 'u']), [
    'mnt',
    'mnt/dir',
    'mnt/dir/file',
    'mnt/inside',
    ...U,
  ]);
  t.deepEqual(await saved(t, at, ['mnt']), ['mnt', 'mnt/dir', 'mnt/dir/file', 'mnt/inside']);
});

test('a store and a local database inside the tree are not backed up', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { ...FILES, 'store/': '', 'local/': '' });
  const inside = { ...at, store: join(at.tree, 'store'), localdb: join(at.tree, 'local') };
  const first = await saved(t, inside, ['.']);
  const second = await saved(t, inside, ['.']);
  const script = ['store/README.txt', 'store/restore.sh'];
  t.deepEqual(
    second.filter((path) => !script.includes(path)),
    first,
  );
  t.deepEqual(
    second.filter((path) => /^(store|local)\//.test(path)),
    script,
    "these are saved, since by their names they could be anybody's",
  );
  t.true(second.includes('u/five'));
  makeFiles(at.tree, { 'store/notes': 'mine', 'local/lbs.txt': 'mine' });
  const third = await saved(t, inside, ['.']);
  t.deepEqual(
    third.filter((path) => !second.includes(path)),
    ['local/lbs.txt', 'store/notes'],
    'what else lies there is saved like anything',
  );
});

test('an --include outside of the named paths is refused', async (t) => {
  const at = places(t);
  makeFiles(at.tree, FILES);
  const args = [...backupOptions(at), '--exclude=p/q', '--include=u', 'p'];
  const run = await lbsExits(t, 2, args, { cwd: at.tree });
  t.true(run.stderr.includes('--include=u'), run.stderr);
});

test('the order of entries is that of bytes, directory by directory', async (t) => {
  const at = places(t);
  const names = [
    'a',
    'a-dir',
    'a.b',
    'adir',
    '-n',
    '#x',
    ',x',
    '\u{10000}',
    '\uffee',
    'é',
    'Z',
    ' ',
  ];
  for (const name of names) mkdirSync(join(at.tree, name));
  for (const name of names) writeFileSync(join(at.tree, name, 'f'), name);
  const sorted = names.map((name) => Buffer.from(name)).sort(Buffer.compare);
  const wanted = sorted.flatMap((name) => [
    name.toString('latin1'),
    `${name.toString('latin1')}/f`,
  ]);
  t.deepEqual(await saved(t, at, ['.']), wanted);
});
