/** The documents of the top folder: what a merge can break in them without anybody seeing it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { PROJECT } from '../helpers/run-lbs.ts';

for (const name of ['README.md', 'ARCHITECTURE.md', 'CHANGELOG.md', 'SECURITY.md']) {
  test(`${name}: every example ends, and headings stand alone`, (t) => {
    const lines = readFileSync(join(PROJECT, name), 'utf8').split('\n');
    let begun = 0;
    for (const [at, line] of lines.entries()) {
      const place = `${name}:${at + 1}`;
      if (line === '```') begun = begun === 0 ? at + 1 : 0;
      else if (line.startsWith('```')) {
        t.is(begun, 0, `${place}: the example of line ${begun} has no end`);
        begun = at + 1;
      } else if (begun === 0 && /^#+ /.test(line)) {
        t.is(lines[at - 1] ?? '', '', `${place}: no empty line before`);
        t.is(lines[at + 1], '', `${place}: no empty line after`);
      }
    }
    t.is(begun, 0, `${name}: the example of line ${begun} has no end`);
  });
}
