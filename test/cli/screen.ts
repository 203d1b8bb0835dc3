/** What people see: status words, summaries, lists, progress; and nothing that a name can forge. */
import { utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { backupOptions, places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { jsonMessage, lbs, lbsOk, PROJECT, restoreOk } from '../helpers/run-lbs.ts';
import { makeFiles, makeIncompressible, makeSmallTree } from '../helpers/small-tree.ts';
import { segmentFiles, snapshotNames } from '../helpers/store-state.ts';

const MIB = 1024 * 1024;
const SLOW_FILTER = join(PROJECT, 'test', 'fixtures', 'filters', 'slow');

test('-v names each file that was read, with its status word', async (t) => {
  const at = places(t);
  const first = pseudoRandom('first', MIB);
  makeFiles(at.tree, {
    'two blocks': Buffer.concat([first, pseudoRandom('second', MIB)]),
    same: 'same',
  });
  const args = ['-v', ...backupOptions(at), '.'];
  const one = await lbsOk(t, args, { cwd: at.tree });
  t.regex(one.stdout, /^two blocks \[new\]$/m);
  t.regex(one.stdout, /^same \[new\]$/m);
  writeFileSync(join(at.tree, 'two blocks'), Buffer.concat([first, pseudoRandom('third', MIB)]));
  utimesSync(join(at.tree, 'same'), 1, 1);
  makeFiles(at.tree, { copy: 'same' });
  const two = await lbsOk(t, args, { cwd: at.tree });
  t.regex(two.stdout, /^two blocks \[partial\]$/m);
  t.regex(two.stdout, /^copy \[old\]$/m);
  t.notRegex(two.stdout, /^same \[new\]$/m);
});

test('a run ends with a summary that names the snapshot', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  const run = await lbsOk(t, [...backupOptions(at), at.tree]);
  t.true(run.stdout.includes(snapshotNames(at.store)[0] ?? 'none'));
  t.regex(run.stdout, /4 new, 0 changed, 0 unchanged/);
  t.is(run.stderr, '');
  const list = await lbsOk(t, ['list', `--store=${at.store}`]);
  t.true(list.stdout.includes(snapshotNames(at.store)[0] ?? 'none'));
  t.regex(list.stdout, /\b4\b/);
});

test('no name can write to the terminal', async (t) => {
  const at = places(t);
  makeFiles(at.tree, {
    'red\x1b[31m': 'x',
    'line\nlbs: all is well': 'y',
    'bell\x07\x9b2J': 'z',
    '\u202Etxt': 'w',
  });
  const outputs = [
    await lbsOk(t, ['-v', '--progress', ...backupOptions(at), '.'], { cwd: at.tree }),
    await lbsOk(t, ['ls', `--store=${at.store}`, 'latest']),
    await lbsOk(t, ['ls', '-l', `--store=${at.store}`, 'latest']),
    await restoreOk(t, ['-v', `--store=${at.store}`, 'latest', at.target]),
    await lbs(t, [...backupOptions(at), join(at.tree, 'no\x1b[31m')]),
    await lbs(t, ['restore', `--store=${at.store}`, 'latest', at.target, 'no\x1b[31m']),
    await lbs(t, [`--no\x1b[31m`, at.tree]),
  ];
  for (const run of outputs) {
    const text = run.stdout + run.stderr.replaceAll(/\r|\x1b\[K/g, '');
    t.notRegex(text, /[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/, JSON.stringify(text));
    t.notRegex(text, /^lbs: all is well/m, 'a name made a line of its own');
  }
});

test('progress is shown when it is asked for, and not in a log', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  const quiet = await lbsOk(t, [...backupOptions(at), at.tree]);
  t.is(quiet.stderr, '');
  makeIncompressible(join(at.tree, 'more'), 12, MIB);
  const slow = [`--filter=${SLOW_FILTER}`, '--filter-extension=', '--segment-size=1M'];
  const shown = await lbsOk(t, ['--progress', ...slow, ...backupOptions(at), at.tree]);
  t.regex(shown.stderr, /\d+ files|MiB/);
  const never = await lbsOk(t, ['--no-progress', ...slow, ...backupOptions(at), at.tree]);
  t.is(never.stderr, '');
});

test('the store may come from the environment', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  const env = { LBS_STORE: at.store };
  await lbsOk(t, ['backup', `--localdb=${at.localdb}`, at.tree], { env });
  t.is(snapshotNames(at.store).length, 1);
  await lbsOk(t, ['verify'], { env });
  await restoreOk(t, ['latest', at.target], { env });
});

test('a restore reads each segment at most once', async (t) => {
  const at = places(t);
  const files: Record<string, Buffer> = {};
  for (let n = 0; n < 30; n++) files[`f${n}`] = pseudoRandom(`f${n}`, 150_000);
  makeFiles(at.tree, files);
  await lbsOk(t, [...backupOptions(at), '--segment-size=512K', '.'], { cwd: at.tree });
  // The same blocks again under names in the opposite order.
  for (let n = 0; n < 30; n++) makeFiles(at.tree, { [`g${30 - n}`]: files[`f${n}`] ?? '' });
  await lbsOk(t, [...backupOptions(at), '--segment-size=512K', '.'], { cwd: at.tree });
  const run = await restoreOk(t, ['--json', `--store=${at.store}`, 'latest', at.target]);
  t.true(Number(jsonMessage(run, 'summary')['segments_read']) <= segmentFiles(at.store).length);
});
