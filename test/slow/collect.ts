/** The long versions of test/cli/gc-race.ts and test/cli/killed-runs.ts: `make test-slow`. */
import test from 'ava';
import { raceWithCollector } from '../helpers/collect-race.ts';
import { killInRounds } from '../helpers/kill-rounds.ts';
import { places } from '../helpers/places.ts';

test('100 rounds of backups and collections at the same time', async (t) => {
  const { made, refused } = await raceWithCollector(t, places(t), { rounds: 100, seed: 'hundred' });
  t.log(`${made} snapshots made, ${refused} backups refused`);
  t.is(made + refused, 100);
});

test('100 runs that were killed at random times harm no snapshot and leave nothing behind', async (t) => {
  const rounds = { kills: 100, seed: 'hundred', compared: true };
  const counts = await killInRounds(t, places(t), rounds);
  t.log(JSON.stringify(counts));
  t.true(Object.values(counts.killed).every((count) => count >= 5));
  for (const share of counts.shares) t.true(share < 1.1, `${share} of an undisturbed store`);
});
