/** Nothing outside of the target is ever touched, whatever a store or a target holds. */
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { fileStanza, makeHandmadeStore, plainStanza } from '../helpers/hostile-store.ts';
import { backupOptions, places } from '../helpers/places.ts';
import { lbs, lbsOk } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

test('a store made by hand can be restored', async (t) => {
  const at = places(t);
  const log =
    plainStanza('d', '.') +
    plainStanza('d', 'dir') +
    fileStanza({ name: 'dir/a%20b', content: 'hello' }, 0) +
    plainStanza('l', 'link', 'dir');
  makeHandmadeStore(at.store, ['hello'], log);
  await lbsOk(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  t.is(readFileSync(join(at.target, 'dir', 'a b'), 'utf8'), 'hello');
  t.true(lstatSync(join(at.target, 'link')).isSymbolicLink());
});

for (const name of [
  '../outside/evil',
  'dir/../../outside/evil',
  '..',
  'dir/..',
  'dir/../../evil',
  'a%00b',
]) {
  test(`an entry named "${name}" writes nothing outside, and is told of`, async (t) => {
    const at = places(t);
    const outside = join(at.base, 'outside');
    mkdirSync(outside);
    const log =
      plainStanza('d', '.') +
      plainStanza('d', 'dir') +
      fileStanza({ name: 'good', content: 'good' }, 0) +
      fileStanza({ name, content: 'evil' }, 1);
    makeHandmadeStore(at.store, ['good', 'evil'], log);
    const before = readdirSync(at.base);
    const run = await lbs(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
    t.true(run.code === 1 || run.code === 4, `${run.code} ${run.stderr}`);
    t.deepEqual(readdirSync(outside), []);
    t.deepEqual(
      readdirSync(at.base).filter((each) => !before.includes(each) && each !== 'target'),
      [],
    );
  });
}

test('an absolute name is restored below the target', async (t) => {
  const at = places(t);
  const evil = join(at.base, 'outside');
  const log = plainStanza('d', '.') + fileStanza({ name: evil, content: 'evil' }, 0);
  makeHandmadeStore(at.store, ['evil'], log);
  await lbs(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  t.false(existsSync(evil));
});

test('a file below a symlink of the same snapshot does not go through it', async (t) => {
  const at = places(t);
  const outside = join(at.base, 'outside');
  mkdirSync(outside);
  const log =
    plainStanza('d', '.') +
    plainStanza('l', 'way', outside) +
    fileStanza({ name: 'way/evil', content: 'evil' }, 0);
  makeHandmadeStore(at.store, ['evil'], log);
  const run = await lbs(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  t.not(run.code, null);
  t.deepEqual(readdirSync(outside), []);
});

test('a symlink in the target is not followed to write, to set modes or to remove', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { 'dir/file': 'mine', 'other/file': 'mine', plain: 'mine' });
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  const outside = join(at.base, 'outside');
  makeFiles(outside, { file: 'theirs', plain: 'theirs' });
  const before = readTree(outside);
  mkdirSync(at.target);
  symlinkSync(outside, join(at.target, 'dir'));
  symlinkSync('../outside', join(at.target, 'other'));
  symlinkSync(join(outside, 'plain'), join(at.target, 'plain'));
  const run = await lbs(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  t.true(run.code === 0 || run.code === 3, run.stderr);
  sameTree(t, before, readTree(outside), { ctimes: true });
  t.is(readFileSync(join(at.target, 'plain'), 'utf8'), 'mine');
  t.false(lstatSync(join(at.target, 'plain')).isSymbolicLink());
});

test('a target that is a symlink to a directory is that directory', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { 'dir/file': 'mine' });
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  const real = join(at.base, 'real');
  mkdirSync(real);
  symlinkSync(real, at.target);
  await lbsOk(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  t.is(readFileSync(join(real, 'dir', 'file'), 'utf8'), 'mine');
});

test('a full directory where a file belongs is told of and kept', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { plain: 'mine', good: 'mine' });
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  makeFiles(at.target, { 'plain/precious': 'theirs' });
  const run = await lbs(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  t.is(run.code, 3, run.stderr);
  t.true(run.stderr.includes('plain'), run.stderr);
  t.is(readFileSync(join(at.target, 'plain', 'precious'), 'utf8'), 'theirs');
  t.is(readFileSync(join(at.target, 'good'), 'utf8'), 'mine');
});

test('a file with other names outside of the target is replaced, not written through', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { file: 'new content' });
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  const outside = join(at.base, 'outside');
  writeFileSync(outside, 'theirs');
  mkdirSync(at.target);
  linkSync(outside, join(at.target, 'file'));
  await lbsOk(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  t.is(readFileSync(outside, 'utf8'), 'theirs');
  t.is(readFileSync(join(at.target, 'file'), 'utf8'), 'new content');
});
