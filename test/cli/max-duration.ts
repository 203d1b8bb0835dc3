/** Runs that are stopped before their end go on where they were: nothing is read or stored twice. */
import { chmodSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { backupOptions, clockAhead, places, type Places } from '../helpers/places.ts';
import { jsonMessage, lbs, lbsExits, lbsOk, PROJECT, startLbs } from '../helpers/run-lbs.ts';
import { makeFiles, makeIncompressible, waitUntil } from '../helpers/small-tree.ts';
import { segmentFiles, snapshotNames } from '../helpers/store-state.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

const MIB = 1024 * 1024;
/** Each segment takes its time. */
const SLOW_FILTER = [
  `--filter=${join(PROJECT, 'test', 'fixtures', 'filters', 'slow')}`,
  '--filter-extension=',
  '--segment-size=1M',
];
const FAST_FILTER = ['--filter=cat', '--filter-extension=', '--segment-size=1M'];

async function isSaved(t: ExecutionContext, at: Places): Promise<void> {
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
  rmSync(at.target, { recursive: true, force: true });
  await lbsOk(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  sameTree(t, readTree(at.tree), readTree(at.target));
}

test('runs of --max-duration end with 1 and no snapshot until one comes to the end', async (t) => {
  const at = places(t);
  makeIncompressible(at.tree, 40, MIB);
  const args = ['--json', ...backupOptions(at), ...SLOW_FILTER, '--max-duration=3s', '.'];
  for (let run = 1; ; run++) {
    const env = { LBS_SLOW_S: '0.4', ...clockAhead(1000 * run) };
    const { code, stderr, stdout } = await lbs(t, args, { cwd: at.tree, env });
    if (code === 0) {
      const summary = jsonMessage({ code, stderr, stdout, signal: null }, 'summary');
      t.true(run > 1, 'it was not stopped once');
      t.true(Number(summary['bytes_read']) < 30 * MIB, stdout);
      break;
    }
    t.is(code, 1, stderr);
    t.regex(stdout + stderr, /stopped after 3 seconds/);
    t.deepEqual(snapshotNames(at.store), []);
    if (run > 30) return t.fail('it never comes to its end');
  }
  // Each file in a segment of its own, and the metadata: nothing was stored twice.
  const count = segmentFiles(at.store).length;
  t.true(count < 44 + 30, `${count} segments`);
  await isSaved(t, at);
});

test('a run that is interrupted does not read again what it has read', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { 'b/old': 'old', 'm/changes': 'before', 'z/last': 'last', 'z/moves': 'm' });
  const before = { cwd: at.tree, env: clockAhead(1000) };
  await lbsOk(t, [...backupOptions(at), ...FAST_FILTER, '.'], before);

  makeIncompressible(join(at.tree, 'c'), 40, MIB);
  makeFiles(at.tree, { 'm/changes': 'after', 'a/new': 'new' });
  chmodSync(join(at.tree, 'z/last'), 0o600);
  renameSync(join(at.tree, 'z/moves'), join(at.tree, 'z/moved'));
  const env = { LBS_SLOW_S: '0.4', ...clockAhead(2000) };
  const args = [...backupOptions(at), ...SLOW_FILTER, '.'];
  const stored = segmentFiles(at.store).length;
  const running = startLbs(t, args, { cwd: at.tree, env });
  await waitUntil(() => segmentFiles(at.store).length >= stored + 8, '8 segments');
  running.child.kill('SIGINT');
  t.is((await running.done).code, 130);
  t.is(snapshotNames(at.store).length, 1);

  const after = { cwd: at.tree, env: clockAhead(3000) };
  const next = await lbsOk(t, ['--json', ...backupOptions(at), ...FAST_FILTER, '.'], after);
  const summary = jsonMessage(next, 'summary');
  const read = Number(summary['bytes_read']);
  t.true(read < 33 * MIB, `${read} bytes were read`);
  t.true(Number(summary['content_added']) <= read);
  await isSaved(t, at);
  const last = { cwd: at.tree, env: clockAhead(4000) };
  const again = await lbsOk(t, ['--json', ...backupOptions(at), ...FAST_FILTER, '.'], last);
  t.is(jsonMessage(again, 'summary')['bytes_read'], 0);
  await isSaved(t, at);
});

test('a time that is none is wrong use', async (t) => {
  const at = places(t);
  for (const time of ['', '0s', '5', '6m', '1h x']) {
    const run = await lbsExits(t, 2, [...backupOptions(at), `--max-duration=${time}`, '.']);
    t.regex(run.stderr, /is not a time\n.*6h, 1h30min or 90s/);
  }
});
