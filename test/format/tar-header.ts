import { spawnSync } from 'node:child_process';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from '../helpers/fast-check.ts';
import test from 'ava';
import { LbsError } from '../../src/errors.ts';
import { readTarHeader, tarMemberBytes, writeTarHeader } from '../../src/format/tar-header.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const NAME = '59669976-da50-4cc0-afbf-74d222a510a7/00000000';

function header(name = NAME, sizeBytes = 1, mtime = 0o15300010541): Buffer {
  const bytes = Buffer.alloc(512, 0xee);
  writeTarHeader(bytes, name, sizeBytes, mtime);
  return bytes;
}

/** The same header with other bytes at `at`, and a checksum that fits. */
function altered(at: number, text: string): Buffer {
  const bytes = header();
  bytes.write(text, at, 'latin1');
  bytes.write('        ', 148, 'latin1');
  const sum = bytes.reduce((total, byte) => total + byte, 0);
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return bytes;
}

test('a header has exactly the bytes that the original program wrote', (t) => {
  const nul = (length: number) => '\0'.repeat(length);
  const parts = [
    NAME + nul(55),
    '0000600\0',
    '0000000\0',
    '0000000\0',
    '00000000001\0',
    '15300010541\0',
    '015105\0 ',
    '0',
    nul(100),
    'ustar  \0',
    `root${nul(28)}`,
    `root${nul(28)}`,
    nul(183),
  ];
  t.is(header().toString('latin1'), parts.join(''));
});

test('size and time have eleven octal digits; a time out of range is cut', (t) => {
  t.is(header(NAME, 1048576).toString('latin1', 124, 136), '00004000000\0');
  t.is(header(NAME, 0o77777777777).toString('latin1', 124, 136), '77777777777\0');
  t.is(header(NAME, 0, -5).toString('latin1', 136, 148), '00000000000\0');
  t.is(header(NAME, 0, 2 ** 40).toString('latin1', 136, 148), '77777777777\0');
  t.throws(() => header(NAME, 2 ** 33), { instanceOf: LbsError, code: 'internal' });
});

test('a member takes a header and its data in whole records', (t) => {
  t.deepEqual([0, 1, 511, 512, 513, 1048576].map(tarMemberBytes), [512, 1024, 1024, 1024, 1536, 1049088]); // prettier-ignore
});

test('what is written is read as the same', (t) => {
  const name = fc.stringMatching(/^[0-9a-f/-]{1,99}$/);
  const size = fc.nat({ max: 0o77777777777 });
  fc.assert(
    fc.property(name, size, fc.nat(), (text, sizeBytes, mtime) => {
      t.deepEqual(readTarHeader(header(text, sizeBytes, mtime)), { name: text, sizeBytes });
    }),
  );
});

test('a record of zeros is the end', (t) => {
  t.is(readTarHeader(Buffer.alloc(512)), undefined);
});

test('tar reads what is written here, and the other way', (t) => {
  const dir = tempDir(t);
  const file = join(dir, 'x.tar');
  writeFileSync(file, Buffer.concat([header('s/0', 3), Buffer.from('abc'), Buffer.alloc(1533)]));
  const listed = spawnSync('tar', ['--numeric-owner', '-tvf', file], { env: { TZ: 'UTC' } });
  t.is(listed.status, 0, String(listed.stderr));
  t.regex(String(listed.stdout), /^-rw------- (?:root\/root|0\/0) +3 .* s\/0\n$/);
  for (const format of ['gnu', 'ustar', 'v7']) {
    writeFileSync(join(dir, 'member'), 'x'.repeat(700));
    spawnSync('tar', [`--format=${format}`, '-cf', file, 'member'], { cwd: dir });
    const read = readTarHeader(readFileSync(file).subarray(0, 512));
    t.deepEqual(read, { name: 'member', sizeBytes: 700 }, format);
  }
});

test('a header whose checksum does not fit is refused', (t) => {
  for (const at of [0, 50, 107, 124, 150, 156, 200, 300, 511]) {
    const bytes = header();
    bytes.writeUInt8((bytes[at] ?? 0) ^ 1, at);
    t.throws(
      () => readTarHeader(bytes),
      { instanceOf: LbsError, code: 'segment-corrupt' },
      `${at}`,
    );
  }
  for (const text of ['        ', '\0\0\0\0\0\0\0\0', 'zzzzzz\0 ', '-15105\0 ']) {
    const bytes = header();
    bytes.write(text, 148, 'latin1');
    t.throws(() => readTarHeader(bytes), { code: 'segment-corrupt' }, JSON.stringify(text));
  }
});

test('members that are no plain files are refused', (t) => {
  for (const type of ['1', '2', '3', '4', '5', '6', '7', 'L', 'K', 'S', 'x', 'g', 'D', 'V', ' ']) {
    t.throws(() => readTarHeader(altered(156, type)), { instanceOf: LbsError, code: 'segment-corrupt' }, type); // prettier-ignore
  }
  t.truthy(readTarHeader(altered(156, '0')));
  t.truthy(readTarHeader(altered(156, '\0')), 'the oldest way to say "file"');
});

test('long names, links, pax and sparse members as tar writes them are refused', (t) => {
  const dir = tempDir(t);
  const long = 'x'.repeat(150);
  writeFileSync(join(dir, long), '');
  writeFileSync(join(dir, 'sparse'), '');
  truncateSync(join(dir, 'sparse'), 1 << 20);
  spawnSync('ln', ['-s', 'sparse', 'link'], { cwd: dir });
  const cases = [
    ['--format=gnu', long],
    ['--format=pax', long],
    ['--format=gnu', '-S', 'sparse'],
    ['--format=gnu', 'link'],
    ['--format=gnu', '.'],
  ];
  for (const args of cases) {
    const { stdout } = spawnSync('tar', [...args.slice(0, 1), '-cf', '-', ...args.slice(1)], {
      cwd: dir,
    });
    const first = Buffer.from(stdout.subarray(0, 512));
    t.throws(() => readTarHeader(first), { instanceOf: LbsError, code: 'segment-corrupt' }, args.join(' ')); // prettier-ignore
  }
});

test('a size that is no octal number is refused', (t) => {
  for (const text of ['-0000000001\0', '\x80\0\0\0\0\0\0\0\0\0\0\x01', '0x1\0\0\0\0\0\0\0\0\0', '0000000000a\0', '            ', '00000000008\0']) {
    t.throws(() => readTarHeader(altered(124, text)), { instanceOf: LbsError, code: 'segment-corrupt' }, JSON.stringify(text));
  }
}); // prettier-ignore

test('no bytes make the reader do anything but answer or refuse', (t) => {
  const record = fc.uint8Array({ minLength: 512, maxLength: 512 });
  const near = fc.tuple(fc.nat({ max: 500 }), fc.string({ unit: 'binary-ascii', maxLength: 12 }));
  const bytes = fc.oneof(
    record.map((array) => Buffer.from(array)),
    near.map(([at, text]) => altered(at, text)),
  );
  fc.assert(
    fc.property(bytes, (buffer) => {
      try {
        readTarHeader(buffer);
      } catch (error) {
        if (!(error instanceof LbsError)) throw error;
      }
    }),
  );
  t.pass();
});
