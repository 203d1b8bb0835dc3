/**
 * CVE-2026-43619 (rsync) and its kin: somebody exchanges directories and files of the target for
 * links to outside while a restore runs. The long race is in test/slow/hostile.ts.
 */
import test from 'ava';
import { raceWithSwaps } from '../helpers/swap-race.ts';

test('names that are exchanged for links during restores lead nothing outside', async (t) => {
  const { exchanges, restores } = await raceWithSwaps(t, { exchanges: 2000, restores: 4 });
  t.log(`${exchanges} exchanges in ${restores} restores`);
  t.true(exchanges >= 2000 && restores >= 4);
});
