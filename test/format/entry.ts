import fc from '../helpers/fast-check.ts';
import test, { type ExecutionContext } from 'ava';
import { LbsError } from '../../src/errors.ts';
import {
  type Entry,
  accountField,
  parseEntry,
  referencesOf,
  xattrsField,
} from '../../src/format/entry.ts';
import { type Stanza, StanzaParser } from '../../src/format/stanza.ts';
import { bytePath } from '../../src/std/byte-path.ts';
import { formatStanza } from '../helpers/format-stanza.ts';

const SEGMENT = '59669976-da50-4cc0-afbf-74d222a510a7';
const DIGEST = 'ab'.repeat(32);
const OTHER = 'cd'.repeat(32);

function stanzaOf(text: string): Stanza {
  const parser = new StanzaParser();
  for (const line of text.split('\n')) {
    const result = parser.line(line);
    if (result.kind === 'stanza') return result.stanza;
  }
  return parser.end() ?? new Map();
}

const entryOf = (text: string): Entry => parseEntry(stanzaOf(text));

/** A regular file with these fields instead of, or besides, the usual ones. */
function fileWith(fields: Readonly<Record<string, string>>): Entry {
  const all = { name: 'x', type: 'f', size: '3', data: `${SEGMENT}/00000000`, ...fields };
  return parseEntry(new Map(Object.entries(all)));
}

const FULL = `name: dir/a%20b
block_sha256: ${DIGEST}
    -
    ${OTHER}
btime: 3
btime_ns: 4
checksum: sha1=e2e08c3e79cbd1ff281c36731f4f03ad81631809
ctime: 1795166562
ctime_ns: 999999999
data: ${SEGMENT}/00000003
    zero[1048576]
    ${SEGMENT}/00000005[0+7]
flags: 30
group: 5 (tty%20group)
holes: 1048576+1048576
    4194304+10
inode: 254/0/2197799
links: 2
mode: 04755
mtime: 1795166561
mtime_ns: 5
sha256: ${OTHER}
size: 2097159
type: f
user: 0 (root)
volatile: 1
xattrs: user.a%3db=%00%ff
    security.x=

`;

test('every key is read', (t) => {
  t.deepEqual(entryOf(FULL), {
    path: bytePath('dir/a b'),
    type: 'f',
    mode: 0o4755,
    uid: 0,
    gid: 5,
    user: 'root',
    group: 'tty group',
    mtime: { s: 1795166561, ns: 5 },
    ctime: { s: 1795166562, ns: 999999999 },
    btime: { s: 3, ns: 4 },
    links: 2,
    inode: '254/0/2197799',
    device: undefined,
    target: undefined,
    xattrs: [
      { name: Buffer.from('user.a=b'), value: Buffer.from([0, 255]) },
      { name: Buffer.from('security.x'), value: Buffer.alloc(0) },
    ],
    flags: 0x30,
    volatile: true,
    sizeBytes: 2097159,
    checksum: 'sha1=e2e08c3e79cbd1ff281c36731f4f03ad81631809',
    sha256: OTHER,
    data: [`${SEGMENT}/00000003`, 'zero[1048576]', `${SEGMENT}/00000005[0+7]`],
    blockSha256: [DIGEST, undefined, OTHER],
    holes: [
      { start: 1048576, length: 1048576 },
      { start: 4194304, length: 10 },
    ],
  });
});

test('a stanza of the first versions is read: path, contents, type "-", one line of data', (t) => {
  const file = entryOf(
    `path: dir/big.bin\nchecksum: sha1=0\ndata: ${SEGMENT}/00000003 ${SEGMENT}/00000004\ngroup: 0 (root)\nmode: 0644\nmtime: 1795166561\nsize: 2500000\ntype: -\nuser: 0 (root)\n`,
  );
  t.is(file.type, 'f');
  t.is(file.path.toString(), 'dir/big.bin');
  t.deepEqual(file.data, [`${SEGMENT}/00000003`, `${SEGMENT}/00000004`]);
  t.is(file.holes, undefined, 'nothing is known of holes');
  t.is(file.links, 1);
  const link = entryOf('path: l\ntype: l\ncontents: a%20b\n');
  t.is(link.target?.toString(), 'a b');
  const indirect = entryOf(`path: x\ntype: f\nsize: 9\ndata: @${SEGMENT}/00000000\n`);
  t.deepEqual(indirect.data, [`@${SEGMENT}/00000000`]);
});

test('integers may be decimal, octal or hexadecimal, and negative; a size is decimal', (t) => {
  const cases: readonly (readonly [string, number])[] = [
    ['0', 0],
    ['12', 12],
    ['012', 10],
    ['0x1f', 31],
    ['0X1F', 31],
    ['-86400', -86400],
    ['-010', -8],
    ['-0x10', -16],
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
  ];
  for (const [text, value] of cases) {
    t.is(fileWith({ mtime: text }).mtime?.s, value, text);
    t.is(fileWith({ links: text }).links, value, text);
  }
  t.is(fileWith({ size: '010' }).sizeBytes, 10);
  t.is(fileWith({ mode: '0' }).mode, 0);
  t.is(fileWith({ mode: '01777' }).mode, 0o1777);
  t.is(fileWith({ mode: '100644' }).mode, 0o644, 'bits beyond the permissions are not taken');
  t.deepEqual(fileWith({ mtime: '-1', mtime_ns: '5' }).mtime, { s: -1, ns: 5 });
});

test('what a stanza lacks is undefined', (t) => {
  const entry = entryOf('name: x\ntype: d\n');
  for (const key of ['mode', 'uid', 'gid', 'user', 'mtime', 'ctime', 'btime', 'target'] as const) {
    t.is(entry[key], undefined, key);
  }
  t.deepEqual(entry.xattrs, []);
  t.is(entry.volatile, false);
  const number = fileWith({ user: '4294967295', group: '7' });
  t.deepEqual([number.uid, number.user, number.gid], [0xffffffff, undefined, 7]);
  t.deepEqual(fileWith({ sha256: DIGEST }).holes, [], 'ours without holes: there are none');
  t.deepEqual(fileWith({ sha256: DIGEST }).blockSha256, [DIGEST], 'one block is the whole');
  t.is(fileWith({ volatile: '0' }).volatile, false);
});

test('devices are read of any size', (t) => {
  const entry = entryOf('name: x\ntype: b\ndevice: 4095/1048575\n');
  t.deepEqual(entry.device, { major: 4095, minor: 1048575 });
});

const HOSTILE: readonly Readonly<Record<string, string>>[] = [
  { name: '' },
  { type: '' },
  { type: 'x' },
  { type: 'fd' },
  { size: '' },
  { size: '-1' },
  { size: '0x10' },
  { size: '1e3' },
  { size: '99999999999999999' },
  { mtime: '1.5' },
  { mtime: 'now' },
  { mtime: '0x' },
  { mtime: '9007199254740993' },
  { mtime: '1', mtime_ns: '1000000000' },
  { mtime: '1', mtime_ns: '-1' },
  { mode: '0888' },
  { mode: '-1' },
  { mode: '0644x' },
  { user: '4294967296' },
  { group: '99999999999999999999' },
  { links: 'two' },
  { sha256: 'abc' },
  { sha256: DIGEST.toUpperCase() },
  { xattrs: 'novalue' },
  { xattrs: '=value' },
  { holes: '1-2' },
  { holes: '1' },
  { holes: '-1+5' },
  // Digits that are not octal, or not hexadecimal at all, are no number.
  { mtime: '08' },
  { mtime: '0192' },
  { flags: 'zz' },
  { flags: '1 2' },
  { holes: '9999999999999999+1' },
  { holes: '1+9999999999999999' },
];

for (const fields of HOSTILE) {
  test(`an unreadable value is an error that names the entry: ${JSON.stringify(fields)}`, (t) => {
    const error = t.throws(() => fileWith(fields), { instanceOf: LbsError });
    t.is(error?.code, 'format-syntax');
    t.regex(error?.message ?? '', /entry/);
  });
}

test('an entry without a name or size is an error', (t) => {
  t.throws(() => entryOf('type: d\n'), { instanceOf: LbsError, code: 'format-syntax' });
  t.throws(() => entryOf('name: x\ntype: f\n'), { instanceOf: LbsError, code: 'format-syntax' });
});

test('accounts and attributes have the form that is read', (t) => {
  t.is(accountField(0, 'root'), '0 (root)');
  t.is(accountField(7, undefined), '7');
  t.is(accountField(7, 'a b)'), '7 (a%20b%29)');
  const xattrs = [{ name: Buffer.from('a=b'), value: Buffer.from('c=d ') }];
  t.is(xattrsField(xattrs), 'a%3db=c=d%20');
});

function sameBack(t: ExecutionContext, path: Buffer, fields: [string, string][]): Entry {
  const entry = entryOf(formatStanza(path, fields));
  t.deepEqual(Buffer.from(entry.path), path);
  return entry;
}

test('any name, target, account and attribute comes back', (t) => {
  const bytes = fc.uint8Array({ minLength: 1, maxLength: 60 }).map((array) => Buffer.from(array));
  const number = fc.nat({ max: 0xffffffff });
  const text = fc.string({ minLength: 1, maxLength: 10, unit: 'grapheme' });
  const xattr = fc.record({ name: bytes, value: fc.oneof(bytes, fc.constant(Buffer.alloc(0))) });
  const time = fc.record({ s: fc.maxSafeInteger(), ns: fc.nat({ max: 999_999_999 }) });
  fc.assert(
    fc.property(bytes, bytes, number, text, fc.array(xattr), time, (path, target, ...rest) => {
      const [id, name, xattrs, mtime] = rest;
      const entry = sameBack(t, path, [
        ['type', 'l'],
        ['target', escaped(target)],
        ['user', accountField(id, name)],
        ['xattrs', xattrsField(xattrs)],
        ['mtime', String(mtime.s)],
        ['mtime_ns', String(mtime.ns)],
      ]);
      t.deepEqual(entry.target, target);
      t.deepEqual([entry.uid, entry.user], [id, name]);
      t.deepEqual(entry.xattrs, xattrs);
      t.deepEqual(entry.mtime, mtime);
    }),
  );
});

function escaped(bytes: Buffer): string {
  return [...bytes].map((byte) => `%${byte.toString(16).padStart(2, '0')}`).join('');
}

test('references are read in the dialect of the snapshot', (t) => {
  const entry = fileWith({ data: `${SEGMENT}/00000001[5]\nzero[3]` });
  const [prefix] = referencesOf(entry, 'prefix');
  const [exact, zero] = referencesOf(entry, 'exact');
  t.like(prefix, { slice: { start: 0, length: 5 }, exactSize: undefined });
  t.like(exact, { slice: undefined, exactSize: 5 });
  t.deepEqual(zero, { kind: 'zero', length: 3 });
  t.throws(() => referencesOf(fileWith({ data: 'x' }), 'exact'), { code: 'format-syntax' });
});

test('no stanza makes the reader do anything but answer or refuse', (t) => {
  const key = fc.constantFrom('name', 'path', 'type', 'size', 'data', 'mode', 'mtime', 'mtime_ns', 'user', 'links', 'device', 'target', 'xattrs', 'holes', 'flags', 'sha256', 'block_sha256', 'volatile'); // prettier-ignore
  const value = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 20 }),
    fc.constantFrom('f', 'd', '-', '0', '1', '-1', '0x', '%', '(x', '5 (', '1/2', '1+2', 'a=b'),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(key, value)), (fields) => {
      try {
        parseEntry(new Map([['name', 'x'], ['type', 'd'], ...fields]));
      } catch (error) {
        if (!(error instanceof LbsError)) throw error;
      }
    }),
    { numRuns: 1000 },
  );
  t.pass();
});
