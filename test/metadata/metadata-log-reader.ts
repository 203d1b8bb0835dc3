import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { Entry } from '../../src/format/entry.ts';
import { readMetadata } from '../../src/metadata/metadata-log-reader.ts';
import { MetadataObjects } from '../../src/metadata/metadata-objects.ts';
import { SegmentSource } from '../../src/segments/segment-source.ts';
import { listSnapshots, openSnapshot } from '../../src/snapshots/open-snapshot.ts';
import { openStore } from '../../src/stores/open-store.ts';
import { objectName, sha1, writeSegment, writeSnapshot } from '../helpers/hand-made-store.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const stanza = (name: string, more = '') => `name: ${name}\n${more}type: d\n\n`;

type Segments = Readonly<Record<number, readonly string[]>>;
type Read = { paths: string[]; entries: Entry[]; damage: string[]; after: (string | undefined)[] };

/** Reads a log whose root is `root`; `format` replaces the descriptor's. */
async function readLog(
  t: ExecutionContext,
  segments: Segments,
  root: string,
  format = 'LBS Snapshot v0.6',
): Promise<Read> {
  const store = tempDir(t);
  const digits = Object.keys(segments).map(Number);
  for (const digit of digits) writeSegment(store, digit, segments[digit] ?? []);
  writeSnapshot(store, {
    timestamp: '20261120T120000',
    root,
    digits,
    contentOf: (file) => readFileSync(join(store, file)),
  });
  const opened = openStore(store);
  const [snapshot] = listSnapshots(opened);
  if (snapshot === undefined) throw new Error('no snapshot');
  const { descriptor } = await openSnapshot(opened, snapshot);
  const dialect = format === 'LBS Snapshot v0.6' ? 'prefix' : 'exact';
  const read: Read = { paths: [], entries: [], damage: [], after: [] };
  const log = readMetadata(
    new SegmentSource(opened),
    { ...descriptor, dialect },
    {
      onDamage: (message, { after }) => {
        read.damage.push(message);
        read.after.push(after?.toString());
      },
    },
  );
  for await (const entry of log) {
    read.entries.push(entry);
    read.paths.push(entry.path.toString('latin1'));
  }
  return read;
}

const include = (digit: number, object: number, text: string, slice = '') =>
  `@${objectName(digit, object)}(sha1=${sha1(text)})${slice}\n`;

test('root, metadata object and a stretch of an older one are read in order', async (t) => {
  const old = stanza('a') + stanza('b') + stanza('c');
  const [a, b] = [stanza('a').length, stanza('b').length];
  const object = stanza('.') + include(1, 0, old, `[${a}+${b}]`) + '\n' + stanza('d');
  const last = stanza('e');
  const root = include(2, 0, object) + include(2, 1, last);
  const read = await readLog(t, { 1: [old], 2: [object, last, root] }, objectName(2, 2));
  t.deepEqual(read.damage, []);
  t.deepEqual(read.paths, ['.', 'b', 'd', 'e']);
});

test('a stretch of an older root names objects', async (t) => {
  const objects = [stanza('a'), stanza('b'), stanza('c')];
  const oldRoot = objects.map((text, at) => include(1, at, text)).join('');
  const line = include(1, 0, objects[0] ?? '').length;
  const fresh = stanza('a2');
  const root = include(2, 0, fresh) + include(1, 3, oldRoot, `[${line}+${2 * line}]`);
  const read = await readLog(t, { 1: [...objects, oldRoot], 2: [fresh, root] }, objectName(2, 1));
  t.deepEqual(read.damage, []);
  t.deepEqual(read.paths, ['a2', 'b', 'c']);
});

test('a damaged object costs what it holds, and the rest is read', async (t) => {
  const objects = ['a', 'b', 'c', 'd', 'e'].map((name) => stanza(name));
  const lines = objects.map((text, at) => include(1, at, text));
  const cases: Record<string, string> = {
    'a wrong checksum': include(1, 1, 'x'),
    'an object that is missing': include(1, 77, objects[1] ?? ''),
    'a segment that is missing': include(9, 0, objects[1] ?? ''),
    'a slice that reaches beyond the end': include(1, 1, objects[1] ?? '', '[3+1000]'),
    'a size that is not that of the object': include(1, 1, objects[1] ?? '', '[=5]'),
    'an unknown checksum': `@${objectName(1, 1)}(md5=00)\n`,
    'no reference': '@nonsense\n',
    zeros: '@zero[100]\n',
  };
  for (const [title, line] of Object.entries(cases)) {
    const root = lines.with(1, line).join('');
    const read = await readLog(t, { 1: objects, 2: [root] }, objectName(2, 0));
    t.deepEqual(read.paths, ['a', 'c', 'd', 'e'], title);
    t.is(read.damage.length, 1, title);
    t.deepEqual(read.after, ['a'], title);
  }
});

test('a stanza that cannot be read costs only its entry', async (t) => {
  const text =
    stanza('a') +
    'type: d\n\n' +
    'name: b\ntype: ?\n\n' +
    'name: c\nmtime: never\ntype: d\n\n' +
    'junk\n' +
    'name: d\ntype: d\n';
  const read = await readLog(t, { 1: [text] }, objectName(1, 0));
  t.deepEqual(read.paths, ['a', 'd']);
  t.is(read.damage.length, 3);
});

test('a stanza ends where its object ends, and at an include', async (t) => {
  const first = 'name: a\ntype: d\n';
  const second = `name: b\ntype: d\n${include(1, 0, first)}mode: 0755\n\n${stanza('c')}`;
  const root = include(1, 1, second);
  const read = await readLog(t, { 1: [first, second, root] }, objectName(1, 2));
  t.deepEqual(read.paths, ['b', 'a', 'c']);
  t.is(read.entries[0]?.mode, undefined);
});

test('a circle of includes ends', async (t) => {
  // Without checksums an object can name itself.
  const text = `@${objectName(1, 0)}\n${stanza('a')}`;
  const read = await readLog(t, { 1: [text] }, objectName(1, 0));
  t.deepEqual(read.paths, ['a']);
  t.regex(read.damage[0] ?? '', /more than once/);
});

test('a lost root is damage at the start', async (t) => {
  const read = await readLog(t, { 1: [stanza('a')] }, objectName(1, 5));
  t.deepEqual([read.paths.length, read.damage.length, read.after[0]], [0, 1, undefined]);
});

test('an empty root is a snapshot without entries', async (t) => {
  const read = await readLog(t, { 1: [''] }, objectName(1, 0));
  t.deepEqual([read.paths.length, read.damage.length], [0, 0]);
});

const file = (name: string, data: string) => `name: ${name}\ndata: ${data}\nsize: 5\ntype: f\n\n`;

test('lists of blocks are put in place of the reference to them', async (t) => {
  const inner = `${objectName(5, 3)}\n${objectName(5, 4)}\n`;
  const outer = `${objectName(5, 2)}\n@${objectName(1, 0)}\n${objectName(5, 5)}\n`;
  const text =
    file('a', `@${objectName(1, 1)}`) + file('b', `${objectName(5, 1)} @${objectName(1, 0)}`);
  const read = await readLog(t, { 1: [inner, outer, text] }, objectName(1, 2));
  t.deepEqual(read.damage, []);
  t.deepEqual(
    read.entries.map(({ data }) => data),
    [
      [2, 3, 4, 5].map((object) => objectName(5, object)),
      [1, 3, 4].map((object) => objectName(5, object)),
    ],
  );
});

test('a lost or circular list of blocks costs its file, by name', async (t) => {
  const circle = `@${objectName(1, 0)}\n`;
  const text =
    file('a', `@${objectName(1, 0)}`) +
    file('b', `@${objectName(1, 9)}`) +
    file('c', objectName(5, 1));
  const read = await readLog(t, { 1: [circle, text] }, objectName(1, 1));
  t.deepEqual(read.paths, ['c']);
  t.is(read.damage.length, 2);
  t.regex(read.damage[0] ?? '', /^a: /);
  t.regex(read.damage[1] ?? '', /^b: /);
});

test('a lone [n] is a prefix up to format 0.7, and the exact size from 0.8 on', async (t) => {
  const old = stanza('a') + stanza('b');
  const root = include(1, 0, old, `[${stanza('a').length}]`);
  const segments = { 1: [old, root] };
  t.deepEqual((await readLog(t, segments, objectName(1, 1))).paths, ['a']);
  const exact = await readLog(t, segments, objectName(1, 1), 'LBS Snapshot v0.8');
  t.deepEqual([exact.paths.length, exact.damage.length], [0, 1]);
});

test('objects come from memory or from disk, and are kept for the next snapshot', async (t) => {
  const store = tempDir(t);
  // Some 60 MiB of metadata: more than is kept in memory.
  const filler = `name: ${'x'.repeat(100)}\nlong: ${'y'.repeat(1 << 20)}\ntype: d\n\n`;
  const objects = Array.from({ length: 60 }, (_, at) => stanza(`d${at}`) + filler);
  const root = objects.map((text, at) => include(1, at, text)).join('');
  writeSegment(store, 1, [...objects, root]);
  const contentOf = (name: string) => readFileSync(join(store, name));
  const snapshot = { root: objectName(1, 60), digits: [1], contentOf };
  writeSnapshot(store, { timestamp: '20261120T120000', ...snapshot });
  const opened = openStore(store);
  const source = new SegmentSource(opened);
  const kept = new MetadataObjects(source);
  for (let turn = 0; turn < 2; turn++) {
    const [found] = listSnapshots(opened);
    if (found === undefined) throw new Error('no snapshot');
    const { descriptor } = await openSnapshot(opened, found);
    let entries = 0;
    const onDamage = (message: string) => t.fail(message);
    for await (const entry of readMetadata(source, descriptor, { objects: kept, onDamage })) {
      entries += entry.type === 'd' ? 1 : 0;
    }
    t.is(entries, 120);
  }
  t.true(kept.fileBytes > 0);
  kept.close();
});
