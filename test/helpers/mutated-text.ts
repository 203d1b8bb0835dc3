/**
 * Right texts with a few bytes changed: they get further into a parser than any that are made up.
 */
import fc from './fast-check.ts';

type Edit = { readonly at: number; readonly remove: number; readonly bytes: Uint8Array };

/** Words that mean something to one parser or another. */
const WORDS = [
  '\n',
  ' ',
  '/',
  '..',
  '%',
  '=',
  '-',
  '@',
  '\0',
  '[',
  '+',
  '9999999999999999',
  ': ',
  '\r\n',
];

/** A few places of a right text changed; now and then bytes that were never right. */
export function mutated(seeds: readonly string[]): fc.Arbitrary<Buffer> {
  const edit: fc.Arbitrary<Edit> = fc.record({
    at: fc.double({ min: 0, max: 1, noNaN: true }),
    remove: fc.oneof(fc.constant(0), fc.constant(1), fc.integer({ min: 0, max: 40 })),
    bytes: fc.oneof(
      fc.uint8Array({ maxLength: 3 }),
      fc.constantFrom(...WORDS).map((word) => new Uint8Array(Buffer.from(word, 'latin1'))),
    ),
  });
  const changed = fc
    .tuple(fc.constantFrom(...seeds), fc.array(edit, { maxLength: 6 }))
    .map(([seed, edits]) => edits.reduce(apply, Buffer.from(seed, 'latin1')));
  const anything = fc.uint8Array({ maxLength: 700 }).map((bytes) => Buffer.from(bytes));
  return fc.oneof({ weight: 9, arbitrary: changed }, { weight: 1, arbitrary: anything });
}

function apply(text: Buffer, { at, remove, bytes }: Edit): Buffer {
  const start = Math.floor(at * text.length);
  return Buffer.concat([text.subarray(0, start), bytes, text.subarray(start + remove)]);
}
