/**
 * Which snapshots of one scheme are kept: `--keep-last`, `--keep-daily`, `--keep-within`, ...
 *
 * Pure: times in, decisions with their reasons out. Periods (hours, days, ISO weeks, months, years)
 * are those of the local time zone, because that is what a person means by a day.
 *
 * Two rules stand above all others. A snapshot that is not complete never takes the place of a
 * complete one. And what a snapshot says of its own time never pushes out another one unless that
 * is plausible: a client that somebody else controls can put snapshots with any date into a store,
 * so that the good ones seem to be superfluous. So a date counts only if it agrees with when the store
 * got the file: not before that date, and not after a snapshot that claims to be newer. No other
 * clock is asked: a date that was once in the future would be believed when its day has come.
 */

import { LbsError } from '../errors.ts';

export const PERIODS = ['hourly', 'daily', 'weekly', 'monthly', 'yearly'] as const;
export type Period = (typeof PERIODS)[number];

/** Calendar steps back from a moment. */
export type Duration = {
  readonly years: number;
  readonly months: number;
  readonly days: number;
  readonly hours: number;
};

export type RetentionRules = {
  /** The newest so many; `Infinity` for all. */
  readonly last: number;
  /** The newest of each of so many periods that have one. */
  readonly counts: Readonly<Partial<Record<Period, number>>>;
  /** All, or the newest of each period, of this time before the newest snapshot. */
  readonly within: readonly { readonly period: Period | undefined; readonly duration: Duration }[];
  readonly tags: readonly string[];
};

export type Candidate = {
  readonly name: string;
  /** Seconds since 1970, as the snapshot says. */
  readonly timeS: number;
  /** When the store got its descriptor, by the store's own clock. */
  readonly arrivedS: number;
  /** Nothing is missing in it: neither entries of the source nor segments in the store. */
  readonly isComplete: boolean;
  /** Why it is not to be judged at all, as text; it is then left alone. */
  readonly problem: string | undefined;
  readonly isHeld: boolean;
  readonly tags: readonly string[];
};

export type Decision = {
  readonly name: string;
  readonly isKept: boolean;
  /** Why it is kept, or why it is not: never empty. */
  readonly reasons: readonly string[];
};

const DAY_S = 86400;
/** Clocks of honest machines, and the time a backup takes, differ by less than this. */
const TOLERANCE_S = DAY_S;

/**
 * The rules with what was left out of them, which keeps nothing.
 * @throws {LbsError} usage when all keep nothing, or a number is not one of snapshots
 */
export function wholeRules(given: Partial<RetentionRules>): RetentionRules {
  const { last = 0, counts = {}, within = [], tags = [] } = given;
  const numbers = [last, ...PERIODS.map((period) => counts[period] ?? 0)];
  const bad = numbers.find(
    (number) => !(Number.isInteger(number) || number === Infinity) || number < 0,
  );
  if (bad !== undefined) {
    throw new LbsError('usage', `${bad} is not a number of snapshots to keep`);
  }
  // A rule that keeps nothing is a mistake in a script, and would cost all but the last snapshot.
  if (numbers.every((number) => number === 0) && within.length === 0 && tags.length === 0) {
    throw new LbsError('usage', 'nothing to keep was given', {
      hint: 'give rules, as in --keep-daily=14, or name the snapshots to forget',
    });
  }
  return { last, counts, within, tags };
}

/** Decides on all snapshots of one scheme. Decisions are oldest first. */
export function decideRetention(
  candidates: readonly Candidate[],
  rules: RetentionRules,
): Decision[] {
  const decisions = new Map(candidates.map(({ name }) => [name, new Set<string>()]));
  const keep = (snapshot: Candidate | undefined, reason: string) => {
    if (snapshot) decisions.get(snapshot.name)?.add(reason);
  };
  const inOrder = candidates.toSorted((a, b) => a.timeS - b.timeS || (a.name < b.name ? -1 : 1));
  const counted: Candidate[] = [];
  const doubts = doubtsOf(inOrder.filter(({ problem }) => problem === undefined));
  for (const snapshot of inOrder) {
    const doubt = snapshot.problem ?? doubts.get(snapshot.name);
    if (doubt !== undefined) keep(snapshot, doubt);
    else counted.push(snapshot);
    if (snapshot.isHeld) keep(snapshot, 'held');
    for (const tag of snapshot.tags) if (rules.tags.includes(tag)) keep(snapshot, `tag ${tag}`);
  }
  const newestFirst = counted.toReversed();
  keep(
    newestFirst.find(({ isComplete }) => isComplete),
    'the last complete one',
  );
  keep(newestFirst[0], 'the last one');
  keepCounted(newestFirst, rules, keep);
  keepWithin(newestFirst, rules, keep);
  return inOrder.map(({ name }) => {
    const reasons = [...(decisions.get(name) ?? [])];
    const isKept = reasons.length > 0;
    return { name, isKept, reasons: isKept ? reasons : ['no rule keeps it'] };
  });
}

/**
 * Why dates are not believed. Nothing is made after it came to the store. And a snapshot that claims
 * to be older than another one, but came to the store more than a day after it, may have been made
 * up to take the place of a real one. A store that was copied in one go has files that all came
 * within a day, which contradicts nothing.
 */
function doubtsOf(inOrder: readonly Candidate[]): Map<string, string> {
  const doubts = new Map<string, string>();
  let earliestArrivalS = Number.POSITIVE_INFINITY;
  for (const { name, timeS, arrivedS } of inOrder.toReversed()) {
    if (timeS > arrivedS + TOLERANCE_S) {
      doubts.set(name, 'its date is after its arrival, so it does not count');
      continue;
    }
    if (arrivedS > earliestArrivalS + TOLERANCE_S) {
      doubts.set(name, 'it came after newer ones, so its date does not count');
    } else earliestArrivalS = Math.min(earliestArrivalS, arrivedS);
  }
  return doubts;
}

type Keep = (snapshot: Candidate | undefined, reason: string) => void;

function reasonOf(rule: string, number: number | undefined): string {
  return number === undefined ? `${rule}, but incomplete: not counted` : `${rule} ${number}`;
}

function keepCounted(newestFirst: readonly Candidate[], rules: RetentionRules, keep: Keep): void {
  keepOfEach(
    newestFirst,
    ({ name }) => name,
    rules.last,
    (snapshot, number) => keep(snapshot, reasonOf('last', number)),
  );
  for (const period of PERIODS) {
    const key = (snapshot: Candidate) => periodKey(period, snapshot.timeS);
    keepOfEach(newestFirst, key, rules.counts[period] ?? 0, (snapshot, number) =>
      keep(snapshot, reasonOf(period, number)),
    );
  }
}

function keepWithin(newestFirst: readonly Candidate[], rules: RetentionRules, keep: Keep): void {
  const [newest] = newestFirst;
  if (newest === undefined) return;
  for (const { period, duration } of rules.within) {
    const sinceS = before(newest.timeS, duration);
    const recent = newestFirst.filter(({ timeS }) => timeS >= sinceS);
    const key = ({ name, timeS }: Candidate) =>
      period === undefined ? name : periodKey(period, timeS);
    keepOfEach(recent, key, Number.POSITIVE_INFINITY, (snapshot) =>
      keep(snapshot, period === undefined ? 'within' : `within, ${period}`),
    );
  }
}

/**
 * The newest complete snapshot of each of the first `count` groups, with its number. Where a group
 * has only incomplete ones, the newest is kept as well, without a number: it does not count.
 */
function keepOfEach(
  newestFirst: readonly Candidate[],
  keyOf: (snapshot: Candidate) => string,
  count: number,
  keep: (snapshot: Candidate, number: number | undefined) => void,
): void {
  const groups = new Map<string, Candidate[]>();
  for (const snapshot of newestFirst) {
    const key = keyOf(snapshot);
    const group = groups.get(key);
    if (group) group.push(snapshot);
    else groups.set(key, [snapshot]);
  }
  let number = 0;
  for (const group of groups.values()) {
    if (number >= count) return;
    const complete = group.find(({ isComplete }) => isComplete);
    if (complete !== undefined) keep(complete, ++number);
    else if (group[0] !== undefined) keep(group[0], undefined);
  }
}

/** A text that two moments share exactly when they are in the same period. */
export function periodKey(period: Period, seconds: number): string {
  const date = new Date(seconds * 1000);
  const [year, month, day] = [date.getFullYear(), date.getMonth(), date.getDate()];
  switch (period) {
    case 'hourly': {
      // Some zones are off by half an hour. The offset tells apart the hours that summer time repeats.
      const offsetMinutes = -date.getTimezoneOffset();
      return `${Math.floor((seconds + offsetMinutes * 60) / 3600)} ${offsetMinutes}`;
    }
    case 'daily':
      return `${year}-${month}-${day}`;
    case 'weekly': {
      // ISO 8601: a week belongs to the year that its Thursday is in.
      const thursday = new Date(year, month, day + 3 - ((date.getDay() + 6) % 7));
      const first = new Date(thursday.getFullYear(), 0, 1);
      const days = Math.round((thursday.getTime() - first.getTime()) / (DAY_S * 1000));
      return `${thursday.getFullYear()}-w${Math.floor(days / 7)}`;
    }
    case 'monthly':
      return `${year}-${month}`;
    case 'yearly':
      return `${year}`;
  }
}

/** The moment `duration` before `seconds`, by the calendar; a day that there is not is the last. */
export function before(seconds: number, duration: Duration): number {
  const date = new Date(seconds * 1000);
  const monthsBack = duration.years * 12 + duration.months;
  const month = new Date(date.getFullYear(), date.getMonth() - monthsBack, 1);
  const daysOfMonth = new Date(month.getFullYear(), month.getMonth() + 1, 0).getDate();
  const day = Math.min(date.getDate(), daysOfMonth) - duration.days;
  const moment = new Date(
    month.getFullYear(),
    month.getMonth(),
    day,
    date.getHours(),
    date.getMinutes(),
    date.getSeconds(),
  );
  return moment.getTime() / 1000 - duration.hours * 3600;
}

/** Its length in seconds, where months are 30 days: for periods of grace. */
export function secondsOf({ years, months, days, hours }: Duration): number {
  return (years * 365 + months * 30 + days) * DAY_S + hours * 3600;
}

const DURATION = /^(?:(\d{1,4})y)?(?:(\d{1,5})m)?(?:(\d{1,4})w)?(?:(\d{1,6})d)?(?:(\d{1,7})h)?$/;

/** `2y6m1w3d12h`, in that order; undefined for anything else. */
export function parseDuration(text: string): Duration | undefined {
  const match = text === '' ? null : DURATION.exec(text);
  if (!match) return undefined;
  const [years = 0, months = 0, weeks = 0, days = 0, hours = 0] = match
    .slice(1, 6)
    .map((part) => Number(part ?? 0));
  return { years, months, days: weeks * 7 + days, hours };
}
