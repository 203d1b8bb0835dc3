/** The line of progress: what it says, how wide it is, how often it is written. */
import test from 'ava';
import { formatProgress, ProgressLine, textColumns } from '../../src/cli/progress-line.ts';
import type { Progress } from '../../src/report.ts';
import { bytePath } from '../../src/std/byte-path.ts';

const MIB = 1024 * 1024;

function progress(fields: Partial<Progress> = {}): Progress {
  return {
    files: 1234,
    bytes: 50 * MIB,
    totalFiles: undefined,
    totalBytes: undefined,
    path: bytePath('home/ann/letter'),
    ...fields,
  };
}

/** A terminal that remembers what was written to it. */
function terminal(columns = 80): {
  written: string[];
  write: (text: string) => void;
  columns: number;
} {
  const written: string[] = [];
  return { written, write: (text) => written.push(text), columns };
}

test('without totals it says what was done, how fast, and where it is', (t) => {
  t.is(
    formatProgress(progress(), 10_000, 80),
    '0:10  1,234 files  50.0 MiB  5.00 MiB/s  home/ann/letter',
  );
});

test('the first moments have no rate', (t) => {
  t.is(formatProgress(progress({ files: 1 }), 500, 80), '0:00  1 file  50.0 MiB  home/ann/letter');
});

test('with totals it says how much is done and how long it will take', (t) => {
  const line = formatProgress(progress({ totalBytes: 200 * MIB }), 3_700_000, 100);
  t.regex(line, /^1:01:40 {2}1,234 files {2}50\.0 MiB {2}.*\/s {2}25% {2}ETA 3:05:00 {2}home/);
  t.regex(formatProgress(progress({ totalFiles: 2468 }), 10_000, 100), / {2}50% {2}ETA 0:10 /);
  // The source may have grown since the totals were known.
  t.regex(formatProgress(progress({ totalBytes: MIB }), 10_000, 100), / {2}100% {2}ETA 0:00 /);
});

test('it is never wider than the screen, and keeps the end of a long path', (t) => {
  const path = bytePath(`${'folder/'.repeat(100)}last`);
  for (const columns of [1, 10, 20, 40, 47, 48, 60, 80, 200]) {
    const line = formatProgress(progress({ path }), 10_000, columns);
    t.true(textColumns(line) < Math.max(2, columns), `${columns}: ${line}`);
  }
  t.regex(formatProgress(progress({ path }), 10_000, 80), / {2}\.\.\..*\/last$/);
});

test('wide and combining letters are counted as the terminal counts them', (t) => {
  t.is(textColumns('abc'), 3);
  t.is(textColumns('日本'), 4);
  t.is(textColumns('e\u0301'), 1);
  const path = bytePath('日本/'.repeat(40));
  t.true(textColumns(formatProgress(progress({ path }), 10_000, 70)) <= 69);
});

test('a file name cannot write to the terminal', (t) => {
  const path = bytePath(Buffer.from('a\x1b[2Jb\n\xff', 'latin1'));
  const line = formatProgress(progress({ path }), 10_000, 100);
  t.true(line.endsWith('a\\x1b[2Jb\\x0a\\xff'), line);
});

test('it is rewritten at most ten times a second', (t) => {
  const screen = terminal();
  let now = 0;
  const line = new ProgressLine(screen, () => now);
  for (now = 0; now < 1000; now++) line.update(progress());
  t.is(screen.written.length, 10);
  for (const text of screen.written) t.true(text.startsWith('\r\x1b[K'));
});

test('it is taken away once, and comes back', (t) => {
  const screen = terminal();
  let now = 0;
  const line = new ProgressLine(screen, () => now);
  line.clear();
  t.deepEqual(screen.written, []);
  line.update(progress());
  line.clear();
  line.clear();
  t.is(screen.written.length, 2);
  t.is(screen.written[1], '\r\x1b[K');
  now = 1000;
  line.update(progress());
  t.is(screen.written.length, 3);
});
