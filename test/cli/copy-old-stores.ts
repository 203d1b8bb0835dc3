/**
 * `lbs sync` and `lbs heal` with every store of the family: as source, as destination, encrypted,
 * signed, in subdirectories.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { basename, join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { FIXTURES, fixtureKeys, someFixtures } from '../helpers/fixture-stores.ts';
import { lbsExits, lbsOk } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { storeState } from '../helpers/store-state.ts';
import { tempDir } from '../helpers/temp-dir.ts';
import { copyTree, DAMAGES, flip } from '../helpers/two-stores.ts';

const keys = fixtureKeys();
const { env } = keys;
test.after.always(() => keys.remove());

/** Names and contents, wherever in the store they lie; only what belongs to snapshots. */
function flatState(store: string): Map<string, string> {
  const files = [...storeState(store)].filter(([name]) =>
    /(^|\/)(snapshot-|[0-9a-f-]{36}\.tar)/.test(name),
  );
  return new Map(files.map(([name, { sha256 }]) => [basename(name), sha256] as const).sort());
}

function copyOf(t: ExecutionContext, store: string): string {
  const copy = tempDir(t);
  copyTree(store, copy);
  return copy;
}

function subdirectoriesOf(store: string): string[] {
  const entries = readdirSync(store, { withFileTypes: true });
  return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
}

for (const { name, store, snapshots } of someFixtures(0)) {
  test(`${name}: every snapshot is copied, and is as good as in its source`, async (t) => {
    const [copy, again] = [tempDir(t), tempDir(t)];
    const run = await lbsOk(t, ['sync', store, copy], { env });
    t.true(run.stdout.startsWith(`${snapshots.length} snapshots copied`), run.stdout);
    t.is(run.stderr, '');
    t.deepEqual(flatState(copy), flatState(store));
    t.deepEqual(subdirectoriesOf(copy), []);
    await lbsOk(t, ['verify', '--data', `--store=${copy}`], { env });
    await lbsOk(t, ['sync', copy, again], { env });
    t.deepEqual(flatState(again), flatState(store));
  });
}

for (const { name, store, snapshots } of someFixtures(1)) {
  test(`${name}: backups and copies of today go into it, and out of it`, async (t) => {
    const base = tempDir(t);
    const [old, own] = [copyOf(t, store), join(base, 'own')];
    makeFiles(base, { 'own/': '', 'tree/file': 'of today' });
    await lbsOk(t, [`--dest=${own}`, '--scheme=today', join(base, 'tree')]);
    await lbsOk(t, ['sync', own, old]);
    await lbsOk(t, ['verify', '--data', `--store=${old}`], { env });
    // And the other way round: an old store is completed by a new copy of it.
    const run = await lbsOk(t, ['sync', store, old], { env });
    t.regex(run.stdout, new RegExp(`^0 snapshots copied, ${snapshots.length} there already; 0 B`));
  });
}

for (const { name, store } of someFixtures(0)) {
  test(`${name}: every kind of damage to every file is healed where it lies`, async (t) => {
    const hurt = copyOf(t, store);
    const before = storeState(store);
    const files = [...before.keys()].filter((file) => /snapshot-|\.tar/.test(file));
    const hows = Object.entries(DAMAGES).filter(([how]) => how !== 'deleted');
    for (const [at, [how, damage]] of hows.entries()) {
      // Of descriptors only what has checksums vouch for it; see heal.ts for those.
      const some = files.filter(
        (file, n) => n % hows.length === at && !/\.(lbs|cumulus)$/.test(file),
      );
      for (const file of some) damage(join(hurt, file));
      const run = await lbsOk(t, ['heal', `--store=${hurt}`, `--from=${store}`], { env });
      t.true(
        run.stdout.startsWith(`${some.length} files damaged, ${some.length} healed, 0 left`),
        `${how}: ${run.stdout}`,
      );
      for (const [file, { sha256 }] of before) {
        t.is(storeState(hurt).get(file)?.sha256, sha256, `${file} was ${how}`);
      }
    }
    await lbsOk(t, ['verify', '--data', `--store=${hurt}`], { env });
  });
}

for (const { name, store } of someFixtures(1)) {
  test(`${name}: files that are missing are brought back`, async (t) => {
    const hurt = copyOf(t, store);
    const files = [...storeState(store).keys()].filter((file) =>
      /\.sha(1|256)sums$|\.meta|\.tar/.test(file),
    );
    for (const file of files) rmSync(join(hurt, file));
    const args = [`--store=${hurt}`, `--from=${store}`];
    const run = await lbsOk(t, ['heal', ...args], { env });
    t.true(
      run.stdout.startsWith(`${files.length} files damaged, ${files.length} healed`),
      run.stdout,
    );
    t.deepEqual(flatState(hurt), flatState(store));
    await lbsOk(t, ['verify', '--data', `--store=${hurt}`], { env });
  });
}

function fixtureNamed(name: string) {
  const found = FIXTURES.find((fixture) => fixture.name === name);
  if (found === undefined) throw new Error(`no fixture ${name}`);
  return found;
}

test('an encrypted store is copied, checked and healed without its key', async (t) => {
  const { store } = fixtureNamed('gpg-encrypted');
  const copy = tempDir(t);
  t.is((await lbsOk(t, ['sync', store, copy])).stderr, '');
  t.deepEqual(flatState(copy), flatState(store));
  const segment = readdirSync(copy).find((name) => name.includes('.tar')) ?? '';
  flip(join(copy, segment));
  await lbsOk(t, ['heal', `--store=${copy}`, `--from=${store}`]);
  t.deepEqual(flatState(copy), flatState(store));
  flip(join(copy, segment));
  const run = await lbsExits(t, 4, ['sync', copy, tempDir(t)]);
  t.true(run.stderr.includes(segment));
});

test('a list of Cumulus 0.11 that cannot be read is said, and what else can be checked is', async (t) => {
  const { store, snapshots } = fixtureNamed('0.11');
  const unreadable = '--unfilter=.bz2=no-such-program-here';
  const copy = tempDir(t);
  const run = await lbsOk(t, ['sync', unreadable, store, copy]);
  for (const name of snapshots) {
    t.true(
      run.stderr.includes(
        `snapshot-${name}.meta.bz2 cannot be read here, so its segments are held against the source only`,
      ),
      run.stderr,
    );
  }
  t.deepEqual(flatState(copy), flatState(store));
  // The list itself has its checksum in the descriptor.
  const hurt = copyOf(t, store);
  flip(join(hurt, 'meta', `snapshot-${snapshots[0] ?? ''}.meta.bz2`));
  const damaged = await lbsExits(t, 4, ['sync', unreadable, hurt, tempDir(t)]);
  t.true(damaged.stderr.includes(`damaged: snapshot-${snapshots[0] ?? ''}.cumulus: not copied`));
  const healed = await lbsOk(t, ['heal', unreadable, `--store=${hurt}`, `--from=${store}`]);
  t.regex(healed.stdout, /^1 file damaged, 1 healed/);
  t.regex(healed.stderr, /only those that are missing are found/);
  t.deepEqual(flatState(hurt), flatState(store));
});

test('with a key only signed snapshots are copied, and what is copied is what was signed', async (t) => {
  const { store, dir, snapshots } = fixtureNamed('gpg-signed');
  const key = `--verify-key=${join(dir, 'keys', 'public.asc')}`;
  const [copy, other] = [tempDir(t), tempDir(t)];
  await lbsOk(t, ['sync', key, store, copy]);
  await lbsOk(t, ['verify', key, `--store=${copy}`]);
  const unsigned = await lbsExits(t, 12, ['sync', key, fixtureNamed('none').store, other]);
  t.regex(unsigned.stderr, /snapshot-\S+\.lbs: /);
  t.deepEqual(readdirSync(other), []);
  // One that was tampered with: heal brings the good one back, also when a key is given.
  const descriptor = join(copy, `snapshot-${snapshots[0] ?? ''}.lbs`);
  flip(descriptor);
  await lbsExits(t, 12, ['sync', key, copy, other]);
  t.deepEqual(readdirSync(other), []);
  const run = await lbsOk(t, ['heal', key, `--store=${copy}`, `--from=${store}`]);
  t.regex(run.stdout, /^1 file damaged, 1 healed/);
  t.deepEqual(flatState(copy), flatState(store));
  // A damaged one on both sides is a matter of signatures.
  flip(descriptor);
  const both = copyOf(t, copy);
  await lbsExits(t, 12, ['heal', key, `--store=${copy}`, `--from=${both}`]);
});

test('a store that is spread over several disks is healed on the disk where the file lies', async (t) => {
  const { store } = fixtureNamed('none-structured');
  const hurt = copyOf(t, store);
  const elsewhere = join('/dev/shm', basename(hurt));
  if (!existsSync('/dev/shm')) return t.pass('left out: no second filesystem');
  t.teardown(() => rmSync(elsewhere, { recursive: true, force: true }));
  mkdirSync(elsewhere);
  copyTree(join(hurt, 'segments1'), elsewhere);
  rmSync(join(hurt, 'segments1'), { recursive: true });
  symlinkSync(elsewhere, join(hurt, 'segments1'));
  const [segment = ''] = readdirSync(elsewhere);
  flip(join(elsewhere, segment));
  await lbsOk(t, ['heal', `--store=${hurt}`, `--from=${store}`]);
  const good = readFileSync(join(store, 'segments1', segment));
  t.deepEqual(readFileSync(join(elsewhere, segment)), good);
  t.false(existsSync(join(hurt, segment)));
});
