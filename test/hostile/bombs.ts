/**
 * Files of some KiB that unpack to gigabytes: under each filter, in blocks and in metadata. What is
 * read of them is bounded by the size of the store, and none of it is kept in memory.
 */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { constants, zstdCompressSync } from 'node:zlib';
import test from 'ava';
import { MIB, readByAll, replaceSegment, smallStore, ZEROS } from '../helpers/bombs.ts';
import { DATA, METADATA } from '../helpers/enemy-store.ts';
import { objectName, segmentName, tarMember } from '../helpers/hand-made-store.ts';
import { attacked, restoreAll, siege } from '../helpers/siege.ts';

test('42.zip: frames of zstd that unpack to zeros without end', async (t) => {
  const at = siege(t);
  smallStore(at);
  const frame = zstdCompressSync(ZEROS);
  const tar = readFileSync(join(at.store, `${DATA}.tar`));
  const frames = Array.from({ length: 200 }, () => frame);
  replaceSegment(at, DATA, '.zst', Buffer.concat([zstdCompressSync(tar), ...frames]));
  await readByAll(t, at);
});

test('metadata that unpacks to a thousand times its size is not kept', async (t) => {
  const at = siege(t);
  const store = smallStore(at);
  const text = Buffer.alloc(4 * MIB, `x: ${'y'.repeat(1000)}\n`);
  const count = 120;
  const members = Array.from({ length: count }, (_, number) =>
    tarMember(objectName(2, number), text),
  );
  const lines = Array.from({ length: count }, (_, number) => `@${objectName(2, number)}\n`);
  const root = [tarMember(objectName(2, count), store.log)];
  const all = `@${objectName(2, count)}\n${lines.join('')}`;
  root.push(tarMember(objectName(2, count + 1), Buffer.from(all)), Buffer.alloc(1024));
  const frames = [...members, ...root].map((part) => zstdCompressSync(part));
  replaceSegment(at, METADATA, '.zst', Buffer.concat(frames));
  const descriptor = join(at.store, 'snapshot-20200101T000000.lbs');
  const described = readFileSync(descriptor, 'utf8');
  const line = `Root: ${objectName(2, count + 1)}`;
  writeFileSync(descriptor, described.replace(/^Root: .*$/m, line));
  for (const args of [
    ['ls', `--store=${at.store}`, 'latest'],
    ['usage', `--store=${at.store}`],
    restoreAll(at),
  ]) {
    await attacked(t, at, args);
  }
});

test('frames that need a window of gigabytes, or say a size that they have not', async (t) => {
  const at = siege(t);
  smallStore(at);
  const tar = readFileSync(join(at.store, `${DATA}.tar`));
  const whole = zstdCompressSync(tar);
  const header = Buffer.from([0x28, 0xb5, 0x2f, 0xfd]);
  const block = whole.subarray(whole.length - 20);
  const window = zstdCompressSync(Buffer.concat([tar, ZEROS, ZEROS, ZEROS, ZEROS, ZEROS]), {
    params: { [constants.ZSTD_c_windowLog]: 27, [constants.ZSTD_c_contentSizeFlag]: 0 },
  });
  const frames = [
    // Descriptor bytes: a window of 2^41 bytes; a content of 2^63; of 8 MiB; of none.
    Buffer.concat([header, Buffer.from([0x00, 0xff]), block]),
    Buffer.concat([header, Buffer.from([0xe0]), Buffer.alloc(8, 0xff), block]),
    Buffer.concat([header, Buffer.from([0xa0, 0, 0, 0x80, 0]), block]),
    Buffer.concat([header, Buffer.from([0x20, 0]), block]),
    // One without content that says 4 GiB of it.
    Buffer.concat([Buffer.from([0x50, 0x2a, 0x4d, 0x18, 0xff, 0xff, 0xff, 0xff]), whole]),
    window,
  ];
  let file = `${DATA}.tar`;
  for (const frame of frames) {
    renameSync(join(at.store, file), join(at.store, `${segmentName(1)}.tar.zst`));
    file = `${segmentName(1)}.tar.zst`;
    writeFileSync(join(at.store, file), frame);
    const run = await attacked(t, at, restoreAll(at));
    t.is(run.code, 4, run.stderr);
  }
});
