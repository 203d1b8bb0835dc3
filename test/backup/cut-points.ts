/** Boundaries of blocks: where they are, and that they come back after a change. */
import { createHash } from 'node:crypto';
import test from 'ava';
import { CUT_BYTES_MAX, ZERO_RUN_BYTES, cutLength } from '../../src/backup/cut-points.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

/** The content of every block, in order. */
function blocksOf(bytes: Buffer): Buffer[] {
  const blocks: Buffer[] = [];
  for (let at = 0; at < bytes.length;) {
    const length = cutLength(bytes.subarray(at, at + CUT_BYTES_MAX));
    blocks.push(bytes.subarray(at, at + length));
    at += length;
  }
  return blocks;
}

function lengthsOf(bytes: Buffer): number[] {
  return blocksOf(bytes).map((block) => block.length);
}

/** Bytes of the blocks of `changed` that are not among those of `before`; zeros cost nothing. */
function costOf(before: Buffer, changed: Buffer): number {
  const known = new Set(blocksOf(before).map(digest));
  const fresh = blocksOf(changed).filter((block) => !known.has(digest(block)) && !isZero(block));
  return fresh.reduce((sum, block) => sum + block.length, 0);
}

function digest(block: Buffer): string {
  return createHash('sha1').update(block).digest('hex');
}

function isZero(block: Buffer): boolean {
  return block.equals(Buffer.alloc(block.length));
}

/** The rule itself, byte by byte, for bytes without long runs of zeros. */
function slowCutLength(next: Buffer): number {
  const gear = Array.from({ length: 256 }, (_, byte) =>
    createHash('sha256')
      .update(Buffer.from([byte]))
      .digest()
      .readUInt32BE(0),
  );
  let hash = 0n;
  for (let length = 1; length < next.length; length++) {
    hash = (hash * 2n + BigInt(gear[next[length - 1] ?? 0] ?? 0)) % 2n ** 32n;
    const bits = length > 512 * KIB ? 17n : 19n;
    if (length > 192 * KIB && hash >> (32n - bits) === 0n) return length;
  }
  return next.length;
}

test('blocks end where the rule says', (t) => {
  const bytes = pseudoRandom('rule', 5 * MIB);
  for (const start of [0, 1, 1_234_567, 4 * MIB]) {
    const next = bytes.subarray(start, start + CUT_BYTES_MAX);
    t.is(cutLength(next), slowCutLength(next), `from ${start}`);
  }
});

test('boundaries are the same in every version: others would store every large file anew', (t) => {
  const lengths = lengthsOf(pseudoRandom('the same for ever', 6 * MIB));
  // prettier-ignore
  t.deepEqual(lengths, [
    524421, 616347, 415092, 250880, 535528, 667716, 552544, 890582, 613173, 294789, 580566, 349818,
  ]);
});

test('a block has 192 KiB at least and 1 MiB at most, and some 512 KiB on average', (t) => {
  const lengths = lengthsOf(pseudoRandom('sizes', 64 * MIB)).slice(0, -1);
  t.true(Math.min(...lengths) > 192 * KIB);
  t.true(Math.max(...lengths) <= MIB);
  const mean = lengths.reduce((sum, length) => sum + length, 0) / lengths.length;
  t.true(mean > 460 * KIB && mean < 560 * KIB, String(mean));
});

test('what is no longer than the minimum is one block', (t) => {
  t.is(cutLength(Buffer.from('a')), 1);
  t.is(cutLength(pseudoRandom('short', 192 * KIB)), 192 * KIB);
});

test('bytes without any variety are cut at the maximum', (t) => {
  t.deepEqual(lengthsOf(Buffer.alloc(2 * MIB + 5, 'a')), [MIB, MIB, 5]);
  t.is(cutLength(Buffer.from('ab'.repeat(MIB / 2))), MIB);
});

test('a byte at the start of 64 MiB makes no more than two blocks new', (t) => {
  const before = pseudoRandom('insert', 64 * MIB);
  const cost = costOf(before, Buffer.concat([Buffer.from('x'), before]));
  t.true(cost > 0 && cost <= 2 * MIB, String(cost));
});

test('bytes put in, taken out and overwritten cost a few blocks each', (t) => {
  const before = pseudoRandom('edits', 32 * MIB);
  const cut = (...parts: [number, number][]) =>
    Buffer.concat(parts.map(([start, end]) => before.subarray(start, end)));
  const out = cut([0, 5_000_000], [5_000_777, 20_000_000], [21_000_000, before.length]);
  t.true(costOf(before, out) <= 4 * MIB);
  const moved = cut([16 * MIB, 32 * MIB], [0, 16 * MIB]);
  t.true(costOf(before, moved) <= 4 * MIB);
  const over = Buffer.from(before);
  over.fill('new', 10_000_000, 10_000_100);
  t.true(costOf(before, over) <= 2 * MIB);
});

test('a long run of zeros is a block of its own, wherever it begins', (t) => {
  const data = pseudoRandom('around zeros', 300_000);
  for (const zeros of [ZERO_RUN_BYTES, ZERO_RUN_BYTES + 1, 500_001, 3 * MIB + 77]) {
    const blocks = blocksOf(Buffer.concat([data, Buffer.alloc(zeros), data]));
    const runs = blocks.filter(isZero).reduce((sum, block) => sum + block.length, 0);
    t.is(runs, zeros);
    t.deepEqual(
      Buffer.concat(blocks.filter((block) => !isZero(block))),
      Buffer.concat([data, data]),
    );
  }
});

test('a shorter run of zeros is part of its block', (t) => {
  const data = pseudoRandom('around few zeros', 100_000);
  const bytes = Buffer.concat([data, Buffer.alloc(ZERO_RUN_BYTES - 1), data]);
  t.deepEqual(lengthsOf(bytes), [bytes.length]);
});

test('zeros that become more or fewer cost nothing', (t) => {
  const [one, two] = [pseudoRandom('one', 2_000_000), pseudoRandom('two', 2_000_000)];
  const before = Buffer.concat([one, Buffer.alloc(100_000), two]);
  const after = Buffer.concat([Buffer.alloc(70_000), one, Buffer.alloc(2_345_678), two]);
  t.is(costOf(before, after), 0);
});

test('a file of zeros alone has no other blocks', (t) => {
  for (const size of [1, 1000, ZERO_RUN_BYTES, 3 * MIB + 1]) {
    t.true(blocksOf(Buffer.alloc(size)).every(isZero));
  }
});
