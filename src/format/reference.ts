/**
 * References: the text that names (part of) an object in a segment.
 *
 *     ref   = segment "/" object [ "(" checksum ")" ] [ "[" slice "]" ]  |  "zero[" n "]"
 *     slice = start "+" length | "=" length | length          (decimal)
 *
 * What `[n]` alone says depends on who wrote it: up to format 0.7 the first n bytes, from 0.8 on
 * that the object is exactly n bytes long. We write `[start+length]` or no slice at all, which
 * every version reads the same way. Format: lbs-format(5), "REFERENCES".
 */
import { LbsError } from '../errors.ts';

/** How a lone `[n]` is to be read; from the descriptor's format version. */
export type SliceDialect = 'prefix' | 'exact';

export type ObjectReference = {
  readonly kind: 'object';
  /** Segment name: a lower-case UUID. */
  readonly segment: string;
  /** Number of the object in its segment. */
  readonly object: number;
  /** Checksum of the whole object, `algorithm=hex`, when given. */
  readonly checksum: string | undefined;
  /** The bytes meant; undefined is the whole object. */
  readonly slice: { readonly start: number; readonly length: number } | undefined;
  /** What the reference says of the size of the whole object, when it does. */
  readonly exactSize: number | undefined;
};

export type ZeroReference = { readonly kind: 'zero'; readonly length: number };
export type Reference = ObjectReference | ZeroReference;

const REFERENCE =
  /^([-0-9a-f]{1,64})\/([0-9a-f]{1,16})(?:\(([a-z0-9]{1,16}=[0-9a-f]{1,128})\))?(?:\[(?:(\d{1,16})\+(\d{1,16})|(=?)(\d{1,16}))\])?$/;
const ZERO = /^zero\[(?:\d{1,16}\+)?(\d{1,16})\]$/;

/** `segment/000000ff`. */
export function formatObjectName(segment: string, object: number): string {
  return `${segment}/${object.toString(16).padStart(8, '0')}`;
}

/** The text of a reference in the dialect we write. */
export function formatReference(reference: Reference): string {
  if (reference.kind === 'zero') return `zero[${reference.length}]`;
  const { segment, object, checksum, slice } = reference;
  const checked = checksum === undefined ? '' : `(${checksum})`;
  const sliced = slice === undefined ? '' : `[${slice.start}+${slice.length}]`;
  return formatObjectName(segment, object) + checked + sliced;
}

function safeNumber(text: string | undefined, whole: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) {
    throw new LbsError('format-syntax', `number out of range in reference "${whole}"`);
  }
  return value;
}

/**
 * Reads one reference. @throws {LbsError} format-syntax when it is none.
 */
export function parseReference(text: string, dialect: SliceDialect): Reference {
  const zero = ZERO.exec(text);
  if (zero) return { kind: 'zero', length: safeNumber(zero[1], text) };
  const match = REFERENCE.exec(text);
  if (!match) {
    throw new LbsError('format-syntax', `not a reference: "${text.slice(0, 120)}"`);
  }
  const [, segment = '', object, checksum, start, length, equals, lone] = match;
  const number = Number.parseInt(object ?? '', 16);
  if (!Number.isSafeInteger(number)) {
    throw new LbsError('format-syntax', `object number out of range in "${text}"`);
  }
  let slice: ObjectReference['slice'];
  let exactSize: number | undefined;
  if (start !== undefined) {
    slice = { start: safeNumber(start, text), length: safeNumber(length, text) };
  } else if (lone !== undefined) {
    if (equals === '=' || dialect === 'exact') exactSize = safeNumber(lone, text);
    else slice = { start: 0, length: safeNumber(lone, text) };
  }
  return { kind: 'object', segment, object: number, checksum, slice, exactSize };
}
