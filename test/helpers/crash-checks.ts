/**
 * What must hold after every fault: what was there before is whole, what is said to be done is
 * done, the next run needs nobody, and nothing temporary stays.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import * as lbs from 'lbs';
import type { Scenario } from './crash-scenario.ts';
import { type CrashPlaces, crashTop, environment, type World } from './crash-worlds.ts';
import { type Call, PROGRAM } from './faults.ts';
import { snapshotNames } from './store-state.ts';
import { readTree, type TreeState, treeDifferences } from './tree-state.ts';

/** After the run that met the fault. */
const NEXT_MINUTE = 30;

/** A scenario, and how it goes undisturbed. */
export type Prepared = {
  readonly scenario: Scenario;
  readonly world: World;
  readonly calls: readonly Call[];
  readonly usual: ReadonlySet<string>;
};

/** Runs lbs undisturbed. */
async function runNext(args: readonly string[], world: World, at: CrashPlaces) {
  const [program = '', ...words] = PROGRAM;
  const child = spawn(program, [...words, ...args], {
    cwd: world.cwd,
    env: environment(at.home, NEXT_MINUTE),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => said.push(data));
  const code = await new Promise<number>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (status) => resolve(status ?? 125));
  });
  return { code, said: String(Buffer.concat(said)) };
}

const silent = { report: () => undefined };
let restores = 0;

type Reading = { readonly store: string; readonly verifyKey?: string };

async function restoredProblems(
  reading: Reading,
  name: string,
  wanted: TreeState,
): Promise<string[]> {
  const target = join(crashTop(), `restored-${restores++}`);
  mkdirSync(target);
  try {
    await lbs.restore({ ...reading, snapshot: name, target, ...silent });
    const found = readTree(join(target, 'tree'));
    return treeDifferences(wanted, found).map(({ text }) => `${name}: ${text}`);
  } catch (error) {
    return [`${name} cannot be restored: ${String(error)}`];
  } finally {
    rmSync(target, { recursive: true, force: true });
  }
}

/** All but the seconds, which compact changes; worlds save once a minute. */
const minuteOf = (name: string) => name.slice(0, -2);

/** What a snapshot must give back: also one that took the place of another, or is new. */
function wantedOf(world: World, name: string): TreeState {
  const replaced = [...world.snapshots].find(([old]) => minuteOf(old) === minuteOf(name));
  return world.snapshots.get(name) ?? replaced?.[1] ?? world.tree;
}

/** What is damaged, but for the snapshots `harmed`, of which that is known. */
async function damageOf(reading: Reading, harmed: ReadonlySet<string>): Promise<string[]> {
  const all = snapshotNames(reading.store);
  const sound = all.filter((name) => !harmed.has(name));
  if (sound.length === 0) return [];
  const snapshots = sound.length === all.length ? [] : sound;
  try {
    const { damage } = await lbs.verify({ ...reading, snapshots, depth: 'data', ...silent });
    // Those made after a damaged one tell of that.
    const others = damage.filter(({ name }) => ![...harmed].some((one) => name.includes(one)));
    return others.map(({ name, message }) => `${name}: ${message}`);
  } catch (error) {
    return [String(error)];
  }
}

/** Snapshots that have gone from a store. */
function gone({ mayLack, mayRename }: Scenario, world: World, names: readonly string[]): string[] {
  const mayGo = new Set(mayLack?.(world));
  const isThere = (name: string) =>
    mayRename ? names.some((other) => minuteOf(other) === minuteOf(name)) : names.includes(name);
  const lost = [...world.snapshots.keys()].filter((name) => !mayGo.has(name) && !isThere(name));
  return lost.map((name) => `${name} is gone`);
}

/** Before the next run, which mends what is damaged, or after it. */
type When = 'before' | 'after';

/** Each snapshot that is there is whole, and those that must be there are. */
async function storeProblems(
  scenario: Scenario,
  world: World,
  at: CrashPlaces,
  when: When,
): Promise<string[]> {
  const problems: string[] = [];
  const { stores, mended = [], hadAll = ['store'], harmed } = scenario;
  const verifyKey = scenario.verifyKey?.();
  for (const which of [...stores, ...mended]) {
    const reading = { store: at[which], ...(verifyKey === undefined ? {} : { verifyKey }) };
    const names = snapshotNames(at[which]);
    const found = hadAll.includes(which) ? gone(scenario, world, names) : [];
    const isHarmed = when === 'before' && mended.includes(which);
    const bad = new Set(isHarmed ? harmed?.(world) : []);
    found.push(...(await damageOf(reading, bad)));
    for (const name of names.filter((one) => !bad.has(one))) {
      found.push(...(await restoredProblems(reading, name, wantedOf(world, name))));
    }
    problems.push(...found.map((text) => `${which}: ${text}`));
  }
  return [...problems, ...(scenario.lost?.(at, world) ?? [])];
}

/** A file of a target that has its name has the bytes of some snapshot. */
export function halfRestored(world: World, at: CrashPlaces): string[] {
  if (!existsSync(join(at.target, 'tree'))) return [];
  const states = [...world.snapshots.values()];
  const isOf = (path: string, content: string | undefined) =>
    states.some((state) => state.get(path)?.content === content);
  return [...readTree(join(at.target, 'tree'))].flatMap(([path, { type, content }]) => {
    const isKnown = states.some((state) => state.has(path));
    return type === 'f' && isKnown && !isOf(path, content) ? [`${path} is half restored`] : [];
  });
}

/** What a name is like, whatever is random in it. */
function kindOf(name: string): string {
  return name
    .replaceAll(/[0-9a-f]{8}-[0-9a-f-]{27}/g, 'UUID')
    .replaceAll(/\d{8}T\d{6}/g, 'DATE')
    .replaceAll(/\d+/g, 'N');
}

/** What lies in the places, but for the target, which is compared as a whole. */
export function kindsIn(at: CrashPlaces): Set<string> {
  const kinds = new Set<string>();
  for (const place of ['store', 'localdb', 'copy', 'home'] as const) {
    for (const name of readdirSync(at[place])) kinds.add(`${place}/${kindOf(name)}`);
  }
  return kinds;
}

/** The next run, and what must hold after it. `usual`: kinds of files that a run leaves. */
async function nextProblems(
  { scenario, world, usual }: Prepared,
  at: CrashPlaces,
): Promise<string[]> {
  const problems: string[] = [];
  const next = await runNext(scenario.args(at, world), world, at);
  const isFine = next.code === 0 || scenario.againCodes?.includes(next.code) === true;
  if (!isFine) problems.push(`exit code ${next.code}: ${next.said}`);
  problems.push(...scenario.missing(at, world));
  if (scenario.afterwards) {
    const { code, said } = await runNext(scenario.afterwards(at), world, at);
    if (code !== 0) problems.push(`exit code ${code}: ${said}`);
  }
  problems.push(...(await storeProblems(scenario, world, at, 'after')));
  for (const kind of kindsIn(at)) {
    const isFineToo = scenario.mayLeave?.includes(kind) === true;
    if (!usual.has(kind) && !isFineToo) problems.push(`${kind} has stayed`);
  }
  return problems.map((problem) => `after the next run: ${problem}`);
}

/** What must hold right after a fault, and after the next run. */
export async function allProblems(
  prepared: Prepared,
  at: CrashPlaces,
  isDone: boolean,
): Promise<string[]> {
  const { scenario, world } = prepared;
  const problems = await storeProblems(scenario, world, at, 'before');
  if (isDone) {
    problems.push(...scenario.missing(at, world).map((text) => `said to be done, but ${text}`));
  }
  return [...problems, ...(await nextProblems(prepared, at))];
}
