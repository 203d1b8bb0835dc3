/** Which snapshots are kept: exact decisions for calendars, incomplete ones and forged dates. */
import test from 'ava';
import fc from '../helpers/fast-check.ts';
import {
  type Candidate,
  type RetentionRules,
  before,
  decideRetention,
  parseDuration,
  periodKey,
} from '../../src/maintain/retention.ts';

const at = (text: string) => new Date(text).getTime() / 1000;

function snapshot(name: string, changes: Partial<Candidate> = {}): Candidate {
  const timeS = at(`${name.slice(0, 10)}T${name.slice(11) || '12:00'}`);
  return {
    name,
    timeS,
    arrivedS: timeS + 60,
    isComplete: true,
    problem: undefined,
    isHeld: false,
    tags: [],
    ...changes,
  };
}

function rules(changes: Partial<RetentionRules>): RetentionRules {
  return { last: 0, counts: {}, within: [], tags: [], ...changes };
}

const NOW = at('2026-12-31T00:00');
const kept = (candidates: readonly Candidate[], given: Partial<RetentionRules>) =>
  decideRetention(candidates, rules(given))
    .filter(({ isKept }) => isKept)
    .map(({ name }) => name);

/** One snapshot a day at noon. */
function nightly(first: string, days: number): Candidate[] {
  return Array.from({ length: days }, (_, day) => {
    const date = new Date(at(`${first}T12:00`) * 1000);
    date.setDate(date.getDate() + day);
    const two = (number: number) => String(number).padStart(2, '0');
    return snapshot(`${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`);
  });
}

test('the newest of each of the last days, weeks, months and years are kept', (t) => {
  const all = nightly('2024-12-20', 700);
  t.deepEqual(kept(all, { last: 2 }), ['2026-11-18', '2026-11-19']);
  t.deepEqual(kept(all, { counts: { daily: 3 } }), ['2026-11-17', '2026-11-18', '2026-11-19']);
  t.deepEqual(kept(all, { counts: { weekly: 3 } }), ['2026-11-08', '2026-11-15', '2026-11-19']);
  t.deepEqual(kept(all, { counts: { monthly: 3 } }), ['2026-09-30', '2026-10-31', '2026-11-19']);
  t.deepEqual(kept(all, { counts: { yearly: 9 } }), ['2024-12-31', '2025-12-31', '2026-11-19']);
});

test('hours are told apart within a day', (t) => {
  const all = ['08:10', '08:50', '09:05', '11:59'].map((time) => snapshot(`2026-11-01 ${time}`));
  t.deepEqual(kept(all, { counts: { hourly: 3 } }), [
    '2026-11-01 08:50',
    '2026-11-01 09:05',
    '2026-11-01 11:59',
  ]);
});

test('--keep-within counts back from the newest snapshot, not from today', (t) => {
  const all = nightly('2020-01-01', 60);
  const week = { period: undefined, duration: { years: 0, months: 0, days: 2, hours: 0 } };
  t.deepEqual(kept(all, { within: [week] }), ['2020-02-27', '2020-02-28', '2020-02-29']);
  const months = { period: 'monthly' as const, duration: parseDuration('1y') ?? week.duration };
  t.deepEqual(kept(all, { within: [months] }), ['2020-01-31', '2020-02-29']);
});

test('each decision has its reasons', (t) => {
  const all = nightly('2026-11-01', 3);
  t.deepEqual(decideRetention(all, rules({ last: 1, counts: { daily: 2 } })), [
    { name: '2026-11-01', isKept: false, reasons: ['no rule keeps it'] },
    { name: '2026-11-02', isKept: true, reasons: ['daily 2'] },
    {
      name: '2026-11-03',
      isKept: true,
      reasons: ['the last complete one', 'the last one', 'last 1', 'daily 1'],
    },
  ]);
});

test('the last complete snapshot is kept whatever the rules say', (t) => {
  const all = [
    snapshot('2026-11-01'),
    snapshot('2026-11-02'),
    snapshot('2026-11-03', { isComplete: false }),
    snapshot('2026-11-04', { isComplete: false }),
  ];
  t.deepEqual(kept(all, { tags: ['none'] }), ['2026-11-02', '2026-11-04']);
});

test('an incomplete snapshot takes no place of a complete one', (t) => {
  const all = [
    snapshot('2026-11-01'),
    snapshot('2026-11-02 10:00'),
    snapshot('2026-11-02 20:00', { isComplete: false }),
    snapshot('2026-11-03', { isComplete: false }),
    snapshot('2026-11-04'),
  ];
  // The third has no complete one, so it is kept and does not count; in the second the complete one is.
  t.deepEqual(kept(all, { counts: { daily: 2 } }), [
    '2026-11-02 10:00',
    '2026-11-03',
    '2026-11-04',
  ]);
});

test('held and tagged snapshots, and those that cannot be used, are left alone', (t) => {
  const all = [
    snapshot('2026-11-01', { isHeld: true }),
    snapshot('2026-11-02', { tags: ['release'] }),
    snapshot('2026-11-03', { problem: 'its descriptor cannot be read' }),
    snapshot('2026-11-04'),
    snapshot('2026-11-05'),
  ];
  t.deepEqual(kept(all, { last: 1, tags: ['release'] }), [
    '2026-11-01',
    '2026-11-02',
    '2026-11-03',
    '2026-11-05',
  ]);
});

test('a date in the future pushes nothing out', (t) => {
  const all = [...nightly('2026-11-01', 3), snapshot('2036-01-01', { arrivedS: NOW })];
  t.deepEqual(kept(all, { last: 2 }), ['2026-11-02', '2026-11-03', '2036-01-01']);
});

test('dates that were in the future once push nothing out when their day has come', (t) => {
  const good = nightly('2026-01-01', 300);
  // All put there on the tenth day, for every day of the year; and the backups went on.
  const forged = nightly('2026-01-01', 290).map((each) => ({
    ...each,
    name: `${each.name}-forged`,
    timeS: each.timeS + 3600,
    arrivedS: at('2026-01-10T18:00'),
  }));
  const given = { last: 10, counts: { daily: 14, monthly: 12 } };
  const found = kept([...good, ...forged], given);
  for (const name of kept(good, given)) t.true(found.includes(name), name);
  // And they stand in the way of nothing: what is not needed goes.
  const goodLeft = found.filter((name) => !name.endsWith('forged'));
  t.true(goodLeft.length < 40, `${goodLeft.length}`);
});

test('a clock that was a year ahead for one night makes no other night superfluous', (t) => {
  const wrong = snapshot('2027-11-01', { arrivedS: at('2026-11-01T12:01') });
  // Snapshots sort behind the newest one there is, so all that follow are named after it.
  const after = Array.from({ length: 360 }, (_, day) => ({
    ...wrong,
    name: `after-${day}`,
    timeS: wrong.timeS + day + 1,
    arrivedS: wrong.arrivedS + (day + 1) * 86400,
  }));
  const all = [...nightly('2026-10-01', 30), wrong, ...after];
  const found = kept(all, { counts: { daily: 7 } });
  t.is(found.filter((name) => name.startsWith('after-')).length, 360);
});

test('snapshots with forged dates that came later push nothing out', (t) => {
  const good = nightly('2026-01-01', 300);
  const wanted = kept(good, { counts: { monthly: 12, yearly: 5 } });
  // Somebody who has taken over a client puts a later one into each month, and fills earlier years.
  const forged = [...nightly('2026-01-01', 290), ...nightly('2020-01-01', 1200)].map(
    (each, at_) => ({
      ...each,
      name: `${each.name}-forged-${at_}`,
      timeS: each.timeS + 3600,
      arrivedS: NOW - 3600,
    }),
  );
  const all = [...good, ...forged];
  const found = kept(all, { counts: { monthly: 12, yearly: 5 } });
  for (const name of wanted) t.true(found.includes(name), name);
});

test('a store that was copied in one go keeps what the original would keep', (t) => {
  const good = nightly('2026-01-01', 300);
  const copied = good.map((each, index) => ({
    ...each,
    arrivedS: NOW - ((index * 7919) % 40_000),
  }));
  const given = { counts: { daily: 7, weekly: 4, monthly: 12 } };
  t.deepEqual(kept(copied, given), kept(good, given));
});

test('no rules and no dates make it forget the last complete snapshot, or anything twice', (t) => {
  const candidate = fc.record({
    timeS: fc.integer({ min: 0, max: 2_000_000_000 }),
    arrivedS: fc.integer({ min: 0, max: 2_000_000_000 }),
    isComplete: fc.boolean(),
    isHeld: fc.boolean(),
  });
  const number = fc.constantFrom(0, 1, 2, 5, Number.POSITIVE_INFINITY);
  fc.assert(
    fc.property(
      fc.array(candidate, { maxLength: 30 }),
      number,
      number,
      number,
      (given, last, daily, yearly) => {
        const all = given.map((each, index) => ({
          ...each,
          name: String(index),
          problem: undefined,
          tags: [],
        }));
        const decisions = decideRetention(all, rules({ last, counts: { daily, yearly } }));
        t.is(decisions.length, all.length);
        const isKept = (name: string) => decisions.find((each) => each.name === name)?.isKept;
        for (const each of all) if (each.isHeld) t.true(isKept(each.name));
        if (all.some((each) => each.isComplete)) {
          t.true(all.some((each) => each.isComplete && isKept(each.name) === true));
        }
        for (const { reasons } of decisions) t.true(reasons.length > 0);
      },
    ),
  );
});

test('durations are read in the order y m w d h, and go back by the calendar', (t) => {
  t.deepEqual(parseDuration('2y6m1w3d12h'), { years: 2, months: 6, days: 10, hours: 12 });
  for (const bad of ['', '3', 'd', '3d2y', '-1d', '1.5d', '1 d', '9'.repeat(20)]) {
    t.is(parseDuration(bad), undefined, bad);
  }
  const march = at('2026-03-31T12:00');
  t.is(before(march, { years: 0, months: 1, days: 0, hours: 0 }), at('2026-02-28T12:00'));
  t.is(before(march, { years: 1, months: 0, days: 1, hours: 2 }), at('2025-03-30T10:00'));
});

test('hours are those of the clock, also where the zone is off by half an hour', (t) => {
  const zone = process.env['TZ'];
  const hour = (moment: string) => periodKey('hourly', at(moment));
  try {
    process.env['TZ'] = 'Asia/Kolkata';
    t.is(hour('2026-11-01T12:05'), hour('2026-11-01T12:55'));
    t.not(hour('2026-11-01T12:55'), hour('2026-11-01T13:05'));
    process.env['TZ'] = 'Europe/Berlin';
    t.not(hour('2026-10-25T00:30Z'), hour('2026-10-25T01:30Z'), '2:30 comes twice');
  } finally {
    // Other tests of this process read dates in its zone.
    if (zone === undefined) delete process.env['TZ'];
    else process.env['TZ'] = zone;
  }
});

test('an incomplete snapshot that stands for its period has no number', (t) => {
  const all = [
    snapshot('2026-11-01'),
    snapshot('2026-11-02', { isComplete: false }),
    snapshot('2026-11-03'),
  ];
  const [first, second] = decideRetention(all, rules({ counts: { daily: 2 } }));
  t.deepEqual(first?.reasons, ['daily 2']);
  t.deepEqual(second?.reasons, ['daily, but incomplete: not counted']);
});

test('weeks are those of ISO 8601', (t) => {
  const week = (day: string) => periodKey('weekly', at(`${day}T12:00`));
  t.is(week('2024-12-30'), week('2025-01-05'));
  t.not(week('2025-01-05'), week('2025-01-06'));
  t.is(week('2020-12-31'), week('2021-01-03'));
});
