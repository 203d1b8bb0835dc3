/**
 * The fault seam: lbs as it is, under test/crash/faults.c, which asks here at each call that changes
 * something below given directories what is to become of it. The program knows nothing of it.
 */
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Socket } from 'node:net';
import { PROJECT } from './run-lbs.ts';
import { removeTree } from './temp-dir.ts';

/** One call that changes something, before it is made. */
export type Call = {
  /** Counted from 1 through all threads and children. */
  readonly number: number;
  readonly process: number;
  /** As in the manual's section 2. */
  readonly name: string;
  readonly fd: number;
  /** Flags, a size or a count of bytes: what the call has of these. */
  readonly argument: number;
  /** Absolute; what an open file is called now, ` (deleted)` behind it if it has no name. */
  readonly path: string;
  /** The new name, of rename and link. */
  readonly path2: string;
};

/** See faults.c. */
export type Fate =
  'go' | 'watch' | 'kill' | `fail ${number}` | `late ${number}` | `short ${number}`;

export type Judge = {
  readonly before: (call: Call) => Fate;
  /** After a call that was to be watched: what it returned (minus the errno). */
  readonly after?: (call: Call, result: number) => 'go' | 'kill';
};

export type FaultyRun = {
  /** Of the program; 137 when it was killed. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly calls: readonly Call[];
};

export type FaultyCommand = {
  /** Default: lbs. */
  readonly program?: readonly string[];
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  /** Absolute and without links: changes below them are asked about. */
  readonly directories: readonly string[];
};

/** Long, since a machine may have much else to do; a hang is a failure all the same. */
const NO_END_AFTER_MS = 240_000;
const MAIN = join(PROJECT, 'dist', 'main.js');

let built: { readonly program: string } | { readonly why: string } | undefined;

function build(): NonNullable<typeof built> {
  const dir = mkdtempSync(join(tmpdir(), 'lbs-faults-'));
  process.once('exit', () => removeTree(dir));
  const program = join(dir, 'faults');
  const source = join(PROJECT, 'test', 'crash', 'faults.c');
  const made = spawnSync('cc', ['-O2', '-Wall', '-Werror', '-o', program, source]);
  if (made.status !== 0) return { why: said(made) };
  // Where tracing is not allowed, as in some containers.
  const tried = spawnSync(program, ['2', '/nowhere', '--', 'true']);
  return tried.status === 0 ? { program } : { why: said(tried) };
}

function said({ error, stderr }: SpawnSyncReturns<Buffer>): string {
  return error ? error.message : String(stderr);
}

/** Why no faults can be had here; undefined when they can. */
export function whyNoFaults(): string | undefined {
  built ??= build();
  return 'why' in built ? built.why : undefined;
}

function pathOf(escaped: string): string {
  return escaped === '-' ? '' : decodeURIComponent(escaped);
}

function callOf(words: readonly string[]): Call {
  const [number, process, name = '', fd, argument, path = '-', path2 = '-'] = words;
  return {
    number: Number(number),
    process: Number(process),
    name,
    fd: Number(fd),
    argument: Number(argument),
    path: pathOf(path),
    path2: pathOf(path2),
  };
}

/** Answers the tracer's questions for as long as it asks; the calls it asked about. */
function answer(asker: Socket, judge: Judge): Call[] {
  const calls: Call[] = [];
  const lines = createInterface({ input: asker });
  // A tracer that had to be killed does not read its answer; then its exit code tells.
  for (const stream of [asker, lines]) stream.on('error', () => undefined);
  lines.on('line', (line) => {
    const [kind, ...words] = line.split(' ');
    const last = calls.at(-1);
    if (kind === 'after' && last) {
      asker.write(`${judge.after?.(last, Number(words[1])) ?? 'go'}\n`);
      return;
    }
    const call = callOf(words);
    calls.push(call);
    asker.write(`${judge.before(call)}\n`);
  });
  return calls;
}

/** The joined program, unless the modules are newer; as in bin/lbs. */
function mainFile(): string {
  const joined = join(PROJECT, 'dist', 'joined', 'lbs.js');
  const joinedMs = statSync(joined, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  return joinedMs >= statSync(MAIN).mtimeMs ? joined : MAIN;
}

/** What bin/lbs starts, without the time that it takes to look for a Node. */
export const PROGRAM: readonly string[] = [process.execPath, '--max-semi-space-size=4', mainFile()];

/** Runs lbs with a fate for each of its changes. */
export async function runFaulty(command: FaultyCommand, judge: Judge): Promise<FaultyRun> {
  built ??= build();
  if ('why' in built) throw new Error(built.why);
  const { program = PROGRAM, args, cwd, env, directories } = command;
  const words = ['3', ...directories, '--', ...program, ...args];
  const child = spawn(built.program, words, {
    cwd,
    env,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  });
  // A pipe of ours is a socket, and works both ways.
  const calls = answer(child.stdio[3] as Socket, judge);
  const texts = [child.stdout, child.stderr].map(async (stream) => {
    const parts: Buffer[] = [];
    stream?.on('data', (data: Buffer) => parts.push(data));
    await new Promise((resolve) => stream?.on('close', resolve));
    return String(Buffer.concat(parts));
  });
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    child.kill('SIGKILL');
  }, NO_END_AFTER_MS);
  const code = await new Promise<number>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => resolve(status ?? 125));
  });
  clearTimeout(timer);
  const [stdout = '', stderr = ''] = await Promise.all(texts);
  if (isLate || code === 125) throw new Error(`${words.join(' ')} did not end: ${stderr}`);
  return { code, stdout, stderr, calls };
}
