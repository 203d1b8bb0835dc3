/**
 * The arguments of this process as the bytes that they were given as.
 *
 * `process.argv` is text: the runtime puts U+FFFD where bytes are not UTF-8, and a file with such
 * a name could not be named. The kernel still has the bytes. Must run before anything sets
 * `process.title`, which overwrites them.
 */
import { readFileSync } from 'node:fs';

const REPLACEMENT = '\ufffd';

/** Splits what the kernel gives: arguments that end in NUL each. */
function splitCommandLine(raw: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  let start = 0;
  for (let end = raw.indexOf(0); end >= 0; end = raw.indexOf(0, start)) {
    parts.push(raw.subarray(start, end));
    start = end + 1;
  }
  return parts;
}

/**
 * The bytes of `args`, the last arguments of the command line `raw` (as in /proc/self/cmdline).
 * An argument whose text does not fit the bytes at its place is taken as its text.
 */
export function bytesOfArguments(args: readonly string[], raw: Buffer): Buffer[] {
  const last = splitCommandLine(raw).slice(-args.length);
  return args.map((text, at) => {
    const bytes = last[at];
    return bytes !== undefined && last.length === args.length && bytes.toString() === text
      ? bytes
      : Buffer.from(text);
  });
}

/** The arguments after the program's name, as bytes. */
export function argumentBytes(): Buffer[] {
  const args = process.argv.slice(2);
  // All text is UTF-8: nothing was lost.
  if (!args.some((text) => text.includes(REPLACEMENT)))
    return args.map((text) => Buffer.from(text));
  let raw: Buffer;
  try {
    raw = readFileSync('/proc/self/cmdline');
  } catch {
    // No /proc here: the text is all there is, and a name that it does not fit will be "missing".
    raw = Buffer.alloc(0);
  }
  return bytesOfArguments(args, raw);
}
