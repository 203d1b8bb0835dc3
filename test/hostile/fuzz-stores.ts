/**
 * Every command on small stores of which some bytes were changed: it says what is wrong, or does not
 * notice, and never crashes, hangs, or touches what is outside. Longer with FUZZ_SECONDS.
 */
import test from 'ava';
import { attackInOneProcess, attackWithMutations } from '../helpers/mutated-store.ts';

const SECONDS = Number(process.env['FUZZ_SECONDS'] ?? 0);
/** A process for each command tries hardly any stores; it has this part of the time. */
const PART_OF_PROCESSES = 0.2;
const ROUNDS = 6;
const COMMANDS = 4;

test('commands on stores with changed bytes end with one of their exit codes', async (t) => {
  t.timeout(SECONDS * 1000 + 120_000);
  const seed = process.env['LBS_FUZZ_SEED'];
  const end = Date.now() + SECONDS * PART_OF_PROCESSES * 1000;
  let count = 0;
  let generation = 0;
  do {
    const name = seed ?? (SECONDS === 0 ? 'always the same' : `${end} ${generation++}`);
    count += await attackWithMutations(t, { seed: name, rounds: ROUNDS, runs: COMMANDS });
  } while (Date.now() < end);
  t.log(`${count} commands`);
  t.true(count > 0);
});

test('all commands on thousands of stores with changed bytes, in one process', async (t) => {
  t.timeout(SECONDS * 1000 + 120_000);
  const fixed = process.env['LBS_FUZZ_SEED'];
  const seed = fixed ?? (SECONDS === 0 ? 'always the same' : String(Date.now()));
  const seconds = SECONDS * (1 - PART_OF_PROCESSES);
  const { stores, commands } = await attackInOneProcess(t, { seed, seconds });
  t.log(`${commands} commands on ${stores} stores`);
  t.true(commands > 0);
});
