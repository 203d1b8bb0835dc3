/** `--dry-run`: tells what would be done, and touches nothing. */
import { appendFileSync, mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { backupOptions, places } from '../helpers/places.ts';
import { homeOf, jsonMessage, lbsExits, lbsOk } from '../helpers/run-lbs.ts';
import { makeFiles, makeSmallTree } from '../helpers/small-tree.ts';
import { storeState } from '../helpers/store-state.ts';

test('a dry run into an empty store leaves it empty', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  const run = await lbsOk(t, ['-n', `--dest=${at.store}`, at.tree]);
  t.regex(run.stdout, /[Dd]ry run/);
  t.deepEqual(readdirSync(at.store), []);
  const absent = join(at.base, 'absent');
  await lbsOk(t, ['--dry-run', `--dest=${at.store}`, `--localdb=${absent}`, at.tree]);
  t.deepEqual(readdirSync(at.base).sort(), ['localdb', 'store', 'tree'], 'a directory was made');
  t.deepEqual(readdirSync(homeOf(t)), [], 'something temporary is left');
});

for (const [where, isInside] of [
  ['in the store', true],
  ['elsewhere', false],
] as const) {
  test(`a dry run changes no byte of a store and a local database ${where}`, async (t) => {
    const at = places(t);
    makeSmallTree(at.tree);
    const options = isInside ? [`--dest=${at.store}`] : backupOptions(at);
    await lbsOk(t, [...options, at.tree]);
    appendFileSync(join(at.tree, 'letters', 'one'), 'PS: more\n');
    makeFiles(at.tree, { 'letters/three': 'new' });
    const before = [storeState(at.store), storeState(at.localdb)];
    const run = await lbsOk(t, ['-n', '-v', '--json', ...options, at.tree]);
    t.deepEqual([storeState(at.store), storeState(at.localdb)], before);
    t.deepEqual(readdirSync(homeOf(t)), [], 'something temporary is left');
    const summary = jsonMessage(run, 'summary');
    t.is(summary['dry_run'], true);
    t.is(summary['files_new'], 1);
    t.is(summary['files_changed'], 1);
    t.true(Number(summary['content_added']) > 0);
    // The real run then does what was told.
    const real = jsonMessage(await lbsOk(t, ['--json', ...options, at.tree]), 'summary');
    for (const field of [
      'files_new',
      'files_changed',
      'files_unmodified',
      'content_added',
      'entries',
    ]) {
      t.is(real[field], summary[field], field);
    }
  });
}

test('a dry run finds the same mistakes as a real one', async (t) => {
  const at = places(t);
  mkdirSync(join(at.tree, 'empty'));
  await lbsExits(t, 1, ['-n', ...backupOptions(at), join(at.tree, 'missing')]);
  await lbsExits(t, 10, ['-n', `--dest=${join(at.base, 'missing')}`, at.tree]);
  t.deepEqual(readdirSync(at.store), []);
});
