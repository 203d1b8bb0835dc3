/** `lbs compare`, and `lbs diff` with one snapshot: the disk against a snapshot, exact output. */
import {
  chmodSync,
  lutimesSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import '../helpers/on-disk.ts';
import { backupOptions, places, type Places } from '../helpers/places.ts';
import { makeHardTree } from '../helpers/hard-tree.ts';
import { jsonMessage, lbs, lbsExits, lbsOk, PROJECT } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { isRoot } from '../helpers/temp-dir.ts';
import { OLD_S, setTimes } from '../helpers/timed-series.ts';

const FILES = {
  'docs/letter': 'Dear reader,\n',
  'docs/note': 'a note',
  'docs/empty': '',
  'pictures/one': 'picture one',
  'pictures/two': 'picture two',
};

/** A tree that was saved with paths relative to it. */
async function savedTree(t: ExecutionContext): Promise<Places> {
  const at = places(t);
  makeFiles(at.tree, FILES);
  symlinkSync('docs/note', join(at.tree, 'link'));
  setTimes(at.tree);
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  return at;
}

function changeTree({ tree }: Places): void {
  const path = (name: string) => join(tree, name);
  writeFileSync(path('docs/letter'), 'Dear Reader,\n');
  chmodSync(path('docs/note'), 0o600);
  makeFiles(tree, { 'docs/new/inner': 'in', 'docs/new/cache': 'c' });
  mkdirSync(path('moved'));
  renameSync(path('pictures/one'), path('moved/1'));
  rmSync(path('docs/empty'));
  rmSync(path('link'));
  symlinkSync('docs/letter', path('link'));
  setTimes(tree);
  lutimesSync(path('pictures/two'), OLD_S + 1, OLD_S + 1);
}

const DIFFERENCES = [
  '- docs/empty',
  'C docs/letter',
  '+ docs/new',
  '+ docs/new/cache',
  '+ docs/new/inner',
  'P docs/note',
  'C link',
  '+ moved',
  'M pictures/one -> moved/1',
  'T pictures/two',
];

test('compare finds what differs on disk, and says so in its exit code', async (t) => {
  const at = await savedTree(t);
  const args = ['compare', `--store=${at.store}`, 'latest', '.'];
  const equal = await lbsOk(t, args, { cwd: at.tree });
  t.regex(equal.stdout, /^equal to \d+T\d+; 9 entries compared, 41 B read in 4 files\n$/);
  t.is((await lbsOk(t, [...args, '--quiet'], { cwd: at.tree })).stdout, '');
  changeTree(at);
  const changed = await lbsExits(t, 3, args, { cwd: at.tree });
  const lines = changed.stdout.trimEnd().split('\n');
  t.deepEqual(lines.slice(0, -1), DIFFERENCES);
  t.regex(lines.at(-1) ?? '', /^10 differences from \d+T\d+; /);
  const json = await lbsExits(t, 3, [...args, '--json'], { cwd: at.tree });
  t.like(jsonMessage(json, 'statistics'), { changes: 10, target_snapshot: null });
  t.deepEqual(
    (await lbsExits(t, 3, [...args, '--exclude=docs/new/cache'], { cwd: at.tree })).stdout.split(
      '\n',
    )[3],
    '+ docs/new/inner',
  );
});

test('compare of a part sees that part only', async (t) => {
  const at = await savedTree(t);
  changeTree(at);
  const compare = (code: number, path: string) =>
    lbsExits(t, code, ['compare', '-q', `--store=${at.store}`, 'latest', path], { cwd: at.tree });
  t.is((await compare(3, 'pictures')).stdout, '- pictures/one\nT pictures/two\n');
  t.is((await compare(3, 'docs/note')).stdout, 'P docs/note\n');
  t.regex((await compare(1, 'moved')).stderr, /moved is not in the snapshot \d+T\d+\n +PATH is on/);
  t.regex((await compare(1, 'absent')).stderr, /cannot compare absent: .*\n +PATH is on disk/);
});

test('diff reads files only where size and time do not tell', async (t) => {
  const at = await savedTree(t);
  const diff = (...args: string[]) =>
    lbsOk(t, ['diff', `--store=${at.store}`, ...args], { cwd: at.tree });
  t.is((await diff('latest', '.')).stdout, '');
  changeTree(at);
  const unread = DIFFERENCES.filter((line) => line !== 'C docs/letter');
  t.deepEqual((await diff('latest', './')).stdout.trimEnd().split('\n'), unread);
  t.deepEqual((await diff('--read', 'latest', '.')).stdout.trimEnd().split('\n'), DIFFERENCES);
  utimesSync(join(at.tree, 'docs/letter'), OLD_S, OLD_S + 5);
  t.true((await diff('latest', '.')).stdout.includes('CT docs/letter\n'));
});

test('without a path, what a backup left out does not count as added', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { ...FILES, 'docs/left-out': 'not saved', 'other/not-saved': 'x' });
  await sleep(1100);
  const saved = [join(at.tree, 'docs'), join(at.tree, 'pictures')];
  const exclude = `--exclude=${join(at.tree, 'docs/left-out')}`;
  await lbsOk(t, [...backupOptions(at), exclude, ...saved]);
  // Other tests make and remove things in the directory above meanwhile.
  const here = at.tree.slice(1);
  const diff = async (...args: string[]) => {
    const { stdout } = await lbs(t, ['diff', `--store=${at.store}`, 'latest', ...args]);
    return stdout.split('\n').filter((line) => line.includes(here));
  };
  t.deepEqual(await diff(), []);
  const times = statSync(join(at.tree, 'docs'));
  writeFileSync(join(at.tree, 'docs/new'), 'new');
  t.deepEqual(await diff(), [`T ${here}/docs`, `+ ${here}/docs/new`]);
  utimesSync(join(at.tree, 'docs'), times.atime, times.mtime);
  const named = await diff(join(at.tree, 'docs'));
  t.true(named.includes(`+ ${here}/docs/left-out`), 'all of a named path counts');
  const ruled = await diff(exclude, join(at.tree, 'docs'));
  t.false(ruled.some((line) => line.includes('left-out')));
});

test('the hardest of trees is equal to its snapshot, and a restored one too', async (t) => {
  const at = places(t);
  makeHardTree(at.tree);
  await lbs(t, [...backupOptions(at), '.'], { cwd: at.tree });
  const args = ['compare', `--store=${at.store}`, 'latest', '.'];
  t.regex((await lbsOk(t, args, { cwd: at.tree })).stdout, /^equal to [^\n]*\n$/);
  if (!isRoot) return;
  await lbs(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  t.regex((await lbsOk(t, args, { cwd: at.target })).stdout, /^equal to [^\n]*\n$/);
});

test('a restored snapshot of an original program is equal to it', async (t) => {
  const at = places(t);
  const store = `--store=${join(PROJECT, 'test/fixtures/stores/0.6/store')}`;
  await lbs(t, ['restore', store, 'latest', at.target]);
  const args = ['compare', store, 'latest', '.'];
  const run = await lbs(t, args, { cwd: at.target });
  const lines = run.stdout.trimEnd().split('\n');
  if (isRoot) t.regex(run.stdout, /^equal to [^\n]*\n$/);
  t.true(
    lines.every((line) => !/^(?:[-+M]|C)/.test(line)),
    run.stdout,
  );
});

test('what cannot be found or read is said', async (t) => {
  const at = await savedTree(t);
  // As snapshots of other programs are: they do not say where they were made.
  for (const name of readdirSync(at.store).filter((each) => each.endsWith('.lbs'))) {
    const path = join(at.store, name);
    writeFileSync(path, readFileSync(path, 'utf8').replace(/^(?:Top|Paths): .*\n/gm, ''));
  }
  const lost = await lbsOk(t, ['diff', `--store=${at.store}`, 'latest']);
  t.regex(lost.stderr, /nothing of the snapshot is below \//);
  const none = await lbsExits(t, 2, ['compare', `--store=${at.store}`]);
  t.regex(none.stderr, /no snapshot given\n +usage: lbs compare/);
});

test('without a path the snapshot is compared with where it was made, from anywhere', async (t) => {
  const at = await savedTree(t);
  const args = ['compare', `--store=${at.store}`, 'latest'];
  const equal = await lbsOk(t, args, { cwd: '/' });
  t.regex(equal.stdout, /^equal to /);
  changeTree(at);
  const changed = await lbsExits(t, 3, args, { cwd: '/' });
  for (const line of ['C docs/letter', '- docs/empty']) {
    t.true(changed.stdout.includes(`${line}\n`), changed.stdout);
  }
});

test('without a path nothing counts as added beside the paths that were named', async (t) => {
  const at = await savedTree(t);
  await lbsOk(t, [...backupOptions(at), 'docs', 'pictures'], { cwd: at.tree });
  makeFiles(at.tree, { 'beside/file': 'x', 'docs/inside': 'y' });
  const run = await lbsExits(t, 3, ['compare', `--store=${at.store}`, 'latest'], { cwd: '/' });
  t.true(run.stdout.includes('+ docs/inside\n'), run.stdout);
  t.false(run.stdout.includes('beside'), run.stdout);
});
