/** Records of the stat cache as bytes: what is compared and copied without being read. */
import fc from '../helpers/fast-check.ts';
import test from 'ava';
import { uriEscapeText } from '../../src/format/uri-escape.ts';
import {
  CacheRecord,
  compareEscaped,
  formatRecord,
  recordEnd,
} from '../../src/localdb/stat-cache-record.ts';
import { type ByteText, asByteText, compareTexts } from '../../src/std/byte-text.ts';
import { GrowingBytes } from '../../src/std/growing-bytes.ts';

const SEGMENT = '7c18fb6f-0616-42cc-a985-5349a54add41';
const object = (number: number) => `${SEGMENT}/0000000${number}(sha1=${'ab'.repeat(20)})`;
const FACTS = {
  text: asByteText('a b/c'),
  statusLine: 'f 1 2 3.4 5.6|644 0 0 1 - 0/0 0 ',
  xattrs: '',
  content: 'checksum: sha1=x\nsize: 2\n',
};

function groupOf(text: string, of = object(1)) {
  const root = { object: object(9), start: 0, length: 90 };
  return {
    object: of,
    isFlat: true,
    root,
    bytes: Buffer.from(text, 'latin1'),
    crc: '',
    start: 0,
    end: 0,
  };
}

/** The record that `text` begins with, in a group of object 1. */
function parsed(text: string): CacheRecord {
  return new CacheRecord(groupOf(text), 0, { path: 0, status: text.indexOf('\n') + 1 });
}

const sign = (order: number) => Math.sign(order);
const names = fc
  .array(fc.constantFrom('.', '-', '/', '%', '!', 'a', '\xe9', '@', '\n', ' ', '~'), {
    minLength: 1,
    maxLength: 6,
  })
  .map((chars) => asByteText(chars.join('')));

test('escaped bytes and paths have the order of paths', (t) => {
  const check = (a: ByteText, b: ByteText) => {
    const bytes = Buffer.from(`xx${uriEscapeText(a)}\nmore`, 'latin1');
    t.is(sign(compareEscaped(bytes, 2, b)), sign(compareTexts(a, b)), JSON.stringify([a, b]));
  };
  fc.assert(fc.property(names, names, check), { numRuns: 2000 });
  for (const a of ['.', './', '..', '!', 'a', 'a/b', 'a\n', 'a\nmore']) {
    for (const b of ['.', '..', '!', 'a', 'a/', 'a\n', 'a\nmore', 'b']) {
      check(asByteText(a), asByteText(b));
    }
  }
});

test('a record is found in its bytes, with and without attributes and content', (t) => {
  for (const xattrs of ['', '00c0ffee', '-']) {
    for (const content of ['', FACTS.content]) {
      for (const stanza of [
        { object: object(1), start: 0, length: 7 },
        { object: object(2), start: 123456789012, length: 65 },
      ]) {
        const facts = { ...FACTS, xattrs, content };
        const text = formatRecord(facts, stanza, object(1));
        for (const [more, isLast] of [
          ['', true],
          ['next\n', false],
        ] as const) {
          const record = parsed(text + more);
          t.like(record, { ...facts, stanza, index: 0, isLast });
          t.is(record.contentEnd + 1, text.length);
          t.is(recordEnd(record.group.bytes, 0), record.contentEnd);
        }
      }
    }
  }
});

test('a copied record is what would be written', (t) => {
  const into = new GrowingBytes(10);
  for (const owner of [object(1), object(2)]) {
    const facts = { ...FACTS, xattrs: '00c0ffee' };
    const stanza = { object: owner, start: 5, length: 66 };
    const record = parsed(formatRecord(facts, stanza, object(1)));
    for (const target of [object(1), object(2), object(3)]) {
      into.clear();
      record.copyTo(into, target);
      t.is(into.bytes.toString('latin1'), formatRecord(facts, stanza, target));
    }
  }
});

test('what is no record is refused', (t) => {
  const bad = ['', 'x', 'x\n', 'x\ny\n', 'x\ny\n=1+2', 'x\ny\n=1+2\n', 'x\ny\n=12\n\n', 'x\ny\n1+2\n\n', 'x\ny\no[1+2\n\n', 'x\ny\n=1-2\n\n']; // prettier-ignore
  for (const text of bad) t.throws(() => parsed(text), { instanceOf: RangeError }, text);
  t.is(parsed('x\ny\n=1+2\n\n').statusLine, 'y');
});
