/**
 * The one place that time and randomness come from, so that a test (or a simulation of years)
 * can set them. `LBS_TEST_CLOCK_S` (seconds since 1970) freezes the clock of one process.
 */
import { randomUUID } from 'node:crypto';

const NS_PER_MS = 1_000_000n;
const NS_PER_S = 1_000_000_000n;

/** Nanoseconds since 1970, UTC; milliseconds are what the runtime gives, enough for our uses. */
export function nowNs(): bigint {
  const frozen = process.env['LBS_TEST_CLOCK_S'];
  if (frozen !== undefined && /^\d+$/.test(frozen)) return BigInt(frozen) * NS_PER_S;
  return BigInt(Date.now()) * NS_PER_MS;
}

/** Whole seconds since 1970, UTC. */
export function nowSeconds(): number {
  return Number(nowNs() / NS_PER_S);
}

/** A new random segment name: a lower-case textual UUID. */
export function newUuid(): string {
  return randomUUID();
}

/** A random number from 0 (included) to 1 (excluded), for drawing samples; not for secrets. */
export function randomFraction(): number {
  return Math.random();
}
