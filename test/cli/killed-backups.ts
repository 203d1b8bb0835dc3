/**
 * Backups that are killed at any point lose at most the segments that were open: the next run uses
 * what was stored, and the store does not grow by what is lost.
 */
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { backupOptions, clockAhead, places, type Places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { lbs, lbsOk, PROJECT, startLbs } from '../helpers/run-lbs.ts';
import { makeFiles, makeIncompressible } from '../helpers/small-tree.ts';
import { segmentFiles, snapshotNames } from '../helpers/store-state.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

const KILLS = 20;
const FILE_BYTES = 64 * 1024;
const FILES = 800;
/** What may be lost with each kill, compared with the whole: 1/800. */
const FILTER = [
  `--filter=${join(PROJECT, 'test', 'fixtures', 'filters', 'slow')}`,
  '--filter-extension=',
  '--segment-size=64K',
];

function storedBytes({ store }: Places): number {
  return segmentFiles(store).reduce((sum, name) => sum + statSync(join(store, name)).size, 0);
}

function makeTree({ tree }: Places): void {
  makeIncompressible(join(tree, 'd'), FILES, FILE_BYTES);
}

/** Kills a run after a while that `seed` decides. */
async function killOne(t: ExecutionContext, at: Places, seed: string): Promise<number | null> {
  const delayMs = 200 + (pseudoRandom(seed, 2).readUInt16LE() % 1800);
  const options = { cwd: at.tree, env: { LBS_SLOW_S: '0.02' }, ownGroup: true };
  const running = startLbs(t, [...backupOptions(at), ...FILTER, '.'], options);
  await Promise.race([sleep(delayMs), running.done]);
  try {
    process.kill(-(running.child.pid ?? 0), 'SIGKILL');
  } catch {
    // It has ended.
  }
  return (await running.done).code;
}

test(`${KILLS} kills cost less than a tenth of the store, and the run after them ends well`, async (t) => {
  const at = places(t);
  makeTree(at);
  const undisturbed = { ...at, ...places(t), tree: at.tree };
  const fast = ['--filter=cat', '--filter-extension=', '--segment-size=64K'];
  await lbsOk(t, [...backupOptions(undisturbed), ...fast, '.'], { cwd: at.tree });
  let killed = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const code = await killOne(t, at, `kill ${kill}`);
    if (code === null) killed++;
    if (code === 0)
      makeFiles(at.tree, { [`more/${kill}`]: pseudoRandom(`more ${kill}`, FILE_BYTES) });
    t.true(code === null || code === 0, `${code}`);
  }
  t.true(killed >= KILLS / 2, `only ${killed} were killed`);
  const adopted = storedBytes(at) / storedBytes(undisturbed);
  t.true(adopted > 0.05, `killed before anything was stored: ${adopted}`);
  const env = clockAhead(1000);
  await lbsOk(t, [...backupOptions(at), ...fast, '.'], { cwd: at.tree, env });
  await lbsOk(t, [...backupOptions(undisturbed), ...fast, '.'], { cwd: at.tree, env });
  const ratio = storedBytes(at) / storedBytes(undisturbed);
  t.log(
    `${killed} killed, with ${adopted} stored; ${snapshotNames(at.store).length} snapshots, ${ratio} of the bytes`,
  );
  t.true(ratio < 1.1, `${ratio}`);
  const verify = await lbs(t, ['verify', `--store=${at.store}`, '--data']);
  t.is(verify.code, 0, verify.stdout + verify.stderr);
  await lbsOk(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  sameTree(t, readTree(at.tree), readTree(at.target));
});
