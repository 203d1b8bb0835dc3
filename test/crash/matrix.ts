/**
 * A sample of all faults at all calls of all commands that change something: `make crash` tries the
 * rest. LBS_CRASH_SEED chooses another sample, LBS_CRASH_POINTS how many of each fault that has its
 * turn at a command.
 */
import test from 'ava';
import { resultLine, someOf, tryScenario } from '../helpers/crash-matrix.ts';
import { SCENARIOS } from '../helpers/crash-scenarios.ts';
import { whyNoFaults } from '../helpers/faults.ts';

const COUNT = Number(process.env['LBS_CRASH_POINTS'] ?? 1);
const SEED = process.env['LBS_CRASH_SEED'] ?? 'ci';

for (const [turn, scenario] of SCENARIOS.entries()) {
  test.serial(`${scenario.name} survives faults at some calls`, async (t) => {
    const why = whyNoFaults();
    if (why !== undefined) return t.pass(`left out: ${why}`);
    t.timeout(900_000);
    const sample = someOf({ count: COUNT, seed: SEED, turn });
    const result = await tryScenario(scenario, sample, (line) => t.log(line));
    t.log(resultLine(result));
    t.deepEqual(result.problems, []);
    // To verify is to read: there is nothing that could fail to be written.
    t.is(result.calls === 0, scenario.isReading === true);
  });
}
