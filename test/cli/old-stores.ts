/**
 * The promise of the program: every store that LBS and Cumulus ever wrote is listed, verified and
 * restored by the built program. Each snapshot of every fixture is restored, entry for entry, in
 * test/restore/restore-fixture.ts; here people use the commands.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { uriUnescape } from '../../src/format/uri-escape.ts';
import { showPath } from '../../src/std/byte-path.ts';
import { isAsExpected } from '../helpers/expected-tree.ts';
import {
  type ExpectedEntry,
  expectedEntries,
  type FixtureStore,
  fixtureKeys,
  FIXTURES,
} from '../helpers/fixture-stores.ts';
import { backupOptions, places, restored } from '../helpers/places.ts';
import { homeOf, jsonLines, lbsExits, lbsOk, restoreOk, type Run } from '../helpers/run-lbs.ts';
import { makeSmallTree } from '../helpers/small-tree.ts';
import { addedFiles, storeState } from '../helpers/store-state.ts';
import { isRoot } from '../helpers/temp-dir.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

const keys = fixtureKeys();
const { env } = keys;
test.after.always(() => keys.remove());

function fixtureNamed(name: string): FixtureStore {
  const found = FIXTURES.find((fixture) => fixture.name === name);
  if (found === undefined) throw new Error(`no fixture ${name}`);
  return found;
}

const LETTERS = ['---', '--x', '-w-', '-wx', 'r--', 'r-x', 'rw-', 'rwx'];

/** The start of the line of `ls -l`, as ls(1) writes it. */
function permissionsOf({ type, mode }: ExpectedEntry): string {
  const bits = Number.parseInt(mode, 8);
  const letters = [6, 3, 0].flatMap((shift) => (LETTERS[(bits >> shift) & 7] ?? '').split(''));
  for (const [at, bit, mark] of [
    [2, 0o4000, 's'],
    [5, 0o2000, 's'],
    [8, 0o1000, 't'],
  ] as const) {
    // prettier-ignore
    if ((bits & bit) !== 0) letters[at] = letters[at] === 'x' ? mark : mark.toUpperCase();
  }
  return (type === 'f' ? '-' : type) + letters.join('');
}

/** A line of `ls -l` without the columns of owner and group, which show recorded names. */
function lineOf(entry: ExpectedEntry): string {
  const { type, size, device, target } = entry;
  return [
    permissionsOf(entry),
    device === undefined ? (type === 'f' ? size : '-') : device.join(', '),
    new Date(entry.mtime * 1000).toISOString().slice(0, 16).replace('T', ' '),
    showPath(uriUnescape(entry.path)),
    ...(target === undefined ? [] : [`-> ${showPath(uriUnescape(target))}`]),
  ].join(' ');
}

/** The same of what was printed. */
function linesOf(run: Run): string[] {
  const lines = run.stdout.split('\n').filter((line) => line !== '');
  return lines.map((line) => line.replace(/^(\S+) +\S+ +\S+ +/, '$1 '));
}

for (const fixture of FIXTURES) {
  const { name, store, snapshots } = fixture;

  test(`${name}: list shows every snapshot`, async (t) => {
    const table = await lbsOk(t, ['list', `--store=${store}`]);
    const lines = table.stdout.trimEnd().split('\n').slice(1);
    t.deepEqual(
      lines.map((line) => line.split(' ')[0]),
      [...snapshots, String(snapshots.length)],
    );
    const found = jsonLines(await lbsOk(t, ['list', `--store=${store}`, '--json']));
    t.deepEqual(
      found.map((line) => [line['id'], line['error']]),
      snapshots.map((snapshot) => [snapshot, null]),
    );
  });

  test(`${name}: ls -l shows every entry of every snapshot`, async (t) => {
    for (const snapshot of snapshots) {
      const run = await lbsOk(t, ['ls', '-l', '-R', `--store=${store}`, snapshot], { env });
      const wanted = expectedEntries(fixture, snapshot).map(lineOf);
      t.deepEqual(linesOf(run).sort(), wanted.sort(), snapshot);
    }
  });

  test(`${name}: verify finds nothing, and changes nothing`, async (t) => {
    const before = storeState(store);
    const run = await lbsOk(t, ['verify', '--data', `--store=${store}`], { env });
    t.deepEqual(storeState(store), before);
    t.is(run.stderr, '');
  });

  test(`${name}: restore gives back the last snapshot`, async (t) => {
    const at = places(t);
    const snapshot = snapshots.at(-1) ?? '';
    const args = [`--store=${store}`, '--numeric-owner', snapshot, at.target];
    await restoreOk(t, args, { env });
    isAsExpected(t, at.target, readTree(at.target), expectedEntries(fixture, snapshot));
  });
}

test('the signature that gpg made for Cumulus is checked', async (t) => {
  const { store, dir, snapshots } = fixtureNamed('gpg-signed');
  const key = `--verify-key=${join(dir, 'keys', 'public.asc')}`;
  const found = jsonLines(await lbsOk(t, ['list', `--store=${store}`, '--json', key]));
  t.deepEqual(found.map((line) => line['signed']), snapshots.map(() => true)); // prettier-ignore
  await lbsOk(t, ['verify', `--store=${store}`, key]);
  const other = `--verify-key=${join(fixtureNamed('gpg-encrypted').dir, 'keys', 'public.asc')}`;
  await lbsExits(t, 12, ['verify', `--store=${store}`, other]);
});

test('an encrypted store without its key says so, and is not damaged', async (t) => {
  const { store } = fixtureNamed('gpg-encrypted');
  const at = places(t);
  const none = { GNUPGHOME: join(homeOf(t), 'g') };
  mkdirSync(none.GNUPGHOME, { mode: 0o700 });
  t.teardown(() =>
    spawnSync('gpgconf', ['--kill', 'all'], { env: { PATH: process.env['PATH'], ...none } }),
  );
  for (const command of [
    ['ls', 'latest'],
    ['verify', '--data'],
    ['restore', 'latest', at.target],
  ]) {
    // prettier-ignore
    const run = await lbsExits(t, 12, [...command, `--store=${store}`], { env: none });
    t.regex(run.stderr, /key to this store is not here/);
    t.regex(run.stderr, /import the secret key/);
  }
  // Names and checksums of the files need no key.
  await lbsOk(t, ['list', `--store=${store}`], { env: none });
  await lbsOk(t, ['verify', `--store=${store}`], { env: none });
});

/** An environment in which there is no program but what lbs needs to start. */
function barePath(t: ExecutionContext): { PATH: string } {
  const dir = join(homeOf(t), 'bin');
  mkdirSync(dir);
  for (const program of ['readlink', 'dirname', 'cat']) {
    symlinkSync(`/usr/bin/${program}`, join(dir, program));
  }
  symlinkSync(process.execPath, join(dir, 'node'));
  return { PATH: dir };
}

test('a reverse filter that is not installed is named', async (t) => {
  const bare = barePath(t);
  const at = places(t);
  for (const name of ['0.10', '0.11', 'typed']) {
    const { store } = fixtureNamed(name);
    for (const command of [
      ['ls', 'latest'],
      ['verify', '--data'],
      ['restore', 'latest', at.target],
    ]) {
      // prettier-ignore
      const run = await lbsExits(t, 1, [...command, `--store=${store}`], { env: bare });
      t.regex(run.stderr, /install the program "bzip2"/);
    }
  }
  const { store } = fixtureNamed('gzip');
  await lbsOk(t, ['verify', '--data', `--store=${store}`], { env: bare });
});

test('a reverse filter of the configuration is used, and one of the command line wins', async (t) => {
  const bare = barePath(t);
  const { store } = fixtureNamed('0.11');
  const config = join(homeOf(t), 'config');
  const bzip2 = '/bin/bzip2 -dc';
  writeFileSync(config, `store = ${store}\nunfilter = .own=cat\nunfilter = .bz2=${bzip2}\n`);
  const withConfig = { env: { ...bare, LBS_CONFIG: config } };
  await lbsOk(t, ['verify', '--data'], withConfig);
  await lbsOk(t, ['ls', 'latest'], withConfig);
  const run = await lbsExits(t, 1, ['ls', 'latest', '--unfilter=.bz2=no-such-program'], withConfig);
  t.regex(run.stderr, /install the program "no-such-program"/);
});

/** A copy of a fixture's store that may be written to. */
function copyOf(t: ExecutionContext, name: string): string {
  const store = join(places(t).base, 'copy');
  cpSync(fixtureNamed(name).store, store, { recursive: true });
  return store;
}

for (const [name, file, format] of [
  ['none', 'snapshot-20261120T113833.lbs', 'LBS Snapshot v99'],
  ['none-structured', 'snapshots/snapshot-20261120T103833.cumulus', 'Cumulus Snapshot v0.12'],
] as const) {
  test(`${name}: a snapshot of the format "${format}" is refused, and is not damage`, async (t) => {
    const store = copyOf(t, name);
    const target = join(dirname(store), 'target');
    const text = readFileSync(join(store, file), 'utf8');
    writeFileSync(join(store, file), text.replace(/^Format: .*$/m, `Format: ${format}`));
    for (const command of [['ls', 'latest'], ['verify'], ['restore', 'latest', target]]) {
      const run = await lbsExits(t, 1, [...command, `--store=${store}`]);
      t.true(run.stderr.includes(`format "${format}" is newer than this program knows`));
      t.regex(run.stderr, /use a newer lbs/);
    }
    const list = await lbsExits(t, 1, ['list', `--store=${store}`]);
    t.true(list.stdout.includes(`format "${format}" is newer`), list.stdout);
    t.regex(list.stdout, /3 snapshots/);
    // The others are as good as before.
    const [first = ''] = fixtureNamed(name).snapshots;
    await lbsOk(t, ['verify', '--data', `--store=${store}`, first]);
  });
}

for (const [name, scheme] of [
  ['typed', ['--scheme=desk']],
  ['none-structured', []],
  ['0.10', []],
] as const) {
  test(`${name}: a backup goes to the top of the store and leaves the rest as it was`, async (t) => {
    const at = { ...places(t), store: copyOf(t, name) };
    makeSmallTree(at.tree);
    const before = storeState(at.store);
    const run = await lbsOk(t, [...backupOptions(at), ...scheme, at.tree]);
    t.regex(run.stderr, /there is no local database/);
    const after = storeState(at.store);
    for (const [path, state] of before) {
      // Directories get a new time when something is put into them; these do not.
      t.deepEqual(after.get(path), state, path);
    }
    const added = addedFiles(before, after);
    t.true(added.length >= 5 && added.every((path) => !path.includes('/')), added.join(' '));
    await lbsOk(t, ['verify', '--data', `--store=${at.store}`]);
    await restoreOk(t, [`--store=${at.store}`, ...scheme, 'latest', at.target]);
    if (isRoot) sameTree(t, readTree(at.tree), readTree(restored(at.target, at.tree)));
  });
}

test('a new snapshot sorts behind those in the subdirectories', async (t) => {
  const at = { ...places(t), store: copyOf(t, 'none-structured') };
  makeSmallTree(at.tree);
  const clock = { LBS_TEST_CLOCK_S: String(Date.UTC(2026, 10, 20, 10, 38, 33) / 1000) };
  await lbsOk(t, [...backupOptions(at), at.tree], { env: clock });
  const found = jsonLines(await lbsOk(t, ['list', `--store=${at.store}`, '--json']));
  t.deepEqual(
    found.map((line) => line['id']),
    ['20261120T103726', '20261120T103800', '20261120T103833', '20261120T103834'],
  );
});
