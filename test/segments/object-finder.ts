/** Single objects of a segment: what is found is what reading from the start gives. */
import { closeSync, openSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import test, { type ExecutionContext } from 'ava';
import { ObjectFinder } from '../../src/segments/object-finder.ts';
import { objectName, segmentName, tarMember } from '../helpers/hand-made-store.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const PIECE_BYTES = 64 * 1024;
const DIGIT = 3;

/** Objects of many sizes: empty, some in one piece, one in several, and text that names an object. */
const OBJECTS = Array.from({ length: 120 }, (_, at) => {
  const sizeBytes = at === 70 ? 5 * PIECE_BYTES : at % 7 === 0 ? 0 : (at * 7919) % 20_000;
  const text = `${objectName(DIGIT, at + 1)} is not here. `;
  return Buffer.alloc(sizeBytes, at % 3 === 0 ? Buffer.alloc(512, text) : `${at}`);
});

function tarOf(objects: readonly Buffer[]): Buffer {
  const members = objects.map((data, at) => tarMember(objectName(DIGIT, at), data));
  return Buffer.concat([...members, Buffer.alloc(1024)]);
}

function framesOf(tar: Buffer, pieceBytes = PIECE_BYTES): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at < tar.length; at += pieceBytes) {
    frames.push(zstdCompressSync(tar.subarray(at, at + pieceBytes)));
  }
  return frames;
}

function finderIn(t: ExecutionContext, frames: readonly Buffer[]): ObjectFinder | undefined {
  const path = join(tempDir(t), 'segment');
  writeFileSync(path, Buffer.concat(frames));
  const fd = openSync(path, 'r');
  const file = { fd, sizeBytes: statSync(path).size, close: () => closeSync(fd) };
  const finder = ObjectFinder.open(segmentName(DIGIT), file);
  t.teardown(() => finder?.close());
  return finder;
}

/** A copy, since what is found is valid until the next call only. */
async function found(finder: ObjectFinder | undefined, object: number) {
  const data = await finder?.find(object);
  return data === undefined ? undefined : Buffer.from(data);
}

test('every object is found, in any order', async (t) => {
  const finder = finderIn(t, framesOf(tarOf(OBJECTS)));
  const scattered = OBJECTS.map((_, at) => (at * 77) % OBJECTS.length);
  for (const object of [...scattered, ...OBJECTS.keys(), ...scattered.toReversed()]) {
    t.deepEqual(await found(finder, object), OBJECTS[object], `${object}`);
  }
  t.is(await found(finder, OBJECTS.length), undefined);
});

test('each object is found by a finder that knows nothing yet', async (t) => {
  const frames = framesOf(tarOf(OBJECTS));
  for (const object of [0, 1, 69, 70, 71, 118, 119]) {
    t.deepEqual(await found(finderIn(t, frames), object), OBJECTS[object], `${object}`);
  }
});

test('frames without content are passed over', async (t) => {
  const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
  const frames = framesOf(tarOf(OBJECTS)).flatMap((frame) => [skippable, frame]);
  const finder = finderIn(t, frames);
  for (const object of [5, 70, 119]) t.deepEqual(await found(finder, object), OBJECTS[object]);
});

test('of damaged frames nothing is found, and never anything wrong', async (t) => {
  const frames = framesOf(tarOf(OBJECTS));
  // Within the compressed data: headers of frames and blocks are as they were.
  const [first = Buffer.alloc(0), ...rest] = frames;
  for (let at = 20; at < first.length; at++) first[at] = 0xff;
  const finder = finderIn(t, [first, ...rest.slice(0, -1), (rest.at(-1) ?? first).subarray(0, -3)]);
  t.is(await found(finder, 1), undefined);
  t.is(await found(finder, 119), undefined);
  for (const object of OBJECTS.keys()) {
    const data = await found(finder, object);
    if (data !== undefined) t.deepEqual(data, OBJECTS[object], `${object}`);
  }
});

test('what cannot be used frame by frame is left to reading from the start', (t) => {
  const tar = tarOf(OBJECTS);
  const whole = zstdCompressSync(tar);
  const cases: Record<string, Buffer[]> = {
    'one frame': [whole],
    'frames that do not end at a record': framesOf(tar, 1000),
    'no zstd at all': [tar],
    'an empty file': [],
  };
  for (const [title, frames] of Object.entries(cases)) {
    t.is(finderIn(t, frames), undefined, title);
  }
});
