import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from '../helpers/fast-check.ts';
import test from 'ava';
import { LbsError } from '../../src/errors.ts';
import { checksumOf } from '../../src/format/checksum.ts';
import { formatSums, parseSums } from '../../src/format/sums-file.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const SHA1 = 'ae112b0f81925eea8749323f0c77c6df39370a9b';
const SHA256 = '0'.repeat(64);

test('lines are those of the original program', (t) => {
  const text = formatSums([['59669976-da50-4cc0-afbf-74d222a510a7.tar.bz2', SHA1]]);
  t.is(text, `${SHA1} *59669976-da50-4cc0-afbf-74d222a510a7.tar.bz2\n`);
});

test('sha1sum and sha256sum understand them', (t) => {
  const dir = tempDir(t);
  for (const algorithm of ['sha1', 'sha256'] as const) {
    const files = ['one', 'two'];
    for (const file of files) writeFileSync(join(dir, file), `content of ${file}`);
    const sums = files.map((file): [string, string] => {
      const digest = checksumOf(algorithm, Buffer.from(`content of ${file}`));
      return [file, digest.slice(algorithm.length + 1)];
    });
    writeFileSync(join(dir, 'sums'), formatSums(sums));
    const check = () =>
      spawnSync(`${algorithm}sum`, ['--strict', '-c', 'sums'], { cwd: dir }).status;
    t.is(check(), 0);
    writeFileSync(join(dir, 'two'), 'other');
    t.is(check(), 1);
  }
});

test('both marks, both digests and empty lines are read', (t) => {
  const sums = parseSums(`${SHA1} *a.tar\n\n${SHA256}  b c\n`, 'x');
  t.deepEqual([...sums], [['a.tar', SHA1], ['b c', SHA256]]); // prettier-ignore
});

test('anything else is refused, names with a slash above all', (t) => {
  const lines = [
    'x',
    SHA1,
    `${SHA1} `,
    `${SHA1} *`,
    `${SHA1}*a`,
    `${SHA1} *../a`,
    `${SHA1} */etc/passwd`,
    `${SHA1.toUpperCase()} *a`,
    `${SHA1.slice(1)} *a`,
    `${SHA256}0 *a`,
    ` ${SHA1} *a`,
  ];
  for (const line of lines) {
    const error = t.throws(
      () => parseSums(`${line}\n`, 'the file'),
      { instanceOf: LbsError },
      line,
    );
    t.is(error?.code, 'format-syntax');
    t.regex(error?.message ?? '', /^the file: /);
  }
});

test('what is written is read as the same', (t) => {
  const name = fc.stringMatching(/^[a-z0-9._-]{1,20}$/);
  const hex = fc.oneof(fc.stringMatching(/^[0-9a-f]{40}$/), fc.stringMatching(/^[0-9a-f]{64}$/));
  fc.assert(
    fc.property(fc.uniqueArray(fc.tuple(name, hex), { selector: ([file]) => file }), (sums) => {
      t.deepEqual([...parseSums(formatSums(sums), 'x')], sums);
    }),
  );
});

test('no text makes the reader do anything but answer or refuse', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      try {
        parseSums(text, 'x');
      } catch (error) {
        if (!(error instanceof LbsError)) throw error;
      }
    }),
  );
  t.pass();
});
