/**
 * The escaping of names in stanzas, stat caches and protocols of the family.
 *
 * A byte stands for itself iff it is in `+`..`~` and not `@`; any other byte is `%` and two
 * lower-case hex digits (old readers know only lower case). `%` itself is outside that range's
 * literals by being 0x25. Format: lbs-format(5), "ESCAPING".
 */

const HEX = '0123456789abcdef';
const PERCENT = 0x25;

function isLiteral(byte: number): boolean {
  return byte >= 0x2b && byte <= 0x7e && byte !== 0x40;
}

const ESCAPE_OF_BYTE: string[] = Array.from({ length: 256 }, (_, byte) =>
  isLiteral(byte) ? String.fromCharCode(byte) : `%${HEX[byte >> 4] ?? ''}${HEX[byte & 15] ?? ''}`,
);
// Anything that needs escaping, as a test on the Latin-1 text of the bytes.
// eslint-disable-next-line no-control-regex
const NEEDS_ESCAPE = /[\u0000-\u002a@\u007f-\u00ff]/;

/** Escapes bytes; the result is ASCII without white space. */
export function uriEscape(bytes: Buffer): string {
  const text = bytes.toString('latin1');
  if (!NEEDS_ESCAPE.test(text)) return text;
  let escaped = '';
  for (const byte of bytes) escaped += ESCAPE_OF_BYTE[byte] ?? '';
  return escaped;
}

function hexValue(byte: number | undefined): number {
  if (byte === undefined) return -1;
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

/**
 * Bytes of escaped text. Both hex cases are read; a `%` that starts no pair is dropped, as the
 * originals did. Characters above U+00FF cannot occur: the text comes from bytes.
 */
export function uriUnescape(text: string): Buffer {
  const raw = Buffer.from(text, 'latin1');
  if (!text.includes('%')) return raw;
  let length = 0;
  for (let at = 0; at < raw.length; at++) {
    const byte = raw[at] ?? 0;
    if (byte !== PERCENT) {
      raw[length++] = byte;
      continue;
    }
    const high = hexValue(raw[at + 1]);
    const low = hexValue(raw[at + 2]);
    if (high < 0 || low < 0) continue;
    raw[length++] = high * 16 + low;
    at += 2;
  }
  return raw.subarray(0, length);
}

/** `uriEscape` of bytes that are held as Latin-1 text. */
export function uriEscapeText(text: string): string {
  return NEEDS_ESCAPE.test(text) ? uriEscape(Buffer.from(text, 'latin1')) : text;
}

/** `uriUnescape` as Latin-1 text. */
export function uriUnescapeText(text: string): string {
  return text.includes('%') ? uriUnescape(text).toString('latin1') : text;
}
