/** The status line of the stat cache, and what of it says that an entry is as it was. */
import fc from '../helpers/fast-check.ts';
import test from 'ava';
import { CacheRecord, formatRecord } from '../../src/localdb/stat-cache-record.ts';
import { StatusLine, statusLine, untrusted } from '../../src/localdb/status-line.ts';
import type { EntryType, FileStatus, Timespec } from '../../src/posix/file-status.ts';
import { asByteText } from '../../src/std/byte-text.ts';

const STATUS: FileStatus = {
  type: 'f',
  mode: 0o644,
  uid: 1000,
  gid: 100,
  links: 1,
  inode: '42',
  device: '254/0',
  rdev: '0/0',
  sizeBytes: 12,
  blocks: 8,
  mtime: { s: 1795166561, ns: 5 },
  ctime: { s: 1795166562, ns: 0 },
  btime: { s: 3, ns: 4 },
  attributes: 0,
  isMountPoint: false,
};

/** A record of the cache with that line. */
function recordWith(line: string): CacheRecord {
  const facts = { text: asByteText('x'), statusLine: line, xattrs: '', content: '' };
  const bytes = Buffer.from(formatRecord(facts, { object: 'o', start: 1, length: 2 }, 'o'));
  const root = { object: 'r', start: 0, length: 1 };
  const group = { object: 'o', isFlat: true, root, bytes, crc: '', start: 0, end: 0 };
  return new CacheRecord(group, 0, { path: 0, status: 2 });
}

const lineOf = (status: FileStatus) => new StatusLine().set(status);

test('a status is one line; only what identifies content counts for content', (t) => {
  const line = statusLine(STATUS);
  t.is(line, 'f 42 12 1795166561.5 1795166562.0|644 1000 100 1 3.4 0/0 0 ');
  const record = recordWith(line);
  const same = (more: Partial<FileStatus>) => record.hasSameContent(lineOf({ ...STATUS, ...more }));
  t.true(same({}));
  t.true(same({ mode: 0o600, uid: 0, device: '7/9', links: 2, attributes: 16 }));
  t.false(same({ inode: '43' }));
  t.false(same({ sizeBytes: 13 }));
  t.false(same({ mtime: { s: 1795166561, ns: 6 } }));
  t.false(same({ ctime: { s: 1795166562, ns: 1 } }));
  t.false(same({ type: 'l' }));
  // Numbers must not run into each other: 4 and 212 are not 42 and 12.
  t.false(same({ inode: '4', sizeBytes: 212 }));
  t.true(record.hasSameStatus(lineOf(STATUS)));
  t.false(record.hasSameStatus(lineOf({ ...STATUS, uid: 0 })));
  t.false(record.hasSameStatus(lineOf({ ...STATUS, links: 2 })), 'it only begins alike');
});

test('a record that is not trusted has no content to rely on, whatever the times say', (t) => {
  const record = recordWith(untrusted(statusLine(STATUS)));
  t.false(record.isTrusted);
  t.false(record.hasSameContent(lineOf(STATUS)));
  t.true(record.hasSameStatus(lineOf(STATUS)));
  t.false(record.hasSameStatus(lineOf({ ...STATUS, uid: 0 })));
});

test('a device counts only where it ties hard links together', (t) => {
  const other = { device: '7/9' };
  t.is(statusLine({ ...STATUS, ...other }), statusLine(STATUS));
  const linked = { ...STATUS, links: 2 };
  t.not(statusLine({ ...linked, ...other }), statusLine(linked));
  const directory: FileStatus = { ...STATUS, type: 'd', links: 5 };
  t.is(statusLine({ ...directory, ...other, links: 6, sizeBytes: 4096 }), statusLine(directory));
});

const moment = (time: Timespec | undefined) => (time ? `${time.s}.${time.ns}` : '-');

/** What the line says, number by number. */
function expected(status: FileStatus): string {
  const { type, inode, sizeBytes, mtime, ctime, btime, mode, uid, gid, rdev, attributes } = status;
  const links = type === 'd' ? 1 : status.links;
  const content = [type ?? '', inode, type === 'f' ? sizeBytes : 0, moment(mtime), moment(ctime)];
  const rest = [mode.toString(8), uid, gid, links, moment(btime), rdev, attributes];
  return `${content.join(' ')}|${rest.join(' ')} ${links > 1 ? status.device : ''}`;
}

test('any numbers that statx gives are written as they are', (t) => {
  const u32 = fc.nat(0xffffffff);
  const device = fc.tuple(u32, u32).map(([major, minor]) => `${major}/${minor}`);
  const s = fc.oneof(fc.integer({ min: -(2 ** 40), max: 2 ** 40 }), fc.integer());
  const time = fc.record({ s, ns: fc.oneof(fc.nat(999_999_999), fc.constantFrom(0, 1)) });
  const type = fc.constantFrom<EntryType | undefined>('f', 'd', 'l', 'p', 's', 'c', 'b', undefined);
  const statuses: fc.Arbitrary<FileStatus> = fc.record({
    type,
    mode: fc.nat(0o7777),
    uid: u32,
    gid: u32,
    links: fc.oneof(u32, fc.constant(1)),
    inode: fc.bigInt(0n, 2n ** 64n - 1n).map(String),
    device,
    rdev: device,
    sizeBytes: fc.oneof(fc.maxSafeNat(), fc.nat()),
    blocks: fc.nat(),
    mtime: time,
    ctime: time,
    btime: fc.option(time, { nil: undefined }),
    attributes: u32,
    isMountPoint: fc.boolean(),
  });
  fc.assert(
    fc.property(statuses, (status) => {
      t.is(statusLine(status), expected(status));
    }),
    { numRuns: 500 },
  );
});

test('the limits of numbers are written as they are', (t) => {
  for (const size of [
    0,
    9,
    10,
    2 ** 31 - 1,
    2 ** 31,
    999_999_999,
    1_000_000_000,
    10 ** 15,
    2 ** 53 - 1,
  ]) {
    const status = { ...STATUS, sizeBytes: size };
    t.is(statusLine(status), expected(status));
  }
});
