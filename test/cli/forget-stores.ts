/**
 * `lbs forget` in stores that are signed, old, locked, read-only or tampered with, and when it is
 * killed: the other snapshots are as they were.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import Database from 'better-sqlite3';
import { parseNoteFile, parseSnapshotFile } from '../../src/format/snapshot-name.ts';
import { formatTimestamp, parseTimestamp } from '../../src/format/timestamp.ts';
import { fixtureKeys, schemeOf, someFixtures } from '../helpers/fixture-stores.ts';
import { gpgHome } from '../helpers/gpg-home.ts';
import { multiply } from '../helpers/many-snapshots.ts';
import { backupOptions, giveToOrdinaryUser, places, type Places } from '../helpers/places.ts';
import {
  jsonLines,
  lbs,
  lbsExits,
  lbsOk,
  ordinaryUserCanRun,
  restoreOk,
  startLbs,
} from '../helpers/run-lbs.ts';
import { makeFiles, makeSmallTree, waitUntil } from '../helpers/small-tree.ts';
import { segmentFiles, snapshotNames, storeState } from '../helpers/store-state.ts';
import { isRoot, mountTmpfs } from '../helpers/temp-dir.ts';
import { saveAt } from '../helpers/timed-series.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

const keys = fixtureKeys();
test.after.always(() => keys.remove());

const DAYS = ['2020-01-01', '2020-01-02', '2020-01-03'];
const [FIRST, SECOND, THIRD] = ['20200101T030000', '20200102T030000', '20200103T030000'] as const;

/** A store with a snapshot for each of DAYS, each with a file more. */
async function threeDays(t: ExecutionContext, options: readonly string[] = []): Promise<Places> {
  const at = places(t);
  makeSmallTree(at.tree);
  for (const day of DAYS) {
    makeFiles(at.tree, { [day]: `new on ${day}\n` });
    await saveAt(t, at, `${day}T03:00:00Z`, options);
  }
  return at;
}

/** What is kept, with its reasons. */
async function kept(t: ExecutionContext, args: readonly string[]) {
  const lines = jsonLines(await lbsOk(t, ['forget', '-n', '--json', ...args]));
  const decisions = lines.filter((line) => line['keep'] === true);
  return Object.fromEntries(decisions.map((line) => [line['snapshot_id'], line['reasons']]));
}

/** Snapshots that the local database remembers. */
function remembered(at: Places): string[] {
  const db = new Database(join(at.localdb, 'lbs-localdb.sqlite'), { readonly: true });
  try {
    const rows = db.prepare<[], { name: string }>('select name from snapshots order by id').all();
    return rows.map(({ name }) => name);
  } finally {
    db.close();
  }
}

test('after a snapshot is forgotten the next backup stores only what is new', async (t) => {
  const at = await threeDays(t);
  const before = segmentFiles(at.store);
  const metadata = readFileSync(join(at.store, `snapshot-${THIRD}.lbs`), 'utf8');
  await lbsOk(t, ['forget', ...backupOptions(at), 'latest', '20200101']);
  t.deepEqual(remembered(at), [SECOND]);
  t.deepEqual(segmentFiles(at.store), before);
  await saveAt(t, at, '2020-01-04T03:00:00Z');
  // Nothing changed: even the root of the metadata is the one that the forgotten snapshot had.
  const after = readFileSync(join(at.store, 'snapshot-20200104T030000.lbs'), 'utf8');
  const root = /^Root: .*$/m;
  t.is(root.exec(after)?.[0], root.exec(metadata)?.[0]);
  t.deepEqual(segmentFiles(at.store), before);
  await lbsOk(t, ['verify', '--data', `--store=${at.store}`]);
  await restoreOk(t, [`--store=${at.store}`, 'latest', at.target, '.']);
  sameTree(t, readTree(at.tree), readTree(at.target));
});

test('without a local database only the store is changed', async (t) => {
  const at = await threeDays(t);
  const other = join(at.base, 'other');
  mkdirSync(other);
  const args = ['forget', `--store=${at.store}`, `--localdb=${other}`, '--keep-last=2'];
  const run = await lbsOk(t, args);
  t.regex(`${run.stdout}${run.stderr}`, /there is no local database in /);
  t.deepEqual(readdirSync(other), []);
  t.deepEqual(snapshotNames(at.store), [SECOND, THIRD]);
  // The next one that knows the local database tells it.
  t.deepEqual(remembered(at), [FIRST, SECOND, THIRD]);
  await lbsOk(t, ['forget', ...backupOptions(at), '--keep-last=2']);
  t.deepEqual(remembered(at), [SECOND, THIRD]);
});

test('with --verify-key, snapshots that are not signed for their name push nothing out', async (t) => {
  const key = gpgHome(t);
  const at = places(t);
  makeSmallTree(at.tree);
  // No key signs before it was made, so these have the time of day.
  for (let n = 0; n < 2; n++) {
    await lbsOk(t, [...backupOptions(at), `--sign-key=${key.secretKey}`, at.tree]);
  }
  const [first = '', last = ''] = snapshotNames(at.store);
  const descriptor = (name: string) => join(at.store, `snapshot-${name}.lbs`);
  const later = (hours: number) =>
    formatTimestamp((parseTimestamp(last) ?? 0) + Math.round(hours * 3600));
  const [unsigned, copy, late] = [later(1), later(2), later(6 * 24)] as const;
  const other = `x-${last}`;
  const signed = readFileSync(descriptor(last), 'utf8');
  writeFileSync(descriptor(unsigned), signed.replace(/^-----BEGIN PGP SIGNED[^]*?\n\n/, ''));
  for (const name of [copy, late, other]) copyFileSync(descriptor(last), descriptor(name));
  const args = [`--store=${at.store}`, '--keep-last=1', `--verify-key=${key.publicKey}`];
  const found = await kept(t, args);
  t.deepEqual(Object.keys(found).sort(), [last, unsigned, copy, late, other].sort());
  t.deepEqual(found[last], ['the last complete one', 'the last one', 'last 1']);
  for (const name of [copy, late, other]) {
    t.regex(String(found[name]), new RegExp(`^left alone: .*signed as snapshot ${last}`));
  }
  t.regex(String(found[unsigned]), /^left alone: .*(?:not signed|signature)/);
  const nobody = await lbsExits(t, 12, ['forget', '-n', ...args.slice(0, 2), '--verify-key=/none']);
  t.regex(nobody.stderr, /\/none/);
  await lbsOk(t, ['forget', ...args, `--localdb=${at.localdb}`]);
  t.false(existsSync(descriptor(first)));
  await lbsOk(t, ['verify', `--store=${at.store}`, `--verify-key=${key.publicKey}`, last]);
});

for (const { name, store, snapshots } of someFixtures(1)) {
  test(`${name}: one of an old store is forgotten, and the others are as they were`, async (t) => {
    const { env } = keys;
    const copy = join(places(t).base, 'copy');
    cpSync(store, copy, { recursive: true });
    // Not the only one of its scheme, which stays.
    const gone = snapshots.find((one) =>
      snapshots.some((other) => other !== one && schemeOf(other) === schemeOf(one)),
    );
    if (gone === undefined) throw new Error('each snapshot of this fixture has its own scheme');
    const others = snapshots.filter((each) => each !== gone);
    const before = storeState(copy);
    await lbsOk(t, ['forget', `--store=${copy}`, gone]);
    const after = storeState(copy);
    const missing = [...before.keys()].filter((file) => !after.has(file));
    t.true(missing.length >= 2, 'descriptor and checksums');
    for (const file of missing) t.regex(file, new RegExp(`(^|/)snapshot-${gone}\\.`));
    t.deepEqual(
      [...after.keys()].filter((file) => file.includes(gone)),
      [],
    );
    const listed = jsonLines(await lbsOk(t, ['list', `--store=${copy}`, '--json']));
    t.deepEqual(listed.map((line) => String(line['id'])).sort(), others.toSorted());
    await lbsOk(t, ['verify', '--data', `--store=${copy}`], { env });
    await lbsOk(t, ['hold', `--store=${copy}`, others[0] ?? '']);
    const run = await lbs(t, ['forget', `--store=${copy}`, others[0] ?? '']);
    t.is(run.code, 2);
  });
}

test('in a store with subdirectories, files of a snapshot go wherever they lie', async (t) => {
  const at = await threeDays(t);
  const flat = readdirSync(at.store);
  for (const dir of ['segments', 'snapshots', 'checksums']) mkdirSync(join(at.store, dir));
  const kinds = [
    ['.tar.zst', 'segments'],
    ['.lbs', 'snapshots'],
    ['sums', 'checksums'],
  ] as const;
  for (const file of flat) {
    const [, dir = '.'] = kinds.find(([ending]) => file.endsWith(ending)) ?? [];
    renameSync(join(at.store, file), join(at.store, dir, file));
  }
  await lbsOk(t, ['hold', `--store=${at.store}`, SECOND]);
  renameSync(
    join(at.store, `snapshot-${SECOND}.hold`),
    join(at.store, 'snapshots', `snapshot-${SECOND}.hold`),
  );
  await lbsOk(t, ['forget', ...backupOptions(at), '--keep-last=1']);
  const left = readdirSync(at.store, { recursive: true, encoding: 'utf8' });
  t.false(left.some((file) => file.includes(FIRST)));
  t.is(left.filter((file) => file.includes(SECOND)).length, 4);
  await lbsOk(t, ['verify', '--data', `--store=${at.store}`]);
});

test('while a backup runs with the local database, nothing is forgotten', async (t) => {
  const at = await threeDays(t);
  const gate = join(at.base, 'gate');
  writeFileSync(gate, '');
  t.teardown(() => rmSync(gate, { force: true }));
  const slow = `--filter=while [ -e ${gate} ]; do sleep 0.1; done; cat`;
  makeFiles(at.tree, { more: 'more\n' });
  const running = startLbs(t, [...backupOptions(at), slow, '--filter-extension=', at.tree]);
  const lock = join(at.localdb, 'lbs-localdb.lock');
  await waitUntil(() => readFileSync(lock, 'utf8') !== '', 'the lock');
  // On some filesystems what the backup stores has a name before it is done.
  const names = () => readdirSync(at.store).filter((name) => !name.startsWith('.'));
  const before = names();
  const run = await lbsExits(t, 11, ['forget', ...backupOptions(at), '--keep-last=1']);
  t.regex(run.stderr, /is in use by lbs, process/);
  await lbsOk(t, ['forget', ...backupOptions(at), '--keep-last=1', '-n']);
  t.deepEqual(names(), before);
  rmSync(gate);
  t.is((await running.done).code, 0);
});

test('in a store that cannot be written to, nothing is lost, and a message says so', async (t) => {
  if (!ordinaryUserCanRun(t)) return;
  const at = await threeDays(t);
  giveToOrdinaryUser(at.base);
  const before = storeState(at.store);
  chmodSync(at.store, 0o555);
  const args = ['forget', `--store=${at.store}`, '--keep-last=1'];
  const run = await lbsExits(t, 1, args, { user: 'ordinary' });
  t.regex(run.stderr, /cannot write to the store /);
  // A dry run needs no right to write.
  t.regex((await lbsOk(t, [...args, '-n'], { user: 'ordinary' })).stdout, /2 would be forgotten/);
  t.deepEqual(storeState(at.store), before);
  chmodSync(at.store, 0o755);
});

test('files that may be added but not removed are a message, and the store is whole', async (t) => {
  if (!ordinaryUserCanRun(t) || !isRoot) {
    t.pass();
    return;
  }
  // In a directory like /tmp nobody removes what others have made.
  const at = await threeDays(t);
  chmodSync(at.store, 0o1777);
  const before = storeState(at.store);
  const args = ['forget', `--store=${at.store}`, '--keep-last=1'];
  const run = await lbsExits(t, 1, args, { user: 'ordinary' });
  t.regex(run.stderr, /cannot remove snapshot-.*\.lbs from the store/);
  t.deepEqual(storeState(at.store), before);
});

test('a file system that is mounted read-only is told', async (t) => {
  const at = places(t);
  if (!mountTmpfs(at.store, 16 << 20)) {
    t.log('left out: this user cannot mount a tmpfs');
    t.pass();
    return;
  }
  makeFiles(at.tree, { one: 'one\n' });
  for (const day of DAYS) await saveAt(t, at, `${day}T03:00:00Z`);
  t.is(spawnSync('mount', ['-o', 'remount,ro', at.store]).status, 0);
  const before = storeState(at.store);
  for (const options of [[`--store=${at.store}`], backupOptions(at)]) {
    const run = await lbsExits(t, 1, ['forget', ...options, '--keep-last=1']);
    t.regex(run.stderr, /cannot write to the store .*read-only/i);
  }
  t.regex((await lbsExits(t, 1, ['hold', `--store=${at.store}`, FIRST])).stderr, /cannot write/);
  t.deepEqual(storeState(at.store), before);
  t.deepEqual(remembered(at), [FIRST, SECOND, THIRD]);
});

/** False, and said so, where processes cannot be watched. */
function canTrace(t: ExecutionContext): boolean {
  if (spawnSync('strace', ['-o', '/dev/null', 'true']).status === 0) return true;
  t.log('left out: strace is not installed, or may not be used');
  t.pass();
  return false;
}

test('one of fifty snapshots is forgotten without a segment being opened', async (t) => {
  if (!canTrace(t)) return;
  const at = await threeDays(t);
  const two = (number: number) => String(number).padStart(2, '0');
  const days = Array.from(
    { length: 47 },
    (_, day) => `2019-${two(1 + (day % 12))}-${two(1 + (day % 28))}`,
  );
  multiply(
    at.store,
    days.map((day) => `${day} 05`),
  );
  const log = join(at.base, 'trace');
  const through = ['strace', '-f', '-o', log, '-e', 'trace=open,openat,openat2,unlink,unlinkat'];
  await lbsOk(t, ['forget', ...backupOptions(at), SECOND], { through });
  const calls = readFileSync(log, 'utf8');
  t.regex(calls, new RegExp(`unlinkat\\(.*snapshot-${SECOND}\\.lbs`));
  t.notRegex(calls, /\.tar/);
});

test('killed at any removal, it leaves whole snapshots, and the next run does the rest', async (t) => {
  if (!canTrace(t)) return;
  const made = await threeDays(t);
  await lbsOk(t, ['tag', `--store=${made.store}`, FIRST, 'a']);
  for (let number = 1; ; number++) {
    const at = {
      ...made,
      store: join(made.base, `s${number}`),
      localdb: join(made.base, `l${number}`),
    };
    cpSync(made.store, at.store, { recursive: true });
    cpSync(made.localdb, at.localdb, { recursive: true });
    // The lock and the journal of the database are not removed by unlinkat.
    const inject = `inject=unlinkat:signal=KILL:when=${number}`;
    const through = ['strace', '-f', '-o', '/dev/null', '-e', 'trace=unlinkat', '-e', inject];
    const args = ['forget', ...backupOptions(at), '--keep-last=1'];
    const run = await lbs(t, args, { through });
    const isKilled = run.code !== 0;
    const listed = jsonLines(await lbsOk(t, ['list', `--store=${at.store}`, '--json']));
    const names = listed.map((line) => String(line['id']));
    t.true(names.includes(THIRD));
    t.deepEqual(
      listed.filter((line) => line['error'] !== null),
      [],
    );
    await lbsOk(t, ['verify', '--data', `--store=${at.store}`]);
    await lbsOk(t, args);
    t.deepEqual(snapshotNames(at.store), [THIRD]);
    t.deepEqual(remembered(at), [THIRD], `killed at removal ${number}`);
    if (isKilled) continue;
    t.true(number > 7, `${number}`);
    await restoreOk(t, [`--store=${at.store}`, 'latest', at.target, '.']);
    sameTree(t, readTree(at.tree), readTree(at.target));
    break;
  }
});

test('names and files that somebody else put into the store are no trouble', async (t) => {
  const at = await threeDays(t);
  const descriptor = (name: string) => join(at.store, `snapshot-${name}.lbs`);
  const odd = `a\u001b[2J\nb-${FIRST}`;
  copyFileSync(descriptor(FIRST), descriptor(odd));
  symlinkSync('/etc/passwd', descriptor('b-20200101T030000'));
  symlinkSync('/dev/zero', descriptor('c-20200101T030000'));
  symlinkSync('nowhere', descriptor('d-20200101T030000'));
  mkdirSync(descriptor('e-20200101T030000'));
  symlinkSync(`snapshot-${FIRST}.lbs`, descriptor('f-20200101T030000'));
  writeFileSync(Buffer.from(`${at.store}/snapshot-\xff-${FIRST}.lbs`, 'latin1'), 'x');
  writeFileSync(join(at.store, `snapshot-${SECOND}.tag-..`), '');
  writeFileSync(join(at.store, 'snapshot-.hold'), '');
  const args = ['forget', ...backupOptions(at), '--keep-last=1'];
  const run = await lbsOk(t, args);
  t.false((run.stdout + run.stderr).includes('\u001b'));
  t.regex(
    run.stdout,
    /^keep {4}a\\x1b\[2J\\nb-20200101T030000 +left alone: its descriptor is of no /m,
  );
  t.regex(run.stdout, /^keep {4}b-20200101T030000 +left alone: /m);
  t.regex(run.stdout, /^keep {4}f-20200101T030000 +left alone: its descriptor is of no scheme$/m);
  t.notRegex(run.stdout, /[cde]-20200101T030000/);
  t.is(readFileSync('/etc/passwd', 'utf8').includes('root'), true);
  const several = await lbsExits(t, 2, ['hold', `--store=${at.store}`, 'latest']);
  t.false(several.stderr.includes('\u001b'));
  // A link goes, and what it leads to stays.
  await lbsOk(t, ['forget', `--store=${at.store}`, 'b-20200101']);
  t.false(readdirSync(at.store).includes('snapshot-b-20200101T030000.lbs'));
  t.true(existsSync('/etc/passwd'));
  const own = readdirSync(at.store).filter(
    (file) => (parseSnapshotFile(file) ?? parseNoteFile(file))?.name === SECOND,
  );
  t.deepEqual(own, []);
});
