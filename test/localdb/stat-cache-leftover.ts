/**
 * What a killed run leaves of its stat cache: whatever a power cut made of it, the next run gets
 * whole records, in order, and none that neither cache had.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { adoptLeftover } from '../../src/localdb/stat-cache-leftover.ts';
import { StatCacheReader } from '../../src/localdb/stat-cache-reader.ts';
import { CacheRecord, NO_OBJECT, NO_PLACE, formatRecord } from '../../src/localdb/stat-cache-record.ts'; // prettier-ignore
import { type CachedAccount, StatCacheWriter } from '../../src/localdb/stat-cache-writer.ts';
import { asByteText } from '../../src/std/byte-text.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const object = (number: number) =>
  `7c18fb6f-0616-42cc-a985-5349a54add41/0000000${number}(sha1=${'ab'.repeat(20)})`;
const ROOT = { object: object(9), start: 7, length: 5 };
const ACCOUNTS: readonly CachedAccount[] = [
  { kind: 'u', id: 0, name: 'root' },
  { kind: 'g', id: 4711, name: undefined },
];

/** Records of paths, all in the object of their group; `run` tells who wrote them. */
function records(run: string, ...paths: string[]): Buffer {
  const texts = paths.map((path) => {
    const facts = { text: asByteText(path), statusLine: `${run} of ${path}`, xattrs: '', content: '' };
    return formatRecord(facts, { object: NO_OBJECT, start: 1, length: 2 }, NO_OBJECT);
  }); // prettier-ignore
  return Buffer.from(texts.join(''), 'latin1');
}

/** What a cache says, and who wrote it. */
function recordsIn(file: string): string[] {
  const reader = StatCacheReader.open(file);
  const found: string[] = [];
  for (const part of reader?.rest() ?? []) {
    if (part instanceof CacheRecord) throw new Error('not a whole group');
    const text = part.bytes.toString('latin1');
    found.push(...text.split('\n\n').flatMap((record) => record.split('\n')[1] ?? []));
  }
  reader?.close();
  return found;
}

const OLD = ['.', 'a', 'b', 'b/c', 'd', 'e', 'f', 'g'];

function writeOld(file: string): void {
  const writer = new StatCacheWriter(file);
  writer.addGroup(object(1), true, records('old', '.', 'a', 'b'));
  writer.addGroup(object(2), true, records('old', 'b/c', 'd', 'e'));
  writer.addGroup(object(3), true, records('old', 'f', 'g'));
  writer.finish(object(9), ACCOUNTS, [ROOT, ROOT, ROOT]);
  writer.commit();
}

/** A run that has put two groups and the beginning of a third into its cache when it is killed. */
function writeLeftover(file: string): Buffer {
  const old = StatCacheReader.open(file);
  const groups = [...(old?.rest() ?? [])];
  const writer = new StatCacheWriter(file, old, () => ACCOUNTS);
  const [first] = groups;
  if (first !== undefined && 'root' in first) writer.addKept(first);
  else writer.addGroup(object(4), true, records('new', '.', 'a', 'b'));
  writer.addGroup(object(5), true, records('new', 'b/b', 'b/c'));
  // Longer than what replaces it.
  writer.checkpoint(records('new', 'c', `c/${'x'.repeat(5000)}`, 'cc', 'd', 'e', 'e/x', 'f'));
  writer.addGroup(object(6), true, records('new', 'c', 'd'));
  writer.checkpoint(records('new', 'e'));
  writer.leave();
  old?.close();
  return readFileSync(`${file}.new`);
}

const of = (run: string, ...paths: string[]) => paths.map((path) => `${run} of ${path}`);

function nothingIsLeft(t: ExecutionContext, file: string): void {
  t.false(existsSync(`${file}.new`) || existsSync(`${file}.left`));
}

test('the next run has all that the killed one had, and behind it what the cache before has', (t) => {
  const file = join(tempDir(t), 'cache');
  writeOld(file);
  writeLeftover(file);
  t.true(adoptLeftover(file));
  const wanted = [...of('old', '.', 'a', 'b'), ...of('new', 'b/b', 'b/c', 'c', 'd', 'e')];
  t.deepEqual(recordsIn(file), [...wanted, ...of('old', 'f', 'g')]);
  const reader = StatCacheReader.open(file);
  t.deepEqual([...(reader?.accounts ?? [])], [['u0', 'root'], ['g4711', undefined]]); // prettier-ignore
  t.is(reader?.root, NO_OBJECT);
  const places = [...(reader?.rest() ?? [])].map((part) => 'root' in part && part.root);
  t.deepEqual(places, [ROOT, NO_PLACE, NO_PLACE, NO_PLACE, ROOT], 'a kept group has its place in a root');
  reader?.close();
  nothingIsLeft(t, file);
  t.false(adoptLeftover(file), 'once only');
}); // prettier-ignore

test('a first run that was killed is gone on with', (t) => {
  const file = join(tempDir(t), 'cache');
  writeLeftover(file);
  t.true(adoptLeftover(file));
  t.deepEqual(recordsIn(file), of('new', '.', 'a', 'b', 'b/b', 'b/c', 'c', 'd', 'e'));
});

test('a killed run that had not come to anything new leaves the cache as it is', (t) => {
  const file = join(tempDir(t), 'cache');
  writeOld(file);
  const before = readFileSync(file);
  const old = StatCacheReader.open(file);
  const writer = new StatCacheWriter(file, old);
  for (const part of old?.rest() ?? []) if ('root' in part) writer.addKept(part);
  writer.checkpoint(Buffer.alloc(0));
  writer.leave();
  t.false(adoptLeftover(file));
  // One that had not even come to a group.
  new StatCacheWriter(join(file, '..', 'first')).leave();
  t.false(adoptLeftover(join(file, '..', 'first')));
  t.deepEqual(readFileSync(file), before);
});

test('a cache that was complete when its run was killed is taken as it is', (t) => {
  const file = join(tempDir(t), 'cache');
  writeOld(file);
  const writer = new StatCacheWriter(file);
  writer.addGroup(object(5), true, records('new', '.', 'z'));
  writer.checkpoint(records('new', 'zz', 'zzz'));
  writer.finish(object(8), ACCOUNTS, [{ object: object(8), start: 0, length: 1 }]);
  writer.leave();
  const complete = readFileSync(`${file}.new`);
  t.true(adoptLeftover(file));
  t.deepEqual(readFileSync(file), complete);
});

test('a run that is killed while it adopts a leftover loses nothing', (t) => {
  const file = join(tempDir(t), 'cache');
  writeOld(file);
  const left = writeLeftover(file);
  writeFileSync(`${file}.left`, left);
  writeFileSync(`${file}.new`, left.subarray(0, 100));
  t.true(adoptLeftover(file));
  t.is(recordsIn(file).length, 10);
  // Killed when that was done, but before the leftover was removed.
  const adopted = recordsIn(file);
  writeFileSync(`${file}.left`, left);
  t.true(adoptLeftover(file));
  t.deepEqual(recordsIn(file), adopted);
  nothingIsLeft(t, file);
});

/** Many ways to damage some bytes of a leftover. */
function* damages(left: Buffer): Generator<[what: string, damaged: Buffer]> {
  for (let at = 0; at < left.length; at += at < 1500 ? 31 : 997) {
    yield [`cut off at ${at}`, left.subarray(0, at)];
    const zeros = Buffer.from(left).fill(0, at);
    yield [`zeros from ${at}`, zeros];
    const flipped = Buffer.from(left);
    flipped[at] = (flipped[at] ?? 0) ^ (1 << (at % 8));
    yield [`a bit flipped at ${at}`, flipped];
    yield [`a hole at ${at}`, Buffer.from(left).fill(0, at, at + 64)];
  }
}

test('of a damaged leftover nothing is taken but whole groups from its beginning', (t) => {
  const dir = tempDir(t);
  const file = join(dir, 'cache');
  writeOld(file);
  const before = readFileSync(file);
  const left = writeLeftover(file);
  const merged = (...news: string[]) => {
    const last = news.at(-1) ?? 'b';
    const behind = OLD.slice(OLD.findIndex((path) => path > last));
    return [...of('old', '.', 'a', 'b'), ...of('new', ...news), ...of('old', ...behind)];
  };
  const possible = [
    merged(),
    merged('b/b', 'b/c'),
    merged('b/b', 'b/c', 'c', 'd'),
    merged('b/b', 'b/c', 'c', 'd', 'e'),
  ].map((each) => each.join('\n'));
  const seen = new Set<string>();
  for (const [what, damaged] of damages(left)) {
    writeFileSync(file, before);
    writeFileSync(`${file}.new`, damaged);
    adoptLeftover(file);
    const found = recordsIn(file).join('\n');
    seen.add(found);
    if (!possible.includes(found)) t.fail(`${what}: ${found}`);
    if (existsSync(`${file}.new`) || existsSync(`${file}.left`)) t.fail(what);
  }
  t.is(seen.size, possible.length);
});

test('a leftover of another version is of no use', (t) => {
  const file = join(tempDir(t), 'cache');
  writeOld(file);
  const left = writeLeftover(file).toString('latin1');
  writeFileSync(`${file}.new`, left.replace('lbs stat cache 2', 'lbs stat cache 9'), 'latin1');
  t.false(adoptLeftover(file));
  t.deepEqual(recordsIn(file), of('old', ...OLD));
  nothingIsLeft(t, file);
});
