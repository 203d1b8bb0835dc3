/** What test/hostile has of bombs and large files, in sizes that take minutes: `make test-hostile`. */
import { existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import test from 'ava';
import { MIB, readByAll, replaceSegment, smallStore, ZEROS } from '../helpers/bombs.ts';
import { DATA, EnemyStore, METADATA, SNAPSHOT } from '../helpers/enemy-store.ts';
import { objectName, tarMember } from '../helpers/hand-made-store.ts';
import { attacked, restoreAll, siege } from '../helpers/siege.ts';

const DESCRIPTOR = `snapshot-${SNAPSHOT}.lbs`;

function uuid(number: number): string {
  return `33333333-3333-4333-8333-${String(number).padStart(12, '0')}`;
}

test('42.zip: members of gzip that unpack to zeros without end', async (t) => {
  const at = siege(t);
  smallStore(at);
  const member = gzipSync(ZEROS, { level: 9 });
  const tar = readFileSync(join(at.store, `${DATA}.tar`));
  const members = Array.from({ length: 200 }, () => member);
  replaceSegment(at, DATA, '.gz', Buffer.concat([gzipSync(tar), ...members]));
  const run = await attacked(t, at, restoreAll(at));
  t.is(run.code, 4, run.stderr);
});

test('CVE-2019-13232 (unzip): the objects of a segment are thousands of times its size', async (t) => {
  const at = siege(t);
  smallStore(at);
  const block = ZEROS.subarray(0, MIB);
  const frames = Array.from({ length: 1500 }, (_, number) =>
    zstdCompressSync(tarMember(objectName(1, number + 2), block)),
  );
  const tar = readFileSync(join(at.store, `${DATA}.tar`)).subarray(0, -1024);
  replaceSegment(at, DATA, '.zst', Buffer.concat([zstdCompressSync(tar), ...frames]));
  await readByAll(t, at);
});

test('an object, a line and a value of metadata as large as an object can be', async (t) => {
  for (const [fill, bytes] of [
    ['x', 60 * MIB],
    [' y\n', 63 * MIB],
    ['name: x\n', 60 * MIB],
    ['a=b ', 60 * MIB],
  ] as const) {
    const at = siege(t);
    const store = new EnemyStore().directory('.').file('x', 'x');
    store.raw('name: huge\ntype: f\ndata: ').raw(fill.repeat(bytes / fill.length));
    store.write(at.store, { isWithoutSums: true });
    const tar = readFileSync(join(at.store, `${METADATA}.tar`));
    replaceSegment(at, METADATA, '.zst', zstdCompressSync(tar));
    const peakBytesMax = 600_000_000;
    await attacked(t, at, ['ls', `--store=${at.store}`, 'latest'], { peakBytesMax });
  }
});

/** A descriptor of 60 MiB, by what is added to a right one. */
const LARGE: readonly (readonly [string, (text: string) => string])[] = [
  ['empty lines', (text) => text + '\n'.repeat(60 * 2 ** 20)],
  ['lines that go on', (text) => text + ' y\n'.repeat(20 * 2 ** 20)],
  ['paths', (text) => text.replace('Paths: ', `Paths: ${'a '.repeat(30 * 2 ** 20)}`)],
  ['keys', (text) => Array.from({ length: 4_000_000 }, (_, key) => `k${key}: b\n`).join('') + text],
];

test('a descriptor of 60 MiB takes little memory, whatever it is full of', async (t) => {
  const at = siege(t);
  smallStore(at);
  const path = join(at.store, DESCRIPTOR);
  const right = readFileSync(path, 'latin1');
  for (const [, change] of LARGE) {
    writeFileSync(path, change(right));
    await attacked(t, at, ['list', `--store=${at.store}`]);
  }
  const million = Array.from({ length: 1_000_000 }, (_, number) => `    ${uuid(number)}\n`);
  writeFileSync(path, right + million.join(''));
  await attacked(t, at, ['list', `--store=${at.store}`]);
});

test('files of gigabytes that are nothing but holes cost no memory', async (t) => {
  const at = siege(t);
  smallStore(at);
  for (const file of [
    DESCRIPTOR,
    `snapshot-${SNAPSHOT}.sha1sums`,
    `snapshot-${SNAPSHOT}.sha256sums`,
    `gc-${uuid(1)}.condemned`,
    `snapshot-${SNAPSHOT}.hold`,
  ]) {
    const path = join(at.store, file);
    const before = existsSync(path) ? readFileSync(path) : undefined;
    if (before === undefined) writeFileSync(path, '');
    for (const bytes of [60 * 2 ** 20, 2 ** 40]) {
      truncateSync(path, bytes);
      for (const args of [
        ['list', `--store=${at.store}`],
        ['verify', `--store=${at.store}`],
        ['gc', `--store=${at.store}`, '--dry-run'],
      ]) {
        await attacked(t, at, args);
      }
    }
    if (before === undefined) rmSync(path);
    else writeFileSync(path, before);
  }
});
