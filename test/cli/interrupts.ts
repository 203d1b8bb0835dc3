/** SIGINT to the commands that look into snapshots: 130, soon, and nothing is left behind. */
import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, existsSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import test, { type ExecutionContext } from 'ava';
import { fileStanza, objectName, writeSegment, writeSnapshot } from '../helpers/hand-made-store.ts';
import { homeOf, type Run, type RunningLbs, startLbs } from '../helpers/run-lbs.ts';
import { waitUntil } from '../helpers/small-tree.ts';
import { removeTree, tempDir } from '../helpers/temp-dir.ts';

/** Some seconds of work for each command. */
const ENTRIES = 150_000;
const ENTRIES_PER_OBJECT = 500;
/** Long after the start of the runtime, and before the end of any of these runs. */
const CPU_TICKS_BEFORE = 60;
const HUGE_BYTES = 512 * 1024 ** 3;
/** Of the processor, since on a busy machine seconds say nothing. */
const SOON_TICKS = 100;

/** Snapshot `digit` of entries that differ from those of the others. */
function writeLog(store: string, digit: number): void {
  const objects: string[] = [];
  for (let first = 0; first < ENTRIES; first += ENTRIES_PER_OBJECT) {
    const numbers = Array.from({ length: ENTRIES_PER_OBJECT }, (_, at) => first + at);
    const name = (number: number) => `file-${String(number).padStart(7, '0')}`;
    const fields = `data: zero[${digit}]\nsize: ${digit}\ntype: f`;
    const stanzas = numbers.map((at) => `name: ${name(at)}\n${fields}\nmtime: ${at}\n\n`);
    objects.push(stanzas.join(''));
  }
  const root = objects.map((_, at) => `@${objectName(digit, at)}\n`).join('');
  writeSegment(store, digit, [...objects, root]);
  writeSnapshot(store, {
    timestamp: `2030010${digit}T000000`,
    root: objectName(digit, objects.length),
    digits: [digit],
    contentOf: () => Buffer.alloc(0),
  });
}

const store = mkdtempSync(join(tmpdir(), 'lbs-test-'));
test.after.always(() => removeTree(store));

/** Two snapshots of many entries, and one with a file that would take minutes. */
test.before(() => {
  writeLog(store, 1);
  writeLog(store, 2);
  const huge = fileStanza('huge', Buffer.alloc(0), [`zero[${HUGE_BYTES}]`]);
  writeSegment(store, 3, [huge.replace('size: 0', `size: ${HUGE_BYTES}`)]);
  writeSnapshot(store, {
    timestamp: '20300103T000000',
    root: objectName(3, 0),
    digits: [3],
    contentOf: () => Buffer.alloc(0),
  });
});

/** Processor time that a process has used, in hundredths of a second. */
function cpuTicks(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'latin1')
    .replace(/^.*\) /, '')
    .split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

const CASES: readonly (readonly string[])[] = [
  ['ls', '-R', '20300101T000000'],
  ['ls', '--json', '20300101T000000', '.'],
  ['find', '--name=file-*'],
  ['find', '--name=nothing'],
  ['history', '.'],
  ['diff', '20300101T000000', '20300102T000000'],
  ['dump', '20300101T000000'],
  ['dump', '20300103T000000'],
  ['dump', '--format=zip', '20300101T000000'],
  ['dump', '--format=zip', '20300103T000000'],
  ['cat', '20300103T000000', 'huge'],
];

function isInterrupted(t: ExecutionContext, run: Run): void {
  t.is(run.code, 130, `${run.signal} ${run.stderr}`);
  t.regex(run.stderr, /^lbs: stopping tidily.*\nlbs: .*interrupted/);
  t.deepEqual(readdirSync(homeOf(t)), [], 'left in the temporary directory');
}

/** Interrupts a run, which then does not work on. */
async function endsSoon(t: ExecutionContext, running: RunningLbs): Promise<void> {
  const { pid = 0 } = running.child;
  const before = cpuTicks(pid);
  let ticks = 0;
  let isEnded = false;
  const done = running.done.finally(() => (isEnded = true));
  process.kill(pid, 'SIGINT');
  for (; !isEnded; await Promise.race([done, sleep(20)])) {
    if (existsSync(`/proc/${pid}/stat`)) ticks = cpuTicks(pid) - before;
  }
  isInterrupted(t, await done);
  t.true(ticks < SOON_TICKS, `${ticks} ticks`);
}

for (const [command = '', ...args] of CASES) {
  test.serial(`an interrupt ends ${command} ${args.join(' ')} at work`, async (t) => {
    const through = ['/bin/sh', '-c', 'exec "$@" >/dev/null', 'sh'];
    const running = startLbs(t, [command, `--store=${store}`, ...args], { through });
    const { pid = 0 } = running.child;
    await waitUntil(() => cpuTicks(pid) > CPU_TICKS_BEFORE, 'the command to be at work');
    await endsSoon(t, running);
  });
}

for (const [command = '', ...args] of CASES.filter(([name]) => !/history|cat/.test(name ?? ''))) {
  if (args.includes('--name=nothing')) continue;
  test.serial(`an interrupt ends ${command} ${args.join(' ')} when it writes`, async (t) => {
    const pipe = join(tempDir(t), 'pipe');
    spawnSync('mkfifo', [pipe]);
    const through = ['/bin/sh', '-c', 'exec "$@" >"$0"', pipe];
    const running = startLbs(t, [command, `--store=${store}`, ...args], { through });
    const output = createReadStream(pipe);
    await once(output, 'readable');
    // The pipe is full long before the end, so it is in the middle whatever else goes on here.
    running.child.kill('SIGINT');
    output.resume();
    isInterrupted(t, await running.done);
  });
}

test.serial('an interrupt ends rebuild at work, and leaves no half of a database', async (t) => {
  const localdb = tempDir(t);
  const running = startLbs(t, ['rebuild', `--store=${store}`, `--localdb=${localdb}`]);
  const { pid = 0 } = running.child;
  await waitUntil(() => cpuTicks(pid) > CPU_TICKS_BEFORE, 'the command to be at work');
  await endsSoon(t, running);
  t.deepEqual(readdirSync(localdb), ['lbs-localdb.lock']);
});
