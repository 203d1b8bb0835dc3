/**
 * Names that lead out of the target, or that a screen or a program would take for something else.
 * One store has them all, so that each is met beside the others, as in a real attack.
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { EnemyStore } from '../helpers/enemy-store.ts';
import { attacked, readingCommands, restoreAll, type Siege, siege } from '../helpers/siege.ts';
import { readTree } from '../helpers/tree-state.ts';

/** The defect, and a name that shows it; `at` tells where the canary is. */
type Case = readonly [defect: string, name: (at: Siege) => string | Buffer];

const REFUSED: readonly Case[] = [
  ['CVE-2013-4420 (libtar): ".." at the beginning', () => '../outside/new'],
  ['CVE-2024-12087 (rsync): ".." below a directory that is there', () => 'd/../../outside/new'],
  ['".." at the end', () => 'd/..'],
  ['CVE-2016-6321 (tar): ".." below a name that was asked for', () => 'd/../../outside/file'],
  ['CVE-2021-32804 (node-tar): an absolute name', (at) => join(at.outside, 'new')],
  ['CVE-2021-32804 (node-tar): two slashes at the beginning', (at) => `/${at.outside}/new`],
  ['an absolute name of a file that is there', (at) => join(at.outside, 'file')],
  ['the root', () => '/'],
  ['an empty component', () => 'd//../outside/new'],
  ['"." in the middle', () => 'd/./x'],
  ['NUL cuts a name short', () => Buffer.from('../outside/new\0good')],
  ['NUL hides ".."', () => Buffer.from('d/..\0/x')],
];

const RESTORED: readonly Case[] = [
  ['prefix trick: a name that begins with the name of the target', () => 'target-2/x'],
  ['CVE-2025-59343 (tar-fs): dots that are no ".."', () => '...'],
  ['dots with blanks', () => '.. '],
  ['CWE-150: escape sequences that clear the screen', () => '\u001b[2J\u001b]0;title\u0007'],
  ['CWE-150: a line that looks like ours', () => 'x\nlbs: all is well'],
  ['CWE-150: carriage return', () => 'good\revil'],
  ['CWE-150: control characters of the second kind, as UTF-8', () => '\u009b2J'],
  ['CVE-2021-42574: text turned around', () => 'txt.\u202egpj'],
  ['invalid UTF-8', () => Buffer.from([0xff, 0xfe, 0x9b, 0x41])],
  ['a name of 255 bytes', () => 'n'.repeat(255)],
  ['CVE-2021-37701 (node-tar): backslashes are no slashes', () => 'd\\..\\..\\outside\\new'],
  ['argument injection: a name that looks like an option', () => '--to-command=touch x'],
  ['shell characters', () => '$(touch ../outside/new)`touch ../outside/new`;touch new'],
  ['a name of a checkpoint of tar', () => '--checkpoint-action=exec=sh'],
  ['a tilde', () => '~root'],
  ['a drive', () => 'C:'],
];

/** The system has no such names: told, and nothing else is lost by it. */
const IMPOSSIBLE: readonly Case[] = [
  ['a component of 4096 bytes', () => 'n'.repeat(4096)],
  ['a component of 256 bytes', () => 'm'.repeat(256)],
];

test('names that lead out of the target are damage of these entries, and all others are restored', async (t) => {
  const at = siege(t);
  const store = new EnemyStore().directory('.').directory('d');
  const bad = [...REFUSED, ...IMPOSSIBLE];
  for (const [at2, [, name]] of [...REFUSED, ...IMPOSSIBLE, ...RESTORED].entries()) {
    store.file(name(at), `content ${at2}`);
  }
  store.directory('target-2').write(at.store);
  const run = await attacked(t, at, restoreAll(at, '-v'));
  t.is(run.code, 4, run.stderr);
  t.true(run.stderr.includes(`${REFUSED.length} entries could not be restored`), run.stderr);
  for (const [index, [defect, name]] of RESTORED.entries()) {
    const path = Buffer.concat([Buffer.from(`${at.target}/`), Buffer.from(name(at))]);
    t.is(readFileSync(path, 'utf8'), `content ${bad.length + index}`, defect);
  }
  t.is(readdirSync(at.target).length, RESTORED.length + 1);
  t.deepEqual(readdirSync(join(at.target, 'd')), []);
  const first = readTree(at.target);
  await attacked(t, at, restoreAll(at, '--json'));
  await attacked(t, at, restoreAll(at, '--delete', `--undo-dir=${join(at.base, 'undo')}`));
  t.deepEqual([...readTree(at.target).keys()], [...first.keys()]);
});

test('no command writes to the terminal what a name has in it', async (t) => {
  const at = siege(t);
  const store = new EnemyStore().directory('.').directory('d');
  for (const [, name] of [...REFUSED, ...IMPOSSIBLE, ...RESTORED]) store.file(name(at), 'x');
  store.directory('target-2').write(at.store);
  for (const [args, options] of readingCommands(at)) await attacked(t, at, args, options);
  t.false(existsSync(at.target));
});

test('a name of a path that was asked for cannot name another', async (t) => {
  const at = siege(t);
  const store = new EnemyStore().directory('.').directory('d').file('d/x', 'wanted');
  // CVE-2022-29154 (rsync): what nobody asked for is not written.
  store.file('d/../../outside/new', 'evil').file('e/x', 'not wanted').write(at.store);
  for (const path of ['d', '../outside', 'd/../../outside/new']) {
    await attacked(t, at, [...restoreAll(at), path]);
    const cat = ['cat', `--store=${at.store}`, 'latest', path];
    await attacked(t, at, cat, { givesContents: true });
  }
  t.deepEqual([...readTree(at.target).keys()].sort(), ['.', 'd', 'd/x']);
});
