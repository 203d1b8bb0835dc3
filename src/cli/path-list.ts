/** Paths from files: `--files-from` (one a line) and `--files-from0` (NUL after each), as bytes. */
import { readFileSync, readSync } from 'node:fs';
import { LbsError, errnoName, messageOf } from '../errors.ts';
import { type BytePath, bytePath, showPath } from '../std/byte-path.ts';

const STDIN_FD = 0;
const CHUNK_BYTES = 64 * 1024;
const WAIT_MS = 20;

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

/**
 * All of standard input. Whoever gave it to us may have made it non-blocking, and then it says
 * EAGAIN while its writer is slower than we are.
 */
function readStdin(): Buffer {
  const chunks: Buffer[] = [];
  for (;;) {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    try {
      const length = readSync(STDIN_FD, chunk, 0, CHUNK_BYTES, null);
      if (length === 0) return Buffer.concat(chunks);
      chunks.push(chunk.subarray(0, length));
    } catch (error) {
      if (errnoName(error) !== 'EAGAIN') throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, WAIT_MS);
    }
  }
}

/** Reads a list; `-` is standard input. @throws {LbsError} source-missing, io */
export function readPathList(file: Buffer, end: number): BytePath[] {
  const isStdin = file.toString() === '-';
  try {
    return splitPaths(isStdin ? readStdin() : readFileSync(file), end);
  } catch (cause) {
    const what = `list of paths ${isStdin ? 'on standard input' : showPath(file)}`;
    if (errnoName(cause) === 'ENOENT') {
      throw new LbsError('source-missing', `there is no ${what}`, { cause });
    }
    throw new LbsError('io', `cannot read the ${what}: ${messageOf(cause)}`, { cause });
  }
}
