/**
 * Commands of several machines on one store, a few at a time: whatever their order, each does its
 * work or says why not, every snapshot is whole, and no file of the store is ever changed.
 */
import { mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import { randomNumbers } from './collect-race.ts';
import { otherMachine } from './collected-store.ts';
import { backupOptions, type Places, places, restored } from './places.ts';
import { pseudoRandom } from './pseudo-random.ts';
import { jsonMessage, lbsOk, restoreOk, type Run, startLbs } from './run-lbs.ts';
import { makeFiles } from './small-tree.ts';
import { snapshotNames, storeState } from './store-state.ts';
import { readTree, sameTree, type TreeState } from './tree-state.ts';

const DELAY_MS_MAX = 400;
/** Each of these takes part in a round of that many. */
const AT_ONCE = 3;
const KEEP = '--keep-last=3';

/** Places of a store with company: machines, a copy of it, and a store that is copied to it. */
export type Company = {
  readonly at: Places;
  readonly copy: string;
  readonly own: string;
  /** `c` saves under the scheme of `a`, without knowing of it. */
  readonly machines: Readonly<Record<'a' | 'b' | 'c', Places>>;
  /** What each snapshot must give back. */
  readonly saved: Map<string, TreeState>;
};

type Action = {
  readonly args: (company: Company, round: number) => string[];
  /** Beside 0, and 11 where its local database is another's at the moment. */
  readonly may?: RegExp;
  /** Snapshots of this machine are made. */
  readonly saves?: 'a' | 'b' | 'c';
};

/** What a collection without any grace does to others. */
const COLLECTED =
  /taken out of the store meanwhile|is just being, taken out|was removed from the store by somebody/;

const saving = (name: 'a' | 'b' | 'c', scheme: string, ...more: string[]): Action => ({
  args: ({ machines }) => [
    ...[...backupOptions(machines[name]), '--json', `--scheme=${scheme}`, '--segment-size=64K'],
    ...[...more, machines[name].tree],
  ],
  may: COLLECTED,
  saves: name,
});

const where = ({ at, machines }: Company, name: 'a' | 'b') => [
  `--store=${at.store}`,
  `--localdb=${machines[name].localdb}`,
];

/** In the order of design: who adds, who removes, who replaces, who reads. */
export const ACTIONS: Readonly<Record<string, Action>> = {
  'backup a': saving('a', 'one'),
  'backup b': saving('b', 'two', '--full-metadata'),
  'backup c': saving('c', 'one'),
  'sync into it': { args: ({ at, own }) => ['sync', own, at.store], may: COLLECTED },
  forget: { args: (company) => ['forget', ...where(company, 'a'), '--scheme=one', KEEP] },
  gc: { args: (company) => ['gc', ...where(company, 'a'), '--grace=0h'], may: COLLECTED },
  'gc by another': {
    args: (company) => ['gc', ...where(company, 'b'), '--grace=0h'],
    may: COLLECTED,
  },
  'gc by nobody': { args: ({ at }) => ['gc', `--store=${at.store}`, '--grace=0h'], may: COLLECTED },
  prune: {
    args: (company) => ['prune', ...where(company, 'a'), '--scheme=one', KEEP, '--grace=0h'],
    may: COLLECTED,
  },
  'prune by another': {
    args: (company) => ['prune', ...where(company, 'b'), '--scheme=two', KEEP, '--grace=0h'],
    may: COLLECTED,
  },
  clean: { args: (company) => ['clean', ...where(company, 'a'), '--min-used=90'] },
  compact: {
    args: (company) => ['compact', ...where(company, 'a'), '--all', '--min-used=90'],
    may: COLLECTED,
  },
  parity: { args: ({ at }) => ['parity', `--store=${at.store}`], may: COLLECTED },
  repair: { args: ({ at }) => ['repair', `--store=${at.store}`] },
  heal: { args: ({ at, copy }) => ['heal', `--store=${at.store}`, `--from=${copy}`] },
  rebuild: {
    args: ({ at }, round) => [
      ...['rebuild', `--store=${at.store}`, `--localdb=${join(at.base, `rebuilt-${round}`)}`],
    ],
  },
  'sync from it': { args: ({ at, copy }) => ['sync', at.store, copy] },
  list: { args: ({ at }) => ['list', `--store=${at.store}`] },
  verify: { args: ({ at }) => ['verify', `--store=${at.store}`, '--data'] },
  restore: {
    args: ({ at }, round) => [
      ...['restore', `--store=${at.store}`, '--scheme=two', 'latest'],
      join(at.base, `back-${round}`),
    ],
  },
};

/** A snapshot of each machine, and one in a store of its own that is copied now and then. */
export async function company(t: ExecutionContext): Promise<Company> {
  const at = places(t);
  const [copy, own] = [join(at.base, 'copy'), join(at.base, 'own')];
  for (const dir of [copy, own]) mkdirSync(dir);
  const machine = (name: string) => otherMachine(at, name);
  const machines = { a: machine('a'), b: machine('b'), c: machine('c') };
  const all: Company = { at, copy, own, machines, saved: new Map() };
  change(all, randomNumbers('first'));
  for (const name of ['backup a', 'backup b', 'backup c']) await act(t, all, name, 0);
  const aside = { ...machine('d'), store: own };
  makeFiles(aside.tree, { aside: pseudoRandom('aside', 50_000) });
  const run = await lbsOk(t, [...backupOptions(aside), '--json', '--scheme=own', aside.tree]);
  remember(all, run, aside);
  await lbsOk(t, ['sync', at.store, copy]);
  return all;
}

/** Each machine has some of the same files, and one of its own. */
function change({ machines }: Company, random: () => number): void {
  for (const [name, { tree }] of Object.entries(machines)) {
    for (const file of ['x', 'y', 'z']) {
      if (random() < 0.4) rmSync(join(tree, file), { force: true });
      else makeFiles(tree, { [file]: pseudoRandom(file, 60_000) });
    }
    makeFiles(tree, { [`of ${name}`]: pseudoRandom(String(random()), 20_000) });
  }
}

function remember({ saved }: Company, run: Run, { tree }: Places): void {
  saved.set(String(jsonMessage(run, 'summary')['snapshot_id']), readTree(tree));
}

/** What became of one of them, in words that are counted. */
async function act(
  t: ExecutionContext,
  all: Company,
  name: string,
  round: number,
): Promise<string> {
  const action = ACTIONS[name];
  if (action === undefined) throw new Error(name);
  const run = await startLbs(t, action.args(all, round)).done;
  const said = `${name}: ${run.code}\n${run.stdout.slice(0, 2000)}${run.stderr}`;
  t.notRegex(run.stderr, /unexpected error|mistake in lbs|^\s+at /m, said);
  if (run.code === 11) return `${name} locked`;
  if (run.code !== 0) {
    t.is(run.code, 1, said);
    t.regex(run.stderr, action.may ?? /^$/, said);
    return `${name} refused`;
  }
  if (action.saves !== undefined) remember(all, run, all.machines[action.saves]);
  return `${name} done`;
}

/** The name under which a snapshot was made: compacting gives it another one. */
function firstName(store: string, name: string): string {
  const text = readFileSync(join(store, `snapshot-${name}.lbs`), 'latin1');
  return /^Compacted_from: *(\S+)/m.exec(text)?.[1] ?? name;
}

/** Every snapshot gives back what its machine saved. */
export async function allAreWhole(t: ExecutionContext, all: Company): Promise<void> {
  const { at, saved, copy } = all;
  for (const store of [at.store, copy]) await lbsOk(t, ['verify', `--store=${store}`, '--data']);
  for (const name of snapshotNames(at.store)) {
    let first = name;
    while (!saved.has(first)) {
      const before = firstName(at.store, first);
      if (before === first) break;
      saved.set(name, saved.get(before) ?? new Map());
      first = before;
    }
    const target = join(at.base, 'whole');
    rmSync(target, { recursive: true, force: true });
    await restoreOk(t, [`--store=${at.store}`, name, target]);
    const wanted = saved.get(first) ?? new Map();
    const scheme = /^(one|two|own)-/.exec(name)?.[1];
    const trees = Object.values(all.machines).map(({ tree }) => restored(target, tree));
    const own = restored(target, join(at.base, 'd-tree'));
    const found = [...trees, own].flatMap((tree) => {
      try {
        return [readTree(tree)];
      } catch {
        return [];
      }
    });
    t.is(found.length, 1, `${name} of ${scheme}`);
    sameTree(t, wanted, found[0] ?? new Map());
  }
}

/** Rounds of some commands at once; how often each came to which end. */
export async function roundsAtOnce(
  t: ExecutionContext,
  { rounds, seed }: { readonly rounds: number; readonly seed: string },
): Promise<ReadonlyMap<string, number>> {
  const all = await company(t);
  const random = randomNumbers(seed);
  const ends = new Map<string, number>();
  const names = Object.keys(ACTIONS);
  for (let round = 1; round <= rounds; round++) {
    change(all, random);
    const before = storeState(all.at.store);
    const chosen = Array.from(
      { length: AT_ONCE },
      () => names[Math.floor(random() * names.length)] ?? '',
    );
    const delays = chosen.map(() => Math.floor(random() * DELAY_MS_MAX));
    const results = await Promise.all(
      chosen.map(async (name, at) => {
        await sleep(delays[at]);
        return await act(t, all, name, round * AT_ONCE + at);
      }),
    );
    for (const end of results) ends.set(end, (ends.get(end) ?? 0) + 1);
    for (const [name, { sha256 }] of storeState(all.at.store)) {
      const old = before.get(name);
      if (old !== undefined) t.is(sha256, old.sha256, `${name} has changed: ${chosen.join(', ')}`);
    }
    await lbsOk(t, ['verify', `--store=${all.at.store}`, '--data']);
    if (round % 10 === 0 || round === rounds) await allAreWhole(t, all);
  }
  return ends;
}
