/** The family's age groups, by the vectors that were made with its own program. */
import test from 'ava';
import { type AgedBytes, ageLimits, groupOfAge } from '../../src/maintain/age-groups.ts';
import { type SegmentAge, benefitOf, isWorthCleaning } from '../../src/maintain/segment-benefit.ts';

const MB = 1_000_000;
const blocks = (...pairs: readonly [ageDays: number, mb: number][]): AgedBytes[] =>
  pairs.map(([ageDays, mb]) => ({ ageDays, bytes: mb * MB }));
const groups = (limits: readonly number[], ages: readonly number[]) =>
  ages.map((age) => groupOfAge(limits, age));

/** A segment that no older snapshot names. */
const onlyInLast = ({ ageDays, used }: { ageDays: number; used: number }): SegmentAge => ({
  ageDays,
  usedByLast: used,
  pinnedDays: 0,
  oldestDays: 0,
});

test('segments of all ages: the first vector', (t) => {
  const segments = [
    { ageDays: 100, used: 0.5 },
    { ageDays: 50, used: 0.5 },
    { ageDays: 20, used: 0.5 },
    { ageDays: 9, used: 0.5 },
    { ageDays: 8, used: 0.5 },
    { ageDays: 1, used: 0 },
    { ageDays: 80, used: 0.9 },
    { ageDays: 60, used: 0.9 },
  ];
  const benefits = segments.map((segment) => Number(benefitOf(onlyInLast(segment)).toFixed(3)));
  t.deepEqual(benefits, [83.333, 41.667, 16.667, 7.5, 6.667, 10, 8, 6]);
  t.deepEqual(
    segments.map((segment) => isWorthCleaning(onlyInLast(segment), 0)),
    [true, true, true, true, false, true, true, false],
  );
  const expired = blocks(
    [100, 2],
    [90, 2],
    [50, 2],
    [45, 2],
    [20, 2],
    [10, 2],
    [9, 2],
    [2, 2],
    [1, 4],
    [80, 4],
  );
  const limits = ageLimits(expired, 4 * MB);
  t.deepEqual(limits, [-1, -1, 2, 50]);
  t.deepEqual(groups(limits, [100, 90, 80]), [3, 3, 3]);
  t.deepEqual(groups(limits, [50, 45, 20, 10, 9]), [2, 2, 2, 2, 2]);
  t.deepEqual(groups(limits, [2, 1]), [1, 1]);
});

test('one segment with an old and a young block', (t) => {
  const limits = ageLimits(blocks([30, 1], [3, 3]), 4 * MB);
  t.deepEqual(limits, [-1, 3]);
  t.deepEqual(groups(limits, [30, 3]), [1, 0]);
});

test('one segment with one old block', (t) => {
  const limits = ageLimits(blocks([30, 4]), 4 * MB);
  t.deepEqual(limits, [-1, -1]);
  t.deepEqual(groups(limits, [30]), [1]);
});

test('one segment with one young block', (t) => {
  const limits = ageLimits(blocks([2, 4]), 4 * MB);
  t.deepEqual(limits, [-1, 2]);
  t.deepEqual(groups(limits, [2]), [0]);
});

test('nothing expired has no groups, and a time in the future counts as now', (t) => {
  t.deepEqual(ageLimits([], MB), []);
  t.is(groupOfAge([], 5), 0);
  t.deepEqual(ageLimits(blocks([-7, 4]), 4 * MB), ageLimits(blocks([0, 4]), 4 * MB));
});

test('a segment that is little used is cleaned however young it is', (t) => {
  t.true(isWorthCleaning(onlyInLast({ ageDays: 0, used: 0.39 }), 0.4));
  t.false(isWorthCleaning(onlyInLast({ ageDays: 0, used: 0.41 }), 0.4));
});

test('a segment that old snapshots keep is not stored a second time', (t) => {
  const segment = { ageDays: 100, usedByLast: 0.5, pinnedDays: 0, oldestDays: 100 };
  const isWorth = (facts: Partial<SegmentAge>) => isWorthCleaning({ ...segment, ...facts }, 0.4);
  // Twice the age of the oldest one that names it, and half of 100 days: less than 100?
  t.true(isWorth({ pinnedDays: 24 }));
  t.false(isWorth({ pinnedDays: 26 }));
  t.false(isWorth({ pinnedDays: 100, usedByLast: 0.1 }));
  // Where snapshots are kept for years, one to come would keep it for years.
  t.true(isWorth({ pinnedDays: 26, oldestDays: 1000 }));
  t.false(isWorth({ pinnedDays: 260, oldestDays: 1000 }));
});
