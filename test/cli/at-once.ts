/**
 * Commands at the same time on one store. Rounds of all of them with each other are few here and many
 * in test/slow/at-once.ts; what one command does while another is held: gc-race.ts, sync-stopped.ts.
 */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { roundsAtOnce } from '../helpers/at-once.ts';
import { allIsWell, otherMachine } from '../helpers/collected-store.ts';
import { backupOptions, clockAhead, places, restored } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { jsonMessage, lbsOk, restoreOk, startLbs } from '../helpers/run-lbs.ts';
import { makeFiles, makeSmallTree, waitUntil } from '../helpers/small-tree.ts';
import { filesEndingIn, snapshotNames, storeState } from '../helpers/store-state.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

test('backups of one scheme from three machines in one second have three names, and all are whole', async (t) => {
  const at = places(t);
  const machines = ['a', 'b', 'c'].map((name) => otherMachine(at, name));
  for (const { tree } of machines) makeSmallTree(tree);
  const env = clockAhead(0);
  const made = new Set<string>();
  for (let round = 0; round < 2; round++) {
    const before = storeState(at.store);
    for (const { tree } of machines) makeFiles(tree, { own: `${tree} in round ${round}` });
    const runs = await Promise.all(
      machines.map(
        (machine) =>
          startLbs(t, [...backupOptions(machine), '--json', '--scheme=s', machine.tree], { env })
            .done,
      ),
    );
    for (const [which, run] of runs.entries()) {
      t.is(run.code, 0, run.stderr);
      const name = String(jsonMessage(run, 'summary')['snapshot_id']);
      t.false(made.has(name), `${name} is taken`);
      made.add(name);
      const { tree, target } = machines[which] ?? at;
      rmSync(target, { recursive: true, force: true });
      await restoreOk(t, [`--store=${at.store}`, name, target]);
      sameTree(t, readTree(tree), readTree(restored(target, tree)));
    }
    const after = storeState(at.store);
    for (const [name, state] of before) t.deepEqual(after.get(name), state, name);
  }
  t.deepEqual(snapshotNames(at.store), [...made].sort());
  for (const kind of ['.sha1sums', '.sha256sums']) {
    t.is(filesEndingIn(at.store, kind).length, made.size);
  }
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
});

test('a second backup with the same local database exits with 11, names the first, and harms nothing', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  const [held, go] = [join(at.base, 'held'), join(at.base, 'go')];
  const waits = `touch ${held}; while [ ! -e ${go} ]; do sleep 0.05; done; cat`;
  const first = startLbs(t, [...backupOptions(at), `--signature-filter=${waits}`, at.tree]);
  await waitUntil(() => existsSync(held), 'the first backup');
  const other = join(at.base, 'other');
  mkdirSync(other);
  for (const store of [at.store, other]) {
    const words = [`--dest=${store}`, `--localdb=${at.localdb}`, at.tree];
    const second = await startLbs(t, words).done;
    t.is(second.code, 11, second.stderr);
    t.regex(second.stderr, /is in use by lbs, process \d+ on .*\n.*wait for it to end/);
  }
  writeFileSync(go, '');
  t.is((await first.done).code, 0);
  t.is(snapshotNames(at.store).length, 1);
  t.deepEqual(snapshotNames(other), []);
  await lbsOk(t, [...backupOptions(at), at.tree]);
  await allIsWell(t, at);
});

test('three restores into one target at once: the tree is that of the snapshot, or it is said what is not', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  await lbsOk(t, [...backupOptions(at), at.tree]);
  const words = ['restore', `--store=${at.store}`, 'latest', at.target];
  for (const isThere of [false, true]) {
    if (isThere) mkdirSync(at.target);
    const runs = await Promise.all([1, 2, 3].map(() => startLbs(t, words).done));
    for (const { code, stderr } of runs) {
      t.notRegex(stderr, /unexpected error|damaged/);
      if (code === 1 && !isThere) t.regex(stderr, /was made by somebody else just now\n.*again/);
      else t.true(code === 0 || code === 3, stderr);
    }
    await restoreOk(t, words.slice(1));
    sameTree(t, readTree(at.tree), readTree(restored(at.target, at.tree)));
    rmSync(at.target, { recursive: true });
  }
});

test('what is forgotten and collected while it is verified is no damage', async (t) => {
  const at = places(t);
  const save = [...backupOptions(at), '--filter=gzip -c', '--full-metadata', at.tree];
  for (const version of ['first', 'second']) {
    rmSync(join(at.tree, 'content'), { force: true });
    makeFiles(at.tree, { content: pseudoRandom(version, 100_000) });
    await lbsOk(t, save);
  }
  const [first = '', second = ''] = snapshotNames(at.store);
  const go = join(at.base, 'go');
  const held = ['all', 'named'].map((which) => join(at.base, which));
  const running = held.map((which, at_) => {
    const waits = `touch ${which}; while [ ! -e ${go} ]; do sleep 0.05; done; gzip -dc`;
    const names = at_ === 0 ? [] : [first];
    const verify = ['verify', `--store=${at.store}`, '--data', `--unfilter=.gz=${waits}`];
    return startLbs(t, [...verify, ...names]);
  });
  // Both, or one of them may only now begin.
  await waitUntil(() => held.every((which) => existsSync(which)), 'the verifications');
  const where = [`--store=${at.store}`, `--localdb=${at.localdb}`];
  await lbsOk(t, ['forget', ...where, first]);
  await lbsOk(t, ['gc', ...where, '--grace=0h']);
  writeFileSync(go, '');
  const [all, named] = await Promise.all(running.map(({ done }) => done));
  t.is(all?.code, 0, `${all?.stdout}${all?.stderr}`);
  t.regex(all?.stderr ?? '', new RegExp(`snapshot ${first} was taken out of .* meanwhile`));
  // One that was asked for is missed.
  t.is(named?.code, 10, named?.stderr);
  t.deepEqual(snapshotNames(at.store), [second]);
});

test('five rounds of three commands at once, of any kind', async (t) => {
  t.timeout(300_000);
  const ends = await roundsAtOnce(t, { rounds: 5, seed: process.env['LBS_SEED'] ?? 'five' });
  t.log([...ends].map(([end, times]) => `${end}: ${times}`).join(', '));
});
