/**
 * The references in the `data:` lines of a content text, as the stat cache has them.
 *
 * Walked by their positions in the bytes: every unchanged file has them looked at, and text for
 * each of them took a tenth of an unchanged run.
 */
const NEWLINE = 0x0a;
const BLANK = 0x20;
const SLASH = 0x2f;
const NINE = 0x39;
const ZERO = 0x30;
const LOWER_A = 0x61;

/** A reference of ours begins with the segment's UUID. */
export const SEGMENT_NAME_CHARS = 36;
const OBJECT_DIGITS = 8;
const KEY = Buffer.from('data: ');
/** Before the references of a value but the first. */
const INDENT = 4;

function isKeyAt(bytes: Buffer, at: number): boolean {
  for (let next = 0; next < KEY.length; next++) if (bytes[at + next] !== KEY[next]) return false;
  return true;
}

function nextLine(bytes: Buffer, at: number, end: number): number {
  let next = at;
  while (next < end && bytes[next] !== NEWLINE) next++;
  return next + 1;
}

/** Where the first reference of the content between `start` and `end` begins; -1 without one. */
export function firstReference(bytes: Buffer, start: number, end: number): number {
  for (let line = start; line < end; line = nextLine(bytes, line, end)) {
    if (isKeyAt(bytes, line)) return line + KEY.length;
  }
  return -1;
}

/** Where the reference after the one at `at` begins; -1 when that was the last. */
export function nextReference(bytes: Buffer, at: number, end: number): number {
  const line = nextLine(bytes, at, end);
  return line < end && bytes[line] === BLANK ? line + INDENT : -1;
}

/** True for a reference to an object; zero[n] refers to nothing. */
export function isObjectReference(bytes: Buffer, at: number): boolean {
  return bytes[at + SEGMENT_NAME_CHARS] === SLASH;
}

/** The number of the object that the reference names. */
export function objectNumber(bytes: Buffer, at: number): number {
  let number = 0;
  const start = at + SEGMENT_NAME_CHARS + 1;
  for (let next = start; next < start + OBJECT_DIGITS; next++) {
    const digit = bytes[next] ?? 0;
    number = number * 16 + (digit <= NINE ? digit - ZERO : digit - LOWER_A + 10);
  }
  return number;
}
