/**
 * Whether it pays to store anew what is alive of a segment, so that all of it can go: the family's
 * measure, which weighs what is gained against what must be written, and trusts old data to stay;
 * and whether the segment would go at all.
 *
 * Old snapshots that are kept name the segment for as long as there are any, and until then what
 * was stored anew is in the store twice. What has been kept for some time will be kept as long
 * again, and so will what is alive of the segment: so of the time that it would stay, its age, it
 * stays the age of the oldest snapshot that names it all the same. The room taken over that time,
 * `pinned + used * age`, must be less than the `age` that leaving it alone costs. Without this the
 * store of five years of nights had nearly everything twice.
 */

export type SegmentAge = {
  readonly ageDays: number;
  /** Share of its bytes that snapshots use, 0 to 1. */
  readonly used: number;
  /** Share that the last snapshots of the schemes use: this is what would be stored anew. */
  readonly usedByLast: number;
  /** Age of the oldest snapshot that names it, the last ones of the schemes aside; 0 for none. */
  readonly pinnedDays: number;
};

const BENEFIT_MIN = 7;
const WRITE_COST = 0.1;
/** How long a snapshot is kept that was kept so long: under rules for months and years, longer. */
const PIN_FACTOR = 3;

/** `(1-u)*age/(u+0.1)` */
export function benefitOf({ ageDays, used }: Pick<SegmentAge, 'ageDays' | 'used'>): number {
  return ((1 - used) * Math.max(0, ageDays)) / (used + WRITE_COST);
}

/** True above the least benefit, or for any age where less than `floor` is used; never in vain. */
export function isWorthCleaning(segment: SegmentAge, floor: number): boolean {
  const { ageDays, used, usedByLast, pinnedDays } = segment;
  if (pinnedDays > 0 && PIN_FACTOR * pinnedDays + usedByLast * ageDays >= ageDays) return false;
  return used < floor || benefitOf(segment) > BENEFIT_MIN;
}
