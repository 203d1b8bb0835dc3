/** `lbs diff`: letters together, entries of another type, links, and names that are no text. */
import { spawnSync } from 'node:child_process';
import { linkSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { places, type Places } from '../helpers/places.ts';
import { jsonLines, lbsOk } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { isRoot } from '../helpers/temp-dir.ts';
import { OLD_S, saveAt, setTimes } from '../helpers/timed-series.ts';

function shell(at: Places, script: string): void {
  const { status, stderr } = spawnSync('/bin/sh', ['-ec', script], { cwd: at.tree });
  if (status !== 0) throw new Error(String(stderr));
}

const byteName = (at: Places, ...bytes: number[]) =>
  Buffer.concat([Buffer.from(`${at.tree}/`), Buffer.from(bytes)]);

async function changedTree(t: ExecutionContext): Promise<Places> {
  const at = places(t);
  const path = (name: string) => join(at.tree, name);
  makeFiles(at.tree, {
    all: 'before',
    'dir to file/inner': 'x',
    'dir mode/': '',
    'file to fifo': 'f',
    'file to link': 'f',
    hard: 'linked',
    'moved here/': '',
    twin: 'found twice',
  });
  symlinkSync('hard', path('link to file'));
  writeFileSync(byteName(at, 0x6f, 0xff), 'odd');
  setTimes(at.tree);
  await saveAt(t, at, '2030-01-01T00:00:00Z');
  writeFileSync(path('all'), 'after!');
  for (const name of ['dir to file', 'file to fifo', 'file to link', 'link to file']) {
    rmSync(path(name), { recursive: true });
  }
  makeFiles(at.tree, { 'dir to file': 'now', 'link to file': 'now too' });
  symlinkSync('hard', path('file to link'));
  shell(at, 'mkfifo "file to fifo"; chmod 700 "dir mode"');
  linkSync(path('hard'), path('hard too'));
  renameSync(byteName(at, 0x6f, 0xff), byteName(at, 0x6f, 0xfe));
  renameSync(path('twin'), path('moved here/twin'));
  setTimes(at.tree);
  shell(at, `chmod 600 all; setfattr -n user.a -v b all; touch -d @${OLD_S + 9} all`);
  shell(at, `chmod 600 "moved here/twin"; setfattr -n user.a -v b "moved here/twin"`);
  if (isRoot) shell(at, 'chown 1:1 all "moved here/twin"');
  await saveAt(t, at, '2030-01-02T00:00:00Z');
  return at;
}

const OWNER = isRoot ? 'O' : '';

test('letters stand together in their order, and another type is gone and came', async (t) => {
  const at = await changedTree(t);
  const { stdout } = await lbsOk(t, ['diff', `--store=${at.store}`, 'latest~1', 'latest']);
  t.deepEqual(stdout.trimEnd().split('\n'), [
    `C${OWNER}PTX all`,
    'P dir mode',
    '- dir to file',
    '+ dir to file',
    '- dir to file/inner',
    '- file to fifo',
    '+ file to fifo',
    '- file to link',
    '+ file to link',
    '+ hard too',
    '- link to file',
    '+ link to file',
    `M${OWNER}PX twin -> moved here/twin`,
    'M o\\xff -> o\\xfe',
  ]);
});

test('--json has the bytes of both names of a file that moved, and types', async (t) => {
  const at = await changedTree(t);
  const args = ['diff', '--json', `--store=${at.store}`, 'latest~1', 'latest'];
  const lines = jsonLines(await lbsOk(t, args));
  const moved = lines.find((one) => one['modifier'] === 'M');
  t.deepEqual(moved, {
    message_type: 'change',
    modifier: 'M',
    path: 'o\ufffd',
    path_escaped: 'o%fe',
    source_path: 'o\ufffd',
    source_path_escaped: 'o%ff',
    type: 'file',
    size: 3,
  });
  const typesOf = (path: string) =>
    lines.filter((one) => one['path'] === path).map((one) => [one['modifier'], one['type']]);
  t.deepEqual(typesOf('dir to file'), [
    ['-', 'dir'],
    ['+', 'file'],
  ]);
  t.deepEqual(typesOf('file to fifo'), [
    ['-', 'file'],
    ['+', 'fifo'],
  ]);
  t.deepEqual(typesOf('file to link'), [
    ['-', 'file'],
    ['+', 'symlink'],
  ]);
});
