/**
 * The long version of test/crash/away.ts: the commands that change most, every way in which a
 * store goes away, LBS_AWAY_POINTS calls of each (default 12). Some minutes: `make test-away`.
 */
import test from 'ava';
import { CARE_SCENARIOS } from '../helpers/crash-care-scenarios.ts';
import { SAVING_SCENARIOS } from '../helpers/crash-saving-scenarios.ts';
import { SCENARIOS } from '../helpers/crash-scenarios.ts';
import { whyNoFaults } from '../helpers/faults.ts';
import { tryDepartures, WAYS } from '../helpers/store-away.ts';

const POINTS = Number(process.env['LBS_AWAY_POINTS'] ?? 12);

/** Not tried in this way: in some the store is a script's, or the copy is no store. */
const OTHERS = new Set([...SAVING_SCENARIOS, ...CARE_SCENARIOS]);

for (const scenario of SCENARIOS) {
  if (OTHERS.has(scenario)) continue;
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
