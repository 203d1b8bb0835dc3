/**
 * Attributes and special files of an enemy's store. A restore as root makes what the snapshot says,
 * inside of the target and nowhere else; what makes no sense is told and costs no other entry.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { EnemyStore } from '../helpers/enemy-store.ts';
import { attacked, fewCommands, restoreAll, siege } from '../helpers/siege.ts';
import { isRoot } from '../helpers/temp-dir.ts';

const SETUID_MODE = 0o4755;

test('attributes that make no sense cost no other entry', async (t) => {
  const at = siege(t);
  const store = new EnemyStore().directory('.');
  const huge = 'x'.repeat(100_000);
  const many = Array.from({ length: 3000 }, (_, number) => `user.n${number}=v`).join(' ');
  const long = `user.${'n'.repeat(300)}`;
  store
    // Restic's and tar's troubles with values beyond what a system call takes.
    .file('huge xattr', 'x', { xattrs: `user.huge=${huge}` })
    .file('many xattrs', 'x', { xattrs: many })
    .file('long xattr', 'x', { xattrs: `${long}=v` })
    .file('nul xattr', 'x', { xattrs: 'user.a%00b=v' })
    .file('escape xattr', 'x', { xattrs: 'user.%1b[2J=v nonsense.%9b=v =v2 x' })
    .file('acl', 'x', { xattrs: 'system.posix_acl_access=%02%00%00%00%ff' })
    .file('overlay', 'x', { xattrs: 'trusted.overlay.redirect=%2foutside' })
    .link('link with capability', '../outside/file', {
      xattrs: 'security.capability=%01%00%00%02%ff%ff%ff%ff%00%00%00%00%ff%ff%ff%ff%00%00%00%00',
    })
    .file('time at the end', 'x', { mtime: '9007199254740991', mtime_ns: '999999999' })
    .file('time at the beginning', 'x', { mtime: '-9007199254740991' })
    .directory('time of a directory', { mtime: '-62167219200', ctime: '99999999999999' })
    .link('time of a link', 'x', { mtime: '9223372036854' })
    .file('owner', 'x', { user: '4294967294 (%1b[31mroot%00)', group: '4294967295' })
    .file('mode', 'x', { mode: '7777777' })
    .entry('device', 'c', { device: '4294967295/4294967295' })
    .entry('device without number', 'b')
    .entry('socket', 's', { mode: '7777' })
    .file('flags', 'x', { flags: 'ffffffffffff' })
    .file('holes', 'x', { holes: '0+1 9007199254740990+1 0+9007199254740991' })
    .file('links', 'x', { links: '-1', inode: '' })
    .file('last', 'last');
  store.write(at.store);
  const run = await attacked(t, at, restoreAll(at));
  t.true(run.code === 3 || run.code === 4, run.stderr);
  t.is(readFileSync(join(at.target, 'last'), 'utf8'), 'last');
  t.true(existsSync(join(at.target, 'huge xattr')));
  t.is(readlinkSync(join(at.target, 'link with capability')), '../outside/file');
  const capabilities = spawnSync('getcap', ['-r', at.outside]).stdout;
  t.is(String(capabilities ?? ''), '');
  await attacked(t, at, restoreAll(at, '--json'));
  for (const [args, options] of fewCommands(at)) await attacked(t, at, args, options);
});

test('set-id programs and devices are what the snapshot says, and made only in the target', async (t) => {
  const at = siege(t);
  new EnemyStore()
    .directory('.')
    .file('sh', 'a program', { mode: '4755' })
    .entry('null', 'c', { device: '1/3', mode: '0666' })
    .entry('fifo', 'p')
    .entry('socket', 's')
    .write(at.store);
  await attacked(t, at, restoreAll(at));
  t.is(lstatSync(join(at.target, 'sh')).mode & 0o7777, SETUID_MODE);
  if (!isRoot) return;
  t.true(statSync(join(at.target, 'null')).isCharacterDevice());
});

test('a set-id bit is not given to another owner than the recorded one', async (t) => {
  if (!isRoot) {
    t.log('left out: needs root to act for another user');
    t.pass();
    return;
  }
  const at = siege(t);
  new EnemyStore().directory('.').file('sh', 'x', { mode: '6755', user: '0' }).write(at.store);
  mkdirSync(at.target);
  spawnSync('chown', ['65534:65534', at.target]);
  await attacked(t, at, restoreAll(at), { user: 'ordinary' });
  t.is(lstatSync(join(at.target, 'sh')).mode & 0o6000, 0);
});
