/** Thousands of rounds of what test/hostile has seeds of: `make test-hostile`. */
import test from 'ava';
import { raceWithSwaps } from '../helpers/swap-race.ts';

const RESTORES = 60;

test('thousands of exchanges of names for links during restores lead nothing outside', async (t) => {
  const { exchanges, restores } = await raceWithSwaps(t, {
    exchanges: 100_000,
    restores: RESTORES,
  });
  t.log(`${exchanges} exchanges in ${restores} restores`);
  t.true(restores >= RESTORES);
});
