/**
 * Links that lead out of the target, and entries that contradict each other: the way of most
 * advisories against programs that unpack. Each store is restored twice, since the second restore
 * finds what the first has made.
 */
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
} from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { EnemyStore } from '../helpers/enemy-store.ts';
import { attacked, restoreAll, share, type Siege, siege } from '../helpers/siege.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { readTree } from '../helpers/tree-state.ts';

type Case = {
  readonly defect: string;
  readonly entries: (store: EnemyStore, at: Siege) => unknown;
  /** What lies in the target before the first restore. */
  readonly target?: (target: string, at: Siege) => void;
  /** What must hold of the target after each restore, beside that nothing outside was touched. */
  readonly holds?: (target: string, at: Siege) => boolean;
};

const CASES: readonly Case[] = [
  {
    defect: 'CVE-2015-8860 (node-tar): a symlink to outside, then a file through it',
    entries: (store, { outside }) => store.link('way', outside).file('way/new', 'evil'),
    holds: (target) => lstatSync(join(target, 'way')).isSymbolicLink(),
  },
  {
    defect: 'CVE-2021-32803 (node-tar): a directory, a symlink of its name, then a file in it',
    entries: (store, { outside }) =>
      store.directory('d').file('d/a', 'a').link('d', outside).file('d/new', 'evil'),
  },
  {
    defect: 'CVE-2021-37701 (node-tar): the same, of names that differ in case',
    entries: (store, { outside }) =>
      store.directory('FOO').link('foo', outside).file('FOO/new', 'x').file('foo/new', 'evil'),
  },
  {
    defect: 'CVE-2021-21300 (git): a directory and a symlink of one name in other letters',
    entries: (store, { outside }) =>
      store.directory('A').file('A/post-checkout', 'evil').link('a', join(outside, 'dir')),
  },
  {
    defect: 'CVE-2016-6321 (tar): a symlink to "..", then a name below it',
    entries: (store) => store.link('up', '../..').file('up/outside/file', 'evil'),
  },
  {
    defect: 'CVE-2025-59343 (tar-fs): a symlink to a symlink to outside',
    entries: (store, { outside }) =>
      store.link('one', outside).link('two', 'one').file('two/dir/file', 'evil'),
  },
  {
    defect: 'a symlink over a file of the same name, then the file again',
    entries: (store, { outside }) =>
      store.file('x', 'one').link('x', join(outside, 'file')).file('x', 'two'),
  },
  {
    defect: 'CVE-2026-23745 (node-tar): a hard link to an absolute name',
    entries: (store, { outside }) =>
      store.file(join(outside, 'file'), 'evil', store.hard).file('inside', 'evil', store.hard),
  },
  {
    defect: 'CVE-2026-24842 (node-tar): a hard link to a name with ".."',
    entries: (store) =>
      store.file('../../outside/file', 'theirs', store.hard).file('inside', 'theirs', store.hard),
    holds: (target) => lstatSync(join(target, 'inside')).nlink === 1,
  },
  {
    defect: 'CVE-2026-26960 (node-tar): a hard link through a chain of symlinks',
    entries: (store) =>
      store
        .directory('a')
        .directory('a/b')
        .directory('a/b/c')
        .link('a/b/c/up', '../..')
        .link('a/b/escape', 'c/up/../../..')
        .file('a/b/escape/outside/file', 'theirs', store.hard)
        .file('exfil', 'theirs', store.hard),
    // Its first name cannot be made, which is told, and then it has none.
    holds: (target) => !existsSync(join(target, 'exfil')),
  },
  {
    defect: 'CVE-2025-48387 (tar-fs): the first name of a hard link is a symlink',
    entries: (store, { outside }) =>
      store.link('first', join(outside, 'file'), store.hard).file('second', 'evil', store.hard),
    holds: (target) => readFileSync(join(target, 'second'), 'utf8') === 'evil',
  },
  {
    defect: 'CVE-2024-32021 (git): the first name of a hard link lies in the target as a link',
    entries: (store) => store.file('a', 'ours', store.hard).file('b', 'ours', store.hard),
    target: (target, { outside }) => symlinkSync(join(outside, 'file'), join(target, 'a')),
    holds: (target) => lstatSync(join(target, 'a')).isFile(),
  },
  {
    defect: 'a hard-link group of contradicting contents, modes and owners',
    entries: (store) =>
      store
        .file('a', 'one', { ...store.hard, mode: '0600' })
        .file('b', 'other', { ...store.hard, mode: '4777' })
        .file('c', '', { ...store.hard, links: '999999999' }),
  },
  {
    defect: 'a hard-link group of a directory, a fifo and a file',
    entries: (store) =>
      store
        .directory('d', store.hard)
        .entry('p', 'p', store.hard)
        .file('f', 'file', store.hard)
        .file('d/f', 'file', store.hard),
  },
  {
    defect: 'a hard-link group that names itself',
    entries: (store) => store.file('a', 'x', store.hard).file('a', 'x', store.hard),
  },
  {
    defect: 'a symlink that lies in the target where a directory is to be',
    entries: (store) => store.directory('dir').file('dir/file', 'evil').directory('dir/empty'),
    target: (target, { outside }) => symlinkSync(join(outside, 'dir'), join(target, 'dir')),
    holds: (target) => lstatSync(join(target, 'dir')).isDirectory(),
  },
  {
    defect: 'a symlink that lies in the target where a file is to be',
    entries: (store) => store.file('file', 'ours'),
    target: (target, { outside }) => symlinkSync(join(outside, 'file'), join(target, 'file')),
    holds: (target) => readFileSync(join(target, 'file'), 'utf8') === 'ours',
  },
  {
    defect: 'a hard link to outside that lies in the target, with other attributes in the store',
    entries: (store) => store.file('file', 'theirs', { mode: '4777', mtime: '77' }),
    target: (target, at) => {
      linkSync(join(at.outside, 'file'), join(target, 'file'));
    },
    holds: (target, { outside }) =>
      lstatSync(join(target, 'file')).ino !== lstatSync(join(outside, 'file')).ino,
  },
  {
    defect: 'a hard link to a fifo outside that lies in the target',
    entries: (store) => store.entry('fifo', 'p', { mode: '0666' }).file('fifo2', 'x'),
    target: (target, at) => {
      linkSync(join(at.outside, 'fifo'), join(target, 'fifo'));
      linkSync(join(at.outside, 'fifo'), join(target, 'fifo2'));
    },
  },
  {
    defect: 'a symlink that lies in the target deep below, in a directory that no entry describes',
    entries: (store) => store.file('x/y/z', 'evil'),
    target: (target, { outside }) => {
      mkdirSync(join(target, 'x'));
      symlinkSync(outside, join(target, 'x/y'));
    },
  },
  {
    defect: 'one path as a file, a directory with entries, a symlink and a fifo',
    entries: (store, { outside }) =>
      store
        .file('p', 'file')
        .directory('p')
        .file('p/file', 'below')
        .link('p', outside)
        .entry('p', 'p')
        .file('p/file', 'evil'),
  },
  {
    defect: 'a directory becomes a symlink after what is in it, at the end of the log',
    entries: (store, { outside }) =>
      store
        .directory('d')
        .file('d/file', 'x')
        .directory('d/dir', { mode: '0777' })
        .link('d', outside),
  },
  {
    defect: 'entries in the wrong order: what is below comes before what is above',
    entries: (store, { outside }) =>
      store
        .file('z/y/file', 'x')
        .directory('z/y', { mode: '0700' })
        .link('z', outside)
        .directory('z', { mode: '0711' }),
  },
  {
    defect: 'a symlink with no target, an empty one, and one of 10,000 bytes',
    entries: (store) =>
      store.entry('none', 'l').link('empty', '').link('long', 'x'.repeat(10_000)).file('g', 'g'),
    holds: (target) => readFileSync(join(target, 'g'), 'utf8') === 'g',
  },
  {
    defect: 'a symlink to itself, and a file below it',
    entries: (store) => store.link('loop', 'loop').file('loop/x', 'x'),
  },
  {
    defect: 'a symlink to /proc/self/root, and a file through it',
    entries: (store, { outside }) =>
      store.link('root', '/proc/self/root').file(`root${outside}/new`, 'evil'),
  },
  {
    defect: 'a name like that of our unfinished files',
    entries: (store, { outside }) =>
      store.link('.lbs-restore-x', join(outside, 'file')).file('.lbs-restore-x-1', 'evil'),
  },
];

test('nothing outside is touched through links, whatever is in the store and in the target', async (t) => {
  const at = siege(t);
  const store = new EnemyStore().directory('.');
  for (const [number, { entries, target }] of CASES.entries()) {
    entries(store.in(`case-${number}`), at);
    const place = join(at.target, `case-${number}`);
    if (target === undefined) continue;
    mkdirSync(place, { recursive: true });
    target(place, at);
  }
  store.write(at.store);
  share(at);
  for (const more of [[], ['--overwrite=always', '--delete'], ['--overwrite=if-newer']]) {
    await attacked(t, at, restoreAll(at, ...more));
    for (const [number, { defect, holds }] of CASES.entries()) {
      const place = join(at.target, `case-${number}`);
      t.true(holds?.(place, at) ?? true, `${defect}, ${more.join(' ')}`);
    }
  }
});

test('the top of a snapshot that is a symlink or a file costs that entry', async (t) => {
  const at = siege(t);
  const store = new EnemyStore().link('.', at.outside).file('.', 'x').file('file', 'ours');
  store.write(at.store);
  for (const more of [[], ['--delete']]) await attacked(t, at, restoreAll(at, ...more));
  t.is(readFileSync(join(at.target, 'file'), 'utf8'), 'ours');
});

test('two restores in sequence: the first makes a symlink, the second a file through it', async (t) => {
  const at = siege(t);
  const second = join(at.base, 'second');
  mkdirSync(second);
  new EnemyStore().directory('.').link('way', at.outside).write(at.store);
  new EnemyStore().file('way/file', 'evil').directory('way/dir', { mode: '0777' }).write(second);
  await attacked(t, at, restoreAll(at));
  for (const overwrite of ['always', 'never']) {
    const args = [`--store=${second}`, `--overwrite=${overwrite}`, 'latest', at.target];
    await attacked(t, at, ['restore', ...args]);
  }
});

test('--delete and --undo-dir touch nothing outside through what lies in the target', async (t) => {
  const at = siege(t);
  new EnemyStore().directory('.').directory('d').file('d/x', 'x').write(at.store);
  const undo = join(at.base, 'undo');
  makeFiles(at.target, { 'd/extra': 'theirs' });
  mkdirSync(undo);
  symlinkSync(at.outside, join(at.target, 'd/way'));
  symlinkSync(at.outside, join(at.target, 'way'));
  symlinkSync(at.outside, join(undo, 'd'));
  linkSync(join(at.outside, 'file'), join(at.target, 'd/hard'));
  share(at);
  await attacked(t, at, restoreAll(at, '--delete', `--undo-dir=${undo}`));
  t.deepEqual(readdirSync(at.target), ['d']);
  t.deepEqual(readdirSync(join(at.target, 'd')), ['x']);
  t.true(existsSync(join(at.outside, 'file')));
  t.true(readTree(undo).size > 3);
});

test('--original-place of a snapshot that says another place writes nothing before that is told', async (t) => {
  const at = siege(t);
  const store = new EnemyStore().directory('.').file('file', 'evil');
  // Relative, not there, a file, and a link: where it may not be, and where it is a mistake.
  for (const top of ['outside', join(at.outside, 'no/such'), join(at.outside, 'file'), '..']) {
    store.write(at.store, {
      descriptor: (text) => text.replace(/^Top: .*$/m, `Top: ${top}`),
    });
    const args = ['restore', `--store=${at.store}`, '--original-place', 'latest'];
    const run = await attacked(t, at, args);
    t.not(run.code, 0);
  }
});
