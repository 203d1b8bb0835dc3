/**
 * Paths and names as bytes.
 *
 * Linux names are bytes without NUL and `/`; nothing says that they are text. They stay Buffers
 * from the scan to the stanza, and become text only for a screen (`showPath`, which escapes) or
 * for JSON (with a lossless twin).
 */
import { isUtf8 } from 'node:buffer';

declare const bytePathBrand: unique symbol;

/** A path as bytes; never NUL-terminated. Compare only with `comparePaths`. */
export type BytePath = Buffer & { readonly [bytePathBrand]: true };

const SLASH = 0x2f;
const DOT = 0x2e;

/** Takes the bytes of `raw` as a path; does not copy. */
export function bytePath(raw: Buffer | string): BytePath {
  return (typeof raw === 'string' ? Buffer.from(raw) : raw) as BytePath;
}

/** The top of a snapshot, `.`. */
export const TOP: BytePath = bytePath('.');

/** True for the path `.`. */
export function isTop(path: Buffer): boolean {
  return path.length === 1 && path[0] === DOT;
}

/** The last component. */
export function nameOf(path: BytePath): Buffer {
  return path.subarray(path.lastIndexOf(SLASH) + 1);
}

/** The components of a path, without empty ones and without `.`. */
export function componentsOf(path: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  let start = 0;
  for (let at = 0; at <= path.length; at++) {
    if (at !== path.length && path[at] !== SLASH) continue;
    const part = path.subarray(start, at);
    if (part.length > 0 && !isTop(part)) parts.push(part);
    start = at + 1;
  }
  return parts;
}

/**
 * Order of the scan, the metadata log and the stat cache: component by component, each compared
 * as unsigned bytes; a directory comes before what is in it. The top `.` comes first of all, so
 * that names whose first byte is below `.` are still found after it (the originals missed them).
 */
export function comparePaths(a: Buffer, b: Buffer): number {
  const aTop = isTop(a);
  const bTop = isTop(b);
  if (aTop || bTop) return Number(bTop) - Number(aTop);
  const shorter = Math.min(a.length, b.length);
  for (let at = 0; at < shorter; at++) {
    const left = a[at] ?? 0;
    const right = b[at] ?? 0;
    if (left === right) continue;
    // A component that ends here sorts before one that goes on with any byte.
    if (left === SLASH) return -1;
    if (right === SLASH) return 1;
    return left - right;
  }
  return a.length - b.length;
}

/** True when `path` is `top` itself or lies below it. */
export function isWithin(path: Buffer, top: Buffer): boolean {
  if (isTop(top)) return true;
  if (path.length < top.length || path.compare(top, 0, top.length, 0, top.length) !== 0) {
    return false;
  }
  return path.length === top.length || path[top.length] === SLASH;
}

/** The text of `bytes` if they are valid UTF-8, else undefined. */
export function utf8Of(bytes: Buffer): string | undefined {
  // Not a TextDecoder, which takes a byte order mark at the beginning of a name out of it.
  return isUtf8(bytes) ? bytes.toString() : undefined;
}

// C0 and C1 controls, DEL, line and paragraph separators and the bidirectional overrides: what
// could move the cursor, change colours or reorder a line on a person's terminal.
const UNSAFE_ON_SCREEN =
  /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\\]/gu;

/** Text that is safe to print: control characters become `\xNN` or `\u{N}`, a backslash `\\`. */
export function showText(text: string): string {
  return text.replace(UNSAFE_ON_SCREEN, (char) => {
    if (char === '\\') return '\\\\';
    if (char === '\n') return '\\n';
    if (char === '\t') return '\\t';
    const code = char.codePointAt(0) ?? 0;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });
}

// The same without the backslash, which is in texts that are safe already, and in JSON.
const UNSAFE_IN_LINE =
  /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu;

/**
 * A whole line with `\uNNNN` for what a terminal would not just print. In JSON it means the same as
 * before; in a text it is the last guard, for words of a store that nobody has looked at.
 */
export function safeLine(line: string): string {
  return line.replace(
    UNSAFE_IN_LINE,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

/** A path for a screen: never lets a file name write to the terminal. Not reversible to bytes. */
export function showPath(path: Buffer): string {
  const text = utf8Of(path);
  if (text !== undefined) return showText(text);
  let shown = '';
  for (const byte of path) {
    if (byte === 0x5c) shown += '\\\\';
    else if (byte >= 0x20 && byte < 0x7f) shown += String.fromCharCode(byte);
    else shown += `\\x${byte.toString(16).padStart(2, '0')}`;
  }
  return shown;
}
