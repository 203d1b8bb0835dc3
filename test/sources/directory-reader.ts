/** Names of a directory in byte order, however many and whatever they are. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from '../helpers/fast-check.ts';
import test from 'ava';
import * as libc from '../../src/posix/libc.ts';
import { sortedNames } from '../../src/posix/directory-names.ts';
import { openDirectory } from '../../src/sources/filesystem/directory-reader.ts';
import { tempDir } from '../helpers/temp-dir.ts';

/** Latin-1 text of each name, as the reader gives it. */
function namesIn(directory: string): string[] {
  const fd = openDirectory(libc.AT_FDCWD, libc.cString(directory));
  try {
    return sortedNames(fd);
  } finally {
    libc.close(fd);
  }
}

function makeNames(directory: string, names: readonly string[]): void {
  mkdirSync(directory);
  const prefix = Buffer.from(`${directory}/`);
  for (const name of names) {
    writeFileSync(Buffer.concat([prefix, Buffer.from(name, 'latin1')]), '');
  }
}

test('any names come in byte order', (t) => {
  const top = tempDir(t);
  let number = 0;
  const name = fc
    .uint8Array({ min: 1, minLength: 1, maxLength: 5 })
    .map((bytes) => Buffer.from(bytes).toString('latin1').replaceAll('/', '-'))
    .filter((text) => text !== '.' && text !== '..');
  const few = fc.constantFrom(
    '...',
    '.a',
    'a',
    'a.',
    'a\xff',
    'aa',
    'aaa',
    '\x01',
    '\xff',
    '-',
    '..a',
  );
  const names = fc.uniqueArray(fc.oneof(name, few), { maxLength: 80 });
  fc.assert(
    fc.property(names, (some) => {
      const directory = join(top, String(number++));
      makeNames(directory, some);
      // Latin-1 text sorts as its bytes do.
      t.deepEqual(namesIn(directory), [...some].sort());
    }),
    { numRuns: 60 },
  );
});

test('a directory larger than what is read at once comes whole', (t) => {
  const directory = join(tempDir(t), 'many');
  const names = Array.from(
    { length: 5000 },
    (_, at) => `${'long name '.repeat(15)}${(at * 7919) % 5000}`,
  );
  makeNames(directory, names);
  t.deepEqual(namesIn(directory), [...names].sort());
});
