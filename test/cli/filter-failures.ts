/** Filters that fail in every way: the run ends, nothing is published, the reason is told. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { backupOptions, places, type Places, restored } from '../helpers/places.ts';
import { lbsExits, lbsOk, PROJECT, type Run, restoreOk } from '../helpers/run-lbs.ts';
import { makeIncompressible, makeSmallTree } from '../helpers/small-tree.ts';
import { segmentFiles, snapshotNames, storeState } from '../helpers/store-state.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

const FILTERS = join(PROJECT, 'test', 'fixtures', 'filters');

/** Backs up through a failing filter into a store that has a snapshot already. */
async function failingBackup(
  t: ExecutionContext,
  command: string,
): Promise<{ run: Run; at: Places }> {
  const at = places(t);
  makeSmallTree(at.tree);
  await lbsOk(t, [...backupOptions(at), join(at.tree, 'letters')]);
  const before = storeState(at.store);
  const filter = [`--filter=${command}`, '--filter-extension=.x', '--unfilter=.x=cat'];
  const run = await lbsExits(t, 1, [...backupOptions(at), ...filter, at.tree]);
  t.is(snapshotNames(at.store).length, 1, 'a snapshot was published');
  const after = storeState(at.store);
  for (const [name, state] of before) t.deepEqual(after.get(name), state, `${name} was changed`);
  // The store goes on working, and nothing that the failed run left is relied upon.
  await lbsOk(t, [...backupOptions(at), at.tree]);
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
  return { run, at };
}

test('a filter that cannot be found ends the run with the name of the command', async (t) => {
  const { run } = await failingBackup(t, 'no-such-filter-program --fast');
  t.true(run.stderr.includes('no-such-filter-program'), run.stderr);
  t.regex(run.stderr, /not found/);
});

for (const [name, words] of [
  ['dies-early', ['the key is not there', /\b7\b/]],
  ['exits-3', ['could not sync', /\b3\b/]],
  ['fails-midway', ['out of cheese', /\b5\b/]],
  ['killed-by-signal', [/SIGKILL|signal 9|\b137\b/]],
  ['closes-stdin', []],
  ['writes-nothing', [/nothing|empty|no output|wrote 0/]],
  ['damages', [/differ|not give|read back|reverse|unreadable|corrupt/]],
] as const) {
  test(`the filter "${name}" ends the run with what it said last`, async (t) => {
    const { run, at } = await failingBackup(t, join(FILTERS, name));
    t.true(run.stderr.includes(name), `the filter is not named: ${run.stderr}`);
    for (const word of words) {
      t.true(
        typeof word === 'string' ? run.stderr.includes(word) : word.test(run.stderr),
        run.stderr,
      );
    }
    t.deepEqual(
      segmentFiles(at.store).filter((file) => file.endsWith('.x')),
      [],
    );
  });
}

for (const signal of ['INT', 'TERM', 'HUP']) {
  test(`a filter that was hit by SIG${signal} once gets its input again, from the beginning`, async (t) => {
    const at = places(t);
    makeSmallTree(at.tree);
    const marker = join(at.base, 'was-hit');
    const hit = `[ -e ${marker} ] || { touch ${marker}; head -c 600; kill -${signal} $$; }; cat`;
    const filter = [`--filter=${hit}`, '--filter-extension='];
    await lbsOk(t, [...backupOptions(at), ...filter, at.tree]);
    t.true(existsSync(marker), 'the filter was not hit');
    await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
    await restoreOk(t, [`--store=${at.store}`, 'latest', at.target]);
    sameTree(t, readTree(at.tree), readTree(restored(at.target, at.tree)));
  });
}

test('a filter that a signal to stop ends every time ends the run', async (t) => {
  const { run } = await failingBackup(t, 'kill -TERM $$');
  t.regex(run.stderr, /was killed by SIGTERM/);
});

test('a pipeline of which an earlier part fails ends the run', async (t) => {
  if (!existsSync('/bin/bash')) return t.pass('only bash tells of it');
  const { run } = await failingBackup(t, '{ cat; exit 9; } | cat');
  t.regex(run.stderr, /exited with 9/);
});

test('an empty filter is not run through a shell: it means no filter', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  await lbsOk(t, [...backupOptions(at), '--filter=', at.tree]);
  t.true(segmentFiles(at.store).every((file) => file.endsWith('.tar')));
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
});

test('nothing of a filter that damages is relied upon later, however slow its proof was', async (t) => {
  const at = places(t);
  makeIncompressible(at.tree, 12, 200_000);
  const filter = [`--filter=${join(FILTERS, 'damages')}`, '--filter-extension=.x'];
  const slowProof = ['--unfilter=.x=sleep 2; cat', '--segment-size=64K'];
  await lbsExits(t, 1, [...backupOptions(at), ...filter, ...slowProof, at.tree]);
  await lbsOk(t, [...backupOptions(at), at.tree]);
  await restoreOk(t, [`--store=${at.store}`, 'latest', at.target]);
  sameTree(t, readTree(at.tree), readTree(restored(at.target, at.tree)));
});
