/**
 * A clock that jumps by a year, both ways, between runs: names, order, what is forgotten, collected
 * and read again. Ages of files in the store are by the store's own clock, which is not set here.
 */
import { existsSync, lstatSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { allIsWell, gc, lists } from '../helpers/collected-store.ts';
import { gpgHome } from '../helpers/gpg-home.ts';
import { backupOptions, clockAhead, type Places, places, restored } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { jsonMessage, lbs, lbsOk, type Run, restoreOk, startLbs } from '../helpers/run-lbs.ts';
import { makeFiles, makeSmallTree, waitUntil } from '../helpers/small-tree.ts';
import { segmentFiles, snapshotNames } from '../helpers/store-state.ts';
import { readTree, sameTree, type TreeState } from '../helpers/tree-state.ts';

const YEAR_S = 365 * 86400;
/** In this order: on time, ahead, on time again, behind, on time. */
const JUMPS_S = [0, YEAR_S, 0, -YEAR_S, 0];

const backup = (t: ExecutionContext, at: Places, jumpS: number, ...more: string[]): Promise<Run> =>
  lbsOk(t, [...backupOptions(at), '--json', ...more, at.tree], { env: clockAhead(jumpS) });

const nameOf = (run: Run): string => String(jsonMessage(run, 'summary')['snapshot_id']);

test('snapshots sort in the order in which they were made, and none is missed or forgotten wrongly', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  const made: string[] = [];
  const trees: TreeState[] = [];
  for (const [version, jumpS] of JUMPS_S.entries()) {
    makeFiles(at.tree, { version: `${version}` });
    const run = await backup(t, at, jumpS);
    made.push(nameOf(run));
    trees.push(readTree(at.tree));
    const said = run.stdout + run.stderr;
    t.is(said.includes('is this clock right?'), version >= 2, said);
    t.notRegex(said, /tampered with/);
  }
  t.deepEqual(made, made.toSorted());
  t.is(new Set(made).size, made.length);
  const list = await lbsOk(t, ['list', `--store=${at.store}`]);
  const listed = made.map((name) => list.stdout.indexOf(name));
  t.deepEqual(
    listed,
    listed.toSorted((a, b) => a - b),
  );
  await lbsOk(t, ['verify', `--store=${at.store}`, `--localdb=${at.localdb}`, '--data']);
  for (const [version, name] of [...made, 'latest'].entries()) {
    const target = `${at.target}-${version}`;
    await restoreOk(t, [`--store=${at.store}`, name, target]);
    sameTree(t, trees[Math.min(version, 4)] ?? new Map(), readTree(restored(target, at.tree)));
  }
  const forget = ['forget', `--store=${at.store}`, `--localdb=${at.localdb}`];
  for (const rule of ['--keep-last=1', '--keep-within=30d', '--keep-yearly=1']) {
    const said = await Promise.all(
      [0, YEAR_S, -YEAR_S].map((jumpS) =>
        lbsOk(t, [...forget, '--dry-run', rule], { env: clockAhead(jumpS) }),
      ),
    );
    t.is(new Set(said.map(({ stdout }) => stdout)).size, 1, `${rule} asks the clock`);
    t.notRegex(said[0]?.stdout ?? '', new RegExp(`forget +(${made.slice(1).join('|')})`), rule);
  }
  await lbsOk(t, [...forget, '--keep-last=1'], { env: clockAhead(YEAR_S) });
  t.deepEqual(snapshotNames(at.store).slice(-4), made.slice(1));
  await gc(t, at, '--grace=0h');
  await allIsWell(t, at);
  const { stdout, stderr } = await backup(t, at, 0);
  t.notRegex(stdout + stderr, /tampered with/);
});

test('nothing is collected early: ages are by the clock of the store', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  await backup(t, at, 0);
  makeFiles(at.tree, { more: pseudoRandom('more', 100_000) });
  const [held, go] = [join(at.base, 'held'), join(at.base, 'go')];
  const waits = `touch ${held}; while [ ! -e ${go} ]; do sleep 0.05; done; cat`;
  const words = [...backupOptions(at), `--signature-filter=${waits}`, at.tree];
  const running = startLbs(t, words);
  await waitUntil(() => existsSync(held), 'the backup');
  const before = segmentFiles(at.store);
  for (const jumpS of [YEAR_S, -YEAR_S, YEAR_S]) {
    const collecting = ['gc', `--store=${at.store}`];
    const run = await startLbs(t, collecting, { env: clockAhead(jumpS) }).done;
    t.is(run.code, 0, run.stderr);
    t.deepEqual(segmentFiles(at.store), before);
    t.deepEqual(lists(at.store), []);
  }
  writeFileSync(go, '');
  t.is((await running.done).code, 0);
  await allIsWell(t, at);
});

test('changes are seen whatever the clock says, and nothing unchanged is stored again', async (t) => {
  const at = places(t);
  const [changed, future] = [join(at.tree, 'changed'), join(at.tree, 'future')];
  makeFiles(at.tree, { changed: 'before', future: 'of next year', other: 'always so' });
  const nextYear = new Date(Date.now() + YEAR_S * 1000);
  utimesSync(future, nextYear, nextYear);
  const { mtime, atime } = lstatSync(changed);
  let before = 'before';
  for (const [round, jumpS] of JUMPS_S.entries()) {
    const size = before.length;
    before = round % 2 === 0 ? 'second'.slice(0, size) : 'before';
    writeFileSync(changed, before);
    // Of the same size and time as it was: only the time of its status tells.
    utimesSync(changed, atime, mtime);
    const run = await backup(t, at, jumpS);
    const { files_new: added } = jsonMessage(run, 'summary');
    if (round > 0) t.is(added, 0, run.stdout);
    const again = jsonMessage(await backup(t, at, jumpS), 'summary');
    t.is(again['files_changed'], 0, `stored again in round ${round}`);
    await allIsWell(t, at);
  }
  t.is(lstatSync(restored(at.target, future)).mtimeMs, nextYear.getTime());
});

test('what was signed while the clock was ahead or behind is verified when it is right', async (t) => {
  const at = places(t);
  const signer = gpgHome(t);
  makeSmallTree(at.tree);
  await backup(t, at, YEAR_S, `--sign-key=${signer.secretKey}`);
  await backup(t, at, 0, `--sign-key=${signer.secretKey}`);
  // The key is not a year old: it says so, and makes no snapshot that nobody would believe.
  const behind = await lbs(t, [...backupOptions(at), `--sign-key=${signer.secretKey}`, at.tree], {
    env: clockAhead(-YEAR_S),
  });
  t.is(behind.code, 12, behind.stderr);
  t.regex(behind.stderr, /by this clock is still to come\n.*set the clock right/);
  t.is(snapshotNames(at.store).length, 2);
  for (const jumpS of [0, YEAR_S, -YEAR_S]) {
    const words = ['verify', `--store=${at.store}`, `--verify-key=${signer.publicKey}`, '--data'];
    await lbsOk(t, words, { env: clockAhead(jumpS) });
  }
});
