/** `lbs diff`: two snapshots of a tree that was changed in known ways, and the exact output. */
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  lutimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import * as libc from '../../src/posix/libc.ts';
import { places, type Places } from '../helpers/places.ts';
import { jsonLines, jsonMessage, lbsExits, lbsOk } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { isRoot } from '../helpers/temp-dir.ts';
import { OLD_S, saveAt, setTimes } from '../helpers/timed-series.ts';

async function changedTree(t: ExecutionContext): Promise<Places> {
  const at = places(t);
  const path = (name: string) => join(at.tree, name);
  makeFiles(at.tree, {
    content: 'old text',
    'dir/inner': 'x',
    gone: 'bye',
    kept: 'same',
    kind: 'a file',
    mode: 'm',
    owner: 'o',
    'places/a/report': 'what was found',
    'places/a/second': 'what was found',
    time: 't',
    xattr: 'a',
    'odd\nname': 'n',
  });
  symlinkSync('kept', path('link'));
  chmodSync(path('mode'), 0o644);
  setTimes(at.tree);
  await saveAt(t, at, '2030-01-01T00:00:00Z');
  writeFileSync(path('content'), 'new text');
  rmSync(path('gone'));
  rmSync(path('kind'));
  makeFiles(at.tree, { 'kind/inside': 'in', new: 'four', empty: '' });
  chmodSync(path('mode'), 0o600);
  if (isRoot) chownSync(path('owner'), 1, 1);
  libc.setXattr(libc.cString(path('xattr')), Buffer.from('user.note'), Buffer.from('new'));
  mkdirSync(path('places/b'));
  renameSync(path('places/a/second'), path('places/b/second'));
  renameSync(path('places/a/report'), path('places/b/first'));
  rmSync(path('places/a'), { recursive: true });
  rmSync(path('link'));
  symlinkSync('mode', path('link'));
  rmSync(path('odd\nname'));
  setTimes(at.tree);
  lutimesSync(path('time'), OLD_S + 1, OLD_S + 1);
  lutimesSync(path('places/b/first'), OLD_S + 1, OLD_S + 1);
  await saveAt(t, at, '2030-01-02T00:00:00Z');
  return at;
}

const DIFFERENCES = [
  'C content',
  '+ empty',
  '- gone',
  '- kind',
  '+ kind',
  '+ kind/inside',
  'C link',
  'P mode',
  '+ new',
  '- odd\\nname',
  ...(isRoot ? ['O owner'] : []),
  '- places/a',
  '+ places/b',
  'MT places/a/report -> places/b/first',
  'M places/a/second -> places/b/second',
  'T time',
  'X xattr',
];

test('every kind of difference has its letter, and nothing else is shown', async (t) => {
  const at = await changedTree(t);
  const diff = (...args: string[]) => lbsOk(t, ['diff', `--store=${at.store}`, ...args]);
  t.deepEqual((await diff('latest~1', 'latest')).stdout.trimEnd().split('\n'), DIFFERENCES);
  t.is((await diff('latest', 'latest')).stdout, '');
  const back = (await diff('latest', 'latest~1')).stdout;
  t.true(back.includes('MT places/b/first -> places/a/report\n'), back);
  t.true(back.includes('+ gone\n'));
});

test('--stat counts entries and bytes of each letter', async (t) => {
  const at = await changedTree(t);
  const args = ['diff', `--store=${at.store}`, 'latest~1', 'latest'];
  const { stdout } = await lbsOk(t, [...args, '--stat']);
  const expected = [
    '+           5         6 B  added',
    '-           4        10 B  removed',
    'M           2        28 B  moved',
    'C           2         8 B  content',
    ...(isRoot ? ['O           1         1 B  owner or group'] : []),
    'P           1         1 B  permissions',
    'T           2        15 B  time',
    'X           1         1 B  extended attributes',
  ];
  t.deepEqual(stdout.trimEnd().split('\n'), expected);
  const json = jsonLines(await lbsOk(t, [...args, '--stat', '--json']));
  t.is(json.length, 1);
  t.like(json[0], {
    message_type: 'statistics',
    source_snapshot: '20300101T000000',
    target_snapshot: '20300102T000000',
    changes: DIFFERENCES.length,
    letters: { '+': { count: 5, bytes: 6 }, X: { count: 1, bytes: 1 } },
  });
});

test('--json has one object a difference, then the sums', async (t) => {
  const at = await changedTree(t);
  const args = ['diff', `--store=${at.store}`, '--json', 'latest~1', 'latest'];
  const lines = jsonLines(await lbsOk(t, args));
  t.is(lines.length, DIFFERENCES.length + 1);
  t.deepEqual(
    lines.find((line) => line['source_path'] === 'places/a/report'),
    {
      message_type: 'change',
      modifier: 'MT',
      path: 'places/b/first',
      source_path: 'places/a/report',
      type: 'file',
      size: 14,
    },
  );
  t.true(lines.some((line) => line['path'] === 'odd\nname' && line['modifier'] === '-'));
});

test('large shared metadata is left out, and what differs in it is found', async (t) => {
  const at = places(t);
  const files = Object.fromEntries(
    Array.from({ length: 3000 }, (_, number) => [`d${number % 30}/file ${number}`, `${number}`]),
  );
  makeFiles(at.tree, files);
  setTimes(at.tree);
  await saveAt(t, at, '2030-01-01T00:00:00Z');
  writeFileSync(join(at.tree, 'd7/file 7'), 'seven');
  renameSync(join(at.tree, 'd3/file 3'), join(at.tree, 'd29/file 3'));
  lutimesSync(join(at.tree, 'd3'), OLD_S, OLD_S);
  lutimesSync(join(at.tree, 'd29'), OLD_S, OLD_S);
  lutimesSync(join(at.tree, 'd7/file 7'), OLD_S, OLD_S);
  await saveAt(t, at, '2030-01-02T00:00:00Z');
  const { stdout } = await lbsOk(t, ['diff', `--store=${at.store}`, 'latest~1', 'latest']);
  t.is(stdout, 'M d3/file 3 -> d29/file 3\nC d7/file 7\n');
});

test('metadata that cannot be read is named, and does not pass for equal', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { one: '1' });
  await saveAt(t, at, '2030-01-01T00:00:00Z');
  const before = new Set(readdirSync(at.store));
  makeFiles(at.tree, { two: '2' });
  await saveAt(t, at, '2030-01-02T00:00:00Z');
  for (const name of readdirSync(at.store)) {
    if (!before.has(name) && /\.tar/.test(name)) rmSync(join(at.store, name));
  }
  const args = [`--store=${at.store}`, 'latest~1', 'latest'];
  const run = await lbsExits(t, 4, ['diff', ...args]);
  t.regex(run.stderr, /^lbs: damaged: 20300102T000000: [^\n]*\n$/, 'once');
  const json = await lbsExits(t, 4, ['diff', '--json', ...args]);
  t.like(jsonMessage(json, 'error'), { during: 'diff', snapshot_id: '20300102T000000' });
});

test('wrong use of diff is refused', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { one: '1' });
  await saveAt(t, at, '2030-01-01T00:00:00Z');
  const refused = async (code: number, ...args: string[]) =>
    (await lbsExits(t, code, ['diff', `--store=${at.store}`, ...args])).stderr;
  t.regex(await refused(2), /no snapshot given\n +usage: lbs diff/);
  t.regex(await refused(2, 'a', 'b', 'c'), /3 arguments are too many/);
  t.regex(await refused(10, 'latest', 'latest~1'), /there is no snapshot "latest~1"/);
});
