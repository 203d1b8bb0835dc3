/** What changes around a tree without changing it: device numbers, mounts, account names. */
import { spawnSync } from 'node:child_process';
import { linkSync, lstatSync, mkdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { backupOptions, clockAhead, places, type Places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { jsonLines, jsonMessage, lbsOk, type RunOptions } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { isRoot } from '../helpers/temp-dir.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

type Told = { readonly bytesRead: number; readonly added: number; readonly all: number };

async function backupLater(
  t: ExecutionContext,
  at: Places,
  aheadS: number,
  options: RunOptions = {},
): Promise<Told> {
  const run = await lbsOk(t, ['--json', ...backupOptions(at), '.'], {
    cwd: at.tree,
    ...options,
    env: clockAhead(aheadS),
  });
  const summary = jsonMessage(run, 'summary');
  return {
    bytesRead: Number(summary['bytes_read']),
    added: Number(summary['content_added']),
    all: Number(summary['data_added']),
  };
}

async function checkLatest(t: ExecutionContext, at: Places): Promise<void> {
  await lbsOk(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  sameTree(t, readTree(at.tree), readTree(at.target));
}

function run(command: string, ...args: readonly string[]): boolean {
  return spawnSync(command, args).status === 0;
}

/** Mounts a filesystem image through whichever loop device is free. */
function mountImage(image: string, place: string): boolean {
  return isRoot && run('mount', '-o', 'loop', image, place);
}

test('hard links stay together when their device gets another number', async (t) => {
  const at = places(t);
  const image = join(at.base, 'image');
  writeFileSync(image, '');
  truncateSync(image, 8 << 20);
  if (!isRoot || !run('mkfs.ext4', '-q', image) || !mountImage(image, at.tree)) {
    return t.pass('no loop mounts here');
  }
  makeFiles(at.tree, { 'a/one': pseudoRandom('one', 9000), 'b/two': 'two' });
  linkSync(join(at.tree, 'a/one'), join(at.tree, 'b/link'));
  await backupLater(t, at, 1000);
  const before = lstatSync(at.tree).dev;
  // Copied while frozen: unmounting need not write it out, because another test's mount namespace
  // may hold it a while.
  t.true(run('fsfreeze', '--freeze', at.tree));
  const written = readFileSync(image);
  t.true(run('fsfreeze', '--unfreeze', at.tree));
  t.true(run('umount', at.tree));
  // Takes the loop device that was free again, so that the copy gets another.
  const [dummy, copy] = [join(at.base, 'dummy'), join(at.base, 'copy')];
  writeFileSync(dummy, Buffer.alloc(1 << 20));
  writeFileSync(copy, written);
  const loop = String(spawnSync('losetup', ['--find', '--show', dummy]).stdout).trim();
  t.teardown(() => run('losetup', '--detach', loop));
  t.true(mountImage(copy, at.tree));
  if (lstatSync(at.tree).dev === before) t.log('the device kept its number: this shows nothing');
  // A new link must be recognised as one more name of the files that were not read again.
  linkSync(join(at.tree, 'b/two'), join(at.tree, 'a/two'));
  const again = await backupLater(t, at, 2000);
  t.is(again.added, 0);
  t.true(again.bytesRead <= 6, 'what got another name may be read, nothing else');
  await checkLatest(t, at);
});

test('a tree that is mounted at another place is not read again', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { 'a/one': pseudoRandom('one', 9000), two: 'two' });
  await backupLater(t, at, 1000);
  const other = join(at.base, 'other');
  mkdirSync(other);
  if (!isRoot || !run('mount', '--bind', at.tree, other)) return t.pass('no mounts here');
  const again = await backupLater(t, at, 2000, { cwd: other });
  t.is(again.bytesRead, 0);
  t.is(again.all, 0);
});

/** Runs lbs where `passwd` is /etc/passwd and `group` is /etc/group. */
function withAccounts(passwd: string, group: string): RunOptions {
  const script =
    'mount --bind "$0" /etc/passwd && mount --bind "$1" /etc/group && shift && exec "$@"';
  return { through: ['unshare', '-m', 'sh', '-c', script, passwd, group] };
}

test('a renamed user is recorded by the new name, without reading a file', async (t) => {
  const at = places(t);
  if (!isRoot || !run('unshare', '-m', 'true')) return t.pass('no mount namespaces here');
  makeFiles(at.tree, { 'a/one': pseudoRandom('one', 9000), two: 'two' });
  run('chown', '4711:4712', join(at.tree, 'two'));
  const accounts = (user: string, group: string): RunOptions => {
    const [passwd, groups] = [join(at.base, `p-${user}`), join(at.base, `g-${group}`)];
    writeFileSync(passwd, `${readFileSync('/etc/passwd', 'utf8')}${user}:x:4711:4712::/:/bin/sh\n`);
    writeFileSync(groups, `${readFileSync('/etc/group', 'utf8')}${group}:x:4712:\n`);
    return withAccounts(passwd, groups);
  };
  const namesOfTwo = async () => {
    const list = await lbsOk(t, ['ls', '--json', `--store=${at.store}`, 'latest']);
    const two = jsonLines(list).find((line) => line['path'] === 'two');
    return [two?.['user'], two?.['group']];
  };
  const steps = [
    ['anna', 'staff'],
    ['anne', 'staff'],
    ['anne', 'people'],
  ] as const;
  for (const [number, [user, group]] of steps.entries()) {
    const changed = await backupLater(t, at, 1000 * (number + 1), accounts(user, group));
    t.deepEqual(await namesOfTwo(), [user, group]);
    if (number > 0) t.like(changed, { bytesRead: 0, added: 0 });
    if (number > 0) t.true(changed.all < 1000, 'one stanza and a root');
    const same = await backupLater(t, at, 1000 * (number + 1) + 500, accounts(user, group));
    t.deepEqual(same, { bytesRead: 0, added: 0, all: 0 });
  }
  // The accounts are gone altogether: numbers without names.
  t.like(await backupLater(t, at, 9000), { bytesRead: 0, added: 0 });
  t.deepEqual(await namesOfTwo(), [undefined, undefined]);
  await checkLatest(t, at);
});
