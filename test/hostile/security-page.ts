/** Each test that SECURITY.md names is there, under the title that it names. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { PROJECT } from '../helpers/run-lbs.ts';

const read = (path: string) => readFileSync(join(PROJECT, path), 'utf8').replace(/\s+/g, ' ');

test('the tests that SECURITY.md names are there', (t) => {
  const named = [...read('SECURITY.md').matchAll(/(test\/[\w/-]+\.ts) "([^"]+)"/g)];
  t.true(named.length >= 25, `${named.length} tests`);
  for (const [, file = '', title = ''] of named)
    t.true(read(file).includes(title), `${file} ${title}`);
});
