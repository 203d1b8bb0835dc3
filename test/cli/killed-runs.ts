/** kill -9 at any time of what changes a store: the next run works, and every snapshot is whole. */
import test from 'ava';
import { killInRounds } from '../helpers/kill-rounds.ts';
import { places } from '../helpers/places.ts';

test('14 runs that were killed at random times harm no snapshot and hold up nobody', async (t) => {
  t.timeout(300_000);
  const counts = await killInRounds(t, places(t), { kills: 14, seed: 'fourteen' });
  t.log(JSON.stringify(counts));
  t.true(Object.keys(counts.killed).length >= 5);
});
