/** The stat cache as a text: what the writer writes is what the reader finds. */
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import fc from '../helpers/fast-check.ts';
import test from 'ava';
import { statCacheFile } from '../../src/localdb/stat-cache-place.ts';
import { StatCacheReader } from '../../src/localdb/stat-cache-reader.ts';
import { type CacheGroup, formatRecord } from '../../src/localdb/stat-cache-record.ts';
import {
  type CachedAccount,
  type RootPlace,
  StatCacheWriter,
} from '../../src/localdb/stat-cache-writer.ts';
import { type ByteText, asByteText, compareTexts } from '../../src/std/byte-text.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const SEGMENT = '7c18fb6f-0616-42cc-a985-5349a54add41';
const object = (number: number) => `${SEGMENT}/0000000${number}(sha1=${'ab'.repeat(20)})`;
const record = (path: string, start: number, content = '', of = object(0)) => ({
  text: asByteText(path),
  // A status is always one line.
  statusLine: `line of ${path.replaceAll('\n', ' ')}`,
  stanza: { object: of, start, length: 7 },
  xattrs: '',
  content,
});

const bytesOf = (records: readonly string[]) => Buffer.from(records.join(''), 'latin1');

const CONTENT = `checksum: sha1=x\ndata: ${SEGMENT}/00000003\n    zero[5]\nsize: 12\n`;

const FIRST = `.
line of .
=0+7

%21below%20the%20dot
line of !below the dot
=7+7 00c0ffee
data: 
size: 0

a%ff%40
line of a\xff@
=14+7
${CONTENT}
`;
const SECOND = `b
line of b
=0+7

b/c
line of b/c
${object(0)}[99+7]
${CONTENT}
`;
const END = `root ${object(3)}
accounts 3
account u0 root
account g5 tty%20group
account u4711
${object(2)}[0+90]
${object(3)}[90+91]
`;

const crcOf = (text: string, before = '') =>
  crc32(Buffer.from(before + text, 'latin1'))
    .toString(16)
    .padStart(8, '0');
const group = (number: number, kind: string, text: string) =>
  `@${object(number)} ${kind} ${text.length} ${crcOf(text, `${object(number)} ${kind}`)}\n${text}`;
const GROUPS = `lbs stat cache 2\n${group(0, 'flat', FIRST)}${group(1, 'nested', SECOND)}`;
const cacheText = (groups: string, end: string) =>
  `${groups}${end}trailer ${String(groups.length).padStart(16, '0')} ${crcOf(end)}\n`;
const GOLDEN = cacheText(GROUPS, END);

const ACCOUNTS: readonly CachedAccount[] = [
  { kind: 'u', id: 0, name: 'root' },
  { kind: 'g', id: 5, name: 'tty group' },
  { kind: 'u', id: 4711, name: undefined },
];
const PLACES: readonly RootPlace[] = [
  { object: object(2), start: 0, length: 90 },
  { object: object(3), start: 90, length: 91 },
];

const OTHER = formatRecord(record('z', 0), record('z', 0).stanza, object(0));

/** The record of a path. */
function found(reader: StatCacheReader | undefined, path: ByteText) {
  const slash = path.lastIndexOf('/');
  const directory = slash < 0 ? '.' : path.slice(0, slash);
  return reader?.find(asByteText(directory), asByteText(path.slice(slash + 1)));
}

/** Two groups, the second nested. */
function writeExample(file: string): void {
  const writer = new StatCacheWriter(file);
  const below = { ...record('!below the dot', 7, 'data: \nsize: 0\n'), xattrs: '00c0ffee' };
  const first = [record('.', 0), below, record('a\xff@', 14, CONTENT)];
  const second = [record('b', 0, '', object(1)), record('b/c', 99, CONTENT)];
  const text = (records: typeof first, of: string) =>
    bytesOf(records.map((each) => formatRecord(each, each.stanza, of)));
  writer.addGroup(object(0), true, text(first, object(0)));
  writer.addGroup(object(1), false, text(second, object(1)));
  writer.finish(object(3), ACCOUNTS, PLACES);
  writer.commit();
}

test('the cache is exactly this text', (t) => {
  const file = join(tempDir(t), 'cache');
  writeExample(file);
  t.is(readFileSync(file, 'latin1'), GOLDEN);
  t.is(statSync(file).mode & 0o777, 0o600);
  t.false(existsSync(`${file}.new`));
});

test('records are found in order, with their groups and the places of these in a root', (t) => {
  const file = join(tempDir(t), 'cache');
  writeExample(file);
  const reader = StatCacheReader.open(file);
  t.is(reader?.root, object(3));
  t.deepEqual([...(reader?.accounts ?? [])], [['u0', 'root'], ['g5', 'tty group'], ['u4711', undefined]]); // prettier-ignore
  t.like(found(reader, asByteText('.')), {
    ...record('.', 0),
    index: 0,
    isLast: false,
    group: { object: object(0), isFlat: true, root: { object: object(2), start: 0, length: 90 } },
  });
  t.is(reader?.groupsSeen, 1);
  t.is(found(reader, asByteText('!absent')), undefined);
  t.like(found(reader, asByteText('!below the dot')), {
    content: 'data: \nsize: 0\n',
    index: 1,
    xattrs: '00c0ffee',
  });
  // Nobody asks for `a\xff@`, which is skipped.
  const b = found(reader, asByteText('b'));
  t.like(b, {
    index: 0,
    isLast: false,
    group: { object: object(1), isFlat: false, root: { object: object(3), start: 90, length: 91 } },
  });
  t.false(reader?.isConsumed());
  const c = found(reader, asByteText('b/c'));
  t.like(c, { ...record('b/c', 99, CONTENT), index: 1, isLast: true });
  t.is(c?.group, b?.group);
  t.is(found(reader, asByteText('c')), undefined);
  t.true(reader?.isConsumed());
  t.is(reader?.groupsSeen, 2);
  reader?.close();
});

test('the last record of a group that is not the last group says so', (t) => {
  const file = join(tempDir(t), 'cache');
  writeExample(file);
  const reader = StatCacheReader.open(file);
  t.like(found(reader, asByteText('a\xff@')), { index: 2, isLast: true, content: CONTENT });
  reader?.close();
});

/** A cache of these paths, in groups of five. */
function writePaths(file: string, texts: readonly ByteText[]): number {
  const writer = new StatCacheWriter(file);
  const groups = Math.ceil(texts.length / 5);
  for (let at = 0; at < groups; at++) {
    const records = texts
      .slice(5 * at, 5 * at + 5)
      .map((text) => record(text, at))
      .map((each) => formatRecord(each, each.stanza, object(9)));
    writer.addGroup(object(at % 10), true, bytesOf(records));
  }
  const places = Array.from({ length: groups }, () => ({ object: object(9), start: 0, length: 1 }));
  writer.finish(object(9), [], places);
  writer.commit();
  return groups;
}

test('any names in path order come back', (t) => {
  const dir = tempDir(t);
  let number = 0;
  const name = fc
    .uint8Array({ minLength: 1, maxLength: 12 })
    .map((bytes) => Buffer.from(bytes).toString('latin1').replace(/\0/g, '/'))
    // Paths as the scan makes them: no empty component, and no `.`.
    .filter((path) => path.split('/').every((part) => part !== '' && part !== '.'));
  fc.assert(
    fc.property(fc.uniqueArray(name), (names) => {
      const file = join(dir, String(number++));
      const texts = ['.', ...names].map(asByteText).sort(compareTexts);
      const groups = writePaths(file, texts);
      const reader = StatCacheReader.open(file);
      for (const text of texts) t.is(found(reader, text)?.text, text);
      t.true(reader?.isConsumed());
      t.is(reader?.groupsSeen, groups);
      reader?.close();
    }),
    { numRuns: 50 },
  );
});

test('of many names in few directories those that were written come back, and no others', (t) => {
  const dir = tempDir(t);
  let number = 0;
  const component = fc.constantFrom('a', 'ab', 'a b', '%', '!', '-', '~', 'a\xff');
  const path = fc.array(component, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('/'));
  const paths = fc.uniqueArray(fc.tuple(path, fc.boolean()), { selector: ([text]) => text, maxLength: 60 }); // prettier-ignore
  fc.assert(
    fc.property(paths, (some) => {
      const file = join(dir, String(number++));
      const written = new Map(some.map(([text, isWritten]) => [asByteText(text), isWritten]));
      const texts = [...written.keys()].sort(compareTexts);
      writePaths(file, texts.filter((text) => written.get(text))); // prettier-ignore
      const reader = StatCacheReader.open(file);
      for (const text of texts) {
        t.is(found(reader, text)?.text, written.get(text) === true ? text : undefined);
      }
      reader?.close();
    }),
    { numRuns: 100 },
  );
});

test('a cache larger than its buffers comes back, and so does a huge record', (t) => {
  const file = join(tempDir(t), 'cache');
  const writer = new StatCacheWriter(file);
  const names = Array.from({ length: 5000 }, (_, at) => `f${String(at).padStart(6, '0')}`);
  const huge = `data: ${'x'.repeat(3_000_000)}\n`;
  const records = names
    .map((path, at) => record(path, at, at === 2500 ? huge : CONTENT))
    .map((each) => formatRecord(each, each.stanza, object(0)));
  writer.addGroup(object(0), true, bytesOf(records));
  writer.finish(object(1), [], [{ object: object(1), start: 0, length: 1 }]);
  writer.commit();
  const reader = StatCacheReader.open(file);
  for (const [at, path] of names.entries()) {
    t.is(
      found(reader, asByteText(path))?.content.length,
      at === 2500 ? huge.length : CONTENT.length,
    );
  }
  t.true(reader?.isConsumed());
  reader?.close();
  // The next run keeps it all, and adds a group.
  const old = StatCacheReader.open(file);
  const kept = found(old, asByteText('f000000'))?.group;
  const next = new StatCacheWriter(file, old);
  if (kept !== undefined) next.addKept(kept);
  next.addGroup(object(0), true, Buffer.from(OTHER));
  next.finish(object(1), [], []);
  next.commit();
  old?.close();
  const groups = `lbs stat cache 2\n${group(0, 'flat', records.join(''))}${group(0, 'flat', OTHER)}`;
  t.true(readFileSync(file, 'latin1') === cacheText(groups, `root ${object(1)}\naccounts 0\n`));
});

test('a cache that is cut off anywhere is as good as none', (t) => {
  const file = join(tempDir(t), 'cache');
  t.is(StatCacheReader.open(file), undefined, 'there is none');
  for (let length = 0; length < GOLDEN.length; length++) {
    writeFileSync(file, GOLDEN.slice(0, length), 'latin1');
    t.is(StatCacheReader.open(file), undefined, `${length} bytes`);
  }
});

test('a cache of another version, or without a root, is as good as none', (t) => {
  const file = join(tempDir(t), 'cache');
  const bad = [
    GOLDEN.replace('cache 2', 'cache 1'),
    GOLDEN.replace(/^lbs/, 'LBS'),
    GOLDEN.replace(/trailer 0/, 'trailer 9'),
    GOLDEN.replace(/trailer \d/, 'trailer x'),
    `${GOLDEN}\n`,
    GOLDEN.replace(/root .*\n/, 'root \n'),
    GOLDEN.replace('account u0 root', 'account u0 toor'),
    'x'.repeat(10_000),
  ];
  for (const text of bad) {
    writeFileSync(file, text, 'latin1');
    t.is(StatCacheReader.open(file), undefined, text.slice(0, 60));
  }
});

test('a damaged group ends the cache there, without an error', (t) => {
  const file = join(tempDir(t), 'cache');
  const damages: readonly (readonly [from: string, to: string])[] = [
    ['line of b\n', 'line of c\n'],
    ['[99+7]', '[98+7]'],
    [' nested', ' netsed'],
    [' nested', ' flat  '],
    [`@${object(1)} nested`, `@${object(2)} nested`],
  ];
  for (const [from, to] of damages) {
    const text = GOLDEN.replace(from, to);
    t.is(text.length, GOLDEN.length, 'or the trailer would not fit');
    writeFileSync(file, text, 'latin1');
    const reader = StatCacheReader.open(file);
    t.is(found(reader, asByteText('a\xff@'))?.text, asByteText('a\xff@'));
    t.is(found(reader, asByteText('b')), undefined, to);
    t.is(found(reader, asByteText('b/c')), undefined, to);
    t.false(reader?.isConsumed(), 'it is not known what else was in it');
    reader?.close();
  }
});

test('until it is committed the old cache stays, and a discarded one leaves no trace', (t) => {
  const file = join(tempDir(t), 'cache');
  writeExample(file);
  const writer = new StatCacheWriter(file);
  writer.addGroup(object(0), true, Buffer.from('something else'));
  t.is(readFileSync(file, 'latin1'), GOLDEN);
  writer.discard();
  t.false(existsSync(`${file}.new`));
  t.is(readFileSync(file, 'latin1'), GOLDEN);
});

test('a place where no file can be made is an error of ours', (t) => {
  const file = join(tempDir(t), 'no', 'such', 'directory');
  t.throws(() => new StatCacheWriter(file), { code: 'io' });
});

/** What a run with the example as its old cache may write, and what must be in the file then. */
const NEXT_RUNS: readonly (readonly [
  what: string,
  write: (writer: StatCacheWriter, groups: readonly CacheGroup[]) => void,
  text: string,
])[] = [
  ['all is kept', (writer, groups) => {
    for (const group of groups) writer.addKept(group);
    writer.finish(object(3), ACCOUNTS, PLACES);
  }, GOLDEN],
  ['an account has gone', (writer, groups) => {
    for (const group of groups) writer.addKept(group);
    writer.finish(object(3), ACCOUNTS.slice(0, 2), PLACES);
  }, cacheText(GROUPS, END.replace('accounts 3', 'accounts 2').replace('account u4711\n', ''))],
  ['the last group has gone', (writer, groups) => {
    for (const group of groups.slice(0, 1)) writer.addKept(group);
    writer.finish(object(3), ACCOUNTS, PLACES.slice(0, 1));
  }, cacheText(GROUPS.slice(0, GROUPS.indexOf(`@${object(1)}`)), END.replace(`${object(3)}[90+91]\n`, ''))],
  ['the first group has gone', (writer, groups) => {
    for (const group of groups.slice(1)) writer.addKept(group);
    writer.finish(object(3), ACCOUNTS, PLACES);
  }, cacheText(`lbs stat cache 2\n${group(1, 'nested', SECOND)}`, END)],
  ['the last group is another', (writer, groups) => {
    for (const group of groups.slice(0, 1)) writer.addKept(group);
    writer.addGroup(object(0), true, Buffer.from(OTHER));
    writer.finish(object(3), ACCOUNTS, PLACES);
  }, cacheText(`lbs stat cache 2\n${group(0, 'flat', FIRST)}${group(0, 'flat', OTHER)}`, END)],
  ['a group came before', (writer, groups) => {
    writer.addGroup(object(0), true, Buffer.from(OTHER));
    for (const group of groups) writer.addKept(group);
    writer.finish(object(3), ACCOUNTS, PLACES);
  }, cacheText(GROUPS.replace('@', `${group(0, 'flat', OTHER)}@`), END)],
  ['nothing is left', (writer) => {
    writer.finish(object(3), [], []);
  }, cacheText('lbs stat cache 2\n', `root ${object(3)}\naccounts 0\n`)],
]; // prettier-ignore

for (const [what, write, text] of NEXT_RUNS) {
  test(`the cache of the next run is right where ${what}`, (t) => {
    const file = join(tempDir(t), 'cache');
    writeExample(file);
    writeFileSync(`${file}.new`, 'of a run that was killed');
    const { ino } = statSync(file);
    const old = StatCacheReader.open(file);
    const groups = ['.', 'b'].flatMap((path) => found(old, asByteText(path))?.group ?? []);
    t.is(groups.length, 2);
    const writer = new StatCacheWriter(file, old);
    write(writer, groups);
    t.is(readFileSync(file, 'latin1'), GOLDEN, 'not before it is committed');
    writer.commit();
    writer.discard();
    t.is(readFileSync(file, 'latin1'), text);
    t.is(statSync(file).ino === ino, text === GOLDEN, 'only what changed is written');
    t.false(existsSync(`${file}.new`));
    old?.close();
  });
}

test('each scheme has its own file', (t) => {
  t.is(statCacheFile('/x', undefined), '/x/lbs-statcache');
  t.is(statCacheFile('/x', 'home'), '/x/lbs-statcache-home');
});
