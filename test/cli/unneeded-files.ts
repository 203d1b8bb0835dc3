/** What `lbs verify`, alias `lbs check`, says of files that no snapshot needs. */
import { existsSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import {
  allIsWell,
  forget,
  gc,
  neededSegments,
  unneededSegments,
  withForgotten,
} from '../helpers/collected-store.ts';
import { backupOptions, places } from '../helpers/places.ts';
import { jsonMessage, lbsExits, lbsOk } from '../helpers/run-lbs.ts';
import { makeFiles, makeSmallTree } from '../helpers/small-tree.ts';
import { segmentFiles, snapshotNames } from '../helpers/store-state.ts';

const LEFT =
  /2 files that no snapshot needs, .*running backup may need them.*"lbs gc" removes them/;

async function counted(t: ExecutionContext, store: string, code: number, ...args: string[]) {
  const run = await lbsExits(t, code, ['check', `--store=${store}`, '--json', ...args]);
  const summary = jsonMessage(run, 'summary');
  const words = ['unneeded_files', 'unneeded_bytes', 'unfinished_files', 'unfinished_bytes'];
  return words.map((word) => summary[word]);
}

test('files that no snapshot needs are counted and are no damage, until they are collected', async (t) => {
  const at = await withForgotten(t);
  const unneeded = unneededSegments(at.store);
  t.is(unneeded.length, 2);
  const bytes = unneeded.reduce((sum, file) => sum + statSync(join(at.store, file)).size, 0);
  writeFileSync(join(at.store, '.lbs-tmp-x-1'), 'unfinished');
  t.deepEqual(await counted(t, at.store, 0), [2, bytes, 1, 10]);
  t.deepEqual(await counted(t, at.store, 0, '--data'), [2, bytes, 1, 10]);
  for (const command of ['verify', 'check']) {
    const run = await lbsOk(t, [command, `--store=${at.store}`]);
    t.regex(run.stdout, /all is well/);
    t.regex(run.stderr, LEFT);
    t.regex(run.stderr, /1 unfinished file, 10 B: .*next backup from the same machine removes them/);
    const quiet = await lbsOk(t, [command, '-q', `--store=${at.store}`]);
    t.is(quiet.stdout + quiet.stderr, '');
  }
  await gc(t, at, '--grace=0h');
  t.deepEqual(await counted(t, at.store, 0), [0, 0, 1, 10]);
}); // prettier-ignore

test('where not all snapshots were read, nothing is said to be needed by none', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  // With the local database in the store, which is nothing to collect either.
  await lbsOk(t, [`--dest=${at.store}`, '.'], { cwd: at.tree });
  await lbsOk(t, [`--dest=${at.store}`, '--full-metadata', '.'], { cwd: at.tree });
  t.deepEqual(await counted(t, at.store, 0), [0, 0, 0, 0]);
  const [first = ''] = snapshotNames(at.store);
  truncateSync(join(at.store, `snapshot-${first}.lbs`), 20);
  const unknown = [null, null, null, null];
  t.deepEqual(await counted(t, at.store, 4), unknown);
  // The one before the last is not what the last says of it.
  t.deepEqual(await counted(t, at.store, 12, 'latest'), unknown, 'what the other one needs');
});

test('"lbs check --help" is that of verify, and a path of that name is still saved', async (t) => {
  const help = await lbsOk(t, ['check', '--help']);
  t.is(help.stdout, (await lbsOk(t, ['verify', '--help'])).stdout);
  t.is(help.stdout, (await lbsOk(t, ['help', 'check'])).stdout);
  const at = places(t);
  makeSmallTree(join(at.tree, 'check'));
  await lbsOk(t, [...backupOptions(at), './check'], { cwd: at.tree });
  t.regex((await lbsOk(t, ['ls', `--store=${at.store}`, 'latest'])).stdout, /check/);
});

test('segments of an extension that files beside segments have are needed, and go, like others', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { text: 'some text' });
  const filter = ['--filter=zstd -c', '--filter-extension=.asc', '--unfilter=.asc=zstd -dc'];
  const options = [...backupOptions(at), ...filter, '--full-metadata'];
  await lbsOk(t, [...options, at.tree]);
  makeFiles(at.tree, { text: 'another text' });
  await lbsOk(t, [...options, at.tree]);
  t.regex((await gc(t, at, '--grace=0h')).stdout, /^0 files removed/);
  await forget(t, at, snapshotNames(at.store)[0] ?? '');
  t.is(unneededSegments(at.store).length, 2);
  // Beside one that is needed.
  const [needed = ''] = neededSegments(at.store);
  writeFileSync(join(at.store, `${needed}.sig`), 'a signature');
  t.regex((await gc(t, at, '--grace=0h')).stdout, /^2 files removed/);
  t.deepEqual(unneededSegments(at.store), []);
  t.true(existsSync(join(at.store, `${needed}.sig`)));
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data', '--unfilter=.asc=zstd -dc']);
});

test('what could still be repaired stays: a snapshot whose descriptor is gone, and nobody forgot it', async (t) => {
  const at = await withForgotten(t);
  await gc(t, at, '--grace=0h');
  makeFiles(at.tree, { newer: 'newer' });
  rmSync(join(at.tree, 'new'));
  await lbsOk(t, [...backupOptions(at), '--full-metadata', at.tree]);
  const [lost = '', last = ''] = snapshotNames(at.store);
  const segments = segmentFiles(at.store);
  // Of the first one its successor knows as well, of the last one only this machine.
  rmSync(join(at.store, `snapshot-${lost}.lbs`));
  const words = ['gc', `--store=${at.store}`, '--grace=0h'];
  const run = await lbsExits(t, 4, words);
  t.regex(run.stderr, new RegExp(`${lost}.lbs: is gone, .*"lbs repair"`));
  t.regex(run.stdout, /^0 files removed/);
  rmSync(join(at.store, `snapshot-${last}.lbs`));
  await lbsExits(t, 4, [...words, `--localdb=${at.localdb}`]);
  t.deepEqual(segmentFiles(at.store), segments);
  await lbsOk(t, ['repair', `--store=${at.store}`]);
  await allIsWell(t, at);
  t.regex((await gc(t, at, '--grace=0h')).stdout, /^0 files removed/);
  // On purpose, with all of its files: nobody keeps anything of it.
  for (const name of readdirSync(at.store)) if (name.includes(lost)) rmSync(join(at.store, name));
  t.regex((await gc(t, at, '--grace=0h')).stdout, /^[1-9]\d* files? removed/);
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
});
