/** Stores that go away while a run is at a chosen call, and what must hold then. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { allProblems, halfRestored, type Prepared } from './crash-checks.ts';
import { randomNumbers } from './collect-race.ts';
import { copyOf, prepare, runAt } from './crash-points.ts';
import type { Scenario } from './crash-scenario.ts';
import { type CrashPlaces, threeSaved } from './crash-worlds.ts';
import { copyDirectory } from './durable-state.ts';
import type { FaultyRun } from './faults.ts';
import { type StoreState, storeState } from './store-state.ts';
import { isRoot } from './temp-dir.ts';

export const WAYS = [
  /** With all that is in it; then as it was before the run, as from a copy. */
  'removed',
  /** To another name, with nothing in its place; with an empty directory; with another store. */
  'renamed',
  'emptied',
  'replaced',
  /** Lazily, so that what is open stays open. */
  'unmounted',
  'read-only',
] as const;
export type Way = (typeof WAYS)[number];

/** Which store goes away, and how, and before which call of the run. */
type Departure = {
  readonly way: Way;
  readonly which: 'store' | 'copy';
  readonly number: number;
};

function mount(...words: string[]): boolean {
  return spawnSync('mount', words, { stdio: 'ignore' }).status === 0;
}

const unmount = (place: string) => spawnSync('umount', ['--lazy', place], { stdio: 'ignore' });
const isMounted = (way: Way) => way === 'unmounted' || way === 'read-only';

/** One store of a copied world, which goes and comes back. */
class Departing {
  readonly #way: Way;
  readonly #place: string;
  readonly #away: string;
  readonly #model: string;
  #stranger: StoreState | undefined;
  hasGone = false;

  constructor({ way, which }: Departure, at: CrashPlaces, model: string) {
    this.#way = way;
    this.#place = at[which];
    this.#away = `${at[which]}.away`;
    this.#model = join(model, which);
    if (!isMounted(way)) return;
    renameSync(this.#place, this.#away);
    mkdirSync(this.#place);
    this.#mountIt();
  }

  #mountIt(): void {
    if (mount('--bind', this.#away, this.#place)) return;
    throw new Error(`cannot mount ${this.#place}`);
  }

  /** False when it cannot be just now: a file that is being written keeps a disk writable. */
  go(): void {
    const [way, place] = [this.#way, this.#place];
    if (way === 'read-only') {
      this.hasGone = mount('-o', 'remount,bind,ro', place);
      return;
    }
    this.hasGone = true;
    if (way === 'unmounted') unmount(place);
    else if (way === 'removed') rmSync(place, { recursive: true });
    else renameSync(place, this.#away);
    if (way === 'emptied') mkdirSync(place);
    if (way === 'replaced') {
      copyDirectory(join(threeSaved().model, 'store'), place);
      this.#stranger = storeState(place);
    }
  }

  /** What the run has put into a directory that is not its store. */
  strays(): string[] {
    const [way, place] = [this.#way, this.#place];
    if (!this.hasGone || way === 'read-only') return [];
    if (way === 'replaced') {
      const before = this.#stranger ?? new Map();
      const after = storeState(place);
      const isEqual = [...after].every(([name, { sha256 }]) => before.get(name)?.sha256 === sha256);
      return isEqual && after.size === before.size ? [] : ['the other store has changed'];
    }
    if (way === 'removed' || way === 'renamed') {
      return readdirSync(join(place, '..')).includes(place.split('/').at(-1) ?? '')
        ? ['something is where the store was']
        : [];
    }
    return readdirSync(place).map((name) => `${name} is in the wrong directory`);
  }

  comeBack(): void {
    if (!this.hasGone) return;
    const [way, place] = [this.#way, this.#place];
    if (way === 'read-only') mount('-o', 'remount,bind,rw', place);
    else if (way === 'unmounted') this.#mountIt();
    else {
      rmSync(place, { recursive: true, force: true });
      if (way === 'removed') copyDirectory(this.#model, place);
      else renameSync(this.#away, place);
    }
  }

  end(): void {
    if (isMounted(this.#way)) unmount(this.#place);
  }
}

const WHAT_TO_DO =
  /bring it back|is (the|its) disk mounted|how it is mounted|check that disk|who may|lbs sync/i;

function endProblems({ scenario }: Prepared, place: string, run: FaultyRun): string[] {
  const { code, stderr } = run;
  if (code === 0) return [];
  const problems: string[] = [];
  if (![1, 10, ...(scenario.codes ?? [])].includes(code))
    problems.push(`exit code ${code}: ${stderr}`);
  if (/unexpected error|mistake in lbs|^\s+at /m.test(stderr)) problems.push(`a stack: ${stderr}`);
  if (!stderr.includes(place)) problems.push(`does not say where: ${stderr}`);
  if (!WHAT_TO_DO.test(stderr)) problems.push(`does not say what to do: ${stderr}`);
  return problems;
}

/** Mounts need root. */
const isPossible = (way: Way): boolean => !isMounted(way) || isRoot;

type Departed = { readonly code: number; readonly problems: readonly string[] };

/** A store as it was before the run lacks the snapshot that was made, and that is told of. */
function afterwards(prepared: Prepared, way: Way): Prepared {
  if (way !== 'removed') return prepared;
  const { scenario } = prepared;
  return {
    ...prepared,
    scenario: { ...scenario, againCodes: [...(scenario.againCodes ?? []), 3] },
  };
}

/** Runs the scenario with a store that goes away; then it comes back, and the same is run again. */
async function tryDeparture(prepared: Prepared, departure: Departure): Promise<Departed> {
  const { scenario, world } = prepared;
  const { way, which, number } = departure;
  const { base, at } = copyOf(world);
  const store = new Departing(departure, at, world.model);
  try {
    const run = await runAt(scenario, world, at, {
      before: (call) => {
        if (call.number >= number && !store.hasGone) store.go();
        return 'go';
      },
    });
    const problems = [...endProblems(prepared, at[which], run), ...store.strays()];
    store.comeBack();
    if (scenario.watched.includes('target')) problems.push(...halfRestored(world, at));
    const isDone = run.code === 0 && way !== 'removed';
    problems.push(...(await allProblems(afterwards(prepared, way), at, isDone)));
    const name = `${scenario.name}:${which}:${way}:${number}`;
    return {
      code: run.code,
      problems: problems.map((text) => `${name}: ${text}`.replaceAll(base, '')),
    };
  } finally {
    store.end();
    rmSync(base, { recursive: true, force: true });
  }
}

/** How often which exit code came of each way, and all that was wrong. */
export type Departures = { readonly codes: string; readonly problems: readonly string[] };

/** `count` departures of each way, of each store of the scenario; LBS_AWAY_SEED chooses others. */
export async function tryDepartures(
  scenario: Scenario,
  ways: readonly Way[],
  count: number,
): Promise<Departures> {
  const prepared = await prepare(scenario);
  const codes = new Map<string, number>();
  const problems: string[] = [];
  const random = randomNumbers(`${process.env['LBS_AWAY_SEED'] ?? 'away'}/${scenario.name}`);
  for (const which of ['store', 'copy'] as const) {
    if (!scenario.watched.includes(which)) continue;
    for (const way of ways.filter(isPossible)) {
      for (let at = 0; at < count; at++) {
        const number = 1 + Math.floor(random() * prepared.calls.length);
        const departed = await tryDeparture(prepared, { way, which, number });
        const key = `${which} ${way} ${departed.code}`;
        codes.set(key, (codes.get(key) ?? 0) + 1);
        problems.push(...departed.problems);
      }
    }
  }
  return { codes: [...codes].map(([key, times]) => `${key}: ${times}`).join(', '), problems };
}
