/**
 * Restores and verifications that are large enough for helper threads: the same trees, the same
 * damage and the same refusals as without them.
 */
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { backup } from '../../src/backup/run-backup.ts';
import { LbsError } from '../../src/errors.ts';
import { verify } from '../../src/maintain/verify.ts';
import type { ReportEvent } from '../../src/report.ts';
import { restore } from '../../src/restore/restore.ts';
import { helperCount } from '../../src/restore/segment-helpers.ts';
import { listSnapshots, openSnapshot } from '../../src/snapshots/open-snapshot.ts';
import { bytePath } from '../../src/std/byte-path.ts';
import { openStore } from '../../src/stores/open-store.ts';
import '../helpers/on-disk.ts';
import { makeHardTree } from '../helpers/hard-tree.ts';
import { type Places, places, restored } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts'; // prettier-ignore

const DIRECTORIES = 40;
const FILES_EACH = 60;
const MIB = 1024 * 1024;

/** Threads that were started in this process. */
let threads = 0;
process.on('worker', () => threads++);

const nameOf = (n: number) => `d${n % DIRECTORIES}/f${n}`;
const contentOf = (n: number) => pseudoRandom(`${n}`, 200 + ((n * 97) % 5000));

/** More files than any restore does alone, most of them with an object of their own. */
async function makeStore(t: ExecutionContext, more: (tree: string) => void = () => undefined): Promise<Places> {
  const at = places(t);
  for (let d = 0; d < DIRECTORIES; d++) mkdirSync(join(at.tree, `d${d}`));
  for (let n = 0; n < DIRECTORIES * FILES_EACH; n++) {
    writeFileSync(join(at.tree, nameOf(n)), n % 50 === 0 ? '' : contentOf(n % 60 === 7 ? 7 : n));
  }
  // Several objects, in several segments.
  writeFileSync(join(at.tree, 'd1/large'), pseudoRandom('large', 9 * MIB));
  more(at.tree);
  const { store, localdb, tree } = at;
  await backup({ store, localdb, paths: [bytePath(tree)], segmentSizeBytes: MIB });
  return at;
} // prettier-ignore

async function bring(at: Places, onEvent: (event: ReportEvent) => void = () => undefined) {
  const warnings: string[] = [];
  const damage: string[] = [];
  const report = (event: ReportEvent) => {
    if (event.type === 'warning') warnings.push(`${event.warning.code} ${String(event.warning.path)}`);
    if (event.type === 'damage') damage.push(String(event.damage.path));
    onEvent(event);
  };
  const before = threads;
  const summary = await restore({ store: at.store, snapshot: 'latest', target: at.target, report });
  return { summary, warnings, damage: damage.sort(), threads: threads - before };
} // prettier-ignore

function temporaries(target: string): string[] {
  const names = readdirSync(target, { recursive: true, encoding: 'utf8' });
  return names.filter((name) => name.includes('.lbs-'));
}

/** The store's files of content, and not of metadata. */
async function contentFiles(at: Places): Promise<string[]> {
  const store = openStore(at.store);
  const [snapshot] = listSnapshots(store);
  if (snapshot === undefined) throw new Error('no snapshot');
  const { descriptor } = await openSnapshot(store, snapshot);
  const segments = descriptor.segments.filter((name) => name !== descriptor.root.segment);
  return segments.map((name) => join(at.store, `${name}.tar.zst`));
}

/** Changes a byte in the middle of two segments. */
async function damageStore(at: Places): Promise<void> {
  for (const file of (await contentFiles(at)).slice(0, 2)) {
    const bytes = readFileSync(file);
    const middle = bytes.length >> 1;
    bytes[middle] = (bytes[middle] ?? 0) ^ 0x55;
    writeFileSync(file, bytes);
  }
}

test.serial(
  'a large tree comes back as it was, with helpers where there is a processor for them',
  async (t) => {
    const at = await makeStore(t, (tree) => {
      mkdirSync(join(tree, 'hard'));
      makeHardTree(join(tree, 'hard'));
    });
    const first = await bring(at);
    t.is(first.threads, helperCount());
    t.deepEqual([first.warnings, first.damage], [[], []]);
    sameTree(t, readTree(at.tree), readTree(restored(at.target, at.tree)));
    t.deepEqual(temporaries(at.target), []);
    const again = await bring(at);
    t.is(again.summary.bytesWritten, 0);
    t.is(again.summary.filesUnchanged, first.summary.files);
  },
);

test.serial(
  'damage costs the files that lie in it, and verify tells of the same ones',
  async (t) => {
    const at = await makeStore(t);
    await damageStore(at);
    const { damage, summary, warnings } = await bring(at);
    t.deepEqual(warnings, []);
    t.true(damage.length > 0 && damage.length < DIRECTORIES * FILES_EACH);
    t.is(summary.damaged, damage.length);
    const isLost = new Set(damage);
    for (let n = 0; n < DIRECTORIES * FILES_EACH; n++) {
      const path = join(at.tree, nameOf(n));
      const target = restored(at.target, path);
      t.is(existsSync(target), !isLost.has(path.slice(1)), path);
      if (existsSync(target)) t.true(readFileSync(target).equals(readFileSync(path)), path);
    }
    t.deepEqual(temporaries(at.target), []);
    const before = threads;
    const found = await verify({ store: at.store, depth: 'data' });
    t.is(threads - before, helperCount());
    const named = found.damage
      .filter(({ what }) => what === 'entry')
      .map(({ path }) => String(path));
    t.deepEqual(named.sort(), damage);
  },
);

test.serial('verify finds nothing wrong in a large store that is whole', async (t) => {
  const at = await makeStore(t);
  for (const depth of ['data', 'objects'] as const) {
    const before = threads;
    const found = await verify({ store: at.store, depth });
    t.is(threads - before, helperCount());
    t.deepEqual(found.damage, []);
    t.true(found.objects > DIRECTORIES * FILES_EACH / 2);
  }
}); // prettier-ignore

test.serial('what stands in the way is told of, and a link there is not followed', async (t) => {
  const at = await makeStore(t);
  const top = restored(at.target, at.tree);
  const outside = join(at.base, 'outside');
  mkdirSync(outside);
  for (const n of [1, 2, 3]) mkdirSync(join(top, nameOf(n), n === 3 ? '' : 'x'), { recursive: true });
  symlinkSync(outside, join(top, 'd4'));
  symlinkSync(join(outside, 'f'), join(top, nameOf(45).replace('d5', 'd3')));
  const { warnings, damage, summary } = await bring(at);
  t.deepEqual(damage, []);
  const inTheWay = [1, 2].map((n) => `in-the-way ${join(at.tree, nameOf(n)).slice(1)}`);
  t.deepEqual(warnings.sort(), inTheWay);
  t.is(summary.warnings, 2);
  t.deepEqual(readdirSync(outside), []);
  for (const n of [3, 4, 44, 84]) {
    t.true(readFileSync(join(top, nameOf(n))).equals(contentOf(n)), nameOf(n));
  }
  t.deepEqual(temporaries(at.target), []);
}); // prettier-ignore

test.serial(
  'a large restore that is interrupted leaves whole files only, and goes on later',
  async (t) => {
    const at = await makeStore(t);
    const controller = new AbortController();
    let files = 0;
    const report = (event: ReportEvent) => {
      if (event.type === 'restored' && event.sizeBytes > 0 && ++files === 500) controller.abort();
    };
    const { store, target, tree } = at;
    const options = { store, target, snapshot: 'latest', report, signal: controller.signal };
    const error = await t.throwsAsync(restore(options), { instanceOf: LbsError });
    t.is(error?.code, 'interrupted');
    t.deepEqual(temporaries(target), []);
    const there = readTree(restored(target, tree));
    const wanted = readTree(tree);
    for (const [path, { type, size }] of there) {
      if (type === 'f') t.is(size, wanted.get(path)?.size, path);
    }
    t.true(there.size < wanted.size);
    await bring(at);
    sameTree(t, wanted, readTree(restored(target, tree)));
  },
);

test.serial('a store without a segment is restored as far as it goes', async (t) => {
  const at = await makeStore(t);
  const [gone = ''] = await contentFiles(at);
  rmSync(gone);
  const { damage, warnings } = await bring(at);
  t.deepEqual(warnings, []);
  t.true(damage.length > 0);
  t.deepEqual(temporaries(at.target), []);
}); // prettier-ignore
