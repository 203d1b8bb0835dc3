/** Fetching single metadata objects: little is read for them, and each is still checked. */
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { constants, zstdCompressSync } from 'node:zlib';
import test, { type ExecutionContext } from 'ava';
import { type ObjectReference, parseReference } from '../../src/format/reference.ts';
import { MetadataObjects } from '../../src/metadata/metadata-objects.ts';
import { SegmentSource } from '../../src/segments/segment-source.ts';
import { openStore } from '../../src/stores/open-store.ts';
import { objectName, segmentName, sha1, tarMember } from '../helpers/hand-made-store.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const PIECE_BYTES = 256 * 1024;
/** Incompressible, so that the file is large enough to look for single objects in it. */
const OBJECTS = Array.from({ length: 40 }, () => randomBytes(60_000));

const tar = Buffer.concat([
  ...OBJECTS.map((data, at) => tarMember(objectName(1, at), data)),
  Buffer.alloc(1024),
]);

/** The tar text in frames, of which one is damaged if it is named. */
function frames(damaged?: number): Buffer {
  const all: Buffer[] = [];
  for (let at = 0; at < tar.length; at += PIECE_BYTES) {
    const frame = zstdCompressSync(tar.subarray(at, at + PIECE_BYTES), {
      params: { [constants.ZSTD_c_checksumFlag]: 1 },
    });
    // The checksum at the end of the frame: what is in it stays as it is.
    if (all.length === damaged) frame[frame.length - 1] = (frame.at(-1) ?? 0) ^ 0xff;
    all.push(frame);
  }
  return Buffer.concat(all);
}

function objectsIn(
  t: ExecutionContext,
  extension: string,
  bytes: Buffer,
  unfilters?: ReadonlyMap<string, string>,
): MetadataObjects {
  const store = tempDir(t);
  writeFileSync(join(store, `${segmentName(1)}.tar${extension}`), bytes);
  const source = new SegmentSource(openStore(store), { unfilters });
  const objects = new MetadataObjects(source, { isSearch: true });
  t.teardown(() => objects.close());
  return objects;
}

function referenceTo(object: number, data = OBJECTS[object] ?? Buffer.alloc(0)): ObjectReference {
  const reference = parseReference(`${objectName(1, object)}(sha1=${sha1(data)})`, 'exact');
  if (reference.kind !== 'object') throw new Error('not to an object');
  return reference;
}

async function get(objects: MetadataObjects, reference: ObjectReference): Promise<Buffer> {
  const wanted = new Map<string, Set<number>>();
  objects.want(reference, wanted);
  await objects.load(wanted);
  return objects.use(reference, (bytes) => Buffer.from(bytes));
}

test('objects are had from a damaged segment while their own part of it is whole', async (t) => {
  const objects = objectsIn(t, '.zst', frames(0));
  for (const object of [39, 20, 21, 30, 10]) {
    t.deepEqual(await get(objects, referenceTo(object)), OBJECTS[object]);
  }
  await t.throwsAsync(get(objects, referenceTo(2)), { message: /metadata object .*zstd/ });
});

test('an object that was found is checked against its reference', async (t) => {
  const objects = objectsIn(t, '.zst', frames());
  t.deepEqual(await get(objects, referenceTo(7)), OBJECTS[7]);
  await t.throwsAsync(get(objects, referenceTo(8, Buffer.from('other'))), {
    message: /its sha1 checksum does not match/,
  });
  await t.throwsAsync(get(objects, referenceTo(99)), { message: /does not hold it/ });
});

test('a search reads a segment that has to be read from its start once', async (t) => {
  const log = join(tempDir(t), 'log');
  const unfilters = new Map([['.counted', `echo once >> '${log}'; cat`]]);
  const objects = objectsIn(t, '.counted', tar, unfilters);
  t.false(existsSync(log));
  for (const object of [20, 10, 30, 5, 35, 39, 0]) {
    t.deepEqual(await get(objects, referenceTo(object)), OBJECTS[object]);
  }
  t.is(readFileSync(log, 'utf8'), 'once\n');
});
