/**
 * A store that is not where it was while a run is at work: what people see of it, and that the next
 * run neither misses what it needs nor refers to what is gone. Each run waits in one of its commands
 * for a file. Every call of every command: test/crash/away.ts.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { allIsWell } from '../helpers/collected-store.ts';
import { backupOptions, type Places, places } from '../helpers/places.ts';
import { lbs, lbsExits, lbsOk, type Run, startLbs } from '../helpers/run-lbs.ts';
import { makeFiles, makeIncompressible, makeSmallTree, waitUntil } from '../helpers/small-tree.ts';
import { snapshotNames } from '../helpers/store-state.ts';
import { mountTmpfs } from '../helpers/temp-dir.ts';

const WENT_AWAY = /the store \S+ went away meanwhile: .*\n.*Bring it back and run the same command/;
const SMALL = ['--filter=gzip -c', '--segment-size=64K'];

/** Starts a run of which the command that `words` get stops until `meanwhile` is over. */
async function whileHeld(
  t: ExecutionContext,
  at: Places,
  words: (command: string) => string[],
  meanwhile: () => void,
): Promise<Run> {
  const [held, go] = [join(at.base, 'held'), join(at.base, 'go')];
  for (const file of [held, go]) rmSync(file, { force: true });
  const waits = `touch ${held}; while [ ! -e ${go} ]; do sleep 0.05; done; `;
  const running = startLbs(t, words(waits), { ownGroup: true });
  await waitUntil(() => existsSync(held), 'the command');
  meanwhile();
  writeFileSync(go, '');
  return await running.done;
}

const signing = (at: Places) => (command: string) => [
  ...[...backupOptions(at), ...SMALL, `--signature-filter=${command}cat`, at.tree],
];

function sawItGo(t: ExecutionContext, run: Run): void {
  t.is(run.code, 10, run.stderr);
  t.regex(run.stderr, WENT_AWAY);
}

test('a store that is renamed before the descriptor gets no snapshot, nor does what is there now', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  await lbsOk(t, [...backupOptions(at), ...SMALL, at.tree]);
  makeFiles(at.tree, { more: 'a second snapshot' });
  const away = `${at.store}.away`;
  const run = await whileHeld(t, at, signing(at), () => {
    renameSync(at.store, away);
    mkdirSync(at.store);
  });
  sawItGo(t, run);
  t.deepEqual(readdirSync(at.store), []);
  t.is(snapshotNames(away).length, 1);
  rmSync(at.store, { recursive: true });
  renameSync(away, at.store);
  const again = await lbsOk(t, [...backupOptions(at), ...SMALL, at.tree]);
  t.notRegex(again.stderr, /stored anew|tampered|gone/);
  await allIsWell(t, at);
});

test('after a store was replaced by an empty directory nothing refers to what is gone', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  await lbsOk(t, [...backupOptions(at), ...SMALL, at.tree]);
  makeFiles(at.tree, { more: 'stored in what is gone' });
  const run = await whileHeld(t, at, signing(at), () => {
    rmSync(at.store, { recursive: true });
    mkdirSync(at.store);
  });
  sawItGo(t, run);
  t.deepEqual(readdirSync(at.store), []);
  const next = await lbs(t, [...backupOptions(at), ...SMALL, at.tree]);
  // It is told that the first snapshot is gone, and the new one is made all the same.
  t.is(next.code, 3, next.stderr);
  t.is(snapshotNames(at.store).length, 1);
  await allIsWell(t, at);
});

test('with the local database in it, a store that is replaced costs no more than that run', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  const own = { ...at, localdb: at.store };
  const backup = [...backupOptions(own), ...SMALL, at.tree];
  await lbsOk(t, backup);
  makeFiles(at.tree, { more: 'a second snapshot' });
  const away = `${at.store}.away`;
  const other = `${at.store}.other`;
  mkdirSync(other);
  await lbsOk(t, [`--dest=${other}`, at.tree]);
  const run = await whileHeld(t, at, signing(own), () => {
    renameSync(at.store, away);
    renameSync(other, at.store);
  });
  sawItGo(t, run);
  // The other store and its own database are as they were.
  await allIsWell(t, at);
  await lbsOk(t, [`--dest=${at.store}`, at.tree]);
  renameSync(at.store, other);
  renameSync(away, at.store);
  await lbsOk(t, backup);
  await allIsWell(t, at);
});

/** Three snapshots' worth of segments whose reverse filter can be made to wait. */
async function savedForReading(t: ExecutionContext, at: Places): Promise<void> {
  makeIncompressible(at.tree, 6, 60_000);
  await lbsOk(t, [...backupOptions(at), ...SMALL, at.tree]);
}

const restoring = (at: Places) => (command: string) => [
  ...['restore', `--store=${at.store}`, `--unfilter=.gz=${command}gzip -dc`, 'latest', at.target],
];

const verifying = (at: Places) => (command: string) => [
  ...['verify', `--store=${at.store}`, `--unfilter=.gz=${command}gzip -dc`, '--data'],
];

test('a store that is removed under verify or restore is no damage, and nothing wrong is restored', async (t) => {
  const at = places(t);
  await savedForReading(t, at);
  const copy = join(at.base, 'copy');
  for (const words of [verifying(at), restoring(at)]) {
    spawnSync('cp', ['-a', at.store, copy]);
    const run = await whileHeld(t, at, words, () => {
      // All at once for who looks for it: a store that lacks some of its files is damaged.
      renameSync(at.store, `${at.store}.gone`);
      rmSync(`${at.store}.gone`, { recursive: true });
    });
    sawItGo(t, run);
    t.notRegex(run.stderr, /damaged:/);
    renameSync(copy, at.store);
  }
  await allIsWell(t, at);
});

test('a store that is unmounted under verify or restore is read to its end, or told of', async (t) => {
  const at = places(t);
  if (!mountTmpfs(at.store, 8 * 1024 * 1024)) return t.pass('no mounts here');
  await savedForReading(t, at);
  const copy = join(at.base, 'copy');
  mkdirSync(copy);
  spawnSync('cp', ['-a', `${at.store}/.`, copy]);
  for (const words of [verifying(at), restoring(at)]) {
    const run = await whileHeld(t, at, words, () => {
      spawnSync('umount', ['--lazy', at.store]);
    });
    // What is open stays so: all of it was read.
    t.true([0, 10].includes(run.code ?? 1), run.stderr);
    if (run.code === 10) sawItGo(t, run);
    t.notRegex(run.stderr, /damaged:/);
    mountTmpfs(at.store, 8 * 1024 * 1024);
    spawnSync('cp', ['-a', `${copy}/.`, at.store]);
  }
  await allIsWell(t, at);
});

test('of two stores one that goes away is left out, and sync brings it up to date', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  const second = join(at.base, 'second');
  mkdirSync(second);
  const two = (command: string) => [`--dest=${second}`, ...signing(at)(command)];
  await lbsOk(t, two(''));
  makeFiles(at.tree, { more: 'a second snapshot' });
  const run = await whileHeld(t, at, two, () => renameSync(second, `${second}.away`));
  t.is(run.code, 3, run.stderr);
  t.regex(run.stderr, /second went away meanwhile/);
  t.false(existsSync(second));
  renameSync(`${second}.away`, second);
  await lbsExits(t, 0, ['sync', at.store, second]);
  t.deepEqual(snapshotNames(second), snapshotNames(at.store));
  await allIsWell(t, { ...at, store: second });
  await allIsWell(t, at);
});
