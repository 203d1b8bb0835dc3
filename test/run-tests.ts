/** The end of a run of tests: what has failed is told there, since the rest may not be kept. */
import test from 'ava';
import { FailedTests } from './helpers/failed-tests.ts';

/** As `ava --tap` writes it. */
const RUN = `TAP version 13
ok 1 - cli › gc › one that is fine
#   its log
not ok 2 - cli › gc › one that is not
#   the log of that
  ---
    name: AssertionError
    details:
      'Difference (- actual, + expected):': |-
        - 1

        + 0
    message: |-
      lbs gc
      ok 3 is what it said
    at: 'file:///test/cli/gc.ts:5:5'
  ...
ok 3 - another
not ok 4 - to be done # TODO
not ok 5 - a test file without tests

1..5
# tests 5
# pass 2
# fail 3
`;

function told(text: string): string[] {
  const failed = new FailedTests();
  for (const line of text.split('\n')) failed.line(line);
  return failed.told();
}

test('a run without failures has nothing to tell at its end', (t) => {
  t.deepEqual(told('TAP version 13\nok 1 - a\n#   log\n\n1..1\n# tests 1\n'), []);
});

test('failed tests are told once more with all that is known of them, and nothing else', (t) => {
  t.deepEqual(told(RUN), [
    '',
    'FAILED: cli › gc › one that is not',
    '#   the log of that',
    '    name: AssertionError',
    '    details:',
    "      'Difference (- actual, + expected):': |-",
    '        - 1',
    '',
    '        + 0',
    '    message: |-',
    '      lbs gc',
    '      ok 3 is what it said',
    "    at: 'file:///test/cli/gc.ts:5:5'",
    '',
    'FAILED: a test file without tests',
    '',
    '',
    '2 failures:',
    'FAILED: cli › gc › one that is not',
    'FAILED: a test file without tests',
  ]);
});

test('long failures and many of them are cut, but for their titles and messages', (t) => {
  const details = Array.from({ length: 500 }, (_, n) => `        ${n}: ${'x'.repeat(1000)}`);
  const one = (n: number) =>
    [`not ok ${n} - test ${n}`, '  ---', ...details, `    message: why ${n}`, '  ...'].join('\n');
  const lines = told(Array.from({ length: 50 }, (_, n) => one(n + 1)).join('\n'));
  t.true(lines.join('\n').length < 200_000);
  t.is(lines.at(-1), 'FAILED: test 50');
  t.true(lines.includes('    message: why 10'));
  t.true(lines.includes('    [461 lines]'));
});
