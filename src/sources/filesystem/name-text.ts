/**
 * Names as text, for matching patterns only; never turned back into a path.
 *
 * Each component is decoded by itself, so that one that is no UTF-8 does not change what matches
 * in the others.
 */
import { utf8Of } from '../../std/byte-path.ts';
import type { ByteText } from '../../std/byte-text.ts';

/** Bytes that are no UTF-8 become lone surrogates, which no text contains, one for each byte. */
const LONE_SURROGATES_AT = 0xdc00;
const NOT_ASCII = /[^\0-\x7f]/;

function decodedComponent(component: string): string {
  if (!NOT_ASCII.test(component)) return component;
  const bytes = Buffer.from(component, 'latin1');
  const text = utf8Of(bytes);
  if (text !== undefined) return text;
  return Array.from(bytes, (byte) =>
    String.fromCharCode(byte < 0x80 ? byte : LONE_SURROGATES_AT + byte),
  ).join('');
}

/** A path as text; a `?` of a pattern is one character of it. */
export function decoded(path: ByteText): string {
  if (!NOT_ASCII.test(path)) return path;
  return path.split('/').map(decodedComponent).join('/');
}
