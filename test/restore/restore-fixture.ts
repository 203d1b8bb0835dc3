/**
 * Stores that the original programs wrote come back exactly as their source trees were; a second
 * restore changes nothing; damage and interruption cost only what they must.
 */
import { lstatSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { LbsError } from '../../src/errors.ts';
import type { ReportEvent } from '../../src/report.ts';
import { restore } from '../../src/restore/restore.ts';
import { bytePath } from '../../src/std/byte-path.ts';
import { isAsExpected } from '../helpers/expected-tree.ts';
import {
  expectedEntries,
  type FixtureStore,
  fixtureKeys,
  FIXTURES,
} from '../helpers/fixture-stores.ts';
import { places, type Places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { StanzaStore } from '../helpers/stanza-store.ts';
import { isRoot } from '../helpers/temp-dir.ts';
import { readTree, sameTree, type TreeState } from '../helpers/tree-state.ts';

// Reverse filters get the environment of this process.
const keys = fixtureKeys();
process.env['GNUPGHOME'] = keys.env.GNUPGHOME;
test.after.always(() => keys.remove());

const MIB = 1024 * 1024;

async function bring(
  at: Places,
  fixture: FixtureStore | undefined,
  snapshot: string,
  paths?: string[],
) {
  const events: ReportEvent[] = [];
  const summary = await restore({
    ...{ store: fixture?.store ?? at.store, snapshot, target: at.target },
    ...(paths === undefined ? {} : { paths: paths.map((path) => bytePath(path)) }),
    numericOwner: true,
    report: (event) => void events.push(event),
  });
  const damage = events.flatMap((event) => (event.type === 'damage' ? [event.damage.name] : []));
  return { summary, events, damage };
}

function temporaries(tree: TreeState): string[] {
  return [...tree.keys()].filter((path) => path.includes('.lbs-restore-'));
}

for (const fixture of FIXTURES) {
  for (const snapshot of fixture.snapshots) {
    test(`${fixture.name} ${snapshot} comes back, and again changes nothing`, async (t) => {
      const at = places(t);
      const { summary } = await bring(at, fixture, snapshot);
      t.is(summary.damaged, 0);
      if (isRoot) t.is(summary.warnings, 0);
      const expected = expectedEntries(fixture, snapshot);
      const tree = readTree(at.target);
      isAsExpected(t, at.target, tree, expected);
      t.is(summary.entries, expected.length);
      if (!isRoot) return;
      const again = await bring(at, fixture, snapshot);
      sameTree(t, tree, readTree(at.target), { ctimes: true });
      t.is(again.summary.filesUnchanged, summary.files);
      t.is(again.summary.segmentsRead, 0);
    });
  }
}

test('one path, with the directories above it, and nothing else', async (t) => {
  const at = places(t);
  const store = new StanzaStore();
  store.add('.', 'd', { mode: '0711' });
  for (const path of ['a', 'a/b', 'a/b/c', 'a/bb']) store.add(path, 'd', { mode: '0750' });
  for (const path of ['x', 'a/x', 'a/b/x', 'a/b/c/x', 'a/bb/x']) {
    store.file(path, [Buffer.from(path)]);
  }
  store.write(at.store);
  const { summary } = await bring(at, undefined, 'latest', ['/a//b/']);
  const tree = readTree(at.target);
  t.deepEqual([...tree.keys()].sort(), ['.', 'a', 'a/b', 'a/b/c', 'a/b/c/x', 'a/b/x']);
  t.deepEqual([summary.entries, summary.files], [4, 2]);
  t.deepEqual(
    ['.', 'a', 'a/b'].map((path) => [tree.get(path)?.mode, tree.get(path)?.mtimeNs]),
    ['0711', '0750', '0750'].map((mode) => [mode, 1_000_000_000_000_000_000n]),
  );
  // Directories that are only on the way keep what their owner gave them since.
  const kept = { ...at, target: join(at.base, 'kept') };
  mkdirSync(kept.target, { mode: 0o700 });
  await bring(kept, undefined, 'latest', ['./a/x', 'a/bb/x']);
  t.is(lstatSync(kept.target).mode & 0o777, 0o700);
  t.deepEqual([...readTree(kept.target).keys()].sort(), ['.', 'a', 'a/bb', 'a/bb/x', 'a/x']);
});

/** A store where each file needs its own objects, and one more that has the same content. */
function damagedStore(t: ExecutionContext): Places {
  const at = places(t);
  const store = new StanzaStore();
  store.add('.', 'd');
  store.add('d', 'd');
  const links = { links: '2', inode: '1/1/1' };
  store.file('bad', [pseudoRandom('bad 1', MIB), pseudoRandom('bad 2', MIB)], links);
  store.file('d/bad-link', [pseudoRandom('bad 1', MIB), pseudoRandom('bad 2', MIB)], links);
  store.file('d/good', [pseudoRandom('good', MIB), pseudoRandom('more', 100)]);
  store.file('small-bad', [Buffer.from('this is small and will be harmed')]);
  store.file('small-good', [Buffer.from('this is small and fine')]);
  store.file('wrong-sum', [Buffer.from('1')], { sha256: 'f'.repeat(64) });
  store.file('wrong-size', [Buffer.from('1')], { size: '2' });
  store.write(at.store);
  const file = join(at.store, StanzaStore.dataFile);
  const bytes = readFileSync(file);
  for (const victim of [pseudoRandom('bad 2', MIB), Buffer.from('small and will')]) {
    for (let from = bytes.indexOf(victim); from >= 0; from = bytes.indexOf(victim, from)) {
      bytes.writeUInt8((bytes[from + 5] ?? 0) ^ 1, from + 5);
    }
  }
  writeFileSync(file, bytes);
  return at;
}

test('damage costs the files that need what is damaged, and leaves nothing behind', async (t) => {
  const at = damagedStore(t);
  const { summary, damage } = await bring(at, undefined, 'latest');
  const lost = ['bad', 'd/bad-link', 'small-bad', 'wrong-size', 'wrong-sum'];
  t.deepEqual(damage.sort(), lost);
  t.is(summary.damaged, lost.length);
  const tree = readTree(at.target);
  t.deepEqual([...tree.keys()].sort(), ['.', 'd', 'd/good', 'small-good']);
  const good = Buffer.concat([pseudoRandom('good', MIB), pseudoRandom('more', 100)]);
  t.true(readFileSync(join(at.target, 'd', 'good')).equals(good));
});

test('damaged files do not take the place of those that are there', async (t) => {
  const at = damagedStore(t);
  mkdirSync(at.target);
  writeFileSync(join(at.target, 'bad'), 'older');
  await bring(at, undefined, 'latest');
  t.is(readFileSync(join(at.target, 'bad'), 'utf8'), 'older');
});

test('a missing segment costs only what is in it', async (t) => {
  const at = damagedStore(t);
  rmSync(join(at.store, StanzaStore.dataFile));
  const { summary } = await bring(at, undefined, 'latest');
  t.is(summary.damaged, 7);
  t.deepEqual([...readTree(at.target).keys()].sort(), ['.', 'd']);
});

test('an interrupted restore leaves whole files only, and the next one does the rest', async (t) => {
  const at = places(t);
  const store = new StanzaStore();
  store.add('.', 'd', { mode: '0700' });
  for (let n = 0; n < 40; n++) {
    store.file(`f${n}`, [pseudoRandom(`${n}`, MIB), pseudoRandom(`end ${n}`, 1000)]);
  }
  store.write(at.store);
  const controller = new AbortController();
  let restored = 0;
  const report = (event: ReportEvent) => {
    if (event.type === 'restored' && ++restored === 5) controller.abort();
  };
  const options = { store: at.store, snapshot: 'latest', target: at.target };
  const error = await t.throwsAsync(restore({ ...options, report, signal: controller.signal }), {
    instanceOf: LbsError,
  });
  t.is(error?.code, 'interrupted');
  const tree = readTree(at.target);
  t.deepEqual(temporaries(tree), []);
  t.true(tree.size < 40, `${tree.size}`);
  for (const [path, { size }] of tree) if (path !== '.') t.is(size, MIB + 1000, path);
  const { summary } = await bring(at, undefined, 'latest');
  t.is(summary.filesUnchanged, tree.size - 1);
  t.is(readTree(at.target).size, 41);
});

test('pieces in any order, of more files than can be open', async (t) => {
  const at = places(t);
  const store = new StanzaStore();
  store.add('.', 'd', { mode: '0700' });
  const count = 300;
  // Blocks of all files are stored before the first one's second: nothing is complete for long.
  const references = (n: number) => [2, 0, 1].map((part) => part * count + n);
  const blocks = Array.from({ length: 3 * count }, (_, n) => pseudoRandom(`${n}`, 700));
  store.file('all', blocks, { data: '', size: '0', checksum: '', sha256: '' });
  for (let n = 0; n < count; n++) {
    const parts = references(n).map((number) => blocks[number] ?? Buffer.alloc(0));
    const content = Buffer.concat(parts);
    store.add(`f${n}`, 'f', {
      data: references(n)
        .map((number) => `${StanzaStore.dataObject(number)}[0+700]`)
        .join('\n'),
      sha256: createHash('sha256').update(content).digest('hex'),
      size: '2100',
    });
  }
  store.write(at.store);
  const { summary } = await bring(at, undefined, 'latest');
  // The entry that only carries the blocks has fields that nobody can read.
  t.is(summary.damaged, 1);
  t.is(readTree(at.target).size, count + 1);
  t.deepEqual(temporaries(readTree(at.target)), []);
});
