/**
 * `--dest` given twice: each store is complete by itself, one that fails does not stop the other,
 * and "lbs sync" brings it up to date.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import Database from 'better-sqlite3';
import * as lbs from 'lbs';
import { type Places, places, restored } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { jsonLines, jsonMessage, lbsExits, lbsOk, restoreOk } from '../helpers/run-lbs.ts';
import { makeFiles, makeIncompressible, makeSmallTree } from '../helpers/small-tree.ts';
import { segmentFiles, snapshotNames, storeState } from '../helpers/store-state.ts';
import { mountTmpfs } from '../helpers/temp-dir.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

const MIB = 1024 * 1024;

type TwoPlaces = Places & { readonly second: string };

function twoPlaces(t: ExecutionContext): TwoPlaces {
  const at = places(t);
  const second = join(at.base, 'second');
  mkdirSync(second);
  makeSmallTree(at.tree);
  return { ...at, second };
}

const args = (at: TwoPlaces) => [
  `--dest=${at.store}`,
  `--dest=${at.second}`,
  `--localdb=${at.localdb}`,
  '--segment-size=64K',
  at.tree,
];

/** A backup within this process. */
function backup(at: TwoPlaces, options: lbs.BackupOptions | object = {}) {
  return lbs.backup({
    store: [at.store, at.second],
    localdb: at.localdb,
    segmentSizeBytes: 65536,
    paths: [lbs.bytePath(at.tree)],
    ...options,
  });
}

/** Names and contents; when a file came is each store's own. */
function contentsOf(store: string): [name: string, sha256: string][] {
  return [...storeState(store)].map(([name, { sha256 }]) => [name, sha256]);
}

async function areEqualAndWhole(t: ExecutionContext, at: TwoPlaces): Promise<void> {
  t.deepEqual(contentsOf(at.second), contentsOf(at.store));
  for (const store of [at.store, at.second]) {
    t.deepEqual((await lbs.verify({ store, depth: 'data' })).damage, []);
  }
}

test('both stores get every file, and the next run adds to both what is new', async (t) => {
  const at = twoPlaces(t);
  const first = jsonMessage(await lbsOk(t, ['--json', '--tag=good', ...args(at)]), 'summary');
  const outcome = (store: string) => ({ store, snapshot_id: first['snapshot_id'], error: null });
  t.deepEqual(first['stores'], [outcome(at.store), outcome(at.second)]);
  t.deepEqual(readdirSync(at.localdb).filter((name) => name.includes('tmp')), []); // prettier-ignore
  writeFileSync(join(at.tree, 'new'), 'new\n');
  const second = jsonMessage(await lbsOk(t, ['--json', '--tag=good', ...args(at)]), 'summary');
  t.is(Number(second['content_added']), 4);
  await areEqualAndWhole(t, at);
  t.is(readdirSync(at.second).filter((name) => name.endsWith('.tag-good')).length, 2);
  await restoreOk(t, [`--store=${at.second}`, 'latest', at.target]);
  sameTree(t, readTree(at.tree), readTree(restored(at.target, at.tree)));
});

test('a store that is away is left out, lags behind when it is back, and is whole after a sync', async (t) => {
  const at = twoPlaces(t);
  await backup(at);
  const away = `${at.second}.away`;
  renameSync(at.second, away);
  makeFiles(at.tree, { missed: pseudoRandom('missed', 90_000) });
  const without = await lbsExits(t, 3, args(at));
  t.regex(without.stderr, /^lbs: one store is left out: there is no store at .*second/m);
  const help = `the snapshot is not in ${at.second} (exit code 3); when it is well: lbs sync ${at.store} ${at.second}`;
  t.true(without.stderr.includes(help), without.stderr);

  // Its mount point is there, but nothing is mounted: what is written would lie below it.
  mkdirSync(at.second);
  const empty = await lbsExits(t, 3, ['-q', ...args(at)]);
  t.regex(empty.stderr, /second is empty, and the other store is not\n +is its disk mounted\?/);
  t.deepEqual(readdirSync(at.second), []);
  spawnSync('rmdir', [at.second]);
  renameSync(away, at.second);

  const before = segmentFiles(at.second).length;
  makeFiles(at.tree, { later: pseudoRandom('later', 90_000) });
  const behind = await lbsExits(t, 3, ['--json', ...args(at)]);
  const summary = jsonMessage(behind, 'summary');
  t.is(String(jsonMessage(behind, 'error')['item']), at.second);
  t.regex(JSON.stringify(summary['stores']), /second lacks \d of the \d segments/);
  t.is(Number(summary['content_added']), 90_000);
  t.true(segmentFiles(at.second).length > before, 'new segments are stored in it');
  t.deepEqual(snapshotNames(at.second).length, 1);

  await lbs.sync({ source: at.store, destination: at.second });
  await areEqualAndWhole(t, at);
  await lbsOk(t, args(at));
  await areEqualAndWhole(t, at);
  t.is(snapshotNames(at.second).length, 5);
});

test('a store that fills up stops neither the run nor the other store', async (t) => {
  const at = twoPlaces(t);
  if (!mountTmpfs(at.second, 2 * MIB)) return t.pass('no mounts here');
  await backup(at);
  makeIncompressible(join(at.tree, 'large'), 12, MIB / 2);
  const run = await lbsExits(t, 3, args(at));
  t.regex(run.stderr, /one store is left out: no space left in the store .*second/);
  t.deepEqual((await lbs.verify({ store: at.store, depth: 'data' })).damage, []);
  t.deepEqual((await lbs.verify({ store: at.second, depth: 'data' })).damage, []);
  t.deepEqual([snapshotNames(at.store).length, snapshotNames(at.second).length], [2, 1]);
  t.is(spawnSync('mount', ['-o', 'remount,size=40m', at.second]).status, 0);
  await lbs.sync({ source: at.store, destination: at.second });
  await lbsOk(t, args(at));
  await areEqualAndWhole(t, at);
});

test('when no store is left, the run fails, and remembers only what one of them has', async (t) => {
  const at = twoPlaces(t);
  if (![at.store, at.second].every((place) => mountTmpfs(place, MIB))) {
    return t.pass('no mounts here');
  }
  makeIncompressible(join(at.tree, 'large'), 12, MIB / 4);
  const run = await lbsExits(t, 1, args(at));
  t.is(run.stderr.match(/one store is left out: no space left/g)?.length, 1, run.stderr);
  t.regex(run.stderr, /no store is left: no space left .*; no space left/);
  const db = new Database(join(at.localdb, 'lbs-localdb.sqlite'), { readonly: true });
  const files = db.prepare<[], string>('select file from segments').pluck().all();
  db.close();
  t.true(files.length > 0);
  const present = new Set([at.store, at.second].flatMap(segmentFiles));
  t.deepEqual(files.filter((file) => !present.has(file)), []); // prettier-ignore
  const gone = args(at).map((arg) => arg.replace(/(second|store)$/, '$1.gone'));
  const both = await lbsExits(t, 10, gone);
  t.regex(both.stderr, /no store is left: there is no store at .*; there is no store at/);
});

test('one name in all stores: it sorts behind the newest of any, and what a killed run left', async (t) => {
  const at = twoPlaces(t);
  const { snapshot } = await backup(at);
  // Somebody else's, far ahead; and lists that a killed run left for the second after it.
  const [name, next] = ['20990101T000000', '20990101T000001'] as const;
  writeFileSync(join(at.second, `snapshot-${name}.lbs`), 'of another machine\n');
  writeFileSync(join(at.second, `snapshot-${next}.sha1sums`), 'left\n');
  const made = await backup(at);
  t.is(made.snapshot, '20990101T000002');
  t.deepEqual(snapshotNames(at.store), [snapshot, '20990101T000002']);
  t.deepEqual(snapshotNames(at.second), [snapshot, name, '20990101T000002']);
});

test('what is condemned, or not as it was, in one store is not relied upon there', async (t) => {
  const at = twoPlaces(t);
  const first = await backup(at);
  const segments = segmentFiles(at.second);
  const list = 'gc-00000000-0000-4000-8000-000000000000.condemned';
  writeFileSync(join(at.second, list), `${segments.join('\n')}\n`);
  t.is((await backup(at, { rebuildStatcache: true })).dataBytesAdded, first.dataBytesAdded);
  spawnSync('rm', [join(at.second, list)]);

  for (const file of segmentFiles(at.second)) truncateSync(join(at.second, file), 10);
  const run = await backup(at);
  t.deepEqual(run.stores.map(({ snapshot }) => snapshot === undefined), [false, true]); // prettier-ignore
  t.regex(run.stores[1]?.error?.message ?? '', /second lacks \d of the \d segments/);
  t.is(run.stores[1]?.error?.code, 'store-behind');
  t.deepEqual((await lbs.verify({ store: at.store, depth: 'data' })).damage, []);
});

test('a segment that is gone from both stores is stored anew in both', async (t) => {
  const at = twoPlaces(t);
  const { dataBytesAdded } = await backup(at);
  for (const store of [at.store, at.second]) {
    for (const file of segmentFiles(store)) spawnSync('rm', [join(store, file)]);
  }
  t.is((await backup(at)).dataBytesAdded, dataBytesAdded);
  for (const store of [at.store, at.second]) {
    const { damage } = await lbs.verify({ store, depth: 'data', snapshots: ['latest'] });
    t.deepEqual(damage, []);
  }
});

test('two stores are for backups, and must be two; the configuration may name them', async (t) => {
  const at = twoPlaces(t);
  const [one = '', two = '', localdb = ''] = args(at);
  t.regex(
    (await lbsExits(t, 2, [one, two, at.tree])).stderr,
    /several stores need a local database/,
  );
  const same = [one, `--dest=${at.tree}/../store`, localdb, at.tree];
  t.regex((await lbsExits(t, 2, same)).stderr, /are the same directory/);
  t.regex((await lbsExits(t, 2, ['list', one, two])).stderr, /--store is given 2 times/);

  const config = join(at.base, 'config');
  writeFileSync(config, `store = ${at.store}\ndest = ${at.second}\nlocaldb = ${at.localdb}\n`);
  await lbsOk(t, [`--config=${config}`, at.tree]);
  await areEqualAndWhole(t, at);
  const list = await lbsExits(t, 2, ['list', `--config=${config}`]);
  t.regex(list.stderr, /the configuration names 2 stores.*\n +name it: --store=/);
  const chosen = await lbsOk(t, ['list', `--config=${config}`, '--json', `--store=${at.second}`]);
  t.is(jsonLines(chosen).length, 1);
});

test('a snapshot that goes from the first store is missed, also after a night without that store', async (t) => {
  const at = twoPlaces(t);
  await lbsOk(t, args(at));
  await lbsOk(t, args(at));
  const [, second = ''] = snapshotNames(at.store);
  renameSync(at.store, `${at.store}.away`);
  await lbsExits(t, 3, args(at));
  renameSync(`${at.store}.away`, at.store);
  for (const kind of ['lbs', 'sha1sums', 'sha256sums']) {
    rmSync(join(at.store, `snapshot-${second}.${kind}`));
  }
  const run = await lbsExits(t, 3, args(at));
  t.true(run.stderr.includes(`snapshot-${second}.lbs: gone`), run.stderr);
});
