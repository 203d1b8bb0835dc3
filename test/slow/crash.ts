/**
 * Every fault at every call of every command that changes something: hours of processor time, and
 * `make crash`. LBS_CRASH=SCENARIO[:FAULT[:NUMBER]] tries less.
 */
import test from 'ava';
import { everything, isScenarioWanted, resultLine, tryScenario } from '../helpers/crash-matrix.ts';
import { SCENARIOS } from '../helpers/crash-scenarios.ts';
import { whyNoFaults } from '../helpers/faults.ts';

for (const scenario of SCENARIOS.filter(({ name }) => isScenarioWanted(name))) {
  test.serial(`${scenario.name} survives every fault at every call`, async (t) => {
    const why = whyNoFaults();
    if (why !== undefined) return t.pass(`left out: ${why}`);
    t.timeout(24 * 3_600_000);
    const result = await tryScenario(scenario, everything, (line) => console.error(line));
    console.error(resultLine(result));
    t.deepEqual(result.problems, []);
  });
}
