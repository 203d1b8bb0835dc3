/**
 * Runs ava and ends with what has failed and one plain line, `N passed, N failed`, from ava's own
 * results. Arguments are handed to ava; the exit status is ava's. A test that was skipped is counted,
 * and so is anything else that ava reports as not ok: an uncaught exception, a test file without tests.
 */
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { createInterface } from 'node:readline';
import { FailedTests } from './failed-tests.ts';
import { testPlaces } from './test-places.ts';

const counts = { passed: 0, skipped: 0 };
const failures = new FailedTests();

function count(line: string): void {
  // Details of an error are indented, and what a test prints itself goes to standard error.
  if (/^ok \d+ .* # SKIP$/.test(line) || /^not ok \d+ .* # TODO$/.test(line)) counts.skipped++;
  else if (/^ok \d+ /.test(line)) counts.passed++;
  failures.line(line);
}

// The slow tests have a configuration of their own, and files too large for a memory.
const isSlow = process.argv.includes('--config');
const places = isSlow ? undefined : testPlaces();
// One more than there are processors, since tests wait for processes, which wait for disks.
const atOnce = isSlow ? [] : [`--concurrency=${availableParallelism() + 1}`];
const ava = spawn('ava', ['--tap', ...atOnce, ...process.argv.slice(2)], {
  stdio: ['ignore', 'pipe', 'inherit'],
  env: { ...process.env, ...places?.env },
});
// Ended with it, so that nothing of the tests stays behind.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => ava.kill(signal));
// Listened to before the output ends, or it could be missed.
const ended = new Promise<{ code: number; how: string }>((resolve) => {
  ava.on('close', (status, signal) =>
    resolve({ code: status ?? 1, how: signal ?? `exit code ${status}` }),
  );
});
for await (const line of createInterface({ input: ava.stdout })) {
  count(line);
  console.log(line);
}
const { code, how } = await ended;
places?.remove();
for (const line of failures.told()) console.log(line);
// ava can fail without a failed test, and says on standard error why; of a file of which all tests
// have passed and whose process does not end it says nothing.
const isOther = code !== 0 && failures.count === 0;
if (isOther) {
  const why = 'no tests, a wrong option, or a test file whose process did not end';
  console.log(`FAILED: ava itself, which ended with ${how}: ${why}`);
}
const failed = isOther ? 1 : failures.count;
const skipped = counts.skipped === 0 ? '' : `, ${counts.skipped} skipped`;
console.log(`${counts.passed} passed, ${failed} failed${skipped}`);
process.exitCode = code;
