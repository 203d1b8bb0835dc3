/** `find` and `history` of every kind of entry: exact lines, and the same as JSON. */
import { createHash } from 'node:crypto';
import { linkSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { spawnSync } from 'node:child_process';
import test, { type ExecutionContext } from 'ava';
import { places, type Places } from '../helpers/places.ts';
import { jsonLines, lbsOk } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { OLD_S, saveAt, setTimes } from '../helpers/timed-series.ts';

const ODD = Buffer.from([0x6f, 0xff, 0x64]);
const CONTROL = 'line\nfeed\u001b[1m';
const CHANGED = '2001-09-09 01:46:40';
const MTIME = '2001-09-09T01:46:40.000000000Z';
const hashOf = (text: string) => createHash('sha256').update(text).digest('hex');

/** Day 2 renames, retypes and turns a link; the rest is as on day 1. */
async function twoDays(t: ExecutionContext): Promise<Places> {
  const at = places(t);
  const path = (name: string) => join(at.tree, name);
  makeFiles(at.tree, { 'dir/inner': 'in', hard: 'one thing', kind: 'a file', old: 'moved' });
  makeFiles(at.tree, { [CONTROL]: 'c' });
  writeFileSync(Buffer.concat([Buffer.from(`${at.tree}/`), ODD]), 'odd');
  linkSync(path('hard'), path('hard too'));
  symlinkSync('hard', path('link'));
  spawnSync('mkfifo', [path('pipe')]);
  setTimes(at.tree);
  await saveAt(t, at, '2030-01-01T00:00:00Z');
  renameSync(path('old'), path('renamed'));
  rmSync(path('kind'));
  makeFiles(at.tree, { 'kind/inside': 'k' });
  rmSync(path('link'));
  symlinkSync('kind', path('link'));
  setTimes(at.tree);
  await saveAt(t, at, '2030-01-02T00:00:00Z');
  return at;
}

const FIRST = '20300101T000000';
const LAST = '20300102T000000';
const line = (days: string, size: number | '-', path: string) => {
  const [first = '', last = ''] =
    { both: [FIRST, LAST], one: [FIRST, FIRST], two: [LAST, LAST] }[days] ?? [];
  const count = first === last ? 1 : 2;
  return `${first}  ${last}  ${count}  ${String(size).padStart(12)}  ${CHANGED}  ${path}`;
};

test('find shows every kind of entry in a line, safe for a screen', async (t) => {
  const at = await twoDays(t);
  const { stdout } = await lbsOk(t, ['find', `--store=${at.store}`, '.']);
  t.deepEqual(stdout.split('\n').slice(0, -1), [
    line('both', '-', '.'),
    line('both', '-', 'dir'),
    line('both', 2, 'dir/inner'),
    line('both', 9, 'hard'),
    line('both', 9, 'hard too'),
    line('one', 6, 'kind'),
    line('two', '-', 'kind'),
    line('two', 1, 'kind/inside'),
    line('both', 1, 'line\\nfeed\\x1b[1m'),
    line('one', '-', 'link'),
    line('two', '-', 'link'),
    line('one', 5, 'old'),
    line('both', 3, 'o\\xffd'),
    line('both', '-', 'pipe'),
    line('two', 5, 'renamed'),
  ]);
});

test('find --json has types, targets, and the bytes of every name', async (t) => {
  const at = await twoDays(t);
  const lines = jsonLines(await lbsOk(t, ['find', `--store=${at.store}`, '--json', '.']));
  t.is(lines.length, 15);
  const of = (path: string) => lines.filter((one) => one['path'] === path);
  const common = { message_type: 'match', mtime: MTIME, mtime_s: OLD_S };
  const file = (path: string, content: string, snapshots = [FIRST, LAST]) => ({
    ...common,
    path,
    type: 'file',
    size: content.length,
    sha256: hashOf(content),
    checksum: `sha1=${createHash('sha1').update(content).digest('hex')}`,
    snapshots,
  });
  const other = (path: string, type: string, snapshots = [FIRST, LAST]) => ({
    ...common,
    path,
    type,
    snapshots,
  });
  t.deepEqual(of('dir'), [other('dir', 'dir')]);
  t.deepEqual(of('pipe'), [other('pipe', 'fifo')]);
  t.deepEqual(of('hard too'), [file('hard too', 'one thing')]);
  t.deepEqual(of('kind'), [file('kind', 'a file', [FIRST]), other('kind', 'dir', [LAST])]);
  t.deepEqual(of('link'), [
    { ...other('link', 'symlink', [FIRST]), target: 'hard' },
    { ...other('link', 'symlink', [LAST]), target: 'kind' },
  ]);
  t.deepEqual(of(CONTROL), [file(CONTROL, 'c')]);
  t.deepEqual(of('o\ufffdd'), [{ ...file('o\ufffdd', 'odd'), path_escaped: 'o%ffd' }]);
  t.deepEqual(of('old'), [file('old', 'moved', [FIRST])]);
  t.deepEqual(of('renamed'), [file('renamed', 'moved', [LAST])]);
});

test('find takes patterns and paths that are not UTF-8', async (t) => {
  const at = await twoDays(t);
  const find = async (...args: (string | Buffer)[]) =>
    (await lbsOk(t, ['find', `--store=${at.store}`, ...args])).stdout;
  t.is(await find(ODD), `${line('both', 3, 'o\\xffd')}\n`);
  t.is(await find('--name=o?d'), `${line('one', 5, 'old')}\n${line('both', 3, 'o\\xffd')}\n`);
  t.is(await find('--name=line*'), `${line('both', 1, 'line\\nfeed\\x1b[1m')}\n`);
  t.is(await find('kind/inside'), `${line('two', 1, 'kind/inside')}\n`);
});

const ROWS: readonly [path: string | Buffer, ...rows: string[]][] = [
  ['dir', `${FIRST}     -  ${CHANGED}  dir`],
  ['hard too', `${FIRST}     9  ${CHANGED}  ${hashOf('one thing').slice(0, 12)}`],
  ['link', `${FIRST}     -  ${CHANGED}  -> hard`, `${LAST}     -  ${CHANGED}  -> kind`],
  [
    'kind',
    `${FIRST}     6  ${CHANGED}  ${hashOf('a file').slice(0, 12)}`,
    `${LAST}     -  ${CHANGED}  dir`,
  ],
  ['old', `${FIRST}     5  ${CHANGED}  ${hashOf('moved').slice(0, 12)}`, `${LAST}     -  gone`],
  ['renamed', `${LAST}     5  ${CHANGED}  ${hashOf('moved').slice(0, 12)}`],
  ['pipe', `${FIRST}     -  ${CHANGED}  fifo`],
  [CONTROL, `${FIRST}     1  ${CHANGED}  ${hashOf('c').slice(0, 12)}`],
  [ODD, `${FIRST}     3  ${CHANGED}  ${hashOf('odd').slice(0, 12)}`],
];

test('history shows what every kind of path was, and turned into', async (t) => {
  const at = await twoDays(t);
  for (const [path, ...rows] of ROWS) {
    const { stdout } = await lbsOk(t, ['history', `--store=${at.store}`, path]);
    const [heading, ...lines] = stdout.split('\n').slice(0, -1);
    t.regex(heading ?? '', /^SNAPSHOT +SIZE  CHANGED +SHA256$/);
    t.deepEqual(lines, rows, String(path));
  }
});

test('history --json says the same, with the bytes of the name', async (t) => {
  const at = await twoDays(t);
  const history = async (path: string | Buffer) =>
    jsonLines(await lbsOk(t, ['history', `--store=${at.store}`, '--json', path]));
  const period = (type: string, first: string, last: string) => ({
    message_type: type,
    snapshot_id: first,
    last_snapshot_id: last,
  });
  const mtime = { mtime: MTIME, mtime_s: OLD_S };
  t.deepEqual(await history('link'), [
    { ...period('version', FIRST, FIRST), path: 'link', type: 'symlink', ...mtime, target: 'hard' },
    { ...period('version', LAST, LAST), path: 'link', type: 'symlink', ...mtime, target: 'kind' },
  ]);
  const [kind, directory] = await history('kind');
  t.like(kind, { type: 'file', size: 6, sha256: hashOf('a file') });
  t.deepEqual(directory, { ...period('version', LAST, LAST), path: 'kind', type: 'dir', ...mtime });
  t.deepEqual((await history('old'))[1], period('gone', LAST, LAST));
  const [odd, ...more] = await history(ODD);
  t.deepEqual(more, []);
  t.like(odd, { ...period('version', FIRST, LAST), path: 'o\ufffdd', path_escaped: 'o%ffd' });
});
