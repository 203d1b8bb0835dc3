/**
 * `lbs restore` against a model of it: random trees, random changes of a restored target, random
 * options. The seeds are fixed; LBS_RANDOM_CASES=N runs N of them.
 */
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'ava';
import { backupOptions, places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { type Run, lbs, lbsOk } from '../helpers/run-lbs.ts';
import { entryLines } from '../helpers/saved-tree.ts';
import { type EntryState, type TreeState, readTree, sameTree } from '../helpers/tree-state.ts';

const CASES = Number(process.env['LBS_RANDOM_CASES'] ?? 10);
const NAMES = ['a', 'a.x', 'a b', 'b', 'c\n', 'c-', 'd.x', 'é'];
const TIMES = [1_400_000_000, 1_500_000_000, 1_600_000_000];
const DIRECTORY_MODES = [0o755, 0o700, 0o555];
const FILE_MODES = [0o644, 0o600, 0o444];
const MODES = ['if-changed', 'always', 'if-newer', 'never'] as const;
const DEPTH_MAX = 4;

class Random {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(seed: string) {
    this.#bytes = pseudoRandom(seed, 100_000);
  }

  below(limit: number): number {
    this.#at += 4;
    return this.#bytes.readUInt32LE(this.#at) % limit;
  }

  isOneIn(count: number): boolean {
    return this.below(count) === 0;
  }

  of<T>(items: readonly T[], otherwise: T): T {
    return items[this.below(items.length)] ?? otherwise;
  }
}

/** Puts something there that is not a directory. */
function makeThing(random: Random, top: string, path: string, files: string[] | undefined): void {
  const full = join(top, path);
  const first = random.of(files ?? [], path);
  if (random.isOneIn(5)) symlinkSync(random.of(NAMES, 'a'), full);
  else if (random.isOneIn(6) && first !== path && existsSync(join(top, first))) {
    linkSync(join(top, first), full);
    return;
  } else {
    writeFileSync(full, `content ${random.below(3)}\n`, { mode: 0o600 });
    chmodSync(full, random.of(FILE_MODES, 0o644));
    files?.push(path);
  }
  if (!lstatSync(full).isSymbolicLink()) setTime(random, full);
}

function setTime(random: Random, full: string): void {
  const time = random.of(TIMES, 0);
  utimesSync(full, time, time);
}

/** Fills a directory that is there. */
function fill(random: Random, top: string, path: string, files: string[] | undefined): void {
  const depth = path === '' ? 0 : path.split('/').length;
  for (const name of NAMES) {
    if (!random.isOneIn(depth + 2)) continue;
    const child = join(path, name);
    if (random.isOneIn(2) && depth < DEPTH_MAX) {
      mkdirSync(join(top, child));
      fill(random, top, child, files);
    } else makeThing(random, top, child, files);
  }
  if (path === '') return;
  chmodSync(join(top, path), random.of(DIRECTORY_MODES, 0o755));
  setTime(random, join(top, path));
}

/** Changes some of a tree, as people and programs do. */
function spoil(random: Random, top: string): void {
  for (const [path, { type }] of readTree(top)) {
    const full = join(top, Buffer.from(path, 'latin1').toString());
    if (path === '.' || typeOf(full) !== type) continue;
    // As an ordinary user, nothing can be done in a directory that is read-only.
    chmodSync(dirname(full), 0o755);
    if (random.isOneIn(3)) replace(random, top, full);
    else if (type === 'f' && random.isOneIn(4)) setTime(random, full);
    else if (type === 'd') addTo(random, top, full);
  }
}

/** As in `EntryState`, of files, directories and links; undefined for nothing. */
function typeOf(full: string): string | undefined {
  try {
    const status = lstatSync(full);
    if (status.isDirectory()) return 'd';
    return status.isSymbolicLink() ? 'l' : 'f';
  } catch {
    return undefined;
  }
}

function replace(random: Random, top: string, full: string): void {
  if (typeOf(full) === 'd') chmodSync(full, 0o755);
  rmSync(full, { recursive: true });
  if (random.isOneIn(3)) return;
  if (random.isOneIn(2)) makeThing(random, top, full.slice(top.length + 1), []);
  else {
    mkdirSync(full);
    if (random.isOneIn(2)) fill(random, top, full.slice(top.length + 1), []);
  }
}

function addTo(random: Random, top: string, full: string): void {
  const path = full.slice(top.length + 1);
  chmodSync(full, 0o755);
  const more = random.of(['more', 'more.x', 'a', 'é'], 'more');
  if (random.isOneIn(3) && typeOf(join(full, more)) === undefined) {
    makeThing(random, top, join(path, more), []);
  }
  if (random.isOneIn(3) && typeOf(join(full, 'b')) === undefined) {
    mkdirSync(join(full, 'b'));
    fill(random, top, join(path, 'b'), []);
  }
  chmodSync(full, random.of(DIRECTORY_MODES, 0o755));
  setTime(random, full);
}

type Options = {
  readonly overwrite: (typeof MODES)[number];
  readonly isDelete: boolean;
  readonly hasRule: boolean;
  readonly paths: readonly string[];
};

type Outcome = {
  /** What is then in the target: of the snapshot, or of the target as it was. */
  readonly tree: Map<string, { readonly from: 'snapshot' | 'target'; readonly state: EntryState }>;
  readonly deleted: Set<string>;
  /** Paths that cannot be restored. */
  readonly blocked: Set<string>;
};

const isBelow = (path: string, top: string) => path.startsWith(`${top}/`);

/** What a restore should come to, said in another way than the program does it. */
class Model {
  readonly outcome: Outcome = { tree: new Map(), deleted: new Set(), blocked: new Set() };
  readonly #saved: TreeState;
  readonly #before: TreeState;
  readonly #options: Options;

  constructor(saved: TreeState, before: TreeState, options: Options) {
    [this.#saved, this.#before, this.#options] = [saved, before, options];
    for (const path of this.#names('.')) this.#walk(path);
  }

  #names(directory: string): string[] {
    const all = [...this.#saved.keys(), ...this.#before.keys()];
    return [...new Set(all)].filter((path) => path !== '.' && dirname(path) === directory);
  }

  #isLeftOut(path: string): boolean {
    return this.#options.hasRule && path.split('/').some((name) => name.endsWith('.x'));
  }

  #isAskedFor(path: string): boolean {
    const { paths } = this.#options;
    const isNamed = paths.some((top) => path === top || isBelow(path, top));
    return (paths.length === 0 || isNamed) && !this.#isLeftOut(path);
  }

  #isOnTheWay(path: string): boolean {
    const isAbove = (other: string) => isBelow(other, path) && this.#isAskedFor(other);
    return !this.#isAskedFor(path) && [...this.#saved.keys()].some(isAbove);
  }

  #stays(path: string): void {
    const state = this.#before.get(path);
    if (state === undefined) return;
    this.outcome.tree.set(path, { from: 'target', state });
    for (const child of this.#names(path)) this.#stays(child);
  }

  /** True when nothing of it is left. */
  #remove(path: string): boolean {
    if (!this.#before.has(path)) return true;
    const isAll = !this.#isLeftOut(path) && this.#names(path).map((each) => this.#remove(each));
    if (isAll !== false && isAll.every(Boolean)) {
      this.outcome.deleted.add(path);
      return true;
    }
    if (isAll === false) this.#stays(path);
    else this.#keepAlone(path);
    return false;
  }

  #keepAlone(path: string): void {
    const state = this.#before.get(path);
    if (state) this.outcome.tree.set(path, { from: 'target', state });
  }

  #isKept(saved: EntryState, before: EntryState): boolean {
    const { overwrite } = this.#options;
    return overwrite === 'never' || (overwrite === 'if-newer' && before.mtimeNs >= saved.mtimeNs);
  }

  #block(path: string): void {
    if (this.#saved.has(path) && (this.#isAskedFor(path) || this.#isOnTheWay(path))) {
      this.outcome.blocked.add(path);
    }
    for (const child of this.#names(path)) this.#block(child);
  }

  #walk(path: string): void {
    const saved = this.#saved.get(path);
    const before = this.#before.get(path);
    const isAskedFor = saved !== undefined && this.#isAskedFor(path);
    const isOnTheWay = saved?.type === 'd' && this.#isOnTheWay(path);
    if (saved === undefined || (!isAskedFor && !isOnTheWay)) {
      const isInRestored = this.#saved.get(dirname(path))?.type === 'd';
      const mayGo = saved === undefined && isInRestored && this.#isAskedFor(dirname(path));
      if (this.#options.isDelete && mayGo) this.#remove(path);
      else this.#stays(path);
      return;
    }
    if (before && this.#isKept(saved, before) && (saved.type !== 'd' || before.type !== 'd')) {
      this.#stays(path);
      if (saved.type === 'd') for (const child of this.#names(path)) this.#block(child);
      return;
    }
    if (saved.type === 'd') this.#directory(path, saved, isAskedFor ? 'askedFor' : 'onTheWay');
    else this.#thing(path, saved);
  }

  #directory(path: string, saved: EntryState, role: 'askedFor' | 'onTheWay'): void {
    const before = this.#before.get(path);
    const isKept = before?.type === 'd' && (role === 'onTheWay' || this.#isKept(saved, before));
    const kept = { from: 'target', state: before ?? saved } as const;
    this.outcome.tree.set(path, isKept ? kept : { from: 'snapshot', state: saved });
    for (const child of this.#names(path)) this.#walk(child);
  }

  #thing(path: string, saved: EntryState): void {
    if (this.#before.get(path)?.type === 'd') {
      const names = this.#names(path).filter((each) => this.#before.has(each));
      if (this.#options.isDelete ? !this.#remove(path) : names.length > 0) {
        if (!this.#options.isDelete) this.#stays(path);
        this.outcome.blocked.add(path);
        return;
      }
    }
    this.outcome.tree.set(path, { from: 'snapshot', state: saved });
  }
}

/** What is compared of an entry: not the time of a directory that was worked in, nor links. */
function shown(from: 'snapshot' | 'target', state: EntryState): string {
  const { type, mode, mtimeNs, content, target } = state;
  const isTimed = type !== 'd' || from === 'snapshot';
  return [type, mode, isTimed ? mtimeNs : '', content, target].join(' ');
}

const linesOf = (text: string) => text.split('\n').sort();
const isDeletion = (line: string) => line.endsWith(' [deleted]');

function optionsOf(random: Random, saved: TreeState): Options {
  const names = [...saved.keys()].filter((path) => path !== '.' && !path.includes('.x'));
  return {
    overwrite: random.of(MODES, 'always'),
    isDelete: random.isOneIn(2),
    hasRule: random.isOneIn(3),
    paths: random.isOneIn(3) && names.length > 0 ? [random.of(names, '.')] : [],
  };
}

for (let seed = 1; seed <= CASES; seed++) {
  test(`a random restore does what the model of it says, and what its dry run says (${seed})`, async (t) => {
    const random = new Random(`restore ${seed}`);
    const at = places(t);
    // Without hard links: what becomes of further names when the first is blocked is another matter.
    fill(random, at.tree, '', undefined);
    writeFileSync(join(at.tree, 'always'), 'there');
    await lbsOk(t, [...backupOptions(at), '.'], { cwd: at.tree });
    const store = `--store=${at.store}`;
    await lbsOk(t, ['restore', store, 'latest', at.target]);
    spoil(random, at.target);
    const [saved, before] = [readTree(at.tree), readTree(at.target)];
    const options = optionsOf(random, saved);
    const { tree, deleted, blocked } = new Model(saved, before, options).outcome;
    const undo = random.isOneIn(2) ? join(at.base, 'undo') : undefined;
    const restore = (...more: string[]): Promise<Run> =>
      lbs(t, [
        ...['restore', store, '-v', ...more, `--overwrite=${options.overwrite}`],
        ...(options.isDelete ? ['--delete'] : []),
        ...(options.hasRule ? ['--exclude=*.x'] : []),
        ...(undo === undefined ? [] : [`--undo-dir=${undo}`]),
        ...['latest', at.target],
        ...options.paths.map((path) => Buffer.from(path, 'latin1').toString()),
      ]);
    const dry = await restore('--dry-run');
    sameTree(t, before, readTree(at.target), { ctimes: true });
    const run = await restore();
    const after = readTree(at.target);

    const found = [...after].filter(([path]) => path !== '.');
    t.deepEqual(
      found.map(([path, state]) => [path, shown(tree.get(path)?.from ?? 'target', state)]).sort(),
      [...tree].map(([path, { from, state }]) => [path, shown(from, state)]).sort(),
      JSON.stringify([options, undo, [...deleted], [...blocked]]),
    );
    t.is(run.code, blocked.size > 0 ? 3 : 0, run.stderr);
    t.is(entryLines(run).filter(isDeletion).length, deleted.size, run.stdout);

    t.is(dry.code, run.code);
    t.deepEqual(linesOf(dry.stderr), linesOf(run.stderr));
    const planned = entryLines(dry).filter((line) => !line.includes(' [to fetch, '));
    t.deepEqual(planned.sort(), entryLines(run).sort());

    if (undo === undefined) return;
    const kept = existsSync(undo) ? readTree(undo) : new Map<string, EntryState>();
    for (const [path, state] of before) {
      if (state.type === 'd') continue;
      const now = after.get(path);
      const isInPlace = now?.content === state.content && now?.target === state.target;
      if (now?.type === state.type && isInPlace) continue;
      t.deepEqual([kept.get(path)?.content, kept.get(path)?.target], [state.content, state.target]);
    }
  });
}
