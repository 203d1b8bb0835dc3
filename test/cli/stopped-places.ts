/** Backups with an upload script, or two stores, that are interrupted or killed; and the run after. */
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { type Places, places } from '../helpers/places.ts';
import { PROJECT, commandLineOf, lbsOk, startLbs } from '../helpers/run-lbs.ts';
import { makeIncompressible, makeSmallTree, waitUntil } from '../helpers/small-tree.ts';
import { segmentFiles, snapshotNames } from '../helpers/store-state.ts';
import { remembersOnlyWhatIsThere, stagings } from '../helpers/uploads.ts';

const UPLOADS = join(PROJECT, 'test', 'fixtures', 'uploads');

const slowly = (at: Places) => [
  `--upload-script=${UPLOADS}/by-lines ${at.store} flat`,
  `--localdb=${at.localdb}`,
  `--tmpdir=${at.base}`,
  '--segment-size=64K',
  at.tree,
];
const SLOW = { ownGroup: true, env: { LBS_SLOW_S: '0.2' } };

test('an interrupt lets the script finish, and the next run stores only the rest', async (t) => {
  const at = places(t);
  makeIncompressible(at.tree, 40, 100_000);
  const running = startLbs(t, slowly(at), SLOW);
  await waitUntil(() => segmentFiles(at.store).length >= 3, 'three segments');
  // To all processes of the terminal.
  process.kill(-(running.child.pid ?? 0), 'SIGINT');
  const run = await running.done;
  t.is(run.code, 130, run.stderr);
  t.deepEqual(snapshotNames(at.store), []);
  remembersOnlyWhatIsThere(t, at);
  await lbsOk(t, slowly(at));
  t.true(segmentFiles(at.store).length <= 43, `${segmentFiles(at.store).length} segments`);
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
});

test('after a second interrupt nothing waits, and the script has ended', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  const pid = join(at.base, 'pid');
  const script = `echo $$ > ${pid}.new; mv ${pid}.new ${pid}; read -r line; exec sleep 300`;
  const args = [`--upload-script=${script}`, ...slowly(at).slice(1)];
  const running = startLbs(t, args);
  await waitUntil(() => existsSync(pid) && stagings(at).length > 0, 'the script');
  running.child.kill('SIGINT');
  await waitUntil(() => running.said().stderr.includes('once more'), 'the first answer');
  running.child.kill('SIGINT');
  t.is((await running.done).signal, 'SIGINT');
  t.deepEqual(stagings(at), []);
  const started = readFileSync(pid, 'utf8').trim();
  await waitUntil(() => !commandLineOf(started).includes('sleep'), 'the end of the script');
});

test('what a killed run left waiting is removed by the next one', async (t) => {
  const at = places(t);
  makeIncompressible(at.tree, 20, 100_000);
  const running = startLbs(t, slowly(at), SLOW);
  await waitUntil(() => segmentFiles(at.store).length >= 2, 'two segments');
  running.child.kill('SIGKILL');
  await running.done;
  t.is(stagings(at).length, 1);
  // Its script ends by itself, when it has read all that it was sent.
  await lbsOk(t, slowly(at));
  remembersOnlyWhatIsThere(t, at);
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
});

test('a killed run has given nothing to one of two stores that the next one takes for both', async (t) => {
  const at = places(t);
  makeIncompressible(at.tree, 60, 100_000);
  const second = join(at.base, 'second');
  mkdirSync(second);
  const stores = [at.store, second];
  const slow = [
    `--filter=${join(PROJECT, 'test', 'fixtures', 'filters', 'slow')}`,
    '--filter-extension=',
    '--segment-size=64K',
  ];
  const where = [...stores.map((store) => `--dest=${store}`), `--localdb=${at.localdb}`];
  for (const segments of [2, 9]) {
    const options = { ownGroup: true, env: { LBS_SLOW_S: '0.1' } };
    const running = startLbs(t, [...where, ...slow, at.tree], options);
    await waitUntil(() => stores.some((at) => segmentFiles(at).length >= segments), 'segments');
    process.kill(-(running.child.pid ?? 0), 'SIGKILL');
    t.is((await running.done).signal, 'SIGKILL');
  }
  await lbsOk(t, [...where, '--filter=cat', '--segment-size=64K', at.tree]);
  for (const store of stores) await lbsOk(t, ['verify', `--store=${store}`, '--data']);
});
