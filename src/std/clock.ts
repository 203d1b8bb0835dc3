/**
 * The one place that time and randomness come from, so that a test (or a simulation of years)
 * can set them. `LBS_TEST_CLOCK_S` (seconds since 1970) freezes the clock of one process.
 */
import { randomUUID } from 'node:crypto';

const NS_PER_MS = 1_000_000n;
const NS_PER_S = 1_000_000_000n;

/** Seconds that the environment sets the clock to. */
function frozenSeconds(): number | undefined {
  const frozen = process.env['LBS_TEST_CLOCK_S'];
  return frozen !== undefined && /^\d+$/.test(frozen) ? Number(frozen) : undefined;
}

/** Nanoseconds since 1970, UTC; milliseconds are what the runtime gives, enough for our uses. */
export function nowNs(): bigint {
  const frozen = frozenSeconds();
  return frozen === undefined ? BigInt(Date.now()) * NS_PER_MS : BigInt(frozen) * NS_PER_S;
}

/** Whole seconds since 1970, UTC. Called for each file: no bigints. */
export function nowSeconds(): number {
  return frozenSeconds() ?? Math.floor(Date.now() / 1000);
}

/** A new random segment name: a lower-case textual UUID. */
export function newUuid(): string {
  return randomUUID();
}

/** A random number from 0 (included) to 1 (excluded), for drawing samples; not for secrets. */
export function randomFraction(): number {
  return Math.random();
}
