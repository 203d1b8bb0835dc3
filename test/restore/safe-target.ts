/** Hostile names, links in the way, and a directory that is swapped for a link while we work. */
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { LbsError } from '../../src/errors.ts';
import { uriEscape } from '../../src/format/uri-escape.ts';
import * as libc from '../../src/posix/libc.ts';
import type { ReportEvent } from '../../src/report.ts';
import { restore } from '../../src/restore/restore.ts';
import { TargetDirectories, safePath } from '../../src/restore/safe-target.ts';
import { bytePath } from '../../src/std/byte-path.ts';
import { places, type Places } from '../helpers/places.ts';
import { StanzaStore } from '../helpers/stanza-store.ts';
import { tempDir } from '../helpers/temp-dir.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

async function bring(at: Places, onEvent: (event: ReportEvent) => void = () => undefined) {
  const told: string[] = [];
  const report = (event: ReportEvent) => {
    if (event.type === 'warning') told.push(`${event.warning.code} ${String(event.warning.path)}`);
    if (event.type === 'damage') told.push(`damage ${String(event.damage.path)}`);
    onEvent(event);
  };
  const summary = await restore({ store: at.store, snapshot: 'latest', target: at.target, report });
  return { summary, told: told.filter((line) => !line.startsWith('owner')) };
}

test('names that could leave the target are refused', (t) => {
  const refused = [
    '',
    '/',
    '/etc',
    'a//b',
    'a/',
    '..',
    '../a',
    'a/..',
    'a/../b',
    './a',
    'a/.',
    'a\0b',
  ];
  for (const name of refused) {
    const error = t.throws(
      () => safePath(Buffer.from(name), false),
      { instanceOf: LbsError },
      name,
    );
    t.is(error?.code, 'unsafe-path');
  }
  for (const name of ['a', '...', 'a/..b', '.a/b.', '-']) {
    t.is(String(safePath(Buffer.from(name), false)), name);
  }
  t.is(String(safePath(Buffer.from('.'), false)), '');
});

test('harmless oddities of other programs are straightened out', (t) => {
  const path = (name: string) => String(safePath(Buffer.from(name), true));
  t.is(path('./etc/x'), 'etc/x');
  t.is(path('etc//conf/'), 'etc/conf');
  t.is(path('./'), '');
  t.is(path('.x/..y'), '.x/..y');
  for (const name of ['../a', 'a/../b', '/a', 'a\0']) {
    t.throws(() => path(name), { instanceOf: LbsError });
  }
});

test('a symlink is never a directory, and handles stay good while others come and go', (t) => {
  const top = tempDir(t);
  mkdirSync(join(top, 'real', 'below'), { recursive: true });
  symlinkSync('real', join(top, 'link'));
  const open = libc.openAt(libc.AT_FDCWD, libc.cString(top), libc.O.RDONLY | libc.O.DIRECTORY);
  const directories = new TargetDirectories(open);
  t.throws(() => directories.directory(Buffer.from('link')));
  t.throws(() => directories.directory(Buffer.from('link/below')));
  for (let n = 0; n < 600; n++) {
    mkdirSync(join(top, `real/${n}`));
    directories.directory(Buffer.from(`real/${n}`));
  }
  const { fd } = directories.directory(Buffer.from('real/below'));
  libc.mkdirAt(fd, libc.cString('new'), 0o700);
  t.true(existsSync(join(top, 'real', 'below', 'new')));
  directories.close();
});

for (const name of [
  '../evil',
  '/evil',
  'd/../../evil',
  'd//evil',
  'd/./evil',
  'evil\0',
  'd/..',
  '',
]) {
  test(`"${uriEscape(Buffer.from(name))}" is damage of that entry, and the rest is restored`, async (t) => {
    const at = places(t);
    const store = new StanzaStore();
    store.add('.', 'd');
    store.add('d', 'd');
    store.file(name, [Buffer.from('evil')]);
    store.file('good', [Buffer.from('good')]);
    store.write(at.store);
    const before = readdirSync(at.base);
    const { summary } = await bring(at);
    t.is(summary.damaged, 1);
    t.is(readFileSync(join(at.target, 'good'), 'utf8'), 'good');
    t.deepEqual(readdirSync(at.target).sort(), ['d', 'good']);
    t.deepEqual(readdirSync(join(at.target, 'd')), []);
    t.deepEqual(readdirSync(at.base).sort(), [...before, 'target'].sort());
  });
}

function hostileLinks(): StanzaStore {
  const store = new StanzaStore();
  store.add('.', 'd');
  store.add('d', 'd', { mode: '0700' });
  store.file('d/f', [Buffer.from('mine')]);
  store.add('d/l', 'l', { target: 'x' });
  store.add('d/e', 'd');
  return store;
}

test('links where the snapshot has something else are replaced, not followed', async (t) => {
  const at = places(t);
  hostileLinks().write(at.store);
  const outside = join(at.base, 'outside');
  makeFiles(outside, { f: 'theirs', 'e/x': 'theirs', l: 'theirs' });
  mkdirSync(at.target);
  symlinkSync(outside, join(at.target, 'd'));
  const before = readTree(outside);
  const { summary, told } = await bring(at);
  t.deepEqual(told, []);
  t.is(summary.damaged, 0);
  sameTree(t, before, readTree(outside), { ctimes: true });
  t.true(lstatSync(join(at.target, 'd')).isDirectory());
  t.is(readFileSync(join(at.target, 'd', 'f'), 'utf8'), 'mine');
});

test('a link above an entry whose directory is not in the snapshot stays, and is told of', async (t) => {
  const at = places(t);
  const store = new StanzaStore();
  store.add('.', 'd');
  store.file('way/f', [Buffer.from('mine')]);
  store.file('good', [Buffer.from('good')]);
  store.write(at.store);
  const outside = join(at.base, 'outside');
  mkdirSync(outside);
  mkdirSync(at.target);
  symlinkSync(outside, join(at.target, 'way'));
  const { told } = await bring(at);
  t.deepEqual(told, ['in-the-way way/f']);
  t.deepEqual(readdirSync(outside), []);
  t.is(readFileSync(join(at.target, 'good'), 'utf8'), 'good');
});

test('a directory swapped for a link while the restore runs is not followed', async (t) => {
  const at = places(t);
  hostileLinks().write(at.store);
  const outside = join(at.base, 'outside');
  makeFiles(outside, { f: 'theirs' });
  const before = readTree(outside);
  let isSwapped = false;
  await bring(at, (event) => {
    if (event.type !== 'restored' || String(event.path) !== 'd' || isSwapped) return;
    isSwapped = true;
    renameSync(join(at.target, 'd'), join(at.target, 'moved'));
    symlinkSync(outside, join(at.target, 'd'));
  });
  t.true(isSwapped);
  sameTree(t, before, readTree(outside), { ctimes: true });
});

test('a full directory is kept, an empty one is replaced, other things give way', async (t) => {
  const at = places(t);
  const store = new StanzaStore();
  store.add('.', 'd');
  for (const name of ['full', 'empty', 'fifo']) store.file(name, [Buffer.from(name)]);
  store.file('none', []);
  for (const name of ['full-l', 'empty-l', 'file-l']) store.add(name, 'l', { target: 'x' });
  store.add('file-d', 'd');
  store.write(at.store);
  makeFiles(at.target, { 'full/x': '', 'full-l/x': '', 'file-l': 'old', 'file-d': 'old' });
  for (const name of ['empty', 'empty-l', 'none']) mkdirSync(join(at.target, name));
  libc.mknodAt(libc.AT_FDCWD, libc.cString(join(at.target, 'fifo')), 0o010600);
  const { told } = await bring(at);
  t.deepEqual(told.sort(), ['in-the-way full', 'in-the-way full-l']);
  const types = Object.fromEntries(
    [...readTree(at.target)].map(([path, { type }]) => [path, type]),
  );
  t.deepEqual(types, {
    ...{ '.': 'd', full: 'd', 'full/x': 'f', empty: 'f', fifo: 'f', none: 'f' },
    ...{ 'full-l': 'd', 'full-l/x': 'f', 'empty-l': 'l', 'file-l': 'l', 'file-d': 'd' },
  });
});

test('paths beyond every limit of the system', async (t) => {
  const at = places(t);
  const store = new StanzaStore();
  store.add('.', 'd');
  const deep: string[] = [];
  for (let depth = 0; depth < 400; depth++) {
    deep.push(`directory-${depth}`);
    store.add(deep.join('/'), 'd', { mode: '0750' });
  }
  const links = { inode: '1/1/1', links: '2' };
  store.file('a', [Buffer.from('content')], links);
  store.file([...deep, 'f'].join('/'), [Buffer.from('content')], links);
  store.add([...deep, 'l'].join('/'), 'l', { target: 'x' });
  store.write(at.store);
  const { told } = await bring(at);
  t.deepEqual(told, []);
  const tree = readTree(at.target);
  t.is(tree.get([...deep, 'f'].join('/'))?.sameAs, 'a');
  t.is(tree.get(deep.join('/'))?.mode, '0750');
  t.is(tree.size, 404);
  const { summary } = await bring(at);
  t.is(summary.filesUnchanged, 2);
  sameTree(t, tree, readTree(at.target), { ctimes: true });
});

async function refusal(t: ExecutionContext, at: Places, paths?: Buffer[]): Promise<LbsError> {
  const error = await t.throwsAsync(
    restore({
      ...{ store: at.store, snapshot: 'latest', target: at.target },
      ...(paths === undefined ? {} : { paths: paths.map((path) => bytePath(path)) }),
    }),
    { instanceOf: LbsError },
  );
  return error ?? new LbsError('internal', 'nothing was thrown');
}

test('a target that cannot be used is refused before anything is written', async (t) => {
  const at = places(t);
  const missing = await refusal(t, { ...at, target: join(at.base, 'no', 'such') });
  t.is(missing.code, 'snapshot-missing');
  hostileLinks().write(at.store);
  const orphan = await refusal(t, { ...at, target: join(at.base, 'no', 'such') });
  t.is(orphan.code, 'target-unusable');
  t.regex(orphan.message, /parent .* does not exist/);
  const file = join(mkdtempSync(join(at.base, 'd-')), 'file');
  writeFileSync(file, '');
  t.is((await refusal(t, { ...at, target: file })).code, 'target-unusable');
  t.is((await refusal(t, { ...at, target: join(file, 'below') })).code, 'target-unusable');
  const unknown = await refusal(t, at, [Buffer.from('d'), Buffer.from('/not/there/')]);
  t.is(unknown.code, 'source-missing');
  t.regex(unknown.message, /not\/there/);
  t.false(existsSync(at.target));
});

test('a restore that does not fit is refused before anything is written', async (t) => {
  const at = places(t);
  const store = new StanzaStore();
  store.add('.', 'd');
  const sizeBytes = 2 ** 52;
  store.add('huge', 'f', {
    ...{ data: `zero[${sizeBytes}]`, size: String(sizeBytes), sha256: '0'.repeat(64) },
  });
  store.write(at.store);
  const error = await refusal(t, at);
  t.is(error.code, 'no-space');
  t.regex(error.message, /4\.00 PiB .* needed, .* free/);
  t.false(existsSync(at.target));
});
