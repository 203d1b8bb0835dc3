/** `lbs sync` that is stopped, runs out of room, or is not alone; and the sync after it. */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { backupOptions, places } from '../helpers/places.ts';
import {
  jsonMessage,
  lbs,
  lbsExits,
  lbsOk,
  type Run,
  type RunningLbs,
  startLbs,
} from '../helpers/run-lbs.ts';
import { makeIncompressible, waitUntil } from '../helpers/small-tree.ts';
import { segmentFiles, snapshotNames, storeState } from '../helpers/store-state.ts';
import { mountTmpfs } from '../helpers/temp-dir.ts';
import { copyTree, isWhole, saveTree, type TwoStores, twoStores } from '../helpers/two-stores.ts';

const MIB = 1024 * 1024;
const SEGMENTS = 48;

/** A store of many segments, so that a copy of it takes its time. */
async function largeStore(t: ExecutionContext): Promise<TwoStores> {
  const at = { ...places(t), copy: '' };
  const copy = join(at.base, 'copy');
  mkdirSync(copy);
  makeIncompressible(at.tree, SEGMENTS, MIB);
  const name = await saveTree(t, at, ['--filter=cat', '--filter-extension=', '--segment-size=1M']);
  return { ...at, copy, snapshots: [name] };
}

const isSteppable = spawnSync('strace', ['-o', '/dev/null', 'true']).status === 0;

/** Runs a command to which something happens when it gives a file its name. */
function atLink(what: string, log = '/dev/null'): readonly string[] {
  return ['strace', '-f', '-o', log, '-e', 'trace=linkat', '-e', `inject=linkat:${what}`];
}

const STOPPED_AFTER = 5;
/** It stands still while others work, and wait for their turns. */
const STOPPED_TIMEOUT_MS = 180_000;

/** A sync that stands still when it has copied some segments, however fast or slow the machine is. */
async function stoppedSync(
  t: ExecutionContext,
  at: TwoStores,
): Promise<{ running: RunningLbs; pid: number }> {
  const log = join(at.base, 'links');
  const through = atLink(`signal=STOP:when=${STOPPED_AFTER}`, log);
  const options = { through, timeoutMs: STOPPED_TIMEOUT_MS };
  const running = startLbs(t, ['sync', at.store, at.copy], options);
  const stopped = () =>
    existsSync(log)
      ? /^(\d+) +--- stopped by SIGSTOP ---$/m.exec(readFileSync(log, 'latin1'))?.[1]
      : undefined;
  await waitUntil(() => stopped() !== undefined, 'the stop');
  t.is(segmentFiles(at.copy).length, STOPPED_AFTER);
  // The thread that gives names is the first one: its number is the program's.
  return { running, pid: Number(stopped()) };
}

/** Has something done while a sync has copied some segments and waits; how it goes on then. */
async function meanwhile(t: ExecutionContext, at: TwoStores, action: () => unknown): Promise<Run> {
  const { running, pid } = await stoppedSync(t, at);
  await action();
  t.deepEqual(
    snapshotNames(at.copy).filter((name) => at.snapshots.includes(name)),
    [],
  );
  process.kill(pid, 'SIGCONT');
  return await running.done;
}

/** As `isWhole`, without bringing the tree back. */
async function isSound(t: ExecutionContext, at: TwoStores): Promise<void> {
  t.deepEqual(snapshotNames(at.copy), snapshotNames(at.store));
  await lbsOk(t, ['verify', `--store=${at.copy}`, '--data']);
}

test('killed at any step, there is no broken snapshot, and the next run copies only what is missing', async (t) => {
  if (!isSteppable) return t.pass('left out: strace cannot be used here');
  const at = await twoStores(t);
  const undisturbed = join(at.base, 'undisturbed');
  mkdirSync(undisturbed);
  await lbsOk(t, ['sync', at.store, undisturbed]);
  const steps = readdirSync(undisturbed).length;
  for (let step = 1; step <= steps; step++) {
    const copy = join(at.base, `copy-${step}`);
    mkdirSync(copy);
    const through = atLink(`signal=KILL:when=${step}`);
    const killed = await lbs(t, ['sync', at.store, copy], { through });
    t.not(killed.code, 0, `step ${step}`);
    const before = storeState(copy);
    t.is(before.size, step - 1, 'each step puts one file in place');
    t.deepEqual(
      readdirSync(copy).filter((name) => name.startsWith('.')),
      [],
    );
    if (snapshotNames(copy).length > 0) await lbsOk(t, ['verify', `--store=${copy}`]);
    const run = await lbsOk(t, ['sync', '--json', at.store, copy]);
    const added = [...storeState(copy)].filter(
      ([name]) => !before.has(name) && !/^(README|restore)/.test(name),
    );
    const bytes = added.reduce((sum, [, { sizeBytes }]) => sum + sizeBytes, 0);
    t.is(jsonMessage(run, 'summary')['bytes'], bytes);
    for (const [name, state] of before) t.deepEqual(storeState(copy).get(name), state);
    t.deepEqual([...storeState(copy).keys()], [...storeState(undisturbed).keys()]);
    await lbsOk(t, ['verify', `--store=${copy}`]);
  }
  t.true(steps > 12);
});

test('an interrupt ends the run at once, and the next one goes on from there', async (t) => {
  if (!isSteppable) return t.pass('left out: strace cannot be used here');
  const at = await largeStore(t);
  const { running, pid } = await stoppedSync(t, at);
  for (const signal of ['SIGINT', 'SIGCONT']) process.kill(pid, signal);
  const run = await running.done;
  t.is(run.code, 130, run.stderr);
  t.regex(run.stderr, /the same command goes on/);
  t.deepEqual(snapshotNames(at.copy), []);
  const before = segmentFiles(at.copy).length;
  t.true(before < STOPPED_AFTER + 5, `${before}`);
  const next = await lbsOk(t, ['sync', '--json', at.store, at.copy]);
  t.is(jsonMessage(next, 'summary')['segments'], segmentFiles(at.store).length - before);
  await isSound(t, at);
});

test('a disk that gets full in the middle ends the run as such, and the next one goes on', async (t) => {
  const at = await largeStore(t);
  if (!isSteppable || !mountTmpfs(at.copy, 60 * MIB)) return t.pass('no mounts here');
  // Somebody else takes the room while it is copied.
  const run = await meanwhile(t, at, () => {
    spawnSync('fallocate', ['-l', '40M', join(at.copy, 'film')]);
  });
  t.is(run.code, 1, run.stderr);
  t.regex(run.stderr, /^lbs: no space left in the store .*\n +.*make room/m);
  t.notRegex(run.stderr, /damaged/);
  t.deepEqual(snapshotNames(at.copy), []);
  rmSync(join(at.copy, 'film'));
  await lbsOk(t, ['sync', at.store, at.copy]);
  await isSound(t, at);
});

test('a source that is taken away in the middle is one error', async (t) => {
  if (!isSteppable) return t.pass('left out: strace cannot be used here');
  const at = await largeStore(t);
  // As a disk that is unmounted: nothing is left of it.
  const run = await meanwhile(t, at, () => {
    renameSync(at.store, `${at.store}-away`);
    for (const name of readdirSync(`${at.store}-away`)) rmSync(join(`${at.store}-away`, name));
  });
  t.is(run.code, 10, run.stderr);
  t.regex(run.stderr, /the store \S+store went away meanwhile/);
  t.deepEqual(snapshotNames(at.copy), []);
});

test('a snapshot that is forgotten in the source meanwhile is not damage', async (t) => {
  if (!isSteppable) return t.pass('left out: strace cannot be used here');
  const at = await largeStore(t);
  writeFileSync(join(at.tree, 'small'), 'of the other scheme');
  mkdirSync(`${at.base}/localdb2`);
  const into = [`--dest=${at.store}`, `--localdb=${at.base}/localdb2`, '--scheme=other'];
  await lbsOk(t, [...into, join(at.tree, 'small')]);
  const [second = ''] = snapshotNames(at.store).filter((name) => name.startsWith('other-'));
  const other = readFileSync(join(at.store, `snapshot-${second}.lbs`), 'utf8');
  const run = await meanwhile(t, at, () => {
    for (const name of at.snapshots) {
      for (const ending of ['lbs', 'sha1sums', 'sha256sums']) {
        rmSync(join(at.store, `snapshot-${name}.${ending}`));
      }
    }
    for (const name of segmentFiles(at.store)) {
      const isShared = other.includes(name.slice(0, 36));
      if (!isShared) rmSync(join(at.store, name));
    }
  });
  t.is(run.code, 0, run.stderr);
  t.regex(run.stderr, /snapshot \S+ was taken out of .* meanwhile, and is not copied/);
  t.deepEqual(snapshotNames(at.copy), [second]);
});

test('two syncs into one store at once are both right', async (t) => {
  const at = await largeStore(t);
  const other = join(at.base, 'other');
  mkdirSync(other);
  copyTree(at.store, other);
  const runs = [at.store, other, at.store].map((from) => startLbs(t, ['sync', from, at.copy]).done);
  for (const run of await Promise.all(runs)) {
    t.is(run.code, 0, run.stderr);
    t.is(run.stderr, '');
  }
  await isSound(t, at);
});

test('a backup into the source, and one into the destination, do not disturb a sync', async (t) => {
  const at = await largeStore(t);
  if (!isSteppable) return t.pass('left out: strace cannot be used here');
  let late = '';
  const run = await meanwhile(t, at, async () => {
    writeFileSync(join(at.tree, 'new'), 'while it is copied');
    late = await saveTree(t, at);
    const into = [`--dest=${at.copy}`, `--localdb=${at.base}/localdb2`, '--scheme=own'];
    mkdirSync(join(at.base, 'localdb2'));
    await lbsOk(t, [...into, join(at.tree, 'new')]);
  });
  t.is(run.code, 0, run.stderr);
  t.deepEqual(
    snapshotNames(at.copy).filter((name) => !name.startsWith('own-')),
    at.snapshots,
  );
  await lbsOk(t, ['verify', `--store=${at.copy}`, '--data']);
  await lbsOk(t, ['sync', at.store, at.copy]);
  t.true(snapshotNames(at.copy).includes(late));
});

test('a snapshot never names what a collection in the destination takes away meanwhile', async (t) => {
  if (!isSteppable) return t.pass('left out: strace cannot be used here');
  const at = await largeStore(t);
  const run = await meanwhile(t, at, async () => {
    // Without a grace period nothing protects files that no snapshot needs yet.
    const gc = await lbsOk(t, ['gc', `--store=${at.copy}`, '--grace=0d']);
    t.regex(gc.stdout, /[1-9]\d* files? removed/);
  });
  t.is(run.code, 1, run.stderr);
  t.regex(run.stderr, /taken out of .* by "lbs gc"\n.*run the same command again/);
  t.deepEqual(snapshotNames(at.copy), []);
  await lbsOk(t, ['sync', at.store, at.copy]);
  await isSound(t, at);
});

for (const step of ['condemned', 'removing']) {
  test(`what a list of the destination calls ${step} is ${step === 'removing' ? 'not relied on' : 'kept by the snapshot that needs it'}`, async (t) => {
    const at = await twoStores(t);
    const descriptor = join(at.store, `snapshot-${at.snapshots[0] ?? ''}.lbs`);
    const needed = readFileSync(descriptor, 'utf8');
    const segment = segmentFiles(at.store).find((name) => needed.includes(name.slice(0, 36))) ?? '';
    copyTree(at.store, at.copy);
    const names = at.snapshots.map((name) => `snapshot-${name}.lbs`);
    for (const name of names) rmSync(join(at.copy, name));
    const list = join(at.copy, `gc-00000000-0000-4000-8000-000000000000.${step}`);
    writeFileSync(list, `# a list\n${segment}\n`);
    if (step === 'condemned') {
      await lbsOk(t, ['sync', at.store, at.copy]);
      await lbsOk(t, ['gc', `--store=${at.copy}`, '--grace=0d']);
      await isWhole(t, at, at.copy);
      return;
    }
    // A checksums file that goes is as bad: nobody could tell that the snapshot is whole.
    for (const name of [`snapshot-${at.snapshots[0] ?? ''}.sha1sums`, segment]) {
      writeFileSync(list, `# a list\n${name}\n`);
      const run = await lbsExits(t, 1, ['sync', at.store, at.copy]);
      t.regex(run.stderr, /let "lbs gc" end there/);
      t.deepEqual(snapshotNames(at.copy), []);
    }
    // Nobody knows whether its collector still lives: it stays for a day, whoever collects meanwhile.
    await lbsOk(t, ['gc', `--store=${at.copy}`, '--grace=0d']);
    t.true(existsSync(list));
    t.false(existsSync(join(at.copy, segment)));
    rmSync(list);
    await lbsOk(t, ['sync', at.store, at.copy]);
    await isWhole(t, at, at.copy);
  });
}

test('a collection in the source takes nothing that a sync needs', async (t) => {
  if (!isSteppable) return t.pass('left out: strace cannot be used here');
  const at = await largeStore(t);
  const run = await meanwhile(t, at, async () => {
    await lbsOk(t, ['gc', ...backupOptions(at), '--grace=0d']);
  });
  t.is(run.code, 0, run.stderr);
  await isSound(t, at);
});

test('where files cannot be nameless, what a killed run left is cleared away a day later', async (t) => {
  const at = await twoStores(t);
  const image = join(at.base, 'image');
  spawnSync('truncate', ['-s', '40M', image]);
  const isMade = spawnSync('mkfs.vfat', [image]).status === 0;
  if (!isMade || spawnSync('mount', ['-o', 'loop', image, at.copy]).status !== 0) {
    return t.pass('left out: no such filesystem here');
  }
  await lbsOk(t, ['sync', at.store, at.copy]);
  await isWhole(t, at, at.copy);
  const left = join(at.copy, '.lbs-tmp-x-0');
  writeFileSync(left, 'half a segment');
  await saveTree(t, at);
  await lbsOk(t, ['sync', at.store, at.copy]);
  t.true(existsSync(left), 'it may be that of a sync at work');
  // This filesystem takes the time of modification for that of every change, once it is read again.
  t.is(spawnSync('touch', ['-d', '-2 days', left]).status, 0);
  t.is(spawnSync('umount', [at.copy]).status, 0);
  t.is(spawnSync('mount', ['-o', 'loop', image, at.copy]).status, 0);
  await saveTree(t, at);
  await lbsOk(t, ['sync', at.store, at.copy]);
  t.false(existsSync(left));
});
