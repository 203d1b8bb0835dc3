import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import fc from '../helpers/fast-check.ts';
import test from 'ava';
import { LbsError } from '../../src/errors.ts';
import {
  type NewDescriptor,
  formatDescriptor,
  isSigned,
  parseDescriptor,
} from '../../src/format/descriptor.ts';
import { PROJECT } from '../helpers/run-lbs.ts';

const A = '59669976-da50-4cc0-afbf-74d222a510a7';
const B = '7c18fb6f-0616-42cc-a985-5349a54add41';
const ROOT = `${B}/00000001(sha1=7dea2ab2e1208d19af0bad687d0109983df32c9a)`;
/** 2026-11-20 09:14:21 UTC. */
const MOMENT = 1795166061;

const NEW: NewDescriptor = {
  producer: 'lbs 1.2.3',
  date: MOMENT,
  scheme: 'demo',
  root: ROOT,
  checksums: `sha1=${'1'.repeat(40)}`,
  checksumsSha256: `sha256=${'2'.repeat(64)}`,
  host: 'anna.example.org',
  top: Buffer.from('/home/anna b'),
  paths: [Buffer.from('.'), Buffer.from('a b/c\xff', 'latin1')],
  counts: { entries: 10, files: 7, bytes: 4096, stored: 999, warnings: 1 },
  unread: [Buffer.from('a b/d')],
  name: 'demo-20261120T091421',
  previous: { name: 'demo-20261119T091503', sha256: '3'.repeat(64) },
  segments: [B, A],
};

/** The date is in the zone of whoever runs the tests, and the seal covers it. */
const withoutDate = (text: string) =>
  text.replace(/^Date: .*$/m, 'Date: *').replace(/(?<=^Descriptor_sha256: ).*$/m, '*');

const GOLDEN = `Format: LBS Snapshot v0.6
Producer: lbs 1.2.3
Date: *
Scheme: demo
Name: demo-20261120T091421
Previous: demo-20261119T091503
Previous_sha256: ${'3'.repeat(64)}
Root: ${ROOT}
Checksums: sha1=${'1'.repeat(40)}
Checksums_sha256: sha256=${'2'.repeat(64)}
Host: anna.example.org
Top: /home/anna%20b
Paths: . a%20b/c%ff
Entries: 10
Files: 7
Bytes: 4096
Stored: 999
Warnings: 1
Unread: a%20b/d
Descriptor_sha256: *
Segments:
    ${A}
    ${B}
`;

test('a new descriptor has exactly these bytes', (t) => {
  t.is(withoutDate(formatDescriptor(NEW)), GOLDEN);
  const plain = withoutDate(formatDescriptor({ ...NEW, scheme: undefined }));
  t.is(plain, GOLDEN.replace('Scheme: demo\n', ''));
});

test('a predecessor is one only by a name, and has a digest only by one', (t) => {
  const read = (name: string, digest: string) =>
    parseDescriptor(GOLDEN.replace(/^Previous: .*$/m, `Previous: ${name}`).replace(/3{64}/, digest))
      .previous;
  t.deepEqual(read('20261119T091503', '3'.repeat(64))?.sha256, '3'.repeat(64));
  for (const bad of ['', '3'.repeat(63), 'G'.repeat(64), `${'3'.repeat(64)} x`]) {
    t.deepEqual(read('20261119T091503', bad), { name: '20261119T091503', sha256: undefined });
  }
  for (const bad of ['', 'x', '../20261119T091503x']) t.is(read(bad, '3'.repeat(64)), undefined);
  const first = formatDescriptor({ ...NEW, previous: undefined });
  t.is(withoutDate(first), GOLDEN.replace(/^Previous.*\n/gm, ''));
});

test('an intent has a key of its own where there is one, and is read back', (t) => {
  for (const intent of [1, 7, 0.5, 0.000001, 999999999]) {
    const text = formatDescriptor({ ...NEW, intent });
    t.is(withoutDate(text), GOLDEN.replace('Descriptor_', `Intent: ${intent}\nDescriptor_`));
    t.is(parseDescriptor(text).intent, intent);
  }
  t.is(parseDescriptor(GOLDEN).intent, undefined);
  const old = GOLDEN.replace('Segments:', 'Backup-Intent: 7\nSegments:');
  t.is(parseDescriptor(old).intent, 7);
  for (const bad of ['0', '-1', 'x', '', '1e3', '1'.repeat(10), 'NaN']) {
    const text = GOLDEN.replace('Segments:', `Intent: ${bad}\nSegments:`);
    t.is(parseDescriptor(text).intent, undefined, bad);
  }
});

test('what could not be read is told, and may be anything where nobody says', (t) => {
  const unreadIn = (text: string) => parseDescriptor(text).unread.map(String);
  t.deepEqual(unreadIn(GOLDEN), ['a b/d']);
  const none = formatDescriptor({ ...NEW, unread: [] });
  t.is(withoutDate(none), GOLDEN.replace(/^Unread: .*$/m, 'Unread:'));
  t.deepEqual(unreadIn(none), []);
  t.deepEqual(unreadIn(GOLDEN.replace(/^Unread: .*\n/m, '')), ['.']);
  const whole = formatDescriptor({ ...NEW, counts: { ...NEW.counts, warnings: 0 }, unread: [] });
  t.is(withoutDate(whole), GOLDEN.replace(/^Warnings: 1\nUnread: .*$/m, 'Warnings: 0'));
  t.deepEqual(unreadIn(whole), []);
});

test('keys that the first programs do not know have letters, digits and "_" only', (t) => {
  for (const line of formatDescriptor(NEW).split('\n')) t.regex(line, /^(?:\w+:.*|    .+|)$/);
});

test('a new descriptor is read as what it was made of', (t) => {
  const read = parseDescriptor(formatDescriptor(NEW));
  t.like(read, {
    format: 'LBS Snapshot v0.6',
    version: [0, 6],
    producer: 'lbs 1.2.3',
    date: MOMENT,
    scheme: 'demo',
    dialect: 'prefix',
    checksums: NEW.checksums,
    checksumsSha256: NEW.checksumsSha256,
    host: 'anna.example.org',
    top: Buffer.from('/home/anna b'),
    paths: [Buffer.from('.'), Buffer.from('a b/c\xff', 'latin1')],
    counts: NEW.counts,
    name: NEW.name,
    previous: NEW.previous,
    segments: [A, B],
  });
  t.like(read.root, { segment: B, object: 1 });
});

const minimal = (format: string, root = ROOT) => `Format: ${format}\nRoot: ${root}\nSegments:\n`;

test('what "[n]" means follows the version', (t) => {
  const versions: readonly (readonly [format: string, dialect: 'prefix' | 'exact'])[] = [
    ['LBS Snapshot v0.1', 'prefix'],
    ['LBS Snapshot v0.2', 'prefix'],
    ['LBS Snapshot v0.6', 'prefix'],
    ['LBS Snapshot v0.7', 'prefix'],
    ['LBS Snapshot v0.7.9', 'prefix'],
    ['LBS Snapshot v0.8', 'exact'],
    ['LBS Snapshot v0.8.0', 'exact'],
    ['LBS Snapshot v0.10', 'exact'],
    ['Cumulus Snapshot v0.11', 'exact'],
    ['something else', 'exact'],
  ];
  for (const [format, dialect] of versions) {
    const read = parseDescriptor(minimal(format, `${B}/00000001[118]`));
    t.is(read.dialect, dialect, format);
    if (dialect === 'exact') t.is(read.root.exactSize, 118, format);
    else t.deepEqual(read.root.slice, { start: 0, length: 118 }, format);
  }
});

test('a version that is newer than any known is refused', (t) => {
  for (const version of ['0.12', '0.11.1', '1', '1.0', '2.5', '0.99']) {
    for (const name of ['LBS', 'Cumulus']) {
      const text = minimal(`${name} Snapshot v${version}`);
      t.throws(
        () => parseDescriptor(text),
        { instanceOf: LbsError, code: 'format-version' },
        version,
      );
    }
  }
  t.notThrows(() => parseDescriptor(minimal('Cumulus Snapshot v0.11.0')));
});

test('the segment of the root is needed even where it is not listed', (t) => {
  t.deepEqual(parseDescriptor(minimal('Cumulus Snapshot v0.11')).segments, [B]);
  const text = `${minimal('LBS Snapshot v0.6')}    ${A}\n    ${B}\n    ${A}\n`;
  t.deepEqual(parseDescriptor(text).segments, [A, B]);
});

test('unknown keys are kept, and blank lines and junk do not end it', (t) => {
  const text = `\nFormat: LBS Snapshot v0.6\n\njunk here\nBackup-Intent: 1\nFuture: x\nRoot: ${ROOT}\n\nSegments:\n    ${A}\n\n    ${B}\n`;
  const read = parseDescriptor(text);
  t.is(read.fields.get('Backup-Intent'), '1');
  t.is(read.fields.get('Future'), 'x');
  t.deepEqual(read.segments, [A, B]);
  t.is(read.counts, undefined);
  t.is(read.date, undefined);
});

test('the signed part of a clear-signed descriptor is read, and nothing around it', (t) => {
  const body = formatDescriptor(NEW);
  const signed = `-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n${body}- -dashed\n-----BEGIN PGP SIGNATURE-----\n\niQ==\n=abcd\n-----END PGP SIGNATURE-----\nRoot: ${A}/00000000\n`;
  t.true(isSigned(signed));
  t.false(isSigned(body));
  const read = parseDescriptor(`Scheme: not signed\n${signed}`);
  t.is(read.scheme, 'demo');
  t.is(read.root.segment, B);
  t.false(read.fields.has('Hash'));
  t.deepEqual(parseDescriptor(signed.replaceAll('\n', '\r\n')).segments, [A, B]);
});

const UNUSABLE = [
  '',
  'Format: LBS Snapshot v0.6\n',
  `Format: LBS Snapshot v0.6\nSegments:\n    ${A}\n`,
  minimal('LBS Snapshot v0.6', 'x'),
  minimal('LBS Snapshot v0.6', 'zero[5]'),
  minimal('LBS Snapshot v0.6', ''),
  `${minimal('LBS Snapshot v0.6')}    ../${A}\n`,
  `${minimal('LBS Snapshot v0.6')}    ${A}.tar\n`,
  `${minimal('LBS Snapshot v0.6')}    /etc/passwd\n`,
];

test('a descriptor without a usable root or with a strange segment is refused', (t) => {
  for (const text of UNUSABLE) {
    t.throws(() => parseDescriptor(text), { instanceOf: LbsError, code: 'format-syntax' }, text);
  }
});

const STORES = join(PROJECT, 'test', 'fixtures', 'stores');
const fixtures = readdirSync(STORES, { recursive: true, encoding: 'utf8' }).filter((name) =>
  /\.(?:lbs|cumulus)$/.test(name),
);

test('descriptors of the original programs are read', (t) => {
  t.true(fixtures.length > 0);
  for (const name of fixtures) {
    const text = readFileSync(join(STORES, name), 'latin1');
    const read = parseDescriptor(text);
    t.is(read.format, /^Format: (.*)$/m.exec(text)?.[1] ?? '', name);
    t.is(read.producer, /^Producer: (.*)$/m.exec(text)?.[1]);
    t.is(typeof read.date, 'number');
    t.is(read.scheme, /^Scheme: (.*)$/m.exec(text)?.[1]);
    t.deepEqual(read.segments, [...text.matchAll(/^    (\S+)$/gm)].map((match) => match[1] ?? '').sort()); // prettier-ignore
    t.true(read.segments.includes(read.root.segment));
  }
});

test('no text makes the reader do anything but answer or refuse', (t) => {
  const line = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 40 }),
    fc.constantFrom('Root: ', `Root: ${ROOT}`, 'Segments:', `    ${A}`, 'Format: LBS Snapshot v0.6', 'Date: x', '-----BEGIN PGP SIGNED MESSAGE-----', '-----BEGIN PGP SIGNATURE-----', '', '@x', '- '), // prettier-ignore
  );
  fc.assert(
    fc.property(fc.array(line), (lines) => {
      try {
        parseDescriptor(lines.join('\n'));
      } catch (error) {
        if (!(error instanceof LbsError)) throw error;
      }
    }),
    { numRuns: 500 },
  );
  t.pass();
});
