/** Headers of archives: what stands in them as it is, and what needs a pax header. */
import test from 'ava';
import { type ArchiveMember, memberHeader, paddingAfter } from '../../src/format/pax-header.ts';

const FILE: ArchiveMember = {
  path: Buffer.from('a/file'),
  type: 'f',
  mode: 0o4755,
  uid: 1000,
  gid: 100,
  user: 'ann',
  group: 'users',
  mtime: { s: 1_000_000_000, ns: 0 },
  sizeBytes: 5,
  target: undefined,
  device: undefined,
  xattrs: [],
};

/** The records of the pax header that a header begins with. */
function paxRecords(header: Buffer): string[] {
  if (header.toString('latin1', 156, 157) !== 'x') return [];
  const size = Number.parseInt(header.toString('latin1', 124, 135), 8);
  const records: string[] = [];
  for (let at = 512; at < 512 + size;) {
    const space = header.indexOf(' ', at);
    const length = Number(header.toString('latin1', at, space));
    const record = header.toString('latin1', space + 1, at + length);
    records.push(record.slice(0, -1));
    at += length;
  }
  return records;
}

const recordsOf = (fields: Partial<ArchiveMember>) =>
  paxRecords(memberHeader({ ...FILE, ...fields }));

test('an ordinary file has a ustar header and nothing else', (t) => {
  const header = memberHeader(FILE);
  t.is(header.length, 512);
  t.is(header.toString('latin1', 0, 7), 'a/file\0');
  t.is(header.toString('latin1', 100, 124), '0004755\x000001750\x000000144\0');
  t.is(header.toString('latin1', 124, 148), '00000000005\x0007346545000\0');
  t.is(header.toString('latin1', 257, 276), 'ustar\x0000ann' + '\0'.repeat(8));
});

test('times have as many decimals as they need, before 1970 too', (t) => {
  const timeOf = (s: number, ns: number) => recordsOf({ mtime: { s, ns } });
  t.deepEqual(timeOf(1, 0), []);
  t.deepEqual(timeOf(0, 1), ['mtime=0.000000001']);
  t.deepEqual(timeOf(-1, 999_999_999), ['mtime=-0.000000001']);
  t.deepEqual(timeOf(-2, 0), ['mtime=-2']);
  t.deepEqual(timeOf(-3, 250_000_000), ['mtime=-2.75']);
  t.deepEqual(timeOf(8 ** 11 - 1, 500_000_000), ['mtime=8589934591.5']);
  t.deepEqual(timeOf(8 ** 11, 0), ['mtime=8589934592']);
});

test('numbers too large for octal digits are in base 256 and in the pax header', (t) => {
  t.deepEqual(recordsOf({ uid: 2_097_151, gid: 2_097_152 }), ['gid=2097152']);
  const sizeBytes = 8 ** 11 + 259;
  const header = memberHeader({ ...FILE, sizeBytes });
  t.deepEqual(paxRecords(header), [`size=${sizeBytes}`]);
  const field = header.subarray(-512).subarray(124, 136);
  t.is(field[0], 0x80);
  t.is(field.readUIntBE(6, 6), sizeBytes);
});

test('a name is split at a slash where that is enough', (t) => {
  const split = Buffer.from(`${'d'.repeat(155)}/${'f'.repeat(100)}`);
  t.deepEqual(recordsOf({ path: split }), []);
  const header = memberHeader({ ...FILE, path: split });
  t.is(header.toString('latin1', 0, 100), 'f'.repeat(100));
  t.is(header.toString('latin1', 345, 500), 'd'.repeat(155));
  for (const path of ['n'.repeat(101), `${'d'.repeat(156)}/f`, `d/${'f'.repeat(101)}`]) {
    t.deepEqual(recordsOf({ path: Buffer.from(path) }), [`path=${path}`]);
  }
  const directory = `${'d'.repeat(100)}/`;
  t.deepEqual(recordsOf({ path: Buffer.from(directory), type: 'd' }), [`path=${directory}`]);
});

test('the length of a record counts its own digits', (t) => {
  for (let length = 1; length < 1200; length++) {
    const value = Buffer.alloc(length, 'v');
    const xattrs = [{ name: Buffer.from('user.x'), value }];
    t.deepEqual(recordsOf({ xattrs }), [`SCHILY.xattr.user.x=${String(value)}`]);
  }
});

test('attributes hold any bytes, and their names are escaped as GNU tar does it', (t) => {
  const value = Buffer.from([0, 10, 61, 255]);
  const xattrs = [{ name: Buffer.from('user.a=b%c'), value }];
  t.deepEqual(recordsOf({ xattrs }), [`SCHILY.xattr.user.a%3Db%25c=${value.toString('latin1')}`]);
});

test('a long name that is not UTF-8 is written in the way of GNU tar', (t) => {
  const path = Buffer.alloc(600, 0xff);
  const header = memberHeader({ ...FILE, path });
  t.is(header.toString('latin1', 0, 13), '././@LongLink');
  t.is(header.toString('latin1', 156, 157), 'L');
  t.true(header.subarray(512, 1112).equals(path));
  t.is(header[1112], 0);
  t.is(header.length, 512 + 1024 + 512);
});

test('content is padded to whole records', (t) => {
  t.deepEqual(
    [0, 1, 511, 512, 513].map((size) => paddingAfter(size).length),
    [0, 511, 1, 0, 511],
  );
});
