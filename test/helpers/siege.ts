/**
 * A place under attack: a store of an enemy beside things that must not be touched, and runs of lbs that
 * are watched. After each run all that must hold of any command, whatever the store is, is asserted.
 */
import { spawnSync } from 'node:child_process';
import { linkSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { Limiter } from '../../src/std/limiter.ts';
import { type Places, places } from './places.ts';
import { homeOf, type Run, type RunOptions, startLbs } from './run-lbs.ts';
import { makeFiles } from './small-tree.ts';
import { readTree, treeDifferences, type TreeState } from './tree-state.ts';

export type Siege = Places & {
  /** Beside the target: what an enemy would like to change or read. */
  readonly outside: string;
  /** What is there before a run; its names in the target are made before that is looked at. */
  before: TreeState;
  /** Things outside have a name in the target, so their number of names, and with it the time of change, may differ. */
  isShared: boolean;
};

/** What no command may use more of, however small the store is that asks for it. */
const PEAK_BYTES_MAX = 300_000_000;
const CPU_S_MAX = 20;
const WRITTEN_BYTES_MAX = 1_000_000_000;
export const EXIT_CODES: ReadonlySet<number | null> = new Set([0, 1, 2, 3, 4, 10, 12]);
/** A run that waits for something is seen by this; the machine may be busy with other things. */
const RUN_TIMEOUT_MS = 110_000;
const TICKS_PER_S = 100;
const LOOK_MS = 10;

/** Names that a run may make beside the store. */
const OWN_NAMES = new Set([
  'tree',
  'store',
  'localdb',
  'target',
  'outside',
  'second',
  'undo',
  'stand-ins',
]);

export function siege(t: ExecutionContext): Siege {
  const at = places(t);
  const outside = join(at.base, 'outside');
  makeFiles(outside, { file: 'theirs', 'dir/file': 'theirs too', 'dir/empty/': '' });
  symlinkSync('dir', join(outside, 'link'));
  linkSync(join(outside, 'file'), join(outside, 'second name'));
  // Whoever opens it to read waits for ever.
  spawnSync('mkfifo', [join(outside, 'fifo')]);
  mkdirSync(join(outside, 'closed'), { mode: 0o700 });
  return { ...at, outside, before: readTree(outside), isShared: false };
}

export type Watched = Run & {
  /** Largest seen of the process itself. */
  readonly peakBytes: number;
  readonly cpuS: number;
  readonly writtenBytes: number;
};

/** What a process has used so far; undefined when it is gone. */
function usageOf(pid: number): Pick<Watched, 'peakBytes' | 'cpuS' | 'writtenBytes'> | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, 'latin1');
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const io = readFileSync(`/proc/${pid}/io`, 'latin1');
    const times = stat
      .slice(stat.lastIndexOf(')') + 2)
      .split(' ')
      .slice(11, 15);
    return {
      peakBytes: 1024 * Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1] ?? 0),
      cpuS: times.reduce((sum, ticks) => sum + Number(ticks), 0) / TICKS_PER_S,
      writtenBytes: Number(/^wchar: (\d+)/m.exec(io)?.[1] ?? 0),
    };
  } catch {
    // It has ended.
    return undefined;
  }
}

const turns = new Limiter(2);

/** Runs lbs to its end, or until it uses more than anything may. */
async function watch(
  t: ExecutionContext,
  args: readonly (string | Buffer)[],
  options: AttackOptions,
): Promise<Watched> {
  await turns.acquire();
  const { child, done } = startLbs(t, args, { timeoutMs: RUN_TIMEOUT_MS, ...options });
  let used = { peakBytes: 0, cpuS: 0, writtenBytes: 0 };
  const timer = setInterval(() => {
    const now = usageOf(child.pid ?? 0) ?? used;
    used = {
      peakBytes: Math.max(used.peakBytes, now.peakBytes),
      cpuS: Math.max(used.cpuS, now.cpuS),
      writtenBytes: Math.max(used.writtenBytes, now.writtenBytes),
    };
    const isTooMuch =
      used.peakBytes > (options.peakBytesMax ?? PEAK_BYTES_MAX) ||
      used.cpuS > CPU_S_MAX ||
      used.writtenBytes > WRITTEN_BYTES_MAX;
    if (isTooMuch) child.kill('SIGKILL');
  }, LOOK_MS);
  try {
    return { ...(await done), ...used };
  } finally {
    clearInterval(timer);
    turns.release();
  }
}

// What could move the cursor, change colours, or reorder a line.
const UNSAFE =
  /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/u;

/** The first place of `text` that a terminal would not just print; undefined when there is none. */
export function unsafePlace(text: string): string | undefined {
  const at = text.search(UNSAFE);
  return at < 0 ? undefined : JSON.stringify(text.slice(Math.max(at - 60, 0), at + 20));
}

export type AttackOptions = RunOptions & {
  /** Standard output is contents of files, and not for a screen. */
  readonly givesContents?: boolean;
  /** More memory than usual: an object may have 64 MiB, and a few copies of it are needed. */
  readonly peakBytesMax?: number;
};

/** Runs lbs on a store of an enemy, and asserts all that must hold whatever that store is. */
export async function attacked(
  t: ExecutionContext,
  at: Siege,
  args: readonly (string | Buffer)[],
  options: AttackOptions = {},
): Promise<Watched> {
  const run = await watch(t, args, options);
  const shown = `lbs ${args.join(' ')}: ${run.code} ${run.signal ?? ''}\n${run.stdout.slice(0, 2000)}${run.stderr.slice(0, 2000)}`;
  const used = `${run.peakBytes} bytes, ${run.cpuS} s, ${run.writtenBytes} written`;
  t.is(run.signal, null, `${used}\n${shown}`);
  t.true(EXIT_CODES.has(run.code), shown);
  t.notRegex(run.stdout + run.stderr, /unexpected error|mistake in lbs/, shown);
  t.is(unsafePlace(run.stderr), undefined, shown);
  if (options.givesContents !== true) t.is(unsafePlace(run.stdout), undefined, shown);
  untouched(t, at);
  return run;
}

/** Asserts that nothing beside the target was made, changed or removed, and nothing left behind. */
export function untouched(t: ExecutionContext, at: Siege): void {
  const differences = treeDifferences(at.before, readTree(at.outside), { ctimes: !at.isShared })
    .filter(({ field }) => !at.isShared || (field !== 'links' && field !== 'sameAs'))
    .map(({ text }) => text);
  t.deepEqual(differences, [], 'outside of the target');
  t.deepEqual(
    readdirSync(at.base).filter((name) => !OWN_NAMES.has(name)),
    [],
  );
  const left = readdirSync(homeOf(t)).filter((name) => !name.startsWith('run-'));
  t.deepEqual(left, [], 'left in the home and temporary directory');
}

/** To be called when the target has got other names of what is outside. */
export function share(at: Siege): void {
  at.before = readTree(at.outside);
  at.isShared = true;
}

/** Arguments of a restore of all. */
export function restoreAll(at: Siege, ...more: string[]): string[] {
  return ['restore', `--store=${at.store}`, ...more, 'latest', at.target];
}

/** A command for each way of reading: in order, by object, all of it, and for a plan. */
export function fewCommands(at: Siege): readonly (readonly [string[], AttackOptions])[] {
  const words = new Set(['ls', 'verify', 'usage', 'restore']);
  return readingCommands(at).filter(
    ([args]) => words.has(args[0] ?? '') && !args.includes('--json'),
  );
}

/** Every command that only reads a store, and what it gives. */
export function readingCommands(at: Siege): readonly (readonly [string[], AttackOptions])[] {
  const store = `--store=${at.store}`;
  const contents = { givesContents: true };
  return [
    [['list', store], {}],
    [['list', store, '--json'], {}],
    [['ls', store, 'latest'], {}],
    [['ls', store, '--json', 'latest'], {}],
    [['verify', store, '--data'], {}],
    [['verify', store, '--json'], {}],
    [['dump', store, 'latest'], contents],
    [['dump', store, '--format=zip', 'latest'], contents],
    [['find', store, '--name=*'], {}],
    [['usage', store], {}],
    [['restore', store, '--dry-run', '-v', 'latest', at.target], {}],
  ];
}
