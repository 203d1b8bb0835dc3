/**
 * Parsers of what comes from outside, on texts that are nearly right. Some seconds here; for as long
 * as you like with FUZZ_SECONDS (`make fuzz`), divided among the parsers.
 */
import test from 'ava';
import fc from '../helpers/fast-check.ts';
import { LbsError } from '../../src/errors.ts';
import { mutated } from '../helpers/mutated-text.ts';
import { PROPERTIES } from '../helpers/parser-properties.ts';

const SECONDS = Number(process.env['FUZZ_SECONDS'] ?? 0);
const RUNS_IN_CI = 300;
/** For one text; the machine may be busy with other things. */
const MS_MAX = 2000;

for (const { name, seeds, check } of PROPERTIES) {
  test.serial(`${name}: whatever bytes come, they are read or refused`, (t) => {
    t.timeout(SECONDS * 1000 + 60_000);
    let runs = 0;
    const property = fc.property(mutated(seeds), (bytes) => {
      runs++;
      const start = process.cpuUsage();
      try {
        check(bytes);
      } catch (error) {
        if (!(error instanceof LbsError)) throw error;
      }
      const { user, system } = process.cpuUsage(start);
      return (user + system) / 1000 < MS_MAX;
    });
    const length =
      SECONDS === 0
        ? { numRuns: RUNS_IN_CI }
        : { numRuns: 1e9, interruptAfterTimeLimit: (SECONDS * 1000) / PROPERTIES.length };
    fc.assert(property, { ...length, markInterruptAsFailure: false });
    t.log(`${runs} runs`);
    t.true(runs > 100);
  });
}
