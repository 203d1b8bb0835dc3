/**
 * Backups that are killed at any point lose at most the segments that were open: the next run uses
 * what was stored, does not read it again, and the store does not grow by what is lost.
 */
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { backupOptions, clockAhead, places, type Places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import {
  jsonMessage,
  killGroup,
  lbs,
  lbsOk,
  PROJECT,
  type Run,
  startLbs,
} from '../helpers/run-lbs.ts';
import { makeFiles, makeIncompressible, waitUntil } from '../helpers/small-tree.ts';
import { canTrace } from '../helpers/strace.ts';
import { segmentFiles, snapshotNames, storedBytes } from '../helpers/store-state.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

const KILLS = 20;
const FILE_BYTES = 64 * 1024;
const FILES = 800;
/** Files that may be read again: those of the segments that were open, or on their way. */
const LOST_FILES_MAX = 8;
/** What may be lost with each kill, compared with the whole: 1/800. */
const FILTER = [
  `--filter=${join(PROJECT, 'test', 'fixtures', 'filters', 'slow')}`,
  '--filter-extension=',
  '--segment-size=64K',
];

function makeTree({ tree }: Places): void {
  makeIncompressible(join(tree, 'd'), FILES, FILE_BYTES);
}

/** Most new segments that a run may have stored before it is killed. */
const SEGMENTS_MAX = 40;

/**
 * Kills a run when it has stored as many segments as `seed` decides, and a moment later; or, one of
 * four, so long after its start as it says. Time alone would let a slow machine store nothing.
 */
async function killOne(
  t: ExecutionContext,
  at: Places,
  { seed, aheadS }: { seed: string; aheadS: number },
): Promise<number | null> {
  const [kind = 0, share = 0, later = 0] = pseudoRandom(seed, 3);
  const env = { LBS_SLOW_S: '0.02', ...clockAhead(aheadS) };
  const options = { cwd: at.tree, env, ownGroup: true };
  const wanted = segmentFiles(at.store).length + 1 + (share % SEGMENTS_MAX);
  const running = startLbs(t, [...backupOptions(at), ...FILTER, '.'], options);
  let hasEnded = false;
  const ended = running.done.then(() => (hasEnded = true));
  if (kind % 4 === 0) await Promise.race([sleep(4 * share), ended]);
  else {
    await waitUntil(() => hasEnded || segmentFiles(at.store).length >= wanted, 'segments');
    await Promise.race([sleep(later % 50), ended]);
  }
  killGroup(running);
  return (await running.done).code;
}

/** Files whose content was read by a run of `--json`. */
function filesRead(run: Run): number {
  return Number(jsonMessage(run, 'summary')['bytes_read']) / FILE_BYTES;
}

/** What a directory holds, by name; the lock is of no interest. */
function filesOf(directory: string): [name: string, content: Buffer][] {
  const names = readdirSync(directory).filter((name) => !name.endsWith('.lock'));
  return names.map((name) => [name, readFileSync(join(directory, name))]);
}

test(`${KILLS} kills cost less than a tenth of the store, and the run after them ends well`, async (t) => {
  const at = places(t);
  makeTree(at);
  const undisturbed = { ...at, ...places(t), tree: at.tree };
  const fast = ['--filter=cat', '--filter-extension=', '--segment-size=64K'];
  await lbsOk(t, [...backupOptions(undisturbed), ...fast, '.'], { cwd: at.tree });
  let killed = 0;
  for (let kill = 0; kill < KILLS; kill++) {
    const code = await killOne(t, at, { seed: `kill ${kill}`, aheadS: 100 + kill });
    if (code === null) killed++;
    if (code === 0)
      makeFiles(at.tree, { [`more/${kill}`]: pseudoRandom(`more ${kill}`, FILE_BYTES) });
    t.true(code === null || code === 0, `${code}`);
  }
  t.true(killed >= KILLS / 2, `only ${killed} were killed`);
  const adopted = storedBytes(at.store) / storedBytes(undisturbed.store);
  t.true(adopted > 0.05, `killed before anything was stored: ${adopted}`);
  const env = clockAhead(1000);
  const left = filesOf(at.localdb);
  await lbsOk(t, ['-n', ...backupOptions(at), '.'], { cwd: at.tree, env });
  t.deepEqual(filesOf(at.localdb), left, 'a dry run touches nothing that was left');
  const last = await lbsOk(t, ['--json', ...backupOptions(at), ...fast, '.'], {
    cwd: at.tree,
    env,
  });
  const notStored = FILES * (1 - adopted);
  // Each kill may leave a segment that the local database did not come to know.
  t.true(
    filesRead(last) < notStored + KILLS + LOST_FILES_MAX,
    `${filesRead(last)} read, ${notStored} not stored`,
  );
  await lbsOk(t, [...backupOptions(undisturbed), ...fast, '.'], { cwd: at.tree, env });
  const ratio = storedBytes(at.store) / storedBytes(undisturbed.store);
  t.log(
    `${killed} killed, with ${adopted} stored; ${snapshotNames(at.store).length} snapshots, ${ratio} of the bytes`,
  );
  t.true(ratio < 1.1, `${ratio}`);
  const verify = await lbs(t, ['verify', `--store=${at.store}`, '--data']);
  t.is(verify.code, 0, verify.stdout + verify.stderr);
  await lbsOk(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  sameTree(t, readTree(at.tree), readTree(at.target));
});

test('of changed files only those are read again that a killed run had not finished', async (t) => {
  const at = places(t);
  makeTree(at);
  const fast = ['--filter=cat', '--filter-extension=', '--segment-size=64K'];
  const options = (aheadS: number) => ({ cwd: at.tree, env: clockAhead(aheadS) });
  await lbsOk(t, [...backupOptions(at), ...fast, '.'], options(1000));
  for (let file = 0; file < FILES; file += 2) {
    const name = `d/file-${String(file).padStart(3, '0')}`;
    makeFiles(at.tree, { [name]: pseudoRandom(`changed ${file}`, FILE_BYTES) });
  }
  const before = storedBytes(at.store);
  for (let kill = 0; kill < 3; kill++) {
    t.is(await killOne(t, at, { seed: `once more ${kill}`, aheadS: 2000 + kill }), null);
  }
  const stored = (storedBytes(at.store) - before) / FILE_BYTES;
  const run = await lbsOk(t, ['--json', ...backupOptions(at), ...fast, '.'], options(3000));
  const most = FILES / 2 - stored + 3 + LOST_FILES_MAX;
  t.log(`${filesRead(run)} of ${FILES / 2} read, ${stored} had been stored`);
  t.true(filesRead(run) <= most, `${filesRead(run)}, at most ${most}`);
  t.true(storedBytes(at.store) < 1.1 * 1.5 * FILES * FILE_BYTES);
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
  await lbsOk(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  sameTree(t, readTree(at.tree), readTree(at.target));
});

test('each segment is on disk in the local database before the run goes on, for a power cut', async (t) => {
  if (!canTrace) return t.pass('left out: no strace here');
  const at = places(t);
  makeIncompressible(at.tree, 20, FILE_BYTES);
  const log = join(at.base, 'calls');
  const through = ['strace', '-f', '-y', '-o', log, '-e', 'trace=fdatasync,fsync'];
  const args = ['--filter=cat', '--filter-extension=', '--segment-size=64K', '.'];
  await lbsOk(t, [...backupOptions(at), ...args], { cwd: at.tree, through });
  const syncs = readFileSync(log, 'utf8').match(/sync\(\d+<[^>]*lbs-localdb\.sqlite-wal>/g) ?? [];
  const segments = readdirSync(at.store).filter((name) => name.endsWith('.tar'));
  t.true(segments.length > 5, `${segments.length}`);
  t.true(syncs.length >= segments.length, `${syncs.length} syncs of ${segments.length} segments`);
});
