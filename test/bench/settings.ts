/**
 * How large a benchmark is and where it works, from the command line (`--quick`) and the
 * variables that README.md here describes. Read once by main.ts.
 */
import { join } from 'node:path';

/** Root of the checkout. */
export const PROJECT = join(import.meta.dirname, '..', '..');

const MB = 1e6;

/** Everything that decides how much work is done; written into the JSON. */
export type Sizes = {
  /** Rounds of lbs and of the references; their medians are shown. */
  readonly rounds: number;
  /** Rounds of the peers, the first ones: they take most of the time and are not the subject. */
  readonly peerRounds: number;
  /** No more rounds begin after so much of the run. */
  readonly roundsUntilS: number;
  /** Rounds in which peers restore everything, which is slower than all the rest. */
  readonly peerRestoreRounds: number;
  readonly treeEntries: number;
  readonly treeBytes: number;
  readonly randomFileBytes: number;
  readonly textFileBytes: number;
  /** Size of the file that gets a byte inserted at its start. */
  readonly insertBytes: number;
  readonly databaseBytes: number;
  /** Input of the classic filter, which is slow. */
  readonly filterBytes: number;
  readonly snapshots: number;
  /** Entries of the tree of which a series of snapshots is made. */
  readonly seriesEntries: number;
  /** Numbers of tiny files for the table of growth. */
  readonly growth: readonly number[];
  /** Of a store with very many segments. */
  readonly segments: number;
};

export type Settings = {
  readonly quick: boolean;
  readonly sizes: Sizes;
  /** A tree to copy instead of one made of what the machine has. */
  readonly treeFrom: string | undefined;
  /** Everything is put into a new directory in this one. */
  readonly parentDir: string;
  readonly jsonFile: string;
  /** Names of scenarios to run; undefined is all. */
  readonly only: ReadonlySet<string> | undefined;
};

const FULL: Sizes = {
  rounds: 5,
  // A day: all of them.
  roundsUntilS: 86_400,
  peerRounds: 5,
  peerRestoreRounds: 3,
  treeEntries: 200_000,
  treeBytes: 3000 * MB,
  randomFileBytes: 1500 * MB,
  textFileBytes: 900 * MB,
  insertBytes: 1000 * MB,
  databaseBytes: 200 * MB,
  filterBytes: 300 * MB,
  snapshots: 200,
  seriesEntries: 5000,
  growth: [10_000, 100_000, 1_000_000],
  segments: 20_000,
};

const QUICK: Sizes = {
  rounds: 3,
  // On a busy machine fewer rounds rather than more than three minutes.
  roundsUntilS: 60,
  peerRounds: 1,
  peerRestoreRounds: 1,
  treeEntries: 4000,
  treeBytes: 50 * MB,
  randomFileBytes: 100 * MB,
  textFileBytes: 60 * MB,
  insertBytes: 60 * MB,
  databaseBytes: 30 * MB,
  filterBytes: 40 * MB,
  snapshots: 20,
  seriesEntries: 1000,
  growth: [10_000, 30_000],
  segments: 500,
};

/** @throws {Error} when a variable is no number, or an argument is not known. */
export function readSettings(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): Settings {
  const unknown = args.find((arg) => arg !== '--quick');
  if (unknown !== undefined) throw new Error(`unknown argument: ${unknown}`);
  const quick = args.includes('--quick');
  const given = (name: string) => (env[name] === '' ? undefined : env[name]);
  const number = (name: string): number | undefined => {
    const text = given(name);
    if (text === undefined) return undefined;
    if (!/^\d+$/.test(text)) throw new Error(`${name} is not a number: ${text}`);
    return Number(text);
  };
  const base = quick ? QUICK : FULL;
  const rounds = Math.max(1, number('BENCH_ROUNDS') ?? base.rounds);
  const peerRounds = number('BENCH_PEER_ROUNDS') ?? base.peerRounds;
  const maxEntries = number('BENCH_MAX_ENTRIES');
  return {
    quick,
    sizes: {
      ...base,
      rounds,
      peerRounds: Math.min(peerRounds, rounds),
      peerRestoreRounds: Math.min(peerRounds, base.peerRestoreRounds, rounds),
      snapshots: number('BENCH_SNAPSHOTS') ?? base.snapshots,
      segments: number('BENCH_SEGMENTS') ?? base.segments,
      growth: maxEntries === undefined ? base.growth : growthUpTo(base.growth, maxEntries),
    },
    treeFrom: given('BENCH_TREE'),
    parentDir: given('BENCH_DIR') ?? '/var/tmp',
    jsonFile: given('BENCH_JSON') ?? join(PROJECT, 'bench-result.json'),
    only: given('BENCH_ONLY') === undefined ? undefined : new Set(given('BENCH_ONLY')?.split(',')),
  };
}

/** The usual numbers below `max`, and `max`. */
function growthUpTo(usual: readonly number[], max: number): number[] {
  return [...usual.filter((count) => count < max), max];
}
