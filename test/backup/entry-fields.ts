import test from 'ava';
import fc from '../helpers/fast-check.ts';
import {
  contentFields,
  contentText,
  type Fields,
  stanzaText,
} from '../../src/backup/entry-fields.ts';
import { parseEntry } from '../../src/format/entry.ts';
import { StanzaParser } from '../../src/format/stanza.ts';
import type { FileStatus } from '../../src/posix/file-status.ts';
import { byteText } from '../../src/std/byte-text.ts';

const REFERENCE = '11111111-2222-4333-8444-555555555555/00000000';

const DIGEST = 'ef'.repeat(32);

/** A status with everything that a stanza can say. */
const STATUS: FileStatus = {
  type: 'f',
  mode: 0o4755,
  uid: 0,
  gid: 0,
  links: 2,
  inode: '77',
  sizeBytes: 5,
  blocks: 8,
  mtime: { s: -1, ns: 5 },
  ctime: { s: 20, ns: 0 },
  btime: { s: 3, ns: 999_999_999 },
  device: '8/1',
  rdev: '0/0',
  attributes: 0x10,
  isMountPoint: false,
};
const CONTENT: Fields = [
  ['checksum', `sha1=${'ab'.repeat(20)}`],
  ['data', `${REFERENCE}\nzero[4]`],
  ['sha256', 'cd'.repeat(32)],
  ['size', '5'],
  ['block_sha256', `${DIGEST}\n-`],
  ['holes', '1+4'],
];
const EXTRA = {
  target: undefined,
  xattrs: [{ name: Buffer.from('user.a'), value: Buffer.from('b') }],
  isVolatile: true,
};

test('a stanza has its name first and the other keys in byte order', (t) => {
  const text = stanzaText(byteText(Buffer.from('z/\xff', 'latin1')), STATUS, EXTRA, CONTENT);
  const [name, ...keys] = [...text.matchAll(/^(\w+):/gm)].map((match) => match[1] ?? '');
  t.is(name, 'name');
  t.deepEqual(keys, [...keys].sort());
  t.is(new Set(keys).size, keys.length);
  t.true(
    text.startsWith(`name: z/%ff\nblock_sha256: ${DIGEST}\n    -\nbtime: 3\nbtime_ns: 999999999\n`),
  );
  t.true(text.endsWith('\n\n'));
  t.regex(text, /^ctime: 20\ndata: /m, 'nanoseconds that are 0 are left out');
});

test('what a stanza says of a status is what is read back', (t) => {
  const seconds = fc.maxSafeInteger();
  const ns = fc.nat({ max: 999_999_999 });
  const time = fc.record({ s: seconds, ns });
  const type = fc.constantFrom<FileStatus['type'][]>('f', 'd', 'l', 'p', 's', 'c', 'b');
  const mode = fc.nat({ max: 0o7777 });
  const status = fc.record({
    type,
    mode,
    mtime: time,
    ctime: time,
    links: fc.integer({ min: 1, max: 5 }),
  });
  fc.assert(
    fc.property(status, fc.boolean(), (some, isVolatile) => {
      const all = { ...STATUS, ...some, rdev: '4/64' };
      const target = some.type === 'l' ? Buffer.from('to\n\xff', 'latin1') : undefined;
      const content = some.type === 'f' ? CONTENT : [];
      const text = stanzaText(
        byteText(Buffer.from('x')),
        all,
        { ...EXTRA, target, isVolatile },
        content,
      );
      const parser = new StanzaParser();
      let entry;
      for (const line of text.split('\n')) {
        const result = parser.line(line);
        if (result.kind === 'stanza') entry = parseEntry(result.stanza);
      }
      t.is(entry?.type, some.type);
      t.is(entry?.mode, some.mode);
      t.deepEqual(
        [entry?.mtime, entry?.ctime, entry?.btime],
        [some.mtime, some.ctime, STATUS.btime],
      );
      t.deepEqual([entry?.uid, entry?.user, entry?.gid, entry?.group], [0, 'root', 0, 'root']);
      t.deepEqual(entry?.target, target);
      t.is(entry?.volatile, isVolatile);
      t.is(entry?.flags, STATUS.attributes);
      t.deepEqual(entry?.xattrs, EXTRA.xattrs);
      const isDevice = some.type === 'c' || some.type === 'b';
      t.deepEqual(entry?.device, isDevice ? { major: 4, minor: 64 } : undefined);
      const isLinked = some.type !== 'd' && some.links > 1;
      t.is(entry?.inode, isLinked ? '8/1/77' : undefined);
      t.is(entry?.links, isLinked ? some.links : 1);
      if (some.type === 'f') t.deepEqual(entry?.holes, [{ start: 1, length: 4 }]);
    }),
  );
});

test('the content keys come back from their text', (t) => {
  t.deepEqual(contentFields(contentText(CONTENT)), CONTENT);
  t.deepEqual(contentFields(''), []);
});
