import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import fc from '../helpers/fast-check.ts';
import test from 'ava';
import {
  formatDate,
  formatTimestamp,
  parseDate,
  parseTimestamp,
} from '../../src/format/timestamp.ts';
import { PROJECT } from '../helpers/run-lbs.ts';

/** 2026-11-20 09:14:21 UTC. */
const MOMENT = 1795166061;

/** Name and date of each moment, as a process in time zone `zone` writes them. */
function writtenIn(zone: string, seconds: readonly number[]): string[] {
  const module = join(PROJECT, 'src', 'format', 'timestamp.ts');
  const script = `import { formatDate, formatTimestamp, parseDate } from ${JSON.stringify(module)};
    for (const s of ${JSON.stringify(seconds)}) {
      console.log(formatTimestamp(s), formatDate(s), parseDate(formatDate(s)) === s);
    }`;
  const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    env: { TZ: zone, NODE_OPTIONS: '' },
    encoding: 'utf8',
  });
  if (stdout === '') throw new Error(stderr);
  return stdout.trimEnd().split('\n');
}

test('a snapshot is named by UTC, and dated in the local zone', (t) => {
  const cases: readonly (readonly [zone: string, date: string])[] = [
    ['UTC', '2026-11-20 09:14:21 +0000'],
    ['America/New_York', '2026-11-20 04:14:21 -0500'],
    ['Asia/Kolkata', '2026-11-20 14:44:21 +0530'],
    ['Asia/Kathmandu', '2026-11-20 14:59:21 +0545'],
    ['America/St_Johns', '2026-11-20 05:44:21 -0330'],
    ['Pacific/Kiritimati', '2026-11-20 23:14:21 +1400'],
    ['Pacific/Pago_Pago', '2026-11-19 22:14:21 -1100'],
  ];
  for (const [zone, date] of cases) {
    t.deepEqual(writtenIn(zone, [MOMENT]), [`20261120T091421 ${date} true`], zone);
  }
});

test('the hour that comes twice in autumn has two names and two dates', (t) => {
  // Clocks in Berlin go back from 03:00 to 02:00 on 2026-10-25 at 01:00 UTC.
  const before = Date.UTC(2026, 9, 25, 0, 30) / 1000;
  t.deepEqual(writtenIn('Europe/Berlin', [before, before + 3600]), [
    '20261025T003000 2026-10-25 02:30:00 +0200 true',
    '20261025T013000 2026-10-25 02:30:00 +0100 true',
  ]);
});

test('the hour that is missing in spring changes nothing', (t) => {
  const before = Date.UTC(2026, 2, 29, 0, 59, 59) / 1000;
  t.deepEqual(writtenIn('Europe/Berlin', [before, before + 1]), [
    '20260329T005959 2026-03-29 01:59:59 +0100 true',
    '20260329T010000 2026-03-29 03:00:00 +0200 true',
  ]);
});

test('names come back, and sort as time goes', (t) => {
  const second = fc.integer({ min: 0, max: 253402300799 });
  fc.assert(
    fc.property(second, second, (a, b) => {
      t.is(parseTimestamp(formatTimestamp(a)), a);
      t.is(Math.sign(a - b), Math.sign(Buffer.compare(Buffer.from(formatTimestamp(a)), Buffer.from(formatTimestamp(b))))); // prettier-ignore
      t.is(parseDate(formatDate(a)), a);
    }),
  );
});

test('what is no time is not read as one', (t) => {
  const names = ['', '20261120', '20261120t091421', '20261120T09142', '20261120T0914211', ' 20261120T091421', '20261120T091421\n']; // prettier-ignore
  for (const text of names) t.is(parseTimestamp(text), undefined, JSON.stringify(text));
  const dates = ['', '2026-11-20', '2026-11-20 09:14:21', '2026-11-20T09:14:21 +0000', '2026-13-20 09:14:21 +0000', '2026-11-20 09:14:21 UTC', 'x 2026-11-20 09:14:21 +0000']; // prettier-ignore
  for (const text of dates) t.is(parseDate(text), undefined, text);
});
