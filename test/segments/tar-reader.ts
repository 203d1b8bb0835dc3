import { randomBytes } from 'node:crypto';
import test from 'ava';
import { LbsError } from '../../src/errors.ts';
import { tarMemberBytes, writeTarHeader } from '../../src/format/tar-header.ts';
import { TarReader } from '../../src/segments/tar-reader.ts';

const SEGMENT = '0e1408c1-6978-4d8d-9f19-1ff72b0844ac';

function member(name: string, data: Buffer): Buffer {
  const bytes = Buffer.alloc(tarMemberBytes(data.length));
  writeTarHeader(bytes, name, data.length, 0);
  data.copy(bytes, 512);
  return bytes;
}

function objectName(object: number): string {
  return `${SEGMENT}/${object.toString(16).padStart(8, '0')}`;
}

const END = Buffer.alloc(1024);
const OBJECTS = [0, 1, 511, 512, 513, 100_000, 0, 70_000].map((size) => randomBytes(size));
const ARCHIVE = Buffer.concat([
  ...OBJECTS.map((data, object) => member(objectName(object), data)),
  END,
]);

/** Feeds `archive` in chunks; copies what is delivered when the next chunk is asked for. */
function readInChunks(archive: Buffer, chunkBytes: number): Map<number, Buffer> {
  const read = new Map<number, Buffer>();
  let batch: [number, Buffer][] = [];
  const reader = new TarReader(SEGMENT, (object, data) => batch.push([object, data]));
  // One buffer for all chunks, as a file reader would use it.
  const chunk = Buffer.alloc(chunkBytes);
  for (let at = 0; at < archive.length; at += chunkBytes) {
    const length = archive.copy(chunk, 0, at, at + chunkBytes);
    reader.push(chunk.subarray(0, length));
    for (const [object, data] of batch) read.set(object, Buffer.from(data));
    batch = [];
  }
  reader.end();
  return read;
}

function errorOf(run: () => void): LbsError | undefined {
  try {
    run();
    return undefined;
  } catch (error) {
    return error instanceof LbsError ? error : undefined;
  }
}

test('objects come out whole, however the bytes are cut into chunks', (t) => {
  for (const chunkBytes of [1, 7, 511, 512, 513, 4096, 65_536, 1 << 20]) {
    const read = readInChunks(ARCHIVE, chunkBytes);
    t.is(read.size, OBJECTS.length);
    OBJECTS.forEach((data, object) => t.true(read.get(object)?.equals(data), `object ${object}`));
  }
});

test('an object is valid until the next push, even when the one after it begins', (t) => {
  const first = randomBytes(3000);
  const second = randomBytes(3000);
  const archive = Buffer.concat([member(objectName(0), first), member(objectName(1), second), END]);
  const seen: Buffer[] = [];
  const reader = new TarReader(SEGMENT, (_object, data) => seen.push(data));
  reader.push(archive.subarray(0, 1000));
  reader.push(archive.subarray(1000, 5000));
  t.true(seen[0]?.equals(first));
  reader.push(archive.subarray(5000));
  t.true(seen[1]?.equals(second));
});

test('a truncated segment delivers what was whole and is then an error', (t) => {
  const firstEnd = tarMemberBytes(0) + tarMemberBytes(1);
  for (const length of [firstEnd, firstEnd + 100, ARCHIVE.length - 1024, ARCHIVE.length - 2000]) {
    const seen: number[] = [];
    const reader = new TarReader(SEGMENT, (object) => seen.push(object));
    reader.push(ARCHIVE.subarray(0, length));
    t.true(seen.length >= 2);
    t.is(errorOf(() => reader.end())?.code, 'segment-corrupt', `cut at ${length}`);
  }
});

test('zeros may follow the end, data may not', (t) => {
  t.is(readInChunks(Buffer.concat([ARCHIVE, Buffer.alloc(9216)]), 4096).size, OBJECTS.length);
  const more = Buffer.concat([ARCHIVE, member(objectName(99), Buffer.from('x')), END]);
  t.is(errorOf(() => readInChunks(more, 4096))?.code, 'segment-corrupt');
});

test('members with any other name are damage', (t) => {
  const names = [
    '11111111-6978-4d8d-9f19-1ff72b0844ac/00000000',
    `${SEGMENT}/../00000000`,
    `${SEGMENT}/00000000/x`,
    `${SEGMENT}/0000000`,
    `${SEGMENT}/0000000G`,
    `/${SEGMENT}/00000000`,
    '',
  ];
  for (const name of names) {
    const archive = Buffer.concat([member(name, Buffer.from('x')), END]);
    t.is(errorOf(() => readInChunks(archive, 4096))?.code, 'segment-corrupt', name);
  }
});

test('an object that claims to be huge is damage before any of it is read', (t) => {
  const header = Buffer.alloc(512);
  writeTarHeader(header, objectName(0), 8 * 1024 ** 3 - 1, 0);
  const reader = new TarReader(SEGMENT, () => t.fail());
  t.is(errorOf(() => reader.push(header))?.code, 'segment-corrupt');
  const small = new TarReader(SEGMENT, () => t.fail(), { objectBytesMax: 10 });
  t.is(errorOf(() => small.push(member(objectName(0), Buffer.alloc(11))))?.code, 'segment-corrupt');
});

test('a flipped bit in a header is damage', (t) => {
  const archive = Buffer.from(ARCHIVE);
  archive.writeUInt8((archive[5] ?? 0) ^ 1, 5);
  t.is(errorOf(() => readInChunks(archive, 4096))?.code, 'segment-corrupt');
});
