/** Stores with damage: verify names it, restore brings back everything that is not touched. */
import { readdirSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { copiedPlaces } from '../helpers/copied-places.ts';
import { gpgHome } from '../helpers/gpg-home.ts';
import { backupOptions, places, type Places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { lbs, lbsExits, lbsOk, type Run } from '../helpers/run-lbs.ts';
import { segmentObjects } from '../helpers/segment-objects.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { filesEndingIn, segmentFiles, snapshotNames } from '../helpers/store-state.ts';
import { readTree, treeDifferences } from '../helpers/tree-state.ts';

const MIB = 1024 * 1024;

/** One file of the store, changed in one way. */
const WAYS: Readonly<Record<string, (file: string) => void>> = {
  'a flipped bit': (file) => {
    const bytes = readFileSync(file);
    const middle = bytes.length >> 1;
    bytes.writeUInt8((bytes[middle] ?? 0) ^ 4, middle);
    writeFileSync(file, bytes);
  },
  'its end cut off': (file) => truncateSync(file, statSync(file).size >> 1),
  'nothing in it': (file) => truncateSync(file, 0),
  'bytes added': (file) => writeFileSync(file, 'junk', { flag: 'a' }),
  'been deleted': (file) => rmSync(file),
};

const FILTERS = ['cat', 'zstd -c', 'bzip2 -c'];

const VICTIM = pseudoRandom('victim', MIB - 100);

/** A store whose files `victim` and `bystander` lie in different segments. */
async function storeOf(t: ExecutionContext, filter: string): Promise<Places & { victim: string }> {
  const at = await copiedPlaces(t, filter, async (made) => {
    const backup = [...backupOptions(made), `--filter=${filter}`];
    makeFiles(made.tree, { 'a/victim': VICTIM });
    await lbsOk(t, [...backup, '.'], { cwd: made.tree });
    makeFiles(made.tree, {
      'a/bystander': pseudoRandom('bystander', MIB),
      'b/small': 'small',
      'b/empty': '',
    });
    await lbsOk(t, [...backup, '--full-metadata', '.'], { cwd: made.tree });
  });
  const holds = (file: string) =>
    [...segmentObjects(t, at.store, file).values()].some((content) => content.equals(VICTIM));
  return { ...at, victim: segmentFiles(at.store).find(holds) ?? 'none' };
}

/** A store of a small snapshot. */
function smallStore(t: ExecutionContext): Promise<Places> {
  return copiedPlaces(t, 'small', async (made) => {
    makeFiles(made.tree, { one: '1', 'two/three': '3' });
    await lbsOk(t, [...backupOptions(made), '.'], { cwd: made.tree });
  });
}

async function verifyNames(
  t: ExecutionContext,
  at: Places,
  name: string,
  depth: string,
): Promise<Run> {
  const run = await lbsExits(t, 4, ['verify', `--store=${at.store}`, depth]);
  t.true(run.stdout.includes(name), `${depth} does not name ${name}:\n${run.stdout}${run.stderr}`);
  return run;
}

for (const [way, harm] of Object.entries(WAYS)) {
  for (const filter of FILTERS) {
    test(`a data segment through "${filter}" that has ${way} costs only its own file`, async (t) => {
      const at = await storeOf(t, filter);
      harm(join(at.store, at.victim));
      for (const depth of ['--checksums', '--objects', '--data']) {
        const run = await verifyNames(t, at, at.victim, depth);
        // Bytes after the end of the archive harm no object.
        if (depth === '--data' && way !== 'bytes added') {
          t.true(run.stdout.includes('a/victim'), run.stdout);
        }
        t.false(run.stdout.includes('bystander'), run.stdout);
      }
      const run = await lbs(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
      const missing = treeDifferences(readTree(at.tree), readTree(at.target));
      if (run.code === 0 && way === 'bytes added') return t.deepEqual(missing, []);
      t.is(run.code, 4, run.stderr);
      t.true(run.stderr.includes('a/victim'), run.stderr);
      t.deepEqual(
        missing.map(({ text }) => text),
        ['a/victim: missing'],
      );
    });
  }
}

test('a bit that makes a segment look as if it were for another key is damage to that segment', async (t) => {
  const at = places(t);
  const key = gpgHome(t);
  const env = { ...key.env };
  const filter = `--filter=gpg --batch --quiet --encrypt --trust-model always -r ${key.user}`;
  makeFiles(at.tree, { victim: pseudoRandom('victim', 1000) });
  await lbsOk(t, [...backupOptions(at), filter, '.'], { cwd: at.tree, env });
  const old = segmentFiles(at.store);
  makeFiles(at.tree, { bystander: pseudoRandom('bystander', 1000) });
  await lbsOk(t, [...backupOptions(at), filter, '--full-metadata', '.'], { cwd: at.tree, env });
  // The key's number is in bytes 3 to 10 of what gpg writes; of the old segments one has the data.
  const harmed = old.toSorted((a, b) => statSync(join(at.store, b)).size - statSync(join(at.store, a)).size)[0] ?? ''; // prettier-ignore
  const bytes = readFileSync(join(at.store, harmed));
  bytes.writeUInt8((bytes[6] ?? 0) ^ 1, 6);
  writeFileSync(join(at.store, harmed), bytes);
  const run = await lbsExits(t, 4, ['verify', `--store=${at.store}`, '--data', 'latest'], { env });
  t.true(run.stdout.includes(`damaged: ${harmed}: its sha1`), run.stdout);
  t.regex(run.stdout, /: victim: /);
  await lbsExits(t, 4, ['restore', `--store=${at.store}`, 'latest', at.target], { env });
  t.deepEqual(readdirSync(at.target), ['bystander']);
  // Without any key it is the key that is missing.
  const other = gpgHome(t);
  const locked = await lbsExits(t, 12, ['restore', `--store=${at.store}`, 'latest', at.base + '/x'], { env: { ...other.env } }); // prettier-ignore
  t.regex(locked.stderr, /the key to this store is not here/);
});

test('after damage the next backup and its restore are whole again', async (t) => {
  const at = await storeOf(t, 'zstd -c');
  WAYS['been deleted']?.(join(at.store, at.victim));
  await lbsExits(t, 4, ['verify', `--store=${at.store}`]);
  // With a new local database nothing that is gone is relied upon.
  rmSync(at.localdb, { recursive: true });
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data', 'latest']);
  await lbsOk(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  t.deepEqual(treeDifferences(readTree(at.tree), readTree(at.target)), []);
});

for (const [way, harm] of Object.entries(WAYS)) {
  test(`a metadata segment that has ${way} is named, and other snapshots are unharmed`, async (t) => {
    const at = await smallStore(t);
    const old = new Set(segmentFiles(at.store));
    makeFiles(at.tree, { four: '4' });
    await lbsOk(t, [...backupOptions(at), '--full-metadata', '.'], { cwd: at.tree });
    const isMetadata = (file: string) =>
      [...segmentObjects(t, at.store, file).values()].some((content) => content[0] === 0x40);
    const segment = segmentFiles(at.store).find((file) => !old.has(file) && isMetadata(file)) ?? '';
    harm(join(at.store, segment));
    for (const depth of ['--checksums', '--objects', '--data'])
      await verifyNames(t, at, segment, depth);
    await lbsOk(t, ['verify', `--store=${at.store}`, '--data', snapshotNames(at.store)[0] ?? '']);
    const run = await lbs(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
    // A bit may be one that nobody looks at, as in a time in a tar header: then all comes back.
    if (run.code === 0 && /^(?:bytes added|a flipped bit)$/.test(way)) {
      t.deepEqual(treeDifferences(readTree(at.tree), readTree(at.target)), []);
    } else {
      t.is(run.code, 4, run.stderr);
      t.true(run.stderr.includes(segment.slice(0, 36)), run.stderr);
    }
    await lbsOk(t, ['restore', `--store=${at.store}`, 'latest~1', join(at.base, 'older')]);
    t.is(readFileSync(join(at.base, 'older', 'two', 'three'), 'utf8'), '3');
  });

  for (const ending of ['.sha1sums', '.sha256sums']) {
    test(`a ${ending} file that has ${way} is named, and everything can be restored`, async (t) => {
      const at = await smallStore(t);
      const sums = filesEndingIn(at.store, ending)[0] ?? '';
      harm(join(at.store, sums));
      for (const depth of ['--checksums', '--data']) await verifyNames(t, at, sums, depth);
      await lbsOk(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
      t.deepEqual(treeDifferences(readTree(at.tree), readTree(at.target)), []);
    });
  }
}

test('a descriptor that makes no sense is named, and the other snapshots go on working', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { one: '1' });
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
  const [first = '', second = ''] = snapshotNames(at.store);
  const store = `--store=${at.store}`;
  for (const content of ['', 'Format: LBS Snapshot v0.6\nProd', pseudoRandom('x', 500)]) {
    writeFileSync(join(at.store, `snapshot-${second}.lbs`), content);
    await verifyNames(t, at, second, '--checksums');
    const list = await lbsExits(t, 4, ['list', store]);
    t.true(list.stdout.includes(first) && list.stdout.includes(second), list.stdout + list.stderr);
    const run = await lbs(t, ['restore', store, second, join(at.base, 'never')]);
    t.true(run.code !== 0 && run.code !== null, run.stderr);
    t.true(run.stderr.includes(second), run.stderr);
    t.notRegex(run.stderr, /^\s+at .*:\d+/m, 'a stack trace is for bugs');
    await lbsOk(t, ['verify', store, '--data', first]);
  }
  // This machine has seen another one of that name.
  const run = await lbsExits(t, 3, [...backupOptions(at), '.'], { cwd: at.tree });
  t.true(run.stderr.includes(`snapshot-${second}.lbs: replaced`), run.stderr);
  await lbsOk(t, ['restore', store, 'latest', at.target]);
  t.is(readFileSync(join(at.target, 'one'), 'utf8'), '1');
});

test('a segment that was exchanged for another whole one is found out', async (t) => {
  const at = await storeOf(t, 'zstd -c');
  const other = segmentFiles(at.store).find((file) => file !== at.victim) ?? '';
  writeFileSync(join(at.store, at.victim), readFileSync(join(at.store, other)));
  for (const depth of ['--checksums', '--objects', '--data'])
    await verifyNames(t, at, at.victim, depth);
  const run = await lbsExits(t, 4, ['restore', `--store=${at.store}`, 'latest', at.target]);
  t.true(run.stderr.includes('a/victim'), run.stderr);
});

test('verify of a whole store says that all is well', async (t) => {
  const at = await storeOf(t, 'zstd -c');
  for (const depth of ['--checksums', '--objects', '--data']) {
    const run = await lbsOk(t, ['verify', `--store=${at.store}`, depth]);
    t.regex(run.stdout, /well/);
  }
});

test('ls of a snapshot whose metadata is damaged says so and exits with 4', async (t) => {
  const at = await smallStore(t);
  const isMetadata = (file: string) =>
    [...segmentObjects(t, at.store, file).values()].some((content) => content[0] === 0x40);
  const segment = segmentFiles(at.store).find(isMetadata) ?? '';
  WAYS['been deleted']?.(join(at.store, segment));
  const run = await lbsExits(t, 4, ['ls', `--store=${at.store}`, 'latest']);
  t.regex(run.stderr, /damaged/);
});
