/** `--delete`, `--undo-dir` and `--overwrite` where the target, or who restores, is against them. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { type Places, backupOptions, giveToOrdinaryUser } from '../helpers/places.ts';
import { lbs, lbsExits, lbsOk, ordinaryUserCanRun } from '../helpers/run-lbs.ts';
import { entryLines, restore, savedTree } from '../helpers/saved-tree.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { ORDINARY_USER, isRoot } from '../helpers/temp-dir.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

/** Newer than what a tree has that was made just now, in whatever year that is. */
const NEW = new Date(Date.now() + 365 * 86_400_000);

const contentOf = (at: Places, path: string) => readFileSync(join(at.target, path), 'utf8');
const restoreArgs = (at: Places, ...args: string[]) => ['restore', `--store=${at.store}`, ...args];

test('--strip-components leaves nothing out for the name of something that is not restored', async (t) => {
  const at = await savedTree(t);
  makeFiles(at.tree, { 'home/bea/one': 'of bea\n', 'home/bea/letters/a': 'of bea\n' });
  chmodSync(join(at.tree, 'home/bea/letters'), 0o700);
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  await restore(t, at, '--strip-components=2', '--exclude=home/ann', 'latest', at.target);
  t.is(contentOf(at, 'one'), 'of bea\n');
  t.is(contentOf(at, 'letters/a'), 'of bea\n');
  const other = join(at.base, 'other');
  const args = ['--strip-components=2', '--delete', '--exclude=home/ann', 'latest', other];
  makeFiles(other, { 'letters/old': 'goes' });
  await restore(t, at, ...args);
  t.is(lstatSync(join(other, 'letters')).mode & 0o777, 0o700);
  t.deepEqual(readdirSync(join(other, 'letters')), ['a']);
});

test('--delete leaves alone what is mounted in the target, from the same file system too', async (t) => {
  const at = await savedTree(t);
  await restore(t, at, 'latest', at.target);
  makeFiles(at.base, { 'outside/file': 'x', single: 'y', 'undo/': '' });
  makeFiles(at.target, { 'extra/deep/place/': '', 'home/bea/empty/': '', 'home/ann/bound': '' });
  const bind = (from: string, to: string) =>
    spawnSync('mount', ['--bind', join(at.base, from), join(at.target, to)]).status === 0;
  if (!isRoot || !bind('outside', 'extra/deep/place')) {
    t.log('left out: this user cannot mount');
    t.pass();
    return;
  }
  bind('outside', 'home/bea/empty');
  bind('single', 'home/ann/bound');
  for (const undo of [[], [`--undo-dir=${join(at.base, 'undo')}`]]) {
    await restore(t, at, '--delete', ...undo, 'latest', at.target);
    t.is(readFileSync(join(at.base, 'outside/file'), 'utf8'), 'x');
    t.true(existsSync(join(at.target, 'extra/deep/place/file')));
    t.true(existsSync(join(at.target, 'home/ann/bound')));
  }
});

test('--delete deletes nothing below the undo directory, whatever the snapshot has there', async (t) => {
  const at = await savedTree(t);
  makeFiles(at.tree, { 'undo/home/ann/x': 'x' });
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  makeFiles(at.target, { 'undo/home/ann/earlier': 'kept', extra: 'goes' });
  const undo = `--undo-dir=${join(at.target, 'undo')}`;
  for (const paths of [[], ['undo/home']]) {
    await restore(t, at, '--delete', undo, 'latest', at.target, ...paths);
    t.is(contentOf(at, 'undo/home/ann/earlier'), 'kept');
  }
  t.is(contentOf(at, 'undo/extra'), 'goes');
});

test('--delete deletes nothing beside what was backed up', async (t) => {
  const at = await savedTree(t);
  const ann = join(at.tree, 'home/ann').slice(1);
  const extra = ['beside', join(ann, '../bea/file'), join(ann, 'goes')];
  const spoilt = (target: string) => {
    makeFiles(target, Object.fromEntries(extra.map((path) => [path, 'x'])));
    return () => extra.map((path) => existsSync(join(target, path)));
  };
  await lbsOk(t, [...backupOptions(at), join(at.tree, 'home/ann')]);
  for (const paths of [[], ['/'], [ann]]) {
    const areThere = spoilt(at.target);
    await restore(t, at, '--delete', 'latest', at.target, ...paths);
    t.deepEqual(areThere(), [true, true, false]);
  }
  for (const name of readdirSync(at.store).filter((each) => each.endsWith('.lbs'))) {
    const path = join(at.store, name);
    writeFileSync(path, readFileSync(path, 'utf8').replace(/^Paths: .*\n/m, ''));
  }
  const areThere = spoilt(at.target);
  const run = await lbsExits(t, 2, restoreArgs(at, '--delete', 'latest', at.target));
  t.regex(run.stderr, /--delete needs to be told in which paths/);
  t.deepEqual(areThere(), [true, true, true]);
  await restore(t, at, '--delete', 'latest', at.target, ann);
  t.deepEqual(areThere(), [true, true, false]);
  await restore(t, at, '--delete', 'latest', at.target, '/');
  t.deepEqual(areThere(), [false, false, false]);
});

test('--delete keeps a symlink that leads to the store', async (t) => {
  const at = await savedTree(t);
  makeFiles(at.target, { extra: 'goes' });
  symlinkSync(at.base, join(at.target, 'way'));
  const store = `--store=${join(at.target, 'way/store')}`;
  await lbsOk(t, ['restore', store, '--delete', 'latest', at.target]);
  t.deepEqual(readdirSync(at.target).sort(), ['home', 'way']);
});

test('a target in the store is refused, and so is an undo directory there', async (t) => {
  const at = await savedTree(t);
  const before = readdirSync(at.store);
  mkdirSync(join(at.store, 'there'));
  for (const target of [at.store, join(at.store, 'there'), join(at.store, 'new')]) {
    const run = await lbsExits(t, 1, restoreArgs(at, '--delete', 'latest', target));
    t.regex(run.stderr, /is in the store/);
  }
  const undo = `--undo-dir=${join(at.store, 'there/undo')}`;
  const run = await lbsExits(t, 1, restoreArgs(at, undo, 'latest', at.target));
  t.regex(run.stderr, /--undo-dir=.* is in the store/);
  t.deepEqual(readdirSync(at.store).sort(), [...before, 'there'].sort());
  t.deepEqual(readdirSync(join(at.store, 'there')), []);
  t.false(existsSync(at.target));
});

test('an undo directory that is the target, or holds it, is refused', async (t) => {
  const at = await savedTree(t);
  for (const undo of [at.base, at.target, at.tree, join(at.tree, '../tree/')]) {
    const target = undo === at.base || undo === at.target ? at.target : join(at.tree, 'home');
    const args = ['--dry-run', `--undo-dir=${undo}`, 'latest', target];
    const run = await lbsExits(t, 1, restoreArgs(at, ...args));
    t.regex(run.stderr, /cannot use --undo-dir=.*: the target is in it/);
  }
  t.false(existsSync(at.target));
});

test('an unusable undo directory is refused by a dry run too, and before the target is made', async (t) => {
  const at = await savedTree(t);
  writeFileSync(join(at.base, 'file'), '');
  for (const undo of ['missing/undo', 'file', 'file/undo']) {
    for (const dry of [['--dry-run'], []]) {
      const args = [...dry, `--undo-dir=${join(at.base, undo)}`, 'latest', at.target];
      await lbsExits(t, 1, restoreArgs(at, ...args));
      t.false(existsSync(at.target));
      t.false(existsSync(join(at.base, 'missing')));
    }
  }
});

test('an undo directory may be made in a directory that is not in the snapshot', async (t) => {
  const at = await savedTree(t);
  makeFiles(at.target, { 'extra/deep/file': 'x', 'extra/deep/other/file': 'y' });
  const args = ['--delete', `--undo-dir=${join(at.target, 'extra/deep/undo')}`];
  const deleted = ['file', 'other', 'other/file'].map((name) => `extra/deep/${name} [deleted]`);
  const dry = await restore(t, at, '--dry-run', ...args, 'latest', at.target);
  t.deepEqual(entryLines(dry), deleted);
  const run = await restore(t, at, '-v', ...args, 'latest', at.target);
  t.deepEqual(
    entryLines(run).filter((line) => line.endsWith(']')),
    deleted,
  );
  t.is(contentOf(at, 'extra/deep/undo/extra/deep/other/file'), 'y');
});

test('all that is moved to the undo directory is told of, whatever its names are', async (t) => {
  const at = await savedTree(t);
  makeFiles(at.target, { 'gone/deep/file': 'x', 'gone.x/file': 'y', 'gone y': 'z' });
  const args = ['--delete', `--undo-dir=${join(at.base, 'undo')}`, 'latest', at.target];
  const dry = await restore(t, at, '--dry-run', ...args);
  const run = await restore(t, at, '-v', ...args);
  t.is(entryLines(dry).length, 6);
  t.deepEqual(
    entryLines(run).filter((line) => line.endsWith(']')),
    entryLines(dry),
  );
});

test('an undo directory holds files and links where a directory has to be kept', async (t) => {
  const at = await savedTree(t);
  await restore(t, at, 'latest', at.target);
  const undo = join(at.base, 'undo');
  makeFiles(undo, { home: 'an earlier file' });
  symlinkSync(at.base, join(undo, 'extra'));
  makeFiles(at.target, { 'home/ann/letters/a': 'changed', 'extra/file': 'x' });
  writeFileSync(join(at.target, 'home/ann/.cache/more'), 'y');
  await restore(t, at, '--delete', `--undo-dir=${undo}`, 'latest', at.target);
  t.is(readFileSync(join(undo, 'home'), 'utf8'), 'an earlier file');
  t.is(readFileSync(join(undo, 'home.~1~/ann/letters/a'), 'utf8'), 'changed');
  t.is(readFileSync(join(undo, 'home.~1~/ann/.cache/more'), 'utf8'), 'y');
  t.is(readFileSync(join(undo, 'extra.~1~/file'), 'utf8'), 'x');
  sameTree(t, readTree(at.tree), readTree(at.target));
});

test('--overwrite=if-newer keeps a newer file in the place of a directory on the way', async (t) => {
  const at = await savedTree(t);
  makeFiles(at.target, { home: 'newer' });
  utimesSync(join(at.target, 'home'), NEW, NEW);
  for (const paths of [[], ['home/ann/letters']]) {
    const args = ['-v', '--overwrite=if-newer', 'latest', at.target, ...paths];
    const dry = await lbsExits(t, 3, restoreArgs(at, '--dry-run', ...args));
    const run = await lbsExits(t, 3, restoreArgs(at, ...args));
    t.is(contentOf(at, 'home'), 'newer');
    t.deepEqual(dry.stderr.split('\n').sort(), run.stderr.split('\n').sort());
  }
});

test('--overwrite=never leaves the attributes of the target itself as they are', async (t) => {
  const at = await savedTree(t);
  mkdirSync(at.target);
  chmodSync(at.target, 0o711);
  for (const dry of [['--dry-run'], []]) {
    await restore(t, at, ...dry, '--overwrite=never', 'latest', at.target);
    t.is(statSync(at.target).mode & 0o777, 0o711);
  }
});

test('a dry run tells what is in the way, as the restore does', async (t) => {
  const at = await savedTree(t);
  makeFiles(at.target, { 'home/ann/one/inside': 'x', 'home/ann/link/inside.tmp': 'y' });
  for (const rules of [[], ['--delete', '--exclude=*.tmp']]) {
    const args = ['-v', ...rules, 'latest', at.target];
    const dry = await lbsExits(t, 3, restoreArgs(at, '--dry-run', ...args));
    t.regex(dry.stderr, /home\/ann\/link: a directory that is not empty is in its place/);
    const run = await lbsExits(t, 3, restoreArgs(at, ...args));
    t.deepEqual(dry.stderr.split('\n').sort(), run.stderr.split('\n').sort());
    const planned = entryLines(dry).filter((line) => !line.includes('[to fetch'));
    t.deepEqual(planned.sort(), entryLines(run).sort());
  }
});

test('--delete removes a directory that is in the place of a file asked for by name', async (t) => {
  const at = await savedTree(t);
  makeFiles(at.target, { 'home/ann/one/inside': 'x', 'home/ann/other': 'stays' });
  const args = ['--delete', 'latest', at.target, 'home/ann/one'];
  const dry = await restore(t, at, '--dry-run', ...args);
  t.deepEqual(entryLines(dry), ['home/ann/one [deleted]', 'home/ann/one/inside [deleted]']);
  await restore(t, at, ...args);
  t.is(contentOf(at, 'home/ann/one'), 'one\n');
  t.is(contentOf(at, 'home/ann/other'), 'stays');
});

/** Restores as an ordinary user into a target of his. */
async function restoredForOrdinaryUser(t: Parameters<typeof savedTree>[0]): Promise<Places> {
  const at = await savedTree(t);
  if (isRoot) chownSync(at.base, ORDINARY_USER, ORDINARY_USER);
  giveToOrdinaryUser(at.tree);
  giveToOrdinaryUser(at.store);
  giveToOrdinaryUser(at.localdb);
  const options = { cwd: at.tree, user: 'ordinary' } as const;
  await lbsOk(t, [...backupOptions(at), '.'], options);
  await lbsOk(t, restoreArgs(at, 'latest', at.target), { user: 'ordinary' });
  return at;
}

test('an ordinary user keeps in the undo directory what was in read-only directories', async (t) => {
  if (!ordinaryUserCanRun(t)) return;
  const at = await restoredForOrdinaryUser(t);
  const closed = ['home/ann/letters', 'home/bea/empty', 'home/bea/more', 'home/bea'];
  makeFiles(at.target, { 'home/ann/letters/a': 'changed', 'home/bea/more/file': 'x' });
  rmSync(join(at.target, 'home/bea/empty'), { recursive: true });
  makeFiles(at.target, { 'home/bea/empty': 'a file' });
  giveToOrdinaryUser(at.target);
  for (const path of closed) chmodSync(join(at.target, path), 0o555);
  const undo = join(at.base, 'undo');
  const args = restoreArgs(at, '--delete', `--undo-dir=${undo}`, 'latest', at.target);
  await lbsOk(t, args, { user: 'ordinary' });
  sameTree(t, readTree(at.tree), readTree(at.target));
  t.is(readFileSync(join(undo, 'home/ann/letters/a'), 'utf8'), 'changed');
  t.is(readFileSync(join(undo, 'home/bea/more/file'), 'utf8'), 'x');
  t.is(readFileSync(join(undo, 'home/bea/empty'), 'utf8'), 'a file');
  t.is(statSync(join(undo, 'home/bea/more')).mode & 0o777, 0o555);
});

test('a directory that an ordinary user cannot list is neither deleted nor moved', async (t) => {
  if (!ordinaryUserCanRun(t)) return;
  const at = await restoredForOrdinaryUser(t);
  makeFiles(at.target, { 'extra/closed/saved.tmp': 'x' });
  giveToOrdinaryUser(at.target);
  chmodSync(join(at.target, 'extra/closed'), 0o300);
  const undo = `--undo-dir=${join(at.base, 'undo')}`;
  const args = restoreArgs(at, '--delete', '--exclude=*.tmp', undo, 'latest', at.target);
  const run = await lbsExits(t, 3, args, { user: 'ordinary' });
  t.regex(run.stderr, /extra\/closed: nothing is deleted in it/);
  t.is(contentOf(at, 'extra/closed/saved.tmp'), 'x');
});

test('--overwrite=if-newer and never keep what is in directories that are closed to us', async (t) => {
  if (!ordinaryUserCanRun(t)) return;
  const at = await restoredForOrdinaryUser(t);
  for (const overwrite of ['if-newer', 'never']) {
    makeFiles(at.target, { 'home/ann/letters/a': 'newer' });
    utimesSync(join(at.target, 'home/ann/letters/a'), NEW, NEW);
    giveToOrdinaryUser(at.target);
    chmodSync(join(at.target, 'home/ann/letters'), 0);
    const args = restoreArgs(at, `--overwrite=${overwrite}`, 'latest', at.target);
    const run = await lbs(t, args, { user: 'ordinary' });
    t.is(contentOf(at, 'home/ann/letters/a'), 'newer', run.stderr);
    t.is(run.code, 3);
  }
});
