/**
 * Which expired blocks are stored together when they are stored anew: those of like age, because
 * what has lived long together will live on together, and a segment is worth most while all of it
 * is alive. The family's algorithm; lbs-format(5) does not know it, every reader takes any grouping.
 *
 * Pure: sizes and whole days of age in, age limits and group numbers out.
 */

export type AgedBytes = {
  /** Age in whole days. */
  readonly ageDays: number;
  readonly bytes: number;
};

/** Younger blocks are not kept apart: it is too early to say how long they will live. */
const YOUNG_DAYS = 4;
const BUCKETS_SCALE = 2;
const BUCKETS_EXPONENT = 0.4;
const MIN_SEGMENTS = 1.5;
const TARGET_SEGMENTS = 2;
const ANY_AGE = -1;

/**
 * Age limits, youngest group first: a block is in the last group whose limit its age exceeds.
 * `segmentBytes` is the usual size of a segment. Empty for no blocks.
 */
export function ageLimits(blocks: readonly AgedBytes[], segmentBytes: number): number[] {
  if (blocks.length === 0 || segmentBytes <= 0) return [];
  const bytesOfAge = new Map<number, number>();
  let total = 0;
  for (const { ageDays, bytes } of blocks) {
    // A clock that was wrong once: as if it were new.
    const age = Math.max(0, ageDays);
    bytesOfAge.set(age, (bytesOfAge.get(age) ?? 0) + bytes);
    total += bytes;
  }
  const buckets = BUCKETS_SCALE * (total / segmentBytes) ** BUCKETS_EXPONENT;
  const minBytes = MIN_SEGMENTS * segmentBytes;
  const targetBytes = Math.max(TARGET_SEGMENTS * segmentBytes, total / buckets);
  const limits: number[] = [];
  let bucket = 0;
  let isYoung = false;
  for (const [age, bytes] of [...bytesOfAge].sort(([a], [b]) => b - a)) {
    const becomesYoung = age < YOUNG_DAYS && !isYoung;
    if (bucket >= targetBytes || becomesYoung) {
      // What is left over from the old ones is too little for a group of its own.
      if (bucket < targetBytes && limits.length > 0) limits.pop();
      limits.push(age);
      bucket = 0;
    }
    bucket += bytes;
    if (age < YOUNG_DAYS) isYoung = true;
  }
  if (bucket >= minBytes || !isYoung) limits.push(ANY_AGE);
  limits.push(ANY_AGE);
  return limits.reverse();
}

/** The group of a block of that age: 0 goes to new data, n to `compacted-n`. */
export function groupOfAge(limits: readonly number[], ageDays: number): number {
  return Math.max(
    0,
    limits.findLastIndex((limit) => Math.max(0, ageDays) > limit),
  );
}
