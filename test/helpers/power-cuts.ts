/** Power cuts in the middle of a command: what the disks hold then, and whether it is enough. */
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { allProblems, type Prepared } from './crash-checks.ts';
import { copyOf, type Outcome, runAt } from './crash-points.ts';
import { placesBelow } from './crash-worlds.ts';
import { copyDirectory, DurableState, type NameKind } from './durable-state.ts';
import type { Call } from './faults.ts';

export const POWER_CUTS = ['power-cut-late', 'power-cut-early', 'power-cut-newest'] as const;

/** Everything in some directories, as one digest. */
function stateOf(base: string): string {
  const digest = createHash('sha256');
  for (const name of readdirSync(base, { recursive: true, encoding: 'utf8' }).sort()) {
    const path = join(base, name);
    digest.update(`${JSON.stringify(name)}\n`);
    if (lstatSync(path).isFile())
      digest.update(createHash('sha256').update(readFileSync(path)).digest());
  }
  return digest.digest('hex');
}

/** What a power cut leaves: at a call, or after the end, where what is said to be done must be. */
export type Cut = {
  readonly fault: (typeof POWER_CUTS)[number];
  readonly number: number;
  readonly base: string;
  readonly isDone: boolean;
};

/** Runs the scenario once, and keeps what power cuts on the way would leave. */
async function cutsOf({ scenario, world }: Prepared): Promise<Cut[]> {
  const { base, at } = copyOf(world);
  const watched = scenario.watched.filter((name) => name !== 'home');
  const durable = new DurableState(
    watched.map((name) => at[name]),
    join(base, 'durable'),
  );
  const cuts: Cut[] = [];
  const cut = ({ number }: Call, names: NameKind, isDone = false) => {
    const left = `${base}-${names}-${number}${isDone ? '-done' : ''}`;
    copyDirectory(world.model, left);
    for (const name of watched) rmSync(join(left, name), { recursive: true, force: true });
    durable.writeTo(left, names);
    cuts.push({ fault: `power-cut-${names}`, number, base: left, isDone });
  };
  const run = await runAt(scenario, world, at, {
    before: (call) => {
      durable.before(call);
      return 'watch';
    },
    after: (call, result) => {
      for (const names of durable.after(call, result)) {
        if (names !== 'newest' || scenario.needsOrder !== true) cut(call, names);
      }
      return 'go';
    },
  });
  const last = run.calls.at(-1);
  if (last) for (const names of ['late', 'early'] as const) cut(last, names, run.code === 0);
  rmSync(base, { recursive: true, force: true });
  return cuts;
}

/**
 * Tries power cuts at each call of one run, wherever they leave something else than at the call
 * before. `choose` may leave out some; those after the end are always tried.
 */
export async function tryPowerCuts(
  prepared: Prepared,
  choose: (cuts: readonly Cut[]) => readonly Cut[],
): Promise<readonly Outcome[]> {
  const cuts = await cutsOf(prepared);
  const chosen = new Set(choose(cuts));
  const outcomes: Outcome[] = [];
  const seen = new Map<string, string[]>();
  for (const cut of cuts) {
    const { fault, number, base, isDone } = cut;
    if (isDone || chosen.has(cut)) {
      // Many leave the same: what changed was not durable, or not early.
      const state = `${isDone} ${stateOf(base)}`;
      const problems = seen.get(state) ?? (await allProblems(prepared, placesBelow(base), isDone));
      seen.set(state, problems);
      const name = `${prepared.scenario.name}:${fault}:${number}`;
      const texts = problems.map((text) => `${name}${isDone ? ' (after the end)' : ''}: ${text}`);
      outcomes.push({ name, problems: texts.map((text) => text.replaceAll(base, '')) });
    }
    rmSync(base, { recursive: true, force: true });
  }
  return outcomes;
}
