/** Paths from files: `--files-from` (one a line) and `--files-from0` (NUL after each), as bytes. */
import { readFileSync } from 'node:fs';
import { LbsError, errnoName, messageOf } from '../errors.ts';
import { type BytePath, bytePath, showPath } from '../std/byte-path.ts';

const STDIN_FD = 0;

/** The non-empty parts of `raw` between bytes `end`; the last one may lack it. */
export function splitPaths(raw: Buffer, end: number): BytePath[] {
  const paths: BytePath[] = [];
  for (let start = 0; start < raw.length;) {
    const found = raw.indexOf(end, start);
    const stop = found < 0 ? raw.length : found;
    if (stop > start) paths.push(bytePath(raw.subarray(start, stop)));
    start = stop + 1;
  }
  return paths;
}

/** Reads a list; `-` is standard input. @throws {LbsError} source-missing, io */
export function readPathList(file: Buffer, end: number): BytePath[] {
  const isStdin = file.toString() === '-';
  try {
    return splitPaths(readFileSync(isStdin ? STDIN_FD : file), end);
  } catch (cause) {
    const what = `list of paths ${isStdin ? 'on standard input' : showPath(file)}`;
    if (errnoName(cause) === 'ENOENT') {
      throw new LbsError('source-missing', `there is no ${what}`, { cause });
    }
    throw new LbsError('io', `cannot read the ${what}: ${messageOf(cause)}`, { cause });
  }
}
