/** Paths as bytes whose plain order is the order of the metadata log, for keys of a database. */
import { type BytePath, isTop } from '../std/byte-path.ts';

const SLASH = 0x2f;

/**
 * Sorts as `comparePaths` does: names hold no NUL, so that in place of `/` it ends a component before
 * any byte that one could go on with. The top is empty, which is before everything.
 */
export function pathKey(path: BytePath): Buffer {
  if (isTop(path)) return Buffer.alloc(0);
  const key = Buffer.from(path);
  for (let at = key.indexOf(SLASH); at >= 0; at = key.indexOf(SLASH, at + 1)) key[at] = 0;
  return key;
}
