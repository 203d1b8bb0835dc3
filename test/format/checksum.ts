import test from 'ava';
import { LbsError } from '../../src/errors.ts';
import { checksumOf, parseChecksum } from '../../src/format/checksum.ts';

const EMPTY = {
  sha1: 'da39a3ee5e6b4b0d3255bfef95601890afd80709',
  sha224: 'd14a028c2a3a2bc9476102bb288234c415a2b01f828ea62ac5b3e42f',
  sha256: 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855',
} as const;

for (const algorithm of ['sha1', 'sha224', 'sha256'] as const) {
  test(`${algorithm} is made and read`, (t) => {
    const text = `${algorithm}=${EMPTY[algorithm]}`;
    t.is(checksumOf(algorithm, Buffer.alloc(0)), text);
    t.deepEqual(parseChecksum(text), { algorithm, hex: EMPTY[algorithm] });
    t.is(parseChecksum(`${algorithm}=${EMPTY[algorithm].toUpperCase()}`).hex, EMPTY[algorithm]);
    for (const bad of [`${text}0`, text.slice(0, -1), text.replace(/.$/, 'g'), `${text} `]) {
      t.throws(() => parseChecksum(bad), { instanceOf: LbsError, code: 'format-syntax' }, bad);
    }
  });
}

test('anything else is refused', (t) => {
  for (const bad of ['', '=', 'sha1', 'sha1=', EMPTY.sha1, `md5=${'0'.repeat(32)}`, `SHA1=${EMPTY.sha1}`]) {
    t.throws(() => parseChecksum(bad), { instanceOf: LbsError, code: 'format-syntax' }, bad);
  }
}); // prettier-ignore
