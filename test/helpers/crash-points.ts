/** Faults at chosen calls of a command, and how the command must end then. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { allProblems, halfRestored, kindsIn, type Prepared } from './crash-checks.ts';
import type { Scenario } from './crash-scenario.ts';
import {
  type CrashPlaces,
  crashTop,
  environment,
  placesBelow,
  type World,
} from './crash-worlds.ts';
import { copyDirectory } from './durable-state.ts';
import { type Call, type FaultyRun, type Judge, runFaulty } from './faults.ts';

const ENOSPC = 28;
const EIO = 5;
/** Before that of the next run. */
const FAULTY_MINUTE = 20;

export const FAULTS = [
  /** SIGKILL before the call, or after it. */
  'kill-before',
  'kill-after',
  /** No room for this call, or for this one and what takes room after it. */
  'no-space',
  'full',
  /** An error of the disk at this call, or at this one and all after it. */
  'bad-sector',
  'dead-disk',
  /** Only half of it is written, which is no error. */
  'short-write',
] as const;
export type Fault = (typeof FAULTS)[number];
export type Outcome = {
  /** `scenario:fault:number`, which LBS_CRASH takes. */
  readonly name: string;
  readonly problems: readonly string[];
  /** Where the run had ended before: how many pages a database writes differs a little. */
  readonly isMissed?: boolean;
};

const TAKES_ROOM =
  /^(write|writev|pwrite.*|sendfile|copy_file_range|splice|ftruncate|truncate|fallocate|link.*|rename.*|symlink.*|mkdir.*|mknod.*|creat|.*setxattr)$/;
const WRITES = /^(write|pwrite64|sendfile|copy_file_range)$/;
const O_CREAT = 0o100;
const O_TMPFILE = 0o20000000;

export function canBeShort({ name, argument }: Call): boolean {
  return WRITES.test(name) && argument > 1;
}

function takesRoom({ name, argument }: Call): boolean {
  if (/^(open|openat)$/.test(name)) return (argument & (O_CREAT | O_TMPFILE)) !== 0;
  // Making a file empty gives room back.
  return TAKES_ROOM.test(name) && !(name === 'ftruncate' && argument === 0);
}

/** A close that fails has closed all the same. */
function failing(call: Call, errno: number): 'go' | `fail ${number}` | `late ${number}` {
  return call.name === 'close' ? `late ${errno}` : `fail ${errno}`;
}

const half = ({ argument }: Call) => `short ${argument >> 1}` as const;

function full(call: Call, isFirst: boolean) {
  if (!takesRoom(call)) return 'go';
  return isFirst && canBeShort(call) ? half(call) : failing(call, ENOSPC);
}

/** What happens to each call when the n-th is to be hit. */
export function judgeOf(fault: Fault, at: number): Judge {
  if (fault === 'kill-after') {
    return { before: ({ number }) => (number === at ? 'watch' : 'go'), after: () => 'kill' };
  }
  const before: Judge['before'] = (call) => {
    const { number } = call;
    if (number < at) return 'go';
    if (fault === 'full') return full(call, number === at);
    if (fault === 'dead-disk') return failing(call, EIO);
    if (number > at) return 'go';
    if (fault === 'kill-before') return 'kill';
    if (fault === 'no-space') return failing(call, ENOSPC);
    if (fault === 'bad-sector') return failing(call, EIO);
    return canBeShort(call) ? half(call) : 'go';
  };
  return { before };
}

let placesMade = 0;

/** A copy of what is there before, for one point. */
export function copyOf(world: World): { base: string; at: CrashPlaces } {
  const base = join(crashTop(), `point-${placesMade++}`);
  copyDirectory(world.model, base);
  return { base, at: placesBelow(base) };
}

/** Runs what the scenario is about, with a fate for each change. */
export function runAt(scenario: Scenario, world: World, at: CrashPlaces, judge: Judge) {
  const directories = scenario.watched.map((name) => at[name]);
  const env = environment(at.home, FAULTY_MINUTE);
  return runFaulty({ args: scenario.args(at, world), cwd: world.cwd, env, directories }, judge);
}

/** SQLite does not say why it cannot open a file, nor why only for reading. */
const SQLITE_REASON = 'unable to open database file|attempt to write a readonly database';
const NO_ROOM = new RegExp(`space|full|room|${SQLITE_REASON}`, 'i');
const BROKEN = new RegExp(`i/o error|input/output error|failing|${SQLITE_REASON}`, 'i');
const REASONS: Partial<Record<Fault, RegExp>> = {
  'no-space': NO_ROOM,
  full: NO_ROOM,
  'bad-sector': BROKEN,
  'dead-disk': BROKEN,
};

/** True for a sync of what was asked for; of a local database less is promised. */
function isPromised({ name, path }: Call, { store, copy, target }: CrashPlaces): boolean {
  return /sync/.test(name) && [store, copy, target].some((place) => path.startsWith(place));
}

/** What is wrong with how a run that met a fault ended. */
function endProblems(
  { scenario }: Prepared,
  { fault, hit }: { readonly fault: Fault; readonly hit: Call | undefined },
  run: FaultyRun,
  at: CrashPlaces,
): string[] {
  const { code, stderr } = run;
  if (fault.startsWith('kill')) return [0, 137].includes(code) ? [] : [`exit code ${code}`];
  if (code === 0) {
    const isUnsynced = REASONS[fault] !== undefined && fault !== 'full' && hit !== undefined;
    // Of a tag that was to be given with a backup it is said, and is no failure of the backup.
    const isTold = stderr.includes('the snapshot is made, but');
    const isLie = isUnsynced && isPromised(hit, at) && !isTold;
    return isLie ? ['said to be done, but it was not synced'] : [];
  }
  const problems: string[] = [];
  if (fault === 'short-write') problems.push(`exit code ${code} for a short write: ${stderr}`);
  if (code !== 1 && scenario.codes?.includes(code) !== true)
    problems.push(`exit code ${code}: ${stderr}`);
  if (/unexpected error|mistake in lbs|^\s+at /m.test(stderr)) problems.push(`a stack: ${stderr}`);
  // A restore names the entry, by its path in the snapshot; of a filter its own words are told, and of par2.
  const itself = 'the target directory itself';
  const names = [...Object.values(at), ' tree', ' .:', itself, 'the filter "'];
  if (!names.some((place) => stderr.includes(place)))
    problems.push(`does not say where: ${stderr}`);
  const isOfPar2 = /\bpar2 (exited|cannot)/.test(stderr);
  if (REASONS[fault]?.test(stderr) === false && !isOfPar2)
    problems.push(`does not say why: ${stderr}`);
  return problems;
}

/** Runs a scenario undisturbed, twice. @throws when it fails even so */
export async function prepare(scenario: Scenario): Promise<Prepared> {
  const world = await scenario.world();
  const { base, at } = copyOf(world);
  const run = await runAt(scenario, world, at, { before: () => 'go' });
  const usual = kindsIn(at);
  if (run.code !== 0) throw new Error(`${scenario.name}: ${run.code}: ${run.stderr}`);
  const prepared = { scenario, world, calls: run.calls, usual };
  const problems = await allProblems(prepared, at, true);
  if (problems.length > 0) throw new Error(`${scenario.name}: ${problems.join('\n')}`);
  for (const kind of kindsIn(at)) usual.add(kind);
  rmSync(base, { recursive: true, force: true });
  return prepared;
}

/** Tries one point. */
export async function tryPoint(prepared: Prepared, fault: Fault, number: number): Promise<Outcome> {
  const { scenario, world } = prepared;
  const { base, at } = copyOf(world);
  const name = `${scenario.name}:${fault}:${number}`;
  try {
    const run = await runAt(scenario, world, at, judgeOf(fault, number));
    const hit = run.calls[number - 1];
    const problems = endProblems(prepared, { fault, hit }, run, at);
    if (scenario.watched.includes('target')) problems.push(...halfRestored(world, at));
    problems.push(...(await allProblems(prepared, at, run.code === 0)));
    const what = hit === undefined ? 'never reached' : `${hit.name} ${hit.path} ${hit.path2}`;
    return {
      name,
      isMissed: hit === undefined,
      problems: problems.map((text) => `${name} (${what}): ${text}`.replaceAll(base, '')),
    };
  } finally {
    rmSync(base, { recursive: true, force: true });
  }
}
