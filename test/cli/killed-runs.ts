/** kill -9 at any time of what changes a store: the next run works, and every snapshot is whole. */
import test from 'ava';
import { killInRounds } from '../helpers/kill-rounds.ts';
import { places } from '../helpers/places.ts';

test('20 runs that were killed at random times harm no snapshot and hold up nobody', async (t) => {
  t.timeout(300_000);
  const killed = await killInRounds(t, places(t), { rounds: 20, seed: 'twenty' });
  t.log(`${killed} of 20 runs were killed before their end`);
  t.true(killed >= 5);
});
