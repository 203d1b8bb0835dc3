/**
 * What must hold of each parser of text from outside, whatever bytes it gets: it returns, or throws an
 * `LbsError`; and what it returns means the same when it was written and read again.
 */
import { deepStrictEqual, ok, strictEqual } from 'node:assert';
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { parseConfig } from '../../src/cli/config-file.ts';
import { LbsError } from '../../src/errors.ts';
import { parseChecksum } from '../../src/format/checksum.ts';
import { parseClearSigned } from '../../src/format/clear-sign.ts';
import { parseDescriptor, parseIntent } from '../../src/format/descriptor.ts';
import { parseEntry, referencesOf } from '../../src/format/entry.ts';
import { formatReference, parseReference } from '../../src/format/reference.ts';
import { parseListedSegment } from '../../src/format/segment-list.ts';
import * as names from '../../src/format/snapshot-name.ts';
import { StanzaParser } from '../../src/format/stanza.ts';
import { formatSums, parseSums } from '../../src/format/sums-file.ts';
import { readTarHeader } from '../../src/format/tar-header.ts';
import * as times from '../../src/format/timestamp.ts';
import { uriEscape, uriUnescape } from '../../src/format/uri-escape.ts';
import { StatCacheReader } from '../../src/localdb/stat-cache-reader.ts';
import { readPlainStanza } from '../../src/maintain/plain-stanza.ts';
import { safePath } from '../../src/restore/safe-target.ts';
import { TarReader } from '../../src/segments/tar-reader.ts';
import { indexZstdFrames, readSmallZstd } from '../../src/segments/zstd-index.ts';
import { parseRules } from '../../src/sources/filesystem/rule-lines.ts';
import { bytePath, safeLine, showPath } from '../../src/std/byte-path.ts';
import { asByteText } from '../../src/std/byte-text.ts';
import { parseSize } from '../../src/std/human-size.ts';
import { objectName, segmentName, tarMember } from './hand-made-store.ts';
import { MESSAGES } from './message-properties.ts';
import { unsafePlace } from './siege.ts';

export type ParserProperty = {
  readonly name: string;
  /** Right texts, as Latin-1. */
  readonly seeds: readonly string[];
  /** Throws anything but an `LbsError` where the parser does not do as it should. */
  readonly check: (bytes: Buffer) => void;
};

const REFERENCE = `${segmentName(1)}/0000000a(sha1=${'ab'.repeat(20)})[12+345]`;
const STANZA = `name: a%20b/c
btime: 1700000000
btime_ns: 5
checksum: sha1=${'ab'.repeat(20)}
ctime: 1700000000
ctime_ns: 999999999
data: ${REFERENCE}
    zero[5] ${objectName(1, 3)}[=7]
block_sha256: ${'cd'.repeat(32)} - -
group: 0 (root%2f)
holes: 0+4096 8192+1
inode: 1/2/3
links: 2
mode: 04755
mtime: 0x10
flags: 10
sha256: ${'ef'.repeat(32)}
size: 357
type: f
user: 1000 (ann)
xattrs: user.a=b security.x%3dy=%00%01
device: 1/3
target: ../x

`;
const DESCRIPTOR = `Format: LBS Snapshot v0.6
Producer: lbs
Date: 2026-11-20 10:14:21 +0100
Scheme: home
Root: ${REFERENCE}
Checksums: sha1=${'ab'.repeat(20)}
Checksums_sha256: sha256=${'cd'.repeat(32)}
Host: here
Top: /home/ann
Paths: a b%20c .
Entries: 5
Files: 3
Bytes: 100
Stored: 50
Warnings: 0
Intent: 7.5
Segments:
    ${segmentName(1)}
    ${segmentName(2)}
`;
const SIGNED = `-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA512

${DESCRIPTOR.replace('Producer', '- Producer')}-----BEGIN PGP SIGNATURE-----

iHUEARYKAB0WIQ
=abcd
-----END PGP SIGNATURE-----
`;
const TAR = Buffer.concat([
  tarMember(objectName(1, 0), Buffer.from('hello')),
  tarMember(objectName(1, 1), Buffer.alloc(600, 'x')),
  Buffer.alloc(1024),
]);
const ZSTD = Buffer.concat([
  zstdCompressSync(TAR),
  Buffer.from([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]),
  zstdCompressSync(Buffer.alloc(300_000, 'abc')),
]);
const CONFIG = `# a comment
store = /mnt/backup
exclude = /home/*/.cache
keep-daily = 7
one-file-system = yes
`;
const RULES = '# comment\n- *.o\n+ /home/**/keep[a-z]?\n: .lbs-rules\n. other\n!important\n\\#x\n';
const STAT_CACHE = `lbs stat cache 2
group ${objectName(1, 0)} flat 5 00000000
.
line of .
=0+7

end
trailer 0000000000000018 00000000
`;

/** Blocks of bytes, as a file on disk. */
function withFile<T>(bytes: Buffer, action: (path: string) => T): T {
  const dir = mkdtempSync(join(tmpdir(), 'lbs-test-fuzz-'));
  try {
    const path = join(dir, 'file');
    writeFileSync(path, bytes);
    return action(path);
  } finally {
    rmSync(dir, { recursive: true });
  }
}

function latin1(check: (text: string) => void): (bytes: Buffer) => void {
  return (bytes) => check(bytes.toString('latin1'));
}

function checkStanzas(text: string): void {
  const parser = new StanzaParser();
  const results = text.split('\n').map((line) => parser.line(line));
  const last = parser.end();
  const stanzas = results.flatMap((result) => (result.kind === 'stanza' ? [result.stanza] : []));
  for (const stanza of last === undefined ? stanzas : [...stanzas, last]) {
    let entry;
    try {
      entry = parseEntry(stanza);
    } catch (error) {
      if (!(error instanceof LbsError)) throw error;
      continue;
    }
    ok(Number.isSafeInteger(entry.sizeBytes) && entry.sizeBytes >= 0);
    ok(entry.mode === undefined || (entry.mode >= 0 && entry.mode <= 0o7777));
    for (const time of [entry.mtime, entry.ctime, entry.btime]) {
      ok(time === undefined || (Number.isSafeInteger(time.s) && time.ns >= 0 && time.ns < 1e9));
    }
    ok(safePathOrNot(entry.path));
    for (const dialect of ['prefix', 'exact'] as const)
      orLbsError(() => referencesOf(entry, dialect));
  }
  for (const result of results) {
    if (result.kind !== 'stanza') continue;
    orLbsError(() => parseListedSegment(result.stanza));
  }
}

/** True when a path that is taken for safe has nothing in it that leads out. */
function safePathOrNot(path: Buffer): boolean {
  for (const foreign of [true, false]) {
    const safe = orLbsError(() => safePath(path, foreign));
    if (safe === undefined) continue;
    const parts = safe.toString('latin1').split('/');
    if (parts.includes('..') || safe.includes(0) || safe[0] === 0x2f) return false;
  }
  return true;
}

function orLbsError<T>(action: () => T): T | undefined {
  try {
    return action();
  } catch (error) {
    if (error instanceof LbsError) return undefined;
    throw error;
  }
}

function checkReference(text: string): void {
  for (const dialect of ['prefix', 'exact'] as const) {
    const reference = orLbsError(() => parseReference(text, dialect));
    if (reference === undefined) continue;
    const again = parseReference(formatReference(reference), dialect);
    if (reference.kind === 'object') {
      deepStrictEqual({ ...again, exactSize: reference.exactSize }, reference);
    } else deepStrictEqual(again, reference);
  }
}

function checkDescriptor(text: string): void {
  const { segments, root, paths, date } = parseDescriptor(text);
  ok(segments.every(names.isSegmentName), segments.join(' '));
  ok(segments.includes(root.segment));
  ok(paths === undefined || paths.length < 200_000);
  ok(date === undefined || Number.isFinite(date));
}

function checkNames(text: string): void {
  const note = names.parseNoteFile(text);
  if (note !== undefined) strictEqual(names.noteFile(note), text);
  const found = [
    names.parseSnapshotFile(text)?.name,
    names.parseSegmentListFile(text)?.name,
    note?.name,
    names.parseSegmentFile(text)?.segment,
    names.parseCollectionFile(text),
  ];
  for (const name of found) ok(name === undefined || !name.includes('/'));
  if (names.isStoreFile(text)) ok(!text.includes('/') && text !== '..');
  const parsed = names.parseSnapshotName(text);
  if (parsed) strictEqual(names.formatSnapshotName(parsed.scheme, parsed.timestamp), text);
}

function checkTimes(text: string): void {
  const seconds = times.parseTimestamp(text);
  // A month 13 is read as the next January, and written so.
  if (seconds !== undefined)
    strictEqual(times.parseTimestamp(times.formatTimestamp(seconds)), seconds);
  for (const parse of [times.parseDate, times.parseMoment, parseIntent, parseSize]) {
    const value = parse(text);
    ok(value === undefined || Number.isFinite(value), text);
  }
}

function checkTar(bytes: Buffer): void {
  for (const pieceBytes of [bytes.length || 1, 512, 100]) {
    const reader = new TarReader(segmentName(1), (object, data) => {
      ok(Number.isSafeInteger(object) && data.length <= bytes.length);
    });
    try {
      for (let at = 0; at < bytes.length; at += pieceBytes) {
        reader.push(bytes.subarray(at, at + pieceBytes));
      }
      reader.end();
    } catch (error) {
      if (!(error instanceof LbsError)) throw error;
    } finally {
      reader.close();
    }
  }
}

function checkZstd(bytes: Buffer): void {
  withFile(bytes, (path) => {
    const fd = openSync(path, 'r');
    const file = { fd, sizeBytes: bytes.length, close: () => undefined };
    try {
      orLbsError(() => indexZstdFrames(file));
      const content = readSmallZstd(file, 1024 * 1024);
      ok(content === undefined || content.length <= 1024 * 1024);
    } finally {
      closeSync(fd);
    }
  });
}

function checkRules(bytes: Buffer): void {
  const text = { file: bytePath('rules'), raw: bytes, base: 0 };
  for (const language of ['rules', 'ignore'] as const) {
    const merge = () => ({ items: [], problems: [] });
    const { items } = parseRules({ ...text, merge }, language);
    for (const item of items) {
      if (item.kind !== 'block') continue;
      for (const rule of item.rules) rule.glob.matches(asByteText('home/keepa1/a.o'));
    }
  }
}

export const PROPERTIES: readonly ParserProperty[] = [
  { name: 'descriptors', seeds: [DESCRIPTOR, SIGNED], check: latin1(checkDescriptor) },
  {
    name: 'stanzas and entries',
    seeds: [STANZA, `${STANZA}@${REFERENCE}\n`],
    check: latin1(checkStanzas),
  },
  {
    name: 'plain stanzas',
    seeds: [STANZA],
    check: latin1((text) => {
      const plain = readPlainStanza(text, 0);
      ok(plain === undefined || plain.end <= text.length);
    }),
  },
  {
    name: 'references',
    seeds: [REFERENCE, 'zero[15]', `${objectName(1, 3)}[=7]`, `${objectName(2, 9)}[7]`],
    check: latin1(checkReference),
  },
  {
    name: 'escaped names',
    seeds: ['a%20b', '%ff%0a%25'],
    check: (bytes) => {
      deepStrictEqual(uriUnescape(uriEscape(bytes)), Buffer.from(bytes));
      const read = uriUnescape(bytes.toString('latin1'));
      deepStrictEqual(uriUnescape(uriEscape(read)), read);
      ok(/^[\x21-\x7e]*$/.test(uriEscape(bytes)));
    },
  },
  {
    name: 'what is shown',
    seeds: ['a\u001b[2Jb', '\u00c2\u009b', '\u00e2\u0080\u00ae'],
    check: (bytes) => {
      strictEqual(unsafePlace(showPath(bytes)), undefined);
      strictEqual(unsafePlace(safeLine(bytes.toString())), undefined);
      const json = JSON.stringify({ text: bytes.toString() });
      deepStrictEqual(JSON.parse(safeLine(json)), JSON.parse(json));
    },
  },
  {
    name: 'lists of checksums',
    seeds: [
      formatSums([
        [`${segmentName(1)}.tar.zst`, 'ab'.repeat(32)],
        ['x', 'cd'.repeat(20)],
      ]),
    ],
    check: latin1((text) => {
      const sums = parseSums(text, 'sums');
      deepStrictEqual(parseSums(formatSums(sums), 'sums'), sums);
      for (const file of sums.keys()) ok(!file.includes('/'));
    }),
  },
  {
    name: 'checksums',
    seeds: [`sha1=${'ab'.repeat(20)}`],
    check: latin1((text) => void parseChecksum(text)),
  },
  { name: 'tar files', seeds: [TAR.toString('latin1')], check: checkTar },
  {
    name: 'tar headers',
    seeds: [TAR.toString('latin1', 0, 512)],
    check: (bytes) => {
      const header = readTarHeader(Buffer.concat([bytes, Buffer.alloc(512)]).subarray(0, 512));
      ok(header === undefined || (Number.isSafeInteger(header.sizeBytes) && header.sizeBytes >= 0));
    },
  },
  {
    name: 'signed texts',
    seeds: [SIGNED],
    check: (bytes) => {
      const { lines, signature } = parseClearSigned(bytes);
      ok(
        lines.every((line) => !line.startsWith('-----BEGIN')) && signature.startsWith('-----BEGIN'),
      );
    },
  },
  {
    name: 'names of files of a store',
    seeds: [
      'snapshot-home-20261120T091421.lbs',
      'snapshot-20261120T091421.tag-a.b',
      'snapshot-x-20261120T091421.hold',
      `gc-${segmentName(3)}.removing`,
      `${segmentName(4)}.tar.zst.gpg`,
      'snapshot-a-20261120T091421.meta.bz2',
    ],
    check: latin1(checkNames),
  },
  {
    name: 'dates and numbers',
    seeds: ['20261120T091421', '2026-11-20 10:14:21 +0100', '2026-11-20T10:14:21Z', '12.5', '10M'],
    check: latin1(checkTimes),
  },
  { name: 'configuration', seeds: [CONFIG], check: (bytes) => void parseConfig(bytes, 'file') },
  { name: 'rule files', seeds: [RULES], check: checkRules },
  {
    name: 'stat caches',
    seeds: [STAT_CACHE],
    check: (bytes) => {
      withFile(
        bytes,
        (path) => void StatCacheReader.open(path)?.find(asByteText('.'), asByteText('a')),
      );
    },
  },
  {
    name: 'zstd frames',
    seeds: [ZSTD.toString('latin1'), ZSTD.toString('latin1', 0, 200)],
    check: checkZstd,
  },
  MESSAGES,
];
