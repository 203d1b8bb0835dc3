/** Every attribute comes back, in whatever order the system forces, and equal ones are not touched. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { xattrsField } from '../../src/format/entry.ts';
import { statusAt, toNs } from '../../src/posix/file-status.ts';
import * as libc from '../../src/posix/libc.ts';
import type { ReportEvent } from '../../src/report.ts';
import { restore } from '../../src/restore/restore.ts';
import { bytePath } from '../../src/std/byte-path.ts';
import '../helpers/on-disk.ts';
import { places, type Places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { StanzaStore } from '../helpers/stanza-store.ts';
import { isRoot } from '../helpers/temp-dir.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

const MIB = 1024 * 1024;
const asRoot = isRoot ? test : test.skip;

function warnings(events: readonly ReportEvent[]): string[] {
  return events.flatMap((event) =>
    event.type === 'warning' ? [`${event.warning.code} ${String(event.warning.path)}`] : [],
  );
}

async function bring(at: Places, store: StanzaStore, paths: string[] = []) {
  store.write(at.store);
  return again(at, paths);
}

async function again(at: Places, paths: string[] = []) {
  const events: ReportEvent[] = [];
  const summary = await restore({
    store: at.store,
    snapshot: 'latest',
    target: at.target,
    paths: paths.map((path) => bytePath(path)),
    report: (event) => void events.push(event),
  });
  return { summary, events, warnings: warnings(events) };
}

function ns(at: Places, path: string): bigint {
  return toNs(statusAt(libc.AT_FDCWD, libc.cString(join(at.target, path))).mtime);
}

/** Restores once more and compares everything, change times included. */
async function staysTheSame(t: ExecutionContext, at: Places): Promise<void> {
  const before = readTree(at.target);
  const { summary, events } = await again(at);
  sameTree(t, before, readTree(at.target), { ctimes: true });
  t.is(summary.filesUnchanged, summary.files);
  t.deepEqual(
    events.filter((event) => event.type === 'restored'),
    [],
  );
}

asRoot('owners, set-id bits and capabilities survive each other', async (t) => {
  const at = places(t);
  const store = new StanzaStore();
  const capability = Buffer.from('0100000200200000000000000000000000000000', 'hex');
  const xattrs = xattrsField([
    { name: Buffer.from('security.capability'), value: capability },
    { name: Buffer.from('user.x=y'), value: Buffer.from([0, 255, 61]) },
  ]);
  store.add('.', 'd', { mode: '0755' });
  const owner = { user: '12345', group: '54321' };
  store.file('able', [Buffer.from('#!')], { ...owner, xattrs, mode: '0755' });
  store.file('setid', [Buffer.from('#!')], { ...owner, mode: '06755' });
  store.add('dir', 'd', { ...owner, mode: '03570', xattrs: xattrsField([]) });
  const { warnings: told } = await bring(at, store);
  t.deepEqual(told, []);
  const able = libc.cString(join(at.target, 'able'));
  t.deepEqual(libc.getXattr(able, Buffer.from('security.capability')), capability);
  t.deepEqual(libc.getXattr(able, Buffer.from('user.x=y')), Buffer.from([0, 255, 61]));
  const setid = lstatSync(join(at.target, 'setid'));
  t.deepEqual([setid.mode & 0o7777, setid.uid, setid.gid], [0o6755, 12345, 54321]);
  t.is(lstatSync(join(at.target, 'dir')).mode & 0o7777, 0o3570);
  await staysTheSame(t, at);
});

asRoot('an attribute that differs is put right, and nothing else is touched', async (t) => {
  const at = places(t);
  const store = new StanzaStore();
  const xattrs = xattrsField([{ name: Buffer.from('user.a'), value: Buffer.from('1') }]);
  store.add('.', 'd');
  store.add('d', 'd', { mode: '0750' });
  store.file('d/f', [Buffer.from('content')], { mode: '04640', user: '7', group: '8', xattrs });
  store.file('d/g', [Buffer.from('other')], { mtime: '-1', mtime_ns: '999999999' });
  await bring(at, store);
  const wanted = readTree(at.target);
  const path = join(at.target, 'd', 'f');
  const inode = lstatSync(path).ino;
  chownSync(path, 1, 1);
  chmodSync(path, 0o600);
  libc.setXattr(libc.cString(path), Buffer.from('user.a'), Buffer.from('2'));
  libc.setXattr(libc.cString(path), Buffer.from('user.extra'), Buffer.from('2'));
  utimesSync(join(at.target, 'd'), 5, 5);
  const before = readTree(at.target).get('d/g');
  const { summary } = await again(at);
  sameTree(t, wanted, readTree(at.target));
  t.is(lstatSync(path).ino, inode, 'equal content is not written again');
  t.deepEqual(readTree(at.target).get('d/g'), before);
  t.is(summary.bytesWritten, 0);
  await staysTheSame(t, at);
});

test('times far away and their nanoseconds come back, of symlinks and directories too', async (t) => {
  const at = places(t);
  const store = new StanzaStore();
  const times: Record<string, bigint> = {
    before: -86400_123456789n,
    last: -1n,
    zero: 0n,
    after: 4299999999_000000001n,
    far: 13569465600_999999999n,
  };
  store.add('.', 'd');
  for (const [name, time] of Object.entries(times)) {
    const nanos = ((time % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
    const fields = {
      mtime: String((time - nanos) / 1_000_000_000n),
      ...(nanos === 0n ? {} : { mtime_ns: String(nanos) }),
    };
    store.add(`d-${name}`, 'd', fields);
    store.file(`d-${name}/f`, [Buffer.from(name)], fields);
    store.add(`d-${name}/l`, 'l', { ...fields, target: 'nowhere' });
    store.add(`d-${name}/p`, 'p', fields);
  }
  const { warnings: told } = await bring(at, store);
  t.deepEqual(
    told.filter((line) => !line.startsWith('owner')),
    [],
  );
  for (const [name, time] of Object.entries(times)) {
    for (const path of ['', '/f', '/l', '/p']) t.is(ns(at, `d-${name}${path}`), time, name + path);
  }
  await staysTheSame(t, at);
});

test('holes are holes again and stored zeros are not', async (t) => {
  const at = places(t);
  const store = new StanzaStore();
  const a = pseudoRandom('a', MIB);
  const b = pseudoRandom('b', 8192);
  store.add('.', 'd');
  store.file('mixed', [a, 2 * MIB, b, 3 * MIB - 8192], {
    holes: `${MIB}+${MIB}\n${3 * MIB + 8192}+${3 * MIB - 8192}`,
  });
  store.file('only-hole', [5 * MIB + 1], { holes: `0+${5 * MIB + 1}` });
  store.file('only-zeros', [MIB + 4096]);
  store.file('two', [b, 64 * 1024 - 8192, b, MIB], {
    holes: `8192+${64 * 1024 - 8192}\n${64 * 1024 + 8192}+${MIB}`,
  });
  store.file('empty', []);
  const { summary } = await bring(at, store);
  t.is(summary.damaged, 0);
  const tree = readTree(at.target);
  t.is(tree.get('mixed')?.holes, `${MIB}+${MIB} ${3 * MIB + 8192}+${3 * MIB - 8192}`);
  t.is(tree.get('only-hole')?.holes, `0+${5 * MIB + 1}`);
  t.is(tree.get('only-zeros')?.holes, '');
  t.is(tree.get('two')?.holes, `8192+${64 * 1024 - 8192} ${64 * 1024 + 8192}+${MIB}`);
  t.is(tree.get('empty')?.size, 0);
  await staysTheSame(t, at);
});

test('hard links are links of each kind, and a name alone is a file of its own', async (t) => {
  const at = places(t);
  const store = new StanzaStore();
  store.add('.', 'd');
  store.add('d', 'd');
  const group = (inode: string) => ({ inode, links: '2' });
  const content = Buffer.from('shared');
  store.file('a', [content], group('1/2/3'));
  store.file('d/b', [content], group('1/2/3'));
  store.add('l1', 'l', { ...group('1/2/4'), target: 'a' });
  store.add('d/l2', 'l', { ...group('1/2/4'), target: 'a' });
  store.add('p1', 'p', group('1/2/5'));
  store.add('d/p2', 'p', group('1/2/5'));
  await bring(at, store);
  const inode = (path: string) => lstatSync(join(at.target, path)).ino;
  t.is(inode('a'), inode('d/b'));
  t.is(inode('l1'), inode('d/l2'));
  t.is(inode('p1'), inode('d/p2'));
  await staysTheSame(t, at);
  const alone = { ...at, target: join(at.base, 'alone') };
  const { summary } = await again(alone, ['d/b']);
  t.is(summary.files, 1);
  t.is(readFileSync(join(alone.target, 'd', 'b'), 'utf8'), 'shared');
});

test('a file with names outside of the target is replaced even when only its mode differs', async (t) => {
  const at = places(t);
  const store = new StanzaStore();
  store.add('.', 'd');
  store.file('f', [Buffer.from('same')], { mode: '0600' });
  store.file('g', [Buffer.from('same')], { mode: '0600', links: '2', inode: '1/2/3' });
  mkdirSync(at.target);
  for (const name of ['f', 'g']) {
    writeFileSync(join(at.base, name), 'same', { mode: 0o644 });
    linkSync(join(at.base, name), join(at.target, name));
  }
  const before = ['f', 'g'].map((name) => readTree(at.base).get(name)?.mode);
  await bring(at, store);
  t.deepEqual(
    ['f', 'g'].map((name) => readTree(at.base).get(name)?.mode),
    before,
  );
  for (const name of ['f', 'g']) t.is(lstatSync(join(at.target, name)).mode & 0o777, 0o600);
});

test('an inherited access control list is taken off what is restored', async (t) => {
  const at = places(t);
  mkdirSync(at.target);
  const set = spawnSync('setfacl', ['-d', '-m', 'u:12345:rwx', at.target]);
  if (set.status !== 0) {
    t.pass('no setfacl, or no such lists here');
    return;
  }
  const store = new StanzaStore();
  store.add('d', 'd', { mode: '0755' });
  store.add('d/e', 'd', { mode: '0755' });
  store.file('d/f', [Buffer.from('content')], { mode: '0644' });
  store.file('g', [Buffer.from('content')], { mode: '0644' });
  store.file('unrecorded/h', [Buffer.from('content')], { mode: '0640' });
  store.add('p', 'p', { mode: '0644' });
  await bring(at, store);
  const tree = readTree(at.target);
  for (const path of ['d', 'd/e', 'd/f', 'g', 'p', 'unrecorded/h']) {
    t.is(tree.get(path)?.xattrs, '', path);
  }
  t.is(tree.get('unrecorded/h')?.mode, '0640');
});

test('read-only directories and files without any mode come back', async (t) => {
  const at = places(t);
  const store = new StanzaStore();
  store.add('.', 'd', { mode: '0555' });
  store.add('d', 'd', { mode: '0500' });
  store.add('d/e', 'd', { mode: '0' });
  store.file('d/e/f', [Buffer.from('one')], { mode: '0' });
  store.file('d/g', [Buffer.from('two')], { mode: '0400' });
  const { warnings: told } = await bring(at, store);
  t.deepEqual(told, []);
  const modes = (tree: ReturnType<typeof readTree>) =>
    [...tree].map(([path, { mode }]) => `${path} ${mode}`);
  const wanted = ['. 0555', 'd 0500', 'd/e 0000', 'd/e/f 0000', 'd/g 0400'];
  t.deepEqual(
    modes(readTree(at.target)),
    isRoot ? wanted : wanted.filter((line) => !/f/.test(line)),
  );
  if (isRoot) await staysTheSame(t, at);
});
