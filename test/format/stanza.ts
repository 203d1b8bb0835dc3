import fc from '../helpers/fast-check.ts';
import test from 'ava';
import { type Stanza, StanzaParser, formatField } from '../../src/format/stanza.ts';

type Read = { stanzas: Stanza[]; includes: string[]; junk: string[] };

function read(text: string): Read {
  const parser = new StanzaParser();
  const result: Read = { stanzas: [], includes: [], junk: [] };
  for (const line of text.split('\n')) {
    const answer = parser.line(line);
    if (answer.kind === 'stanza') result.stanzas.push(answer.stanza);
    if (answer.kind === 'include') result.includes.push(answer.reference);
    if (answer.kind === 'junk') result.junk.push(answer.line);
  }
  const last = parser.end();
  if (last) result.stanzas.push(last);
  return result;
}

const of = (...pairs: [string, string][]): Stanza => new Map(pairs);

test('stanzas are keys and values up to an empty line', (t) => {
  const { stanzas, junk } = read('name: a\ntype: d\n\n\n\nname: b\ntype: f\n');
  t.deepEqual(stanzas, [of(['name', 'a'], ['type', 'd']), of(['name', 'b'], ['type', 'f'])]);
  t.deepEqual(junk, []);
});

test('a line that begins with a blank or a tab continues the value', (t) => {
  const { stanzas } = read('data: one\n    two\n\tthree\n four\nsize: 3\n');
  t.deepEqual(stanzas, [of(['data', 'one\ntwo\nthree\nfour'], ['size', '3'])]);
  t.deepEqual(read('Segments:\n    a\n    b\n').stanzas, [of(['Segments', 'a\nb'])]);
});

test('a value may be empty, may hold a colon, and keeps blanks at its end', (t) => {
  const text = 'data: \nempty:\ntime: 12:30:00\nspaced:   x  \n';
  t.deepEqual(read(text).stanzas, [
    of(['data', ''], ['empty', ''], ['time', '12:30:00'], ['spaced', 'x  ']),
  ]);
});

test('an include is a line with @ in its first column, and divides nothing', (t) => {
  const { stanzas, includes } = read('@a/0[0+5]\n\nname: x\ntype: d\n\n@b/1\n');
  t.deepEqual(includes, ['a/0[0+5]', 'b/1']);
  t.deepEqual(stanzas, [of(['name', 'x'], ['type', 'd'])]);
});

test('what is neither is told, and what continues it does not end up elsewhere', (t) => {
  const { stanzas, junk } = read('  at the start\nname: x\nno colon\n  more of it\nkey with: x\n');
  t.deepEqual(junk, ['  at the start', 'no colon', '  more of it', 'key with: x']);
  t.deepEqual(stanzas, [of(['name', 'x'])]);
});

test('a repeated key has its last value', (t) => {
  t.deepEqual(read('a: 1\na: 2\n').stanzas, [of(['a', '2'])]);
});

test('a field is one line, and further lines are indented', (t) => {
  t.is(formatField('size', '12'), 'size: 12\n');
  t.is(formatField('data', ''), 'data: \n');
  t.is(formatField('data', 'a\nb\nc'), 'data: a\n    b\n    c\n');
});

test('what is written is read as the same', (t) => {
  const key = fc.stringMatching(/^[A-Za-z0-9_]{1,12}$/);
  const value = fc.stringMatching(/^[!-~]{1,9}(\n[!-~]{1,9}){0,3}$/);
  fc.assert(
    fc.property(fc.uniqueArray(fc.tuple(key, value), { selector: ([k]) => k }), (fields) => {
      const text = fields.map(([k, v]) => formatField(k, v)).join('');
      t.deepEqual(read(`${text}\n`).stanzas, fields.length === 0 ? [] : [new Map(fields)]);
    }),
  );
});

test('any text is read without an error', (t) => {
  const line = fc.stringMatching(/^[@ \t:a\r\0\xff-]{0,8}$/);
  fc.assert(
    fc.property(fc.array(fc.oneof(line, fc.string({ unit: 'binary' }))), (lines) => {
      t.truthy(read(lines.join('\n')));
    }),
  );
});
