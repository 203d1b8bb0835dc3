/**
 * `lbs gc` while backups of other machines run into the same store. Each is held where it matters:
 * a backup when it has decided what to refer to, or about to be seen; a collector before or after
 * its list is there. Whatever the order, a snapshot is whole, or its backup fails and leaves none.
 */
import { randomUUID } from 'node:crypto';
import { cpSync, existsSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { raceWithCollector } from '../helpers/collect-race.ts';
import { allIsWell, forget, lists, otherMachine } from '../helpers/collected-store.ts';
import { backupOptions, type Places, places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { jsonMessage, lbsOk, type Run, type RunningLbs, startLbs } from '../helpers/run-lbs.ts';
import { makeFiles, waitUntil } from '../helpers/small-tree.ts';
import { canTrace, haltAfter } from '../helpers/strace.ts';
import { segmentFiles, snapshotNames } from '../helpers/store-state.ts';

const COLLECTED = /was taken out of the store meanwhile/;
/** A new metadata segment and two checksums files come before the descriptor. */
const DESCRIPTOR_LINK = 4;
/** Two calls read a directory: all of it, and that there is no more. The second time is the last look. */
const LAST_LOOK_CALL = 4;

type Race = { readonly at: Places; readonly saver: Places; readonly orphans: readonly string[] };

/** A store with orphans that the local database of the machine `saver` still offers. */
async function raceInStore(t: ExecutionContext): Promise<Race> {
  const at = places(t);
  const saver = otherMachine(at, 'saver');
  makeFiles(saver.tree, { x: pseudoRandom('x', 100_000) });
  const backup = [...backupOptions(saver), '--scheme=saver', saver.tree];
  await lbsOk(t, backup);
  const orphans = segmentFiles(at.store);
  rmSync(join(saver.tree, 'x'));
  makeFiles(saver.tree, { y: pseudoRandom('y', 1000) });
  await lbsOk(t, [...backup, '--full-metadata']);
  await forget(t, at, snapshotNames(at.store)[0] ?? '');
  makeFiles(saver.tree, { x: pseudoRandom('x', 100_000) });
  return { at, saver, orphans };
}

function startBackup(
  t: ExecutionContext,
  { saver }: Race,
  args: readonly string[],
  through: readonly string[] = [],
) {
  const words = [...backupOptions(saver), '--scheme=saver', '--full-metadata', ...args, saver.tree];
  return startLbs(t, words, { through, ownGroup: true });
}

/** A backup that has stored everything and waits for the file `go` before its descriptor. */
async function heldBackup(
  t: ExecutionContext,
  race: Race,
): Promise<{ running: RunningLbs; go: () => void }> {
  const [held, go] = [join(race.at.base, 'held'), join(race.at.base, 'go')];
  const filter = `touch ${held}; while [ ! -e ${go} ]; do sleep 0.05; done; cat`;
  const running = startBackup(t, race, [`--signature-filter=${filter}`]);
  await waitUntil(() => existsSync(held), 'the backup');
  return { running, go: () => writeFileSync(go, '') };
}

const collector = ({ at }: Race): string[] => [
  ...['gc', `--store=${at.store}`, `--localdb=${at.localdb}`, '--grace=0h'],
];

/** True while any of the orphans is in the store. */
const isThere = ({ at, orphans }: Race): boolean =>
  orphans.some((name) => existsSync(join(at.store, name)));

const hasSums = (store: string): boolean =>
  readdirSync(store).filter((name) => name.endsWith('.sha256sums')).length === 2;

/** At once: the tests of a file take turns otherwise, and somebody is waiting. */
const collectNow = (t: ExecutionContext, race: Race, through: readonly string[] = []): RunningLbs =>
  startLbs(t, collector(race), { through, ownGroup: true });

/** The backup was refused, and there is no snapshot of it. */
function refusedTidily(t: ExecutionContext, race: Race, run: Run): void {
  t.is(run.code, 1, run.stderr);
  t.regex(run.stderr, COLLECTED);
  t.is(snapshotNames(race.at.store).length, 1);
}

/** The same command makes the snapshot. */
async function startAgain(t: ExecutionContext, race: Race): Promise<void> {
  t.is((await startBackup(t, race, []).done).code, 0);
  await lbsOk(t, collector(race));
  t.deepEqual(lists(race.at.store), []);
  await allIsWell(t, race.saver, '--scheme=saver');
}

test('a collection while a backup is about to end: the backup finds out', async (t) => {
  const race = await raceInStore(t);
  const { running, go } = await heldBackup(t, race);
  await lbsOk(t, collector(race));
  for (const name of race.orphans) t.false(existsSync(join(race.at.store, name)), name);
  go();
  refusedTidily(t, race, await running.done);
  await startAgain(t, race);
});

test('a descriptor that appears too late for the collector is taken back', async (t) => {
  if (!canTrace) return t.pass('left out: strace may not trace here');
  const race = await raceInStore(t);
  const halt = haltAfter(t, 'linkat', DESCRIPTOR_LINK - 1);
  const running = startBackup(t, race, [], halt.through);
  await halt.reached();
  t.true(hasSums(race.at.store));
  t.is((await collectNow(t, race).done).code, 0);
  t.is(snapshotNames(race.at.store).length, 1);
  refusedTidily(t, race, await halt.toItsEnd(running));
  await startAgain(t, race);
});

test('a descriptor that the collector sees keeps what it names', async (t) => {
  if (!canTrace) return t.pass('left out: strace may not trace here');
  const race = await raceInStore(t);
  const halt = haltAfter(t, 'linkat', DESCRIPTOR_LINK);
  const running = startBackup(t, race, [], halt.through);
  await halt.reached();
  t.is(snapshotNames(race.at.store).length, 2);
  t.is((await collectNow(t, race).done).code, 0);
  t.is((await halt.toItsEnd(running)).code, 0);
  t.true(isThere(race));
  await allIsWell(t, race.saver, '--scheme=saver');
});

test('a collector that has decided, but not yet listed, spares what is published meanwhile', async (t) => {
  if (!canTrace) return t.pass('left out: strace may not trace here');
  const race = await raceInStore(t);
  const { running, go } = await heldBackup(t, race);
  // Its local database is told of what it has decided, before anybody else is.
  const halt = haltAfter(t, 'fsync', 1);
  const collecting = collectNow(t, race, halt.through);
  await halt.reached();
  t.deepEqual(lists(race.at.store), []);
  go();
  t.is((await running.done).code, 0);
  t.is((await halt.toItsEnd(collecting)).code, 0);
  t.true(isThere(race));
  await allIsWell(t, race.saver, '--scheme=saver');
});

test('a collector that is about to remove is seen, also when a second one was there', async (t) => {
  if (!canTrace) return t.pass('left out: strace may not trace here');
  const race = await raceInStore(t);
  const { running, go } = await heldBackup(t, race);
  const halt = haltAfter(t, 'getdents64', LAST_LOOK_CALL);
  const collecting = collectNow(t, race, halt.through);
  await halt.reached();
  t.is(lists(race.at.store).length, 1, 'the list comes before the last look');
  t.is((await startLbs(t, ['gc', `--store=${race.at.store}`]).done).code, 0);
  t.is(lists(race.at.store).length, 1, 'the list of another collector was removed');
  go();
  refusedTidily(t, race, await running.done);
  t.true(isThere(race));
  t.is((await halt.toItsEnd(collecting)).code, 0);
  await startAgain(t, race);
});

test('what a backup that died had no time to take back, the collector does', async (t) => {
  if (!canTrace) return t.pass('left out: strace may not trace here');
  const race = await raceInStore(t);
  // Before its descriptor, and as that has appeared.
  const backup = haltAfter(t, 'linkat', `${DESCRIPTOR_LINK - 1}+`);
  const running = startBackup(t, race, [], backup.through);
  await backup.reached();
  const collection = haltAfter(t, 'getdents64', LAST_LOOK_CALL);
  const collecting = collectNow(t, race, collection.through);
  await collection.reached();
  t.is(lists(race.at.store).length, 1, 'the list comes before the last look');
  t.is(snapshotNames(race.at.store).length, 1);
  backup.goOn(running);
  await waitUntil(() => snapshotNames(race.at.store).length === 2, 'the descriptor');
  process.kill(-(running.child.pid ?? 0), 'SIGKILL');
  await running.done;
  t.true(isThere(race));
  t.is((await collection.toItsEnd(collecting)).code, 0);
  t.is(snapshotNames(race.at.store).length, 1);
  await startAgain(t, race);
});

/** What is left when a backup is killed as its descriptor appears, and the collector as it removed. */
async function bothDied(t: ExecutionContext, race: Race): Promise<string> {
  const { at, saver, orphans } = race;
  const [before] = snapshotNames(at.store);
  cpSync(saver.localdb, `${saver.localdb}-before`, { recursive: true });
  t.is((await startBackup(t, race, []).done).code, 0);
  rmSync(saver.localdb, { recursive: true });
  renameSync(`${saver.localdb}-before`, saver.localdb);
  for (const name of orphans) rmSync(join(at.store, name));
  writeFileSync(join(at.store, `gc-${randomUUID()}.removing`), `${orphans.join('\n')}\n`);
  return snapshotNames(at.store).find((name) => name !== before) ?? '';
}

test('when backup and collector died in one moment, each gc tells of the snapshot', async (t) => {
  const race = await raceInStore(t);
  const { at, saver } = race;
  const broken = await bothDied(t, race);
  const told = new RegExp(`damaged: snapshot-${broken}\\.lbs: needs a segment that`);
  const first = await collectNow(t, race).done;
  t.is(first.code, 4, first.stderr);
  t.regex(first.stderr, told);
  t.true(snapshotNames(at.store).includes(broken), 'a snapshot never goes by itself');
  // The next backup does not build on what is gone, although its database offers it.
  t.is((await startBackup(t, race, []).done).code, 0);
  const whole = snapshotNames(at.store).filter((name) => name !== broken);
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data', ...whole]);
  const json = await startLbs(t, [...collector(race), '--json']).done;
  t.is(json.code, 4);
  t.is(jsonMessage(json, 'summary')['damaged'], 1);
  t.is(jsonMessage(json, 'error')['snapshot_id'], broken);
  const prune = await startLbs(t, ['prune', ...collector(race).slice(1), '--keep-last=9']).done;
  t.is(prune.code, 4);
  t.regex(prune.stderr, told);
  await forget(t, at, broken);
  const after = await collectNow(t, race).done;
  t.is(after.code, 0, after.stderr);
  await allIsWell(t, saver, '--scheme=saver');
});

test('ten rounds of backups and collections at the same time', async (t) => {
  t.timeout(120_000);
  const { made, refused } = await raceWithCollector(t, places(t), { rounds: 10, seed: 'ten' });
  t.log(`${made} snapshots made, ${refused} backups refused`);
  t.is(made + refused, 10);
});
