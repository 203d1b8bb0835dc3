/** `lbs usage`: exact figures for trees whose contents do not compress. */
import { readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { backupOptions, clockAhead, type Places, places } from '../helpers/places.ts';
import { fileStanza, objectName, writeSegment, writeSnapshot } from '../helpers/hand-made-store.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { jsonLines, lbsExits, lbsOk, type Run } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const DAY_S = 86400;
const SIZE = 100_000;

/** Three snapshots: `a` and `b`; then `b` changed and `c` as `a`; then `a` gone. */
async function threeSnapshots(t: ExecutionContext): Promise<Places> {
  const at = places(t);
  const save = (days: number) =>
    lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree, env: clockAhead(days * DAY_S) });
  makeFiles(at.tree, {
    'home/ann/a': pseudoRandom('a', SIZE),
    'home/bea/b': pseudoRandom('b', SIZE),
  });
  await save(-3);
  writeFileSync(join(at.tree, 'home/bea/b'), pseudoRandom('b2', SIZE));
  makeFiles(at.tree, { 'home/bea/deep/c': pseudoRandom('a', SIZE) });
  await save(-2);
  rmSync(join(at.tree, 'home/ann/a'));
  await save(-1);
  return at;
}

const of = (run: Run, type: string) =>
  jsonLines(run).filter((line) => line['message_type'] === type);

/** Within two percent: what the filter adds. */
function isNear(t: ExecutionContext, value: unknown, wanted: number): void {
  t.true(Math.abs(Number(value) - wanted) <= wanted * 0.02, `${String(value)} is not ${wanted}`);
}

test('each snapshot has what it takes, what was new, and what only it has', async (t) => {
  const at = await threeSnapshots(t);
  const run = await lbsOk(t, ['usage', `--store=${at.store}`, '--json']);
  const [first, second, third] = of(run, 'snapshot');
  const files = [first, second, third].map((one) => one?.['file_bytes']);
  t.deepEqual(files, [2 * SIZE, 3 * SIZE, 2 * SIZE]);
  // The same content twice takes its room once.
  for (const one of [first, second, third]) isNear(t, one?.['whole_bytes'], 2 * SIZE);
  isNear(t, first?.['new_bytes'], 2 * SIZE);
  isNear(t, second?.['new_bytes'], SIZE);
  t.is(third?.['new_bytes'], 0);
  isNear(t, first?.['only_here_bytes'], SIZE);
  t.is(second?.['only_here_bytes'], 0);
  t.is(third?.['only_here_bytes'], 0);
  isNear(t, of(run, 'summary')[0]?.['needed_bytes'], 3 * SIZE);
  const text = await lbsOk(t, ['usage', `--store=${at.store}`]);
  t.regex(text.stdout, /^SNAPSHOT +FILES +IN STORE +NEW +ONLY HERE$/m);
  t.is(text.stdout.split('\n').length, 6, text.stdout);
  t.notRegex(text.stdout, /#/, 'bars are for terminals');
});

test('what a segment holds that nobody needs counts as the room of what lives in it', async (t) => {
  const at = await threeSnapshots(t);
  const before = readdirSync(at.store).length;
  const [first] = of(await lbsOk(t, ['usage', `--store=${at.store}`, '--json']), 'snapshot');
  const name = String(first?.['snapshot_id']);
  await lbsOk(t, ['forget', `--store=${at.store}`, `--localdb=${at.localdb}`, name]);
  const after = await lbsOk(t, ['usage', `--store=${at.store}`, '--json']);
  // Half of the first segment is dead, and still there.
  isNear(t, of(after, 'summary')[0]?.['needed_bytes'], 3 * SIZE);
  const [left] = of(after, 'snapshot');
  isNear(t, left?.['whole_bytes'], 3 * SIZE);
  t.true(readdirSync(at.store).length < before);
});

test('paths are summed by directory, with what has grown', async (t) => {
  const at = await threeSnapshots(t);
  const options = ['usage', `--store=${at.store}`, '--paths', '--depth=3', '--json'];
  const run = await lbsOk(t, [...options, '--since=latest~2', 'latest']);
  t.deepEqual(
    of(run, 'path').map(({ path, bytes, files, grown_bytes: grown }) => [
      path,
      bytes,
      files,
      grown,
    ]),
    [
      ['home/bea', 2 * SIZE, 2, SIZE],
      ['home/bea/deep', SIZE, 1, SIZE],
      ['.', 2 * SIZE, 2, 0],
      ['home', 2 * SIZE, 2, 0],
      ['home/ann', 0, 0, -SIZE],
    ],
  );
  const text = await lbsOk(t, ['usage', `--store=${at.store}`, '--paths', '--since=latest~2']);
  t.regex(text.stdout, /^home\/ann +0 +0 B +-97\.7 KiB$/m);
});

test('segments are told with their living part, by the local database', async (t) => {
  const at = await threeSnapshots(t);
  const options = ['usage', `--store=${at.store}`, '--segments'];
  const run = await lbsOk(t, [...options, `--localdb=${at.localdb}`, '--json']);
  const data = of(run, 'segment').filter(({ group }) => group === 'data');
  t.deepEqual(
    data.map(({ used }) => used),
    [1, 1],
  );
  await lbsExits(t, 10, options);
  await lbsExits(t, 2, [...options, '--paths']);
});

test('a store of an older program is measured too', async (t) => {
  const fixture = join(import.meta.dirname, '..', 'fixtures', 'stores', '0.11', 'store');
  const run = await lbsOk(t, ['usage', `--store=${fixture}`, '--json']);
  const snapshots = of(run, 'snapshot');
  t.is(snapshots.length, 4);
  t.true(snapshots.every(({ file_bytes: bytes }) => Number(bytes) > 30_000_000));
});

test('a number of an object that no program writes takes no memory, and no room', async (t) => {
  const store = tempDir(t);
  const content = pseudoRandom('content', 1000);
  const stanza = (name: string, object: number) =>
    fileStanza(name, content, [objectName(2, object)]);
  writeSegment(store, 1, [stanza('hostile', 2 ** 32 - 1) + stanza('usual', 0)]);
  writeSegment(store, 2, [content]);
  const contentOf = (file: string) => readFileSync(join(store, file));
  const root = objectName(1, 0);
  writeSnapshot(store, { timestamp: '20300101T000000', root, digits: [1, 2], contentOf });
  // Less than a table of so many objects would take.
  const through = ['/bin/sh', '-c', 'ulimit -v 12000000; exec "$0" "$@"'];
  const run = await lbsOk(t, ['usage', `--store=${store}`, '--json'], { through });
  const [snapshot] = of(run, 'snapshot');
  t.is(snapshot?.['file_bytes'], 2 * content.length);
});
