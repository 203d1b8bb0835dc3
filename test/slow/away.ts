/**
 * The long version of test/crash/away.ts: every command that changes something, every way in which a
 * store goes away, LBS_AWAY_POINTS calls of each (default 12). Some minutes: `make test-away`.
 */
import test from 'ava';
import { SCENARIOS } from '../helpers/crash-scenarios.ts';
import { whyNoFaults } from '../helpers/faults.ts';
import { tryDepartures, WAYS } from '../helpers/store-away.ts';

const POINTS = Number(process.env['LBS_AWAY_POINTS'] ?? 12);

for (const scenario of SCENARIOS) {
  // It changes nothing, so there is no call to wait for: see test/cli/store-away.ts.
  if (scenario.name === 'verify') continue;
  test.serial(`${scenario.name} says that its store went away, and harms nothing`, async (t) => {
    const why = whyNoFaults();
    if (why !== undefined) return t.pass(`left out: ${why}`);
    const { codes, problems } = await tryDepartures(scenario, WAYS, POINTS);
    t.log(codes);
    t.deepEqual(problems, []);
  });
}
