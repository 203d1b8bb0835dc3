/**
 * Whether it pays to store anew what is alive of a segment, so that all of it can go: the family's
 * measure, which weighs what is gained against what must be written, and trusts old data to stay;
 * and whether the segment would go in time.
 *
 * Snapshots that are kept name the segment as long as there are any, and until then what was stored
 * anew is in the store twice. What has been kept for some time will be kept for longer. And if
 * the segment is not given up, a snapshot to come will name it, which may be kept as long as the
 * oldest one that there is. Over that time, `horizon`, the room that both ways take is compared:
 * `pinned + usedByLast * horizon` must be less than `horizon`.
 */

export type SegmentAge = {
  readonly ageDays: number;
  /**
   * Share of its bytes that the last snapshots of the schemes use, 0 to 1: what would be stored anew.
   */
  readonly usedByLast: number;
  /** Age of the oldest snapshot that names it, the last ones of the schemes aside; 0 for none. */
  readonly pinnedDays: number;
  /** Age of the oldest snapshot in the store. */
  readonly oldestDays: number;
};

const BENEFIT_MIN = 7;
const WRITE_COST = 0.1;
/** How long a snapshot will be kept that was kept so long: under rules for months, longer. */
const PIN_FACTOR = 2;

/** `(1-u)*age/(u+0.1)` */
export function benefitOf({
  ageDays,
  usedByLast,
}: Pick<SegmentAge, 'ageDays' | 'usedByLast'>): number {
  return ((1 - usedByLast) * Math.max(0, ageDays)) / (usedByLast + WRITE_COST);
}

/** True above the least benefit, or for any age where less than `floor` is used; never in vain. */
export function isWorthCleaning(segment: SegmentAge, floor: number): boolean {
  const { ageDays, usedByLast, pinnedDays, oldestDays } = segment;
  if (pinnedDays > 0) {
    const horizonDays = Math.max(ageDays, oldestDays);
    if (PIN_FACTOR * pinnedDays + usedByLast * horizonDays >= horizonDays) return false;
  }
  return usedByLast < floor || benefitOf(segment) > BENEFIT_MIN;
}
