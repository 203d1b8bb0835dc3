import fc from '../helpers/fast-check.ts';
import test from 'ava';
import {
  uriEscape,
  uriEscapeText,
  uriUnescape,
  uriUnescapeText,
} from '../../src/format/uri-escape.ts';

test('a byte stands for itself from "+" to "~", except "@"; any other is %xx in lower case', (t) => {
  for (let byte = 0; byte < 256; byte++) {
    const isLiteral = byte >= 0x2b && byte <= 0x7e && byte !== 0x40;
    const wanted = isLiteral ? String.fromCharCode(byte) : `%${byte.toString(16).padStart(2, '0')}`;
    t.is(uriEscape(Buffer.from([byte])), wanted);
    t.is(uriEscapeText(String.fromCharCode(byte)), wanted);
    t.deepEqual([...uriUnescape(wanted)], [byte]);
  }
});

test('the sample of the original program is the same here', (t) => {
  const name = "odd names/a b%c@d!#$&'()*+,-~\ttab";
  t.is(uriEscape(Buffer.from(name)), 'odd%20names/a%20b%25c%40d%21%23%24%26%27%28%29%2a+,-~%09tab');
});

test('escapes in upper case are read, and what is no escape loses its %', (t) => {
  const table: readonly (readonly [string, string])[] = [
    ['%C3%A9', '\xc3\xa9'],
    ['%c3%A9', '\xc3\xa9'],
    ['100%', '100'],
    ['%', ''],
    ['%%41', 'A'],
    ['%4', '4'],
    ['%zz', 'zz'],
    ['a%2', 'a2'],
    ['%00', '\0'],
    ['', ''],
  ];
  for (const [text, bytes] of table) {
    t.is(uriUnescape(text).toString('latin1'), bytes, text);
    t.is(uriUnescapeText(text), bytes, text);
  }
});

test('any bytes come back, and their escaped form is printable without blanks', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (array) => {
      const bytes = Buffer.from(array);
      const escaped = uriEscape(bytes);
      t.regex(escaped, /^[!-~]*$/);
      t.deepEqual(uriUnescape(escaped), bytes);
      t.is(uriEscapeText(bytes.toString('latin1')), escaped);
    }),
  );
});
