/** Files of segments that the thread makes: complete, in order, and what fails there fails here. */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import test, { type ExecutionContext } from 'ava';
import { SideThread } from '../../src/backup/side-thread.ts';
import type { Codec } from '../../src/segments/filter.ts';
import { ThreadFile } from '../../src/segments/thread-file.ts';
import { readZstdFrames } from '../../src/segments/zstd-frames.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const ZSTD: Codec = { kind: 'zstd', level: undefined };

function shared(content: Buffer): Buffer {
  const memory = Buffer.from(new SharedArrayBuffer(content.length));
  content.copy(memory);
  return memory;
}

function makeThread(t: ExecutionContext) {
  const side = new SideThread();
  t.teardown(() => side.close());
  return { side, ask: side.segments.bind(side) };
}

async function unzstd(path: string): Promise<Buffer> {
  const fd = openSync(path, 'r');
  const file = { fd, sizeBytes: statSync(path).size, close: () => closeSync(fd) };
  const parts: Buffer[] = [];
  for await (const part of readZstdFrames(file)) parts.push(Buffer.from(part));
  file.close();
  return Buffer.concat(parts);
}

const codecs: [Codec, (path: string) => Buffer | Promise<Buffer>][] = [
  [ZSTD, unzstd],
  [{ kind: 'gzip', level: 1 }, (path) => gunzipSync(readFileSync(path))],
  [{ kind: 'none' }, (path) => readFileSync(path)],
];

for (const [codec, unfilter] of codecs) {
  test(`pieces of two files get into each in order (${codec.kind})`, async (t) => {
    const { ask } = makeThread(t);
    const dir = tempDir(t);
    // Sizes and contents that take very different times.
    const pieces = [1_900_000, 10, 700_000, 300, 1_000_000].map((size, at) =>
      at % 2 === 0 ? pseudoRandom(`piece ${at}`, size) : Buffer.alloc(size, 'a'),
    );
    const files = ['first', 'second'].map((name, number) => {
      const path = join(dir, name);
      const fd = openSync(path, 'w');
      return { path, fd, file: new ThreadFile(ask, { file: number, fd, codec }) };
    });
    const appended = files.flatMap(({ file }) => pieces.map((piece) => file.append(shared(piece))));
    const stored = await Promise.all(appended);
    for (const { path, fd, file } of files) {
      const { sha1, sha256, storedBytes } = await file.finish();
      closeSync(fd);
      const content = readFileSync(path);
      t.true(Buffer.concat(pieces).equals(await unfilter(path)));
      t.is(storedBytes, content.length);
      t.deepEqual(sha1, createHash('sha1').update(content).digest());
      t.deepEqual(sha256, createHash('sha256').update(content).digest());
    }
    const sizes = files.map(({ path }) => statSync(path).size);
    t.is(
      stored.reduce((sum, bytes) => sum + bytes, 0),
      sizes.reduce((sum, bytes) => sum + bytes, 0),
    );
  });
}

test('a write that fails keeps the name of its error', async (t) => {
  const { ask } = makeThread(t);
  const fd = openSync('/dev/full', 'w');
  const file = new ThreadFile(ask, { file: 0, fd, codec: ZSTD });
  const append = () => file.append(shared(pseudoRandom('full', 100_000)));
  await Promise.all([
    t.throwsAsync(append(), { code: 'ENOSPC' }),
    t.throwsAsync(append(), { code: 'ENOSPC' }),
    t.throwsAsync(file.finish(), { code: 'ENOSPC' }),
  ]);
  await file.abort();
  closeSync(fd);
});

test('nothing is written any more when a file has been given up', async (t) => {
  const { ask } = makeThread(t);
  const path = join(tempDir(t), 'file');
  const fd = openSync(path, 'w');
  const file = new ThreadFile(ask, { file: 0, fd, codec: ZSTD });
  // More than the thread can write between the last of them and the end, whoever has to wait.
  const piece = shared(pseudoRandom('piece', 2_000_000));
  const appended = Array.from({ length: 30 }, () => file.append(piece));
  await file.abort();
  const { size } = statSync(path);
  t.true(size < 60_000_000);
  await Promise.all(appended);
  t.is(statSync(path).size, size);
  closeSync(fd);
});

test('a thread that has ended is a failure of all files', async (t) => {
  const { side, ask } = makeThread(t);
  const fd = openSync('/dev/null', 'w');
  const file = new ThreadFile(ask, { file: 0, fd, codec: ZSTD });
  // The first ones may be done by then.
  const piece = shared(pseudoRandom('ended', 2_000_000));
  const appended = Array.from({ length: 30 }, () => file.append(piece));
  const settled = Promise.allSettled(appended);
  await side.close();
  await settled;
  await t.throwsAsync(async () => await appended.at(-1), { code: 'internal' });
  await t.throwsAsync(file.finish(), { code: 'internal' });
  await file.abort();
  closeSync(fd);
});
