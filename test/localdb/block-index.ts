import { createHash } from 'node:crypto';
import test, { type ExecutionContext } from 'ava';
import { BlockIndex, type NewSegment } from '../../src/localdb/block-index.ts';
import { type OpenDatabase, openDatabase } from '../../src/localdb/open-localdb.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const name = (digit: number) => `${String(digit).repeat(8)}-1111-4111-8111-111111111111`;
const digest = (text: string) => createHash('sha256').update(text).digest('hex');
const always = () => true;

function opened(t: ExecutionContext): { open: OpenDatabase; index: BlockIndex } {
  const open = openDatabase(tempDir(t));
  t.teardown(() => open.close());
  return { open, index: new BlockIndex(open) };
}

type Block = { sha256: string; age?: number };
type More = { group?: string; objects?: readonly Block[] };

/** Stores a segment that holds these contents; each object is 10 bytes long. */
function addSegment(
  index: BlockIndex,
  digit: number,
  contents: readonly string[],
  more: More = {},
): void {
  const blocks = more.objects ?? contents.map((text): Block => ({ sha256: digest(text) }));
  blocks.forEach(({ sha256, age }, object) =>
    index.addPending(sha256, 10, { segment: name(digit), object }, age),
  );
  index.addSegment(segment(digit, blocks.length, more.group));
}

function segment(digit: number, objects: number, group = 'data'): NewSegment {
  return {
    name: name(digit),
    group,
    file: `${name(digit)}.tar.zst`,
    sha1: Buffer.alloc(20, digit),
    sha256: Buffer.alloc(32, digit),
    storedBytes: 1000 + digit,
    created: 5000 + digit,
    objects,
  };
} // prettier-ignore

test('a block is found by its content: SHA-256 and size', (t) => {
  const { index } = opened(t);
  addSegment(index, 1, ['a', 'b', 'c']);
  addSegment(index, 2, ['d']);
  const find = (text: string, size = 10) => index.find(digest(text), size, always);
  t.deepEqual(find('a'), { kind: 'stored', place: { segment: name(1), object: 0 } });
  t.deepEqual(find('c'), { kind: 'stored', place: { segment: name(1), object: 2 } });
  t.deepEqual(find('d'), { kind: 'stored', place: { segment: name(2), object: 0 } });
  t.is(find('e'), undefined);
  t.is(find('a', 11), undefined, 'the same digest with another size is another block');
});

test('digests that agree in the part that is indexed are told apart', (t) => {
  const { index } = opened(t);
  const one = digest('x');
  const other = one.slice(0, -1) + (one.endsWith('0') ? '1' : '0');
  const objects = [one, other].map((sha256) => ({ sha256 }));
  addSegment(index, 1, [], { objects });
  t.deepEqual(index.find(other, 10, always), { kind: 'stored', place: { segment: name(1), object: 1 } }); // prettier-ignore
  t.deepEqual(index.find(one, 10, always), { kind: 'stored', place: { segment: name(1), object: 0 } }); // prettier-ignore
});

test('a block in a segment that may not be used is found elsewhere, or not at all', (t) => {
  const { index } = opened(t);
  addSegment(index, 1, ['a']);
  t.is(
    index.find(digest('a'), 10, () => false),
    undefined,
  );
  addSegment(index, 2, ['x', 'a']);
  const usable = (segmentName: string) => segmentName === name(2);
  t.deepEqual(index.find(digest('a'), 10, usable), { kind: 'stored', place: { segment: name(2), object: 1 } }); // prettier-ignore
});

test('an expired block tells its group and its age', (t) => {
  const { open, index } = opened(t);
  const aged = [{ sha256: digest('old'), age: 77 }];
  addSegment(index, 1, ['a', 'b']);
  addSegment(index, 2, [], { objects: aged });
  open.db.exec('update blocks set expired = 0');
  open.db.exec('update blocks set expired = 3 where age is not null');
  const find = (text: string) => index.find(digest(text), 10, always);
  t.deepEqual(find('a'), { kind: 'expired', group: 0, age: 5001 });
  t.deepEqual(find('old'), { kind: 'expired', group: 3, age: 77 });
  // Stored again: the good copy wins, wherever it stands among the rows.
  addSegment(index, 3, ['a']);
  t.deepEqual(find('a'), { kind: 'stored', place: { segment: name(3), object: 0 } });
});

test('objects of a segment are asked one by one where cleaning has touched it', (t) => {
  const { open, index } = opened(t);
  addSegment(index, 1, ['a', 'b']);
  addSegment(index, 2, ['c']);
  const [one, two] = [index.segment(name(1))?.id ?? -1, index.segment(name(2))?.id ?? -1];
  t.false(index.hasExpired(one));
  open.db
    .prepare('update blocks set expired = 0 where sha256 = ?')
    .run(Buffer.from(digest('b'), 'hex'));
  t.true(index.hasExpired(one));
  t.false(index.hasExpired(two), 'the next segment is another one');
  t.true(index.isUsable(one, 0));
  t.false(index.isUsable(one, 1));
  t.false(index.isUsable(one, 2), 'there is no such object');
});

test('a pending block is offered until its segment is stored, and is then found in it', (t) => {
  const { index } = opened(t);
  const place = { segment: name(1), object: 0 };
  index.addPending(digest('a'), 10, place);
  t.deepEqual(
    index.find(digest('a'), 10, () => false),
    { kind: 'stored', place },
  );
  t.is(index.find(digest('a'), 11, always), undefined);
  index.addSegment(segment(1, 1));
  t.deepEqual(index.find(digest('a'), 10, always), { kind: 'stored', place: { segment: name(1), object: 0 } }); // prettier-ignore
});

test('a segment and its objects are one transaction', (t) => {
  const { open, index } = opened(t);
  addSegment(index, 1, ['a']);
  t.throws(() => addSegment(index, 1, ['b']), { code: 'io' }, 'its name is taken');
  t.is(new BlockIndex(open).find(digest('b'), 10, always), undefined);
  const counts = open.db.prepare('select (select count(*) from segments) s, (select count(*) from blocks) b'); // prettier-ignore
  t.deepEqual(counts.get(), { s: 1, b: 1 });
});

test('a segment comes back with its checksums and sizes', (t) => {
  const { open, index } = opened(t);
  addSegment(index, 7, ['a', 'b', 'c'], { group: 'compacted-2' });
  t.like(index.segment(name(7)), {
    file: `${name(7)}.tar.zst`,
    sha1: Buffer.alloc(20, 7),
    sha256: Buffer.alloc(32, 7),
    stored_bytes: 1007,
    expired: null,
  });
  t.is(index.segment(name(8)), undefined);
  t.deepEqual(open.db.prepare('select grp, raw_bytes, objects from segments').get(), {
    grp: 'compacted-2',
    raw_bytes: 30,
    objects: 3,
  });
});

test('pending blocks that agree in the part that is indexed are told apart', (t) => {
  const { index } = opened(t);
  const one = digest('x');
  const other = one.slice(0, -1) + (one.endsWith('0') ? '1' : '0');
  index.addPending(one, 10, { segment: name(1), object: 0 });
  t.is(index.find(other, 10, always), undefined);
  index.addPending(other, 10, { segment: name(2), object: 0 });
  const place = { segment: name(2), object: 0 };
  t.deepEqual(index.find(other, 10, always), { kind: 'stored', place });
  // The first one becomes durable: the second must still be pending.
  index.addSegment(segment(1, 1));
  t.deepEqual(index.find(other, 10, always), { kind: 'stored', place });
  t.deepEqual(index.find(one, 10, always), { kind: 'stored', place: { segment: name(1), object: 0 } }); // prettier-ignore
});

test('many pending blocks of several segments are found, whatever ends first', (t) => {
  const { index } = opened(t);
  const count = 1000;
  for (let object = 0; object < count; object++) {
    for (const digit of [1, 2, 3]) {
      index.addPending(digest(`${digit} ${object}`), object, { segment: name(digit), object });
    }
  }
  const allFound = (digit: number) => {
    for (let object = 0; object < count; object++) {
      const place = { segment: name(digit), object };
      t.deepEqual(index.find(digest(`${digit} ${object}`), object, always), { kind: 'stored', place }); // prettier-ignore
    }
  };
  index.addSegment(segment(2, count));
  index.addPending(digest('4 0'), 0, { segment: name(4), object: 0 });
  for (const digit of [1, 2, 3]) allFound(digit);
  index.addSegment(segment(1, count));
  index.addSegment(segment(3, count));
  for (const digit of [1, 2, 3]) allFound(digit);
});

test('a segment with other objects than those it was given is a mistake that is found', (t) => {
  const { index } = opened(t);
  index.addPending(digest('a'), 10, { segment: name(1), object: 0 });
  t.throws(() => index.addSegment(segment(1, 2)), { code: 'internal' });
  t.throws(() => index.addSegment(segment(2, 0)), { code: 'internal' });
  t.throws(() => index.addPending(digest('b'), 10, { segment: name(1), object: 2 }), {
    code: 'internal',
  });
});
