import fc from '../helpers/fast-check.ts';
import test from 'ava';
import { LbsError } from '../../src/errors.ts';
import {
  type Reference,
  type SliceDialect,
  formatReference,
  parseReference,
} from '../../src/format/reference.ts';

const SEGMENT = '1ff16d99-61e4-4c2c-94ef-10ba5d6d6256';
const SHA1 = 'sha1=a0b1c2d3e4f5a0b1c2d3e4f5a0b1c2d3e4f5a0b1';
const SHA224 = `sha224=${'0f'.repeat(28)}`;

const whole = (object: number, more: Partial<Reference> = {}) => ({
  kind: 'object',
  segment: SEGMENT,
  object,
  checksum: undefined,
  slice: undefined,
  exactSize: undefined,
  ...more,
});

/** What every version wrote, and what it means; where `[n]` decides, in both dialects. */
const TABLE: readonly (readonly [text: string, prefix: object, exact?: object])[] = [
  [`${SEGMENT}/00000000`, whole(0)],
  [`${SEGMENT}/000000ff`, whole(255)],
  [`${SEGMENT}/ff`, whole(255)],
  [`${SEGMENT}/0000000a(${SHA1})`, whole(10, { checksum: SHA1 })],
  [`${SEGMENT}/0000000a(${SHA224})[118]`, whole(10, { checksum: SHA224, slice: { start: 0, length: 118 } }), whole(10, { checksum: SHA224, exactSize: 118 })],
  [`${SEGMENT}/00000001[=1048576]`, whole(1, { exactSize: 1048576 })],
  [`${SEGMENT}/00000001[1048576]`, whole(1, { slice: { start: 0, length: 1048576 } }), whole(1, { exactSize: 1048576 })],
  [`${SEGMENT}/00000001[0+350]`, whole(1, { slice: { start: 0, length: 350 } })],
  [`${SEGMENT}/00000001(${SHA1})[3330+268]`, whole(1, { checksum: SHA1, slice: { start: 3330, length: 268 } })],
  [`${SEGMENT}/00000001[0+0]`, whole(1, { slice: { start: 0, length: 0 } })],
  [`${SEGMENT}/00000001[0]`, whole(1, { slice: { start: 0, length: 0 } }), whole(1, { exactSize: 0 })],
  ['0a-/0', { ...whole(0), segment: '0a-' }],
  ['zero[1048576]', { kind: 'zero', length: 1048576 }],
  ['zero[5+7]', { kind: 'zero', length: 7 }],
  ['zero[0]', { kind: 'zero', length: 0 }],
]; // prettier-ignore

test('every dialect of references is read', (t) => {
  for (const [text, prefix, exact] of TABLE) {
    t.deepEqual<object, object>(parseReference(text, 'prefix'), prefix, text);
    t.deepEqual<object, object>(parseReference(text, 'exact'), exact ?? prefix, text);
  }
});

const GARBAGE = [
  '',
  '/',
  SEGMENT,
  `${SEGMENT}/`,
  `/${'0'.repeat(8)}`,
  `@${SEGMENT}/00000000`,
  ` ${SEGMENT}/00000000`,
  `${SEGMENT}/00000000 `,
  `${SEGMENT}/00000000\n`,
  `${SEGMENT}/0000000g`,
  `${SEGMENT}/FF`,
  `${SEGMENT.toUpperCase()}/00000000`,
  `../${SEGMENT}/00000000`,
  `${SEGMENT}/../00000000`,
  `${SEGMENT}/00000000[`,
  `${SEGMENT}/00000000[]`,
  `${SEGMENT}/00000000[-1]`,
  `${SEGMENT}/00000000[1+]`,
  `${SEGMENT}/00000000[+1]`,
  `${SEGMENT}/00000000[=1+1]`,
  `${SEGMENT}/00000000[1+1]x`,
  `${SEGMENT}/00000000[0x10]`,
  `${SEGMENT}/00000000[1.5]`,
  `${SEGMENT}/00000000[1][2]`,
  `${SEGMENT}/00000000()`,
  `${SEGMENT}/00000000(sha1)`,
  `${SEGMENT}/00000000(sha1=)`,
  `${SEGMENT}/00000000(sha1=xyz)`,
  `${SEGMENT}/00000000[1](${SHA1})`,
  `${SEGMENT}/00000000[9999999999999999]`,
  `${SEGMENT}/00000000[9999999999999999+1]`,
  `${SEGMENT}/ffffffffffffffff`,
  'zero',
  'zero[]',
  'zero[-1]',
  'zero[=1]',
  'zero[9999999999999999]',
  'Zero[1]',
];

test('anything else is no reference', (t) => {
  for (const text of GARBAGE) {
    for (const dialect of ['prefix', 'exact'] as const) {
      t.throws(() => parseReference(text, dialect), { instanceOf: LbsError, code: 'format-syntax' }, JSON.stringify(text)); // prettier-ignore
    }
  }
});

const size = fc.nat({ max: Number.MAX_SAFE_INTEGER });
const checksum = fc
  .tuple(fc.constantFrom('sha1', 'sha224', 'sha256'), fc.stringMatching(/^[0-9a-f]{40}$/))
  .map(([algorithm, hex]) => `${algorithm}=${hex}`);
const reference: fc.Arbitrary<Reference> = fc.oneof(
  fc.record({ kind: fc.constant('zero' as const), length: size }),
  fc.record({
    kind: fc.constant('object' as const),
    segment: fc.uuid(),
    object: fc.nat({ max: 2 ** 32 }),
    checksum: fc.option(checksum, { nil: undefined }),
    slice: fc.option(fc.record({ start: size, length: size }), { nil: undefined }),
    exactSize: fc.constant(undefined),
  }),
);
const dialect = fc.constantFrom<SliceDialect>('prefix', 'exact');

test('what is written is read as the same, in every dialect', (t) => {
  fc.assert(
    fc.property(reference, dialect, (value, how) => {
      t.deepEqual(parseReference(formatReference(value), how), value);
    }),
  );
  t.pass();
});

test('no text makes the reader do anything but answer or refuse', (t) => {
  const near = fc.stringMatching(/^[-0-9a-f]{0,9}\/[0-9a-f]{0,9}[([]?[0-9a-z=+[\]()]{0,20}$/);
  fc.assert(
    fc.property(fc.oneof(fc.string({ unit: 'binary' }), near), dialect, (text, how) => {
      try {
        parseReference(text, how);
      } catch (error) {
        if (!(error instanceof LbsError)) throw error;
      }
    }),
  );
  t.pass();
});
