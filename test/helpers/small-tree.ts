/** Small trees for tests that are about something else than the tree. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pseudoRandom } from './pseudo-random.ts';

/** Makes files with their contents, and the directories that they need; a key ending in `/` is an
 * empty directory. */
export function makeFiles(top: string, files: Readonly<Record<string, string | Buffer>>): void {
  for (const [path, content] of Object.entries(files)) {
    const full = join(top, path);
    if (path.endsWith('/')) {
      mkdirSync(full, { recursive: true });
      continue;
    }
    mkdirSync(dirname(full), { recursive: true });
    writeFileSync(full, content);
  }
}

/** A few files of different kinds, some hundred kilobytes. */
export function makeSmallTree(top: string): void {
  makeFiles(top, {
    'letters/one': 'Dear reader,\n',
    'letters/two': pseudoRandom('two', 50_000),
    'pictures/large': pseudoRandom('large', 300_000),
    'pictures/empty': '',
    'nothing/': '',
  });
}

/** `count` files of `sizeBytes` each, which do not compress. */
export function makeIncompressible(top: string, count: number, sizeBytes: number): void {
  mkdirSync(top, { recursive: true });
  for (let at = 0; at < count; at++) {
    writeFileSync(
      join(top, `file-${String(at).padStart(3, '0')}`),
      pseudoRandom(`${top}${at}`, sizeBytes),
    );
  }
}

/** Waits until `isTrue`, looking often; less than the time after which ava gives all tests up. */
export async function waitUntil(
  isTrue: () => boolean,
  what: string,
  timeoutMs = 60_000,
): Promise<void> {
  for (const end = Date.now() + timeoutMs; !isTrue(); await sleep(20)) {
    if (Date.now() > end) throw new Error(`waited in vain for ${what}`);
  }
}
