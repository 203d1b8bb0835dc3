import { createHash } from 'node:crypto';
import test from 'ava';
import { KeyFilter } from '../../src/localdb/key-filter.ts';

/** The first 48 bits of a digest, as the block index has them. */
function key(number: number): number {
  return Number.parseInt(
    createHash('sha256').update(String(number)).digest('hex').slice(0, 12),
    16,
  );
}

test('no key that was added is ever said to be missing', (t) => {
  const filter = new KeyFilter(10);
  const keys = Array.from({ length: 50_000 }, (_, at) => key(at));
  for (const added of [0, 1, 2 ** 24, 2 ** 48 - 1, ...keys]) filter.add(added);
  t.true([0, 1, 2 ** 24, 2 ** 48 - 1, ...keys].every((added) => filter.mayHave(added)));
});

test('of the keys that were not added few are let through', (t) => {
  const filter = new KeyFilter(200_000);
  for (let at = 0; at < 200_000; at++) filter.add(key(at));
  t.false(filter.isFull);
  let wrong = 0;
  for (let at = 200_000; at < 300_000; at++) if (filter.mayHave(key(at))) wrong++;
  t.true(wrong < 2_000, `${wrong} of 100,000`);
});

test('it says when it has more keys than it was made for', (t) => {
  const filter = new KeyFilter(1);
  let added = 0;
  while (!filter.isFull) filter.add(key(added++));
  t.true(added > 65_536, String(added));
});
