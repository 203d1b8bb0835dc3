/**
 * fast-check with the same values in every run, so that a run of all tests fails for what was
 * changed and not by chance. LBS_TEST_SEED, a number, chooses others; and where there is time to
 * look for what nobody has seen (`make fuzz`), they are new ones each time.
 */
import fc from 'fast-check';

const seed = process.env['LBS_TEST_SEED'];
if (seed !== undefined || process.env['FUZZ_SECONDS'] === undefined) {
  fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: Number(seed ?? 20) });
}

export { default } from 'fast-check';
