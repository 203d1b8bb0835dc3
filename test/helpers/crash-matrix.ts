/** Which points of which scenarios are tried, and what came of them. */
import { randomNumbers } from './collect-race.ts';
import type { Prepared } from './crash-checks.ts';
import { canBeShort, type Fault, FAULTS, type Outcome, prepare, tryPoint } from './crash-points.ts';
import type { Scenario } from './crash-scenario.ts';
import type { Call } from './faults.ts';
import { type Cut, POWER_CUTS, tryPowerCuts } from './power-cuts.ts';

/** Points at once: a run waits for the tracer half of the time. */
const AT_ONCE = 2;

export type Tally = { readonly fault: string; tried: number; failed: number; missed: number };
export type Result = {
  readonly scenario: string;
  readonly calls: number;
  readonly tallies: readonly Tally[];
  readonly problems: readonly string[];
};

/** Which points are tried. */
export type Choice = {
  /** Numbers of the calls that a fault is tried at. */
  readonly calls: (fault: Fault, calls: readonly Call[]) => readonly number[];
  readonly cuts: (cuts: readonly Cut[]) => readonly Cut[];
};

/** Calls at which a fault makes a difference. */
function callsFor(fault: Fault, calls: readonly Call[]): readonly Call[] {
  return fault === 'short-write' ? calls.filter(canBeShort) : calls;
}

export const everything: Choice = {
  calls: (fault, calls) => callsFor(fault, calls).map(({ number }) => number),
  cuts: (cuts) => cuts,
};

/** Calls that are alike: the same one, on the same kind of file. */
function classesOf(calls: readonly Call[], all: readonly Call[]): Call[][] {
  // A file without a name is what it is called later.
  const named = new Map(all.flatMap(({ path, path2 }) => (path2 === '' ? [] : [[path, path2]])));
  const classOf = ({ name, path, path2 }: Call) => {
    const last = (path2 || named.get(path) || path).split('/').at(-1) ?? '';
    return `${name} ${last.replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}|\d+/g, '')}`;
  };
  return [...Map.groupBy(calls, classOf).values()];
}

function shuffled<T>(values: Iterable<T>, random: () => number): T[] {
  return [...values]
    .map((value) => ({ value, order: random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ value }) => value);
}

export type Sample = {
  /** Calls for each fault, of as many classes as possible, and power cuts of each kind. */
  readonly count: number;
  /** Decides which. */
  readonly seed: string;
  /** Number of the scenario: three faults and one kind of power cut have their turn at each. */
  readonly turn: number;
};

const FAULTS_OF_A_TURN = 3;

export function someOf({ count, seed, turn }: Sample): Choice {
  const first = turn * FAULTS_OF_A_TURN;
  const turns = Array.from({ length: FAULTS_OF_A_TURN }, (_, n) => (first + n) % FAULTS.length);
  const cutKind = POWER_CUTS[turn % POWER_CUTS.length];
  return {
    calls: (fault, calls) => {
      if (!turns.includes(FAULTS.indexOf(fault))) return [];
      const random = randomNumbers(`${seed}/${fault}`);
      return shuffled(classesOf(callsFor(fault, calls), calls), random)
        .slice(0, count)
        .flatMap((members) => members[Math.floor(random() * members.length)]?.number ?? []);
    },
    cuts: (cuts) => {
      const ofKind = cuts.filter(({ fault }) => fault === cutKind);
      return shuffled(ofKind, randomNumbers(`${seed}/cuts`)).slice(0, count);
    },
  };
}

/** What LBS_CRASH leaves to be tried: `SCENARIO`, `SCENARIO:FAULT` or `SCENARIO:FAULT:NUMBER`. */
const [onlyScenario = '', onlyFault = '', onlyNumber = ''] = (process.env['LBS_CRASH'] ?? '').split(
  ':',
);

export function isScenarioWanted(name: string): boolean {
  return onlyScenario === '' || onlyScenario === name;
}

function isWanted({ fault, number }: { readonly fault: string; readonly number: number }): boolean {
  const isFault = onlyFault === '' || onlyFault === fault;
  return isFault && (onlyNumber === '' || onlyNumber === String(number));
}

type Job = { readonly fault: Fault; readonly number: number };

function jobsOf({ calls }: Prepared, choice: Choice): Job[] {
  return FAULTS.flatMap((fault) =>
    choice.calls(fault, calls).map((number) => ({ fault, number })),
  ).filter(isWanted);
}

async function tryJobs(prepared: Prepared, jobs: Job[], onOutcome: (outcome: Outcome) => void) {
  const worker = async () => {
    for (let job = jobs.shift(); job; job = jobs.shift()) {
      onOutcome(await tryPoint(prepared, job.fault, job.number));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

/**
 * Tries a scenario at the chosen points. `tell` hears of each failure at once, since trying
 * everything takes long.
 */
export async function tryScenario(
  scenario: Scenario,
  choice: Choice,
  tell: (line: string) => void,
): Promise<Result> {
  const prepared = await prepare(scenario);
  const tallies = [...FAULTS, ...POWER_CUTS].map((fault) => ({
    fault,
    tried: 0,
    failed: 0,
    missed: 0,
  }));
  const problems: string[] = [];
  const count = ({ name, problems: found, isMissed = false }: Outcome) => {
    const tally = tallies.find(({ fault }) => fault === name.split(':')[1]);
    if (tally && isMissed) tally.missed++;
    else if (tally) tally.tried++;
    if (found.length === 0) return;
    if (tally) tally.failed++;
    problems.push(...found);
    tell(`${found.join('\n')}\nagain: make crash LBS_CRASH=${name}`);
  };
  await tryJobs(prepared, jobsOf(prepared, choice), count);
  if (POWER_CUTS.some((fault) => onlyFault === '' || onlyFault === fault)) {
    const outcomes = await tryPowerCuts(prepared, (cuts) => choice.cuts(cuts).filter(isWanted));
    outcomes.forEach(count);
  }
  return { scenario: scenario.name, calls: prepared.calls.length, tallies, problems };
}

/** One line for each scenario: points tried, and failures if there were any. */
export function resultLine({ scenario, calls, tallies }: Result): string {
  const parts = tallies
    .filter(({ tried, missed }) => tried + missed > 0)
    .map(({ fault, tried, failed, missed }) => {
      const more = [missed > 0 ? `${missed} missed` : '', failed > 0 ? `${failed} FAILED` : ''];
      const words = more.filter((text) => text !== '').join(', ');
      return `${fault} ${tried}${words === '' ? '' : ` (${words})`}`;
    });
  return `${scenario}: ${calls} calls; ${parts.join(', ')}`;
}
