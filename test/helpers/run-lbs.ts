/**
 * Runs bin/lbs as people do: a process of its own, a clean environment, and optionally an
 * ordinary user. Nothing of the tester's configuration, keys or LBS_ variables reaches it.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chownSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { Limiter } from '../../src/std/limiter.ts';
import { isRoot, ORDINARY_USER, tempDir } from './temp-dir.ts';

/** Root of the checkout. */
export const PROJECT = join(import.meta.dirname, '..', '..');
const PROGRAM = join(PROJECT, 'bin', 'lbs');
/**
 * Longer than any single run needs, also on a machine that has ten times as much to do; a hang fails
 * its test with the output so far, before the time of ava (package.json) is over.
 */
const RUN_TIMEOUT_MS = 200_000;

export type RunOptions = {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string | Buffer;
  readonly cwd?: string;
  /** `ordinary`: without root's rights (only then different from who runs the tests). */
  readonly user?: 'ordinary';
  /** Program to start instead of bin/lbs, which then is its last words: `['strace', '-f']`. */
  readonly through?: readonly string[];
  /** In a process group of its own, which a test can send what Ctrl-C sends to a terminal's. */
  readonly ownGroup?: boolean;
  /** Longer than usual, where the time of the processor is limited instead. */
  readonly timeoutMs?: number;
};

export type Run = {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
};

export type RunningLbs = {
  readonly child: ChildProcess;
  readonly done: Promise<Run>;
  /** What it has said so far. */
  readonly said: () => { readonly stdout: string; readonly stderr: string };
};

const SYSTEM_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const homes = new WeakMap<ExecutionContext, string>();

/** The HOME that runs of this test get; empty at first. */
export function homeOf(t: ExecutionContext): string {
  let home = homes.get(t);
  if (home === undefined) {
    home = tempDir(t);
    if (isRoot) chownSync(home, ORDINARY_USER, ORDINARY_USER);
    homes.set(t, home);
  }
  return home;
}

/** The environment of a run: the same on every machine. */
export function cleanEnvironment(t: ExecutionContext): Record<string, string> {
  const home = homeOf(t);
  const compiled = process.env['NODE_COMPILE_CACHE'];
  return {
    ...(compiled === undefined ? {} : { NODE_COMPILE_CACHE: compiled }),
    PATH: `${dirname(process.execPath)}:${SYSTEM_PATH}`,
    HOME: home,
    TMPDIR: home,
    LANG: 'C.UTF-8',
    TZ: 'UTC',
  };
}

function quoted(word: string | Buffer): Buffer {
  const inner = Buffer.from(word).toString('latin1').replaceAll("'", `'\\''`);
  return Buffer.from(`'${inner}'`, 'latin1');
}

/** A shell script that runs the words: the only way for Node to pass bytes that are not text. */
function scriptOf(t: ExecutionContext, words: readonly (string | Buffer)[]): string {
  const script = join(mkdtempSync(join(homeOf(t), 'run-')), 'script');
  const space = Buffer.from(' ');
  const parts = words.flatMap((word) => [quoted(word), space]);
  writeFileSync(script, Buffer.concat([Buffer.from('exec '), ...parts]));
  spawnSync('chmod', ['-R', 'a+rX', dirname(script)]);
  return script;
}

function commandOf(
  t: ExecutionContext,
  args: readonly (string | Buffer)[],
  options: RunOptions,
): string[] {
  const user =
    options.user === 'ordinary' && isRoot
      ? ['setpriv', `--reuid=${ORDINARY_USER}`, `--regid=${ORDINARY_USER}`, '--clear-groups', '--']
      : [];
  const words = [...user, ...(options.through ?? []), PROGRAM];
  const texts = args.filter((arg) => typeof arg === 'string');
  if (texts.length === args.length) return [...words, ...texts];
  return ['/bin/sh', scriptOf(t, [...words, ...args])];
}

/** Starts lbs and returns at once; it is killed when the test ends. */
export function startLbs(
  t: ExecutionContext,
  args: readonly (string | Buffer)[],
  options: RunOptions = {},
): RunningLbs {
  const [command = '', ...rest] = commandOf(t, args, options);
  const child = spawn(command, rest, {
    cwd: options.cwd ?? homeOf(t),
    env: { ...cleanEnvironment(t), ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: options.ownGroup ?? false,
  });
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on('data', (data: Buffer) => stdout.push(data));
  child.stderr.on('data', (data: Buffer) => stderr.push(data));
  // A program that ends without reading its input is no fault of the test.
  child.stdin.on('error', () => undefined);
  child.stdin.end(options.input ?? '');
  const said = () => ({
    stdout: String(Buffer.concat(stdout)),
    stderr: String(Buffer.concat(stderr)),
  });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  t.teardown(async () => {
    const isOver = child.exitCode !== null || child.signalCode !== null;
    // A call that it is in may still make a file, in a directory that is removed next.
    if (!isOver && child.kill('SIGKILL')) await exited;
  });
  const done = new Promise<Run>((resolve, reject) => {
    const timeoutMs = options.timeoutMs ?? RUN_TIMEOUT_MS;
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`no end after ${timeoutMs} ms: lbs ${args.join(' ')}\n${said().stderr}`));
    }, timeoutMs);
    child.on('error', reject);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      resolve({ code, signal, ...said() });
    });
  });
  // A run that nobody waits for may take as long as it likes: its test ends it.
  done.catch(() => undefined);
  return { child, done, said };
}

/**
 * Kills a run of `ownGroup` with all that it has started. False when it had ended just before: then
 * there is no such group any more.
 */
export function killGroup({ child }: RunningLbs): boolean {
  if (child.pid === undefined) return false;
  try {
    return process.kill(-child.pid, 'SIGKILL');
  } catch {
    return false;
  }
}

/** The command line of a process; nothing when it has ended, even if nobody was told of that yet. */
export function commandLineOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
  } catch {
    return '';
  }
}

/** ava runs all tests of a file at once; more processes than this only make each other slow. */
const RUNS_AT_ONCE_MAX = 3;
const turns = new Limiter(RUNS_AT_ONCE_MAX);

/** Runs lbs to its end, when it is its turn. */
export async function lbs(
  t: ExecutionContext,
  args: readonly (string | Buffer)[],
  options: RunOptions = {},
): Promise<Run> {
  await turns.acquire();
  try {
    return await startLbs(t, args, options).done;
  } finally {
    turns.release();
  }
}

/** Runs lbs, which must exit with `code`; a failure shows what it said. */
export async function lbsExits(
  t: ExecutionContext,
  code: number,
  args: readonly (string | Buffer)[],
  options: RunOptions = {},
): Promise<Run> {
  const run = await lbs(t, args, options);
  const shown = args.map((arg) => (typeof arg === 'string' ? arg : arg.toString('latin1')));
  t.is(run.code, code, `lbs ${shown.join(' ')}\n(${run.signal})\n${run.stdout}${run.stderr}`);
  return run;
}

/** Runs lbs, which must succeed. */
export async function lbsOk(
  t: ExecutionContext,
  args: readonly (string | Buffer)[],
  options: RunOptions = {},
): Promise<Run> {
  return lbsExits(t, 0, args, options);
}

/**
 * Runs `lbs restore`, which must bring everything back. Without root the directories above an
 * absolute path stay the tester's own instead of root's, and exit code 3 tells of that.
 */
export async function restoreOk(
  t: ExecutionContext,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Run> {
  const run = await lbs(t, ['restore', ...args], options);
  t.true(run.code === 0 || (!isRoot && run.code === 3), `${run.code}\n${run.stdout}${run.stderr}`);
  return run;
}

/** The JSON lines of a run's stdout. */
export function jsonLines(run: Run): Record<string, unknown>[] {
  return run.stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line): Record<string, unknown> => JSON.parse(line));
}

/** The last JSON line of a message type. */
export function jsonMessage(run: Run, type: string): Record<string, unknown> {
  const found = jsonLines(run).findLast((line) => line['message_type'] === type);
  if (!found) throw new Error(`no "${type}" message in: ${run.stdout}${run.stderr}`);
  return found;
}

/** True when an ordinary user can reach the program at all; else says why a test is left out. */
export function ordinaryUserCanRun(t: ExecutionContext): boolean {
  if (!isRoot) return true;
  const user = [`--reuid=${ORDINARY_USER}`, `--regid=${ORDINARY_USER}`, '--clear-groups'];
  const { status } = spawnSync('setpriv', [...user, '--', 'cat', PROGRAM, process.execPath], {
    stdio: 'ignore',
  });
  if (status === 0) return true;
  t.log(`left out: an ordinary user cannot read ${PROJECT}`);
  t.pass();
  return false;
}
