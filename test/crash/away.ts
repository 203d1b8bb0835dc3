/**
 * A store that is removed, renamed, replaced, unmounted or remounted read-only while a command is at
 * work: some commands, ways and calls. All of them: test/slow/away.ts.
 */
import test from 'ava';
import { SCENARIOS } from '../helpers/crash-scenarios.ts';
import { whyNoFaults } from '../helpers/faults.ts';
import { type Way, tryDepartures } from '../helpers/store-away.ts';

const TRIED: Readonly<Record<string, readonly Way[]>> = {
  'second-backup': ['removed', 'emptied', 'unmounted'],
  gc: ['replaced'],
  prune: ['renamed', 'read-only'],
  compact: ['emptied', 'read-only'],
  sync: ['replaced', 'unmounted'],
  restore: ['removed'],
};

for (const [name, ways] of Object.entries(TRIED)) {
  test.serial(`${name} says that its store went away, and harms nothing`, async (t) => {
    const why = whyNoFaults();
    if (why !== undefined) return t.pass(`left out: ${why}`);
    t.timeout(900_000);
    const scenario = SCENARIOS.find((one) => one.name === name);
    if (scenario === undefined) return t.fail('no such scenario');
    const { codes, problems } = await tryDepartures(scenario, ways, 1);
    t.log(codes);
    t.deepEqual(problems, []);
  });
}
