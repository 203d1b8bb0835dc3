/** Headers of zip archives: what needs the fields of zip64, and what is marked as UTF-8. */
import test from 'ava';
import {
  type ZipMember,
  zipCentralRecord,
  zipDescriptor,
  zipEnd,
  zipLocalHeader,
} from '../../src/format/zip-header.ts';

const GIB = 1024 ** 3;
const MEMBER: ZipMember = {
  path: Buffer.from('a/file'),
  mode: 0o100644,
  uid: 1000,
  gid: 100,
  mtime: { s: 1_000_000_000, ns: 5 },
  method: 'deflated',
  isStreamed: false,
  isLarge: false,
};
const SIZES = { crc32: 0x01020304, storedBytes: 5, sizeBytes: 7 };

/** The extra field of that kind in a header whose names end at `at`. */
function extraOf(header: Buffer, at: number, id: number): Buffer | undefined {
  for (let start = at; start < header.length;) {
    const length = header.readUInt16LE(start + 2);
    const end = start + 4 + length;
    if (header.readUInt16LE(start) === id) return header.subarray(start + 4, end);
    start = end;
  }
  return undefined;
}
const centralExtra = (record: Buffer) => extraOf(record, 46 + MEMBER.path.length, 1);

test('an ordinary member needs no zip64', (t) => {
  const header = zipLocalHeader(MEMBER, SIZES);
  t.is(header.toString('latin1', 0, 4), 'PK\x03\x04');
  t.deepEqual([header.readUInt32LE(18), header.readUInt32LE(22)], [5, 7]);
  t.is(extraOf(header, 30 + MEMBER.path.length, 1), undefined);
  t.is(extraOf(header, 30 + MEMBER.path.length, 0x5455)?.readInt32LE(1), 1_000_000_000);
  t.is(centralExtra(zipCentralRecord(MEMBER, SIZES, 9)), undefined);
  t.is(zipEnd(3, 100, 200).length, 22);
});

test('only what is too large for 32 bits is in the zip64 field, in its order', (t) => {
  const far = zipCentralRecord(MEMBER, SIZES, 5 * GIB);
  t.deepEqual(
    [far.readUInt32LE(20), far.readUInt32LE(24), far.readUInt32LE(42)],
    [5, 7, 0xffffffff],
  );
  t.is(centralExtra(far)?.length, 8);
  t.is(centralExtra(far)?.readBigUInt64LE(0), BigInt(5 * GIB));
  const sizes = { ...SIZES, sizeBytes: 6 * GIB };
  const both = centralExtra(zipCentralRecord(MEMBER, sizes, 5 * GIB));
  t.is(both?.readBigUInt64LE(0), BigInt(6 * GIB));
  t.is(both?.readBigUInt64LE(8), BigInt(5 * GIB));
  t.is(centralExtra(zipCentralRecord(MEMBER, SIZES, 0xffffffff))?.length, 8, 'the mark itself');
});

test('a large streamed member has its sizes in 64 bits behind it', (t) => {
  const member = { ...MEMBER, isStreamed: true, isLarge: true };
  const header = zipLocalHeader(member);
  t.is(header.readUInt32LE(18), 0xffffffff);
  t.is(extraOf(header, 30 + MEMBER.path.length, 1)?.length, 16);
  t.is(zipDescriptor(member, SIZES).length, 24);
  t.is(zipDescriptor({ ...member, isLarge: false }, SIZES).length, 16);
});

test('the end of an archive beyond 4 GiB or 65535 members is in zip64 form too', (t) => {
  for (const end of [zipEnd(70_000, 1000, 2000), zipEnd(1, 60, 5 * GIB)]) {
    t.is(end.length, 56 + 20 + 22);
    t.is(end.toString('latin1', 0, 4), 'PK\x06\x06');
    t.is(end.toString('latin1', 56, 60), 'PK\x06\x07');
  }
  t.is(zipEnd(70_000, 1000, 2000).readBigUInt64LE(32), 70_000n);
  t.is(zipEnd(1, 60, 5 * GIB).readBigUInt64LE(48), BigInt(5 * GIB));
  t.is(zipEnd(1, 60, 5 * GIB).readBigUInt64LE(56 + 8), BigInt(5 * GIB + 60));
});

test('names are marked as UTF-8 only when they are that, and more than ASCII', (t) => {
  const isMarked = (path: Buffer) =>
    (zipLocalHeader({ ...MEMBER, path }, SIZES).readUInt16LE(6) & (1 << 11)) !== 0;
  t.false(isMarked(Buffer.from('plain')));
  t.true(isMarked(Buffer.from('grün')));
  t.false(isMarked(Buffer.from([0x67, 0xfc])));
});
