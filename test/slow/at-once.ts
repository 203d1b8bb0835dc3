/**
 * The long version of test/cli/at-once.ts: LBS_ROUNDS rounds (default 150) of three commands at
 * once, LBS_SEED decides which. Some minutes: `make test-at-once`.
 */
import test from 'ava';
import { roundsAtOnce } from '../helpers/at-once.ts';

test('rounds of three commands at once, of any kind', async (t) => {
  const rounds = Number(process.env['LBS_ROUNDS'] ?? 150);
  const ends = await roundsAtOnce(t, { rounds, seed: process.env['LBS_SEED'] ?? 'long' });
  t.log([...ends].map(([end, times]) => `${end}: ${times}`).join(', '));
  t.pass();
});
