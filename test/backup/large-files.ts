/** Large files through whole backups: what a change costs, and that all of it comes back. */
import { hash } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { BlockCutter } from '../../src/backup/block-cutter.ts';
import { SideThread } from '../../src/backup/side-thread.ts';
import { CUT_BYTES_MAX, cutLength } from '../../src/backup/cut-points.ts';
import { openContent } from '../../src/sources/filesystem/open-content.ts';
import { backupOptions, clockAhead, places, type Places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { jsonMessage, lbsOk } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { tempDir } from '../helpers/temp-dir.ts';
import { readTree, sameTree } from '../helpers/tree-state.ts';

const MIB = 1024 * 1024;

/** Makes a backup; the bytes of content that it added. */
async function added(t: ExecutionContext, at: Places, aheadS: number): Promise<number> {
  const options = { cwd: at.tree, env: clockAhead(aheadS) };
  const run = await lbsOk(t, ['--json', ...backupOptions(at), '.'], options);
  return Number(jsonMessage(run, 'summary')['content_added']);
}

async function checkLatest(t: ExecutionContext, at: Places): Promise<void> {
  await lbsOk(t, ['restore', `--store=${at.store}`, 'latest', at.target]);
  sameTree(t, readTree(at.tree), readTree(at.target));
  await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
}

/** A sparse file of `sizeBytes` with data at some places. */
function makeSparse(path: string, sizeBytes: number, parts: readonly [number, Buffer][]): void {
  const file = openSync(path, 'w');
  ftruncateSync(file, sizeBytes);
  for (const [at, data] of parts) writeSync(file, data, 0, data.length, at);
  closeSync(file);
}

test('a byte at the start of a large file adds no more than two blocks', async (t) => {
  const at = places(t);
  const content = pseudoRandom('start', 64 * MIB);
  makeFiles(at.tree, { large: content });
  t.is(await added(t, at, 1000), content.length);
  makeFiles(at.tree, { large: Buffer.concat([Buffer.from('x'), content]) });
  const cost = await added(t, at, 2000);
  t.true(cost > 0 && cost <= 2 * MIB, String(cost));
  await checkLatest(t, at);
});

test('what was appended, copied into another file or cut off is not stored again', async (t) => {
  const at = places(t);
  const content = pseudoRandom('grows', 10 * MIB);
  makeFiles(at.tree, { log: content });
  await added(t, at, 1000);
  makeFiles(at.tree, { log: Buffer.concat([content, pseudoRandom('more', MIB)]) });
  t.true((await added(t, at, 2000)) <= 2 * MIB);
  makeFiles(at.tree, {
    archive: Buffer.concat([pseudoRandom('header', 777), content]),
    log: content.subarray(0, 7_654_321),
  });
  t.true((await added(t, at, 3000)) <= 3 * MIB);
  await checkLatest(t, at);
});

test('zeros of a large file are not stored, neither those of holes nor written ones', async (t) => {
  const at = places(t);
  const data = pseudoRandom('data', 3_000_000);
  makeFiles(at.tree, { written: Buffer.concat([data, Buffer.alloc(5_000_001), data]) });
  t.is(await added(t, at, 1000), data.length, 'and the data behind them is known');
  makeSparse(join(at.tree, 'sparse'), 40 * MIB, [
    [4096 * 100, data],
    [4096 * 2000, data.subarray(0, 1_500_000)],
    [4096 * 5000, Buffer.from('a little')],
    [40 * MIB - data.length, data],
  ]);
  makeSparse(join(at.tree, 'nothing'), 20 * MIB, []);
  const cost = await added(t, at, 2000);
  t.true(cost < 2_500_000, `data is found again behind a hole: ${cost}`);
  await checkLatest(t, at);
});

test('files around the size of a block and of the window come back as they were', async (t) => {
  const at = places(t);
  const sizes = [MIB - 1, MIB, MIB + 1, 4 * MIB - 1, 4 * MIB, 4 * MIB + 1, 7 * MIB + 1];
  for (const size of sizes) makeFiles(at.tree, { [`size-${size}`]: pseudoRandom('sizes', size) });
  await added(t, at, 1000);
  await checkLatest(t, at);
});

/** The blocks of one stretch of a file in `dir`, and the checksums of that stretch. */
async function cutFile(cutter: BlockCutter, dir: string, [start, length]: [number, number]) {
  const fd = openSync(dir, 'r');
  const content = openContent(fd, Buffer.from('file\0'));
  const large = await cutter.begin(content, false);
  const blocks: Buffer[] = [];
  for await (const block of large.blocks({ kind: 'data', start, length })) {
    blocks.push(Buffer.from(block));
  }
  const digests = await large.digests.finish();
  content.close();
  closeSync(fd);
  return { blocks, digests };
}

test('blocks do not depend on how a file is read', async (t) => {
  const dir = tempDir(t);
  const bytes = Buffer.concat([pseudoRandom('read', 9_000_001), Buffer.alloc(300_000, 'a')]);
  writeFileSync(join(dir, 'file'), bytes);
  const side = new SideThread();
  const cutter = new BlockCutter(side);
  for (const start of [0, 1, 4095, 1_048_577, 5_000_000, bytes.length - 1]) {
    const expected: number[] = [];
    for (let at = start; at < bytes.length; at += expected.at(-1) ?? 0) {
      expected.push(cutLength(bytes.subarray(at, at + CUT_BYTES_MAX)));
    }
    const stretch = bytes.subarray(start);
    const { blocks, digests } = await cutFile(cutter, dir, [start, stretch.length]);
    const lengths = blocks.map((block) => block.length);
    t.deepEqual(lengths, expected);
    t.true(Buffer.concat(blocks).equals(stretch));
    t.deepEqual(digests, { sha1: hash('sha1', stretch), sha256: hash('sha256', stretch) });
  }
  await side.close();
});

test('files of which 1 MiB would be too many blocks have larger ones, at multiples of their size', async (t) => {
  const [GIB, dir, side] = [1024 ** 3, tempDir(t), new SideThread()];
  const cutter = new BlockCutter(side);
  const bytes = pseudoRandom('huge', 9 * MIB + 77);
  for (const [sizeBytes, blockBytes] of [
    [256 * GIB, MIB],
    [256 * GIB + 1, 4 * MIB],
    [1024 * GIB + 1, 16 * MIB],
    [8192 * GIB, 32 * MIB],
  ] as const) {
    const start = 200 * GIB - 4096;
    makeSparse(join(dir, 'file'), sizeBytes, [[start, bytes]]);
    const { blocks } = await cutFile(cutter, dir, [start, bytes.length]);
    t.true(Buffer.concat(blocks).equals(bytes));
    const ends: number[] = [];
    for (let end = 0; end < bytes.length - 4096; end += blockBytes) ends.push(end + 4096);
    ends.push(bytes.length);
    let end = 0;
    t.deepEqual(
      blocks.map((block) => (end += block.length)),
      ends,
      `${sizeBytes}`,
    );
  }
  await side.close();
});

test('a file that is shorter than it was when it was opened ends where it ends', async (t) => {
  const dir = tempDir(t);
  const bytes = pseudoRandom('short', 5_000_000);
  writeFileSync(join(dir, 'file'), bytes);
  const side = new SideThread();
  const cutter = new BlockCutter(side);
  const { blocks } = await cutFile(cutter, dir, [0, 6_000_000]);
  t.true(Buffer.concat(blocks).equals(bytes));
  await side.close();
});
