/**
 * Whether it pays to store anew what is alive of a segment, so that all of it can go: the family's
 * measure, which weighs what is gained against what must be written, and trusts old data to stay.
 */

export type SegmentAge = {
  readonly ageDays: number;
  /** Share of its bytes that snapshots use, 0 to 1. */
  readonly used: number;
};

const BENEFIT_MIN = 7;
const WRITE_COST = 0.1;

/** `(1-u)*age/(u+0.1)` */
export function benefitOf({ ageDays, used }: SegmentAge): number {
  return ((1 - used) * Math.max(0, ageDays)) / (used + WRITE_COST);
}

/** True above the least benefit, and for any age where less than `floor` is used. */
export function isWorthCleaning(segment: SegmentAge, floor: number): boolean {
  return segment.used < floor || benefitOf(segment) > BENEFIT_MIN;
}
