/** `--delete` and `--undo-dir`: what goes, what never does, and what is kept of it. */
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { Places } from '../helpers/places.ts';
import { lbs, lbsExits } from '../helpers/run-lbs.ts';
import { entryLines, restore, savedTree } from '../helpers/saved-tree.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { isRoot, mountTmpfs } from '../helpers/temp-dir.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

const contentOf = (at: Places, path: string) => readFileSync(join(at.target, path), 'utf8');

test('--delete makes the target equal to the snapshot, and a dry run lists exactly what goes', async (t) => {
  const at = await savedTree(t);
  await restore(t, at, 'latest', at.target);
  makeFiles(at.target, {
    'new/deep/file': 'x',
    'home/ann/letters/more': 'y',
    'home/bea/empty/inside': 'z',
  });
  rmSync(join(at.target, 'home/ann/link'));
  // A directory that is not empty is in the place of a link.
  makeFiles(at.target, { 'home/ann/link/in-the-way': 'w' });
  const before = readTree(at.target);
  const wanted = [
    'home/ann/letters/more [deleted]',
    'home/ann/link [deleted]',
    'home/ann/link/in-the-way [deleted]',
    'home/bea/empty/inside [deleted]',
    'new [deleted]',
    'new/deep [deleted]',
    'new/deep/file [deleted]',
  ];
  const dry = await restore(t, at, '--delete', '--dry-run', 'latest', at.target);
  t.deepEqual(entryLines(dry), wanted);
  t.regex(dry.stdout, /^To delete: +7 entries$/m);
  sameTree(t, before, readTree(at.target), { ctimes: true });
  const run = await restore(t, at, '--delete', '--verbose', 'latest', at.target);
  t.deepEqual(
    entryLines(run)
      .filter((line) => line.endsWith(']'))
      .sort(),
    wanted,
  );
  sameTree(t, readTree(at.tree), readTree(at.target));
});

test('--delete stays below the paths that are restored, and keeps what a rule leaves out', async (t) => {
  const at = await savedTree(t);
  await restore(t, at, 'latest', at.target);
  makeFiles(at.target, {
    outside: '1',
    'home/outside': '2',
    'home/ann/inside': '3',
    'home/ann/keep.tmp': '4',
    'home/ann/dir/keep.tmp': '5',
    'home/ann/dir/goes': '6',
  });
  const args = ['--delete', '--exclude=*.tmp', '--exclude=home/ann/.cache'];
  makeFiles(at.target, { 'home/ann/.cache/other': '7' });
  await restore(t, at, ...args, 'latest', at.target, 'home/ann');
  for (const path of ['outside', 'home/outside', 'home/ann/keep.tmp', 'home/ann/dir/keep.tmp']) {
    t.true(existsSync(join(at.target, path)), path);
  }
  t.true(existsSync(join(at.target, 'home/ann/.cache/other')));
  t.true(existsSync(join(at.target, 'home/ann/letters/b.tmp')));
  t.false(existsSync(join(at.target, 'home/ann/inside')));
  t.false(existsSync(join(at.target, 'home/ann/dir/goes')));
});

test('--delete never touches the store, a mount point or the undo directory', async (t) => {
  const at = await savedTree(t);
  const inside: Places = { ...at, target: at.base };
  const mounted = join(at.base, 'mounted');
  mkdirSync(mounted);
  const isMounted = mountTmpfs(mounted, 1 << 20);
  if (!isMounted) t.log('left out: this user cannot mount a tmpfs');
  else writeFileSync(join(mounted, 'file'), 'x');
  const undo = join(at.base, 'undo');
  makeFiles(undo, { earlier: 'kept' });
  rmSync(at.tree, { recursive: true });
  await restore(t, inside, '--delete', `--undo-dir=${undo}`, 'latest', at.base);
  t.deepEqual(
    readdirSync(at.base).sort(),
    ['home', 'localdb', ...(isMounted ? ['mounted'] : []), 'store', 'undo'].sort(),
  );
  t.true(existsSync(join(undo, 'earlier')));
  if (isMounted) t.true(existsSync(join(mounted, 'file')));
  t.true(existsSync(join(at.localdb, 'lbs-localdb.sqlite')));
  t.is((await lbs(t, ['verify', `--store=${at.store}`, '--data'])).code, 0);
});

test('--delete leaves a file system alone that is mounted where the snapshot has an empty directory', async (t) => {
  const at = await savedTree(t);
  await restore(t, at, 'latest', at.target);
  const place = join(at.target, 'home/bea/empty');
  if (!mountTmpfs(place, 1 << 20)) {
    t.log('left out: this user cannot mount a tmpfs');
    t.pass();
    return;
  }
  writeFileSync(join(place, 'file'), 'x');
  const run = await lbs(t, ['restore', `--store=${at.store}`, '--delete', 'latest', at.target]);
  t.true(existsSync(join(place, 'file')));
  t.regex(run.stderr, /nothing is deleted in home\/bea\/empty: a file system is mounted there/);
});

test('nothing is deleted when the metadata of the snapshot is damaged', async (t) => {
  const at = await savedTree(t);
  await restore(t, at, 'latest', at.target);
  makeFiles(at.target, { extra: 'x' });
  for (const name of readdirSync(at.store)) {
    const path = join(at.store, name);
    if (!name.endsWith('.tar.zst') || statSync(path).size > 100_000) continue;
    const bytes = readFileSync(path);
    bytes.fill(0xff, bytes.length >> 1);
    writeFileSync(path, bytes);
  }
  const args = ['restore', `--store=${at.store}`, '--delete', 'latest', at.target];
  const run = await lbsExits(t, 4, args);
  t.regex(run.stderr, /nothing is deleted: the snapshot is damaged/);
  t.true(existsSync(join(at.target, 'extra')));
});

test('--undo-dir keeps what was overwritten or deleted, earlier versions too', async (t) => {
  const at = await savedTree(t);
  const undo = join(at.base, 'undo');
  await restore(t, at, 'latest', at.target);
  for (const content of ['first\n', 'second\n']) {
    makeFiles(at.target, { 'home/ann/letters/a': content, 'gone/deep': content });
    await restore(t, at, '--delete', `--undo-dir=${undo}`, 'latest', at.target);
    sameTree(t, readTree(at.tree), readTree(at.target));
  }
  t.is(readFileSync(join(undo, 'home/ann/letters/a'), 'utf8'), 'first\n');
  t.is(readFileSync(join(undo, 'home/ann/letters/a.~1~'), 'utf8'), 'second\n');
  t.is(readFileSync(join(undo, 'gone/deep'), 'utf8'), 'first\n');
  t.is(readFileSync(join(undo, 'gone.~1~/deep'), 'utf8'), 'second\n');
  t.is(lstatSync(undo).mode & 0o777, 0o700);
});

test('--undo-dir keeps links, and files in the place of directories', async (t) => {
  const at = await savedTree(t);
  const undo = join(at.base, 'undo');
  await restore(t, at, 'latest', at.target);
  rmSync(join(at.target, 'home/ann/link'));
  symlinkSync('other', join(at.target, 'home/ann/link'));
  rmSync(join(at.target, 'home/bea/empty'), { recursive: true });
  writeFileSync(join(at.target, 'home/bea/empty'), 'a file');
  await restore(t, at, `--undo-dir=${undo}`, 'latest', at.target);
  t.true(lstatSync(join(undo, 'home/ann/link')).isSymbolicLink());
  t.is(readFileSync(join(undo, 'home/bea/empty'), 'utf8'), 'a file');
  sameTree(t, readTree(at.tree), readTree(at.target));
});

test('an undo directory on another file system is refused before anything is changed', async (t) => {
  const at = await savedTree(t);
  await restore(t, at, 'latest', at.target);
  makeFiles(at.target, { 'home/ann/one': 'changed' });
  const undo = join(at.base, 'mounted');
  mkdirSync(undo);
  if (!mountTmpfs(undo, 1 << 20)) {
    t.log('left out: this user cannot mount a tmpfs');
    t.pass();
    return;
  }
  const args = ['restore', `--store=${at.store}`, `--undo-dir=${undo}`, 'latest', at.target];
  const run = await lbsExits(t, 1, args);
  t.regex(run.stderr, /is on another file system than the target/);
  t.is(contentOf(at, 'home/ann/one'), 'changed');
});

test('what cannot be kept for undoing is not overwritten', async (t) => {
  const at = await savedTree(t);
  await restore(t, at, 'latest', at.target);
  const place = join(at.target, 'home/ann');
  if (!mountTmpfs(place, 1 << 20)) {
    t.log('left out: this user cannot mount a tmpfs');
    t.pass();
    return;
  }
  writeFileSync(join(place, 'one'), 'changed');
  const undo = `--undo-dir=${join(at.base, 'undo')}`;
  const run = await lbsExits(t, 3, ['restore', `--store=${at.store}`, undo, 'latest', at.target]);
  t.regex(run.stderr, /home\/ann\/one: it stays as it is, because it cannot be kept/);
  t.is(contentOf(at, 'home/ann/one'), 'changed');
});

test('an ordinary user can delete from a directory of his that is read-only', async (t) => {
  const at = await savedTree(t);
  await restore(t, at, 'latest', at.target);
  makeFiles(at.target, { 'home/bea/empty/inside': 'z' });
  chmodSync(join(at.target, 'home/bea/empty'), 0o555);
  if (isRoot) t.log('as root, who may write everywhere');
  await restore(t, at, '--delete', 'latest', at.target);
  sameTree(t, readTree(at.tree), readTree(at.target));
});

test('--delete keeps what the configuration leaves out of backups', async (t) => {
  const at = await savedTree(t);
  const config = join(at.base, 'config');
  const lines = [
    'exclude = *.iso',
    'exclude = home/ann/machines',
    'exclude-if-present = .nobackup',
    'exclude-if-present = .nosave',
    'exclude-caches = yes',
    'dir-merge = .lbsrules',
    'ignore-file = .gitignore',
  ];
  writeFileSync(config, lines.join('\n'), { mode: 0o600 });
  await restore(t, at, 'latest', at.target);
  makeFiles(at.target, {
    'home/ann/disk.iso': 'in no backup',
    'home/ann/machines/disk': 'nor this',
    'home/ann/other': 'goes',
    'home/ann/letters/.nobackup': '',
    'home/ann/letters/draft': 'restored here, but no more of it saved',
    'home/ann/job/cd/.nosave': '',
    'home/ann/job/cd/big': 'in no backup',
    'home/ann/job/goes': '',
    'home/ann/job/cache/CACHEDIR.TAG': 'Signature: 8a477f597d28d172789f06886806bc55\n',
    'home/ann/job/cache/entry': 'in no backup',
    // One in a restored directory, for what is in it and below; and one in a directory that is new.
    'home/ann/.gitignore': '*.o\n',
    'home/ann/main.o': 'in no backup',
    'home/ann/job/main.o': 'in no backup',
    'home/ann/new/.lbsrules': '- secret\n',
    'home/ann/new/secret': 'in no backup',
    'home/ann/new/goes': '',
  });
  await restore(t, at, '--delete', `--config=${config}`, 'latest', at.target);
  t.true(existsSync(join(at.target, 'home/ann/disk.iso')));
  t.true(existsSync(join(at.target, 'home/ann/machines/disk')));
  t.true(existsSync(join(at.target, 'home/ann/letters/draft')));
  t.true(existsSync(join(at.target, 'home/ann/job/cd/big')));
  t.false(existsSync(join(at.target, 'home/ann/job/goes')));
  const kept = ['main.o', 'job/main.o', 'new/secret', 'job/cache/entry'];
  for (const name of kept) t.true(existsSync(join(at.target, 'home/ann', name)), name);
  t.false(existsSync(join(at.target, 'home/ann/new/goes')));
  t.false(existsSync(join(at.target, 'home/ann/.gitignore')));
  t.false(existsSync(join(at.target, 'home/ann/other')));
});
