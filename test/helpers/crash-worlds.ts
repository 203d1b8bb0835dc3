/**
 * What is there before a fault: trees, stores and local databases, made once for each process and
 * copied for each fault. Small, but with entries of every kind and several segments of both kinds.
 */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  ftruncateSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as libc from '../../src/posix/libc.ts';
import { copyDirectory } from './durable-state.ts';
import { PROGRAM, runFaulty } from './faults.ts';
import { pseudoRandom } from './pseudo-random.ts';
import { makeFiles } from './small-tree.ts';
import { segmentFiles, snapshotNames } from './store-state.ts';
import { removeTree } from './temp-dir.ts';
import { readTree, type TreeState } from './tree-state.ts';

/** The directories that a run may change. */
export const PLACES = ['store', 'localdb', 'copy', 'target', 'home'] as const;
export type PlaceName = (typeof PLACES)[number];
export type CrashPlaces = Readonly<Record<PlaceName, string>>;

export type World = {
  /** What runs are started in: it has the `tree` that is saved. */
  readonly cwd: string;
  /** Below it are the places, as they are before. A target is there only if it is not empty. */
  readonly model: string;
  /** What each snapshot must give back. */
  readonly snapshots: ReadonlyMap<string, TreeState>;
  /** The tree as it is now, which a backup saves. */
  readonly tree: TreeState;
};

const MINUTE_S = 60;
/**
 * Runs of the program take the time from here, so that all names are known beforehand. A whole
 * minute: a snapshot that is compacted is named a second later, and by that found to be the same one.
 */
const EPOCH_S = (Math.floor(Date.now() / 1000 / MINUTE_S) + 1000) * MINUTE_S;

/** Of a run in the n-th minute; HOME and TMPDIR are `home`. */
export function environment(home: string, minute: number): Record<string, string> {
  const compiled = process.env['NODE_COMPILE_CACHE'];
  return {
    ...(compiled === undefined ? {} : { NODE_COMPILE_CACHE: compiled }),
    PATH: `${process.env['PATH']}`,
    HOME: home,
    TMPDIR: home,
    LANG: 'C.UTF-8',
    TZ: 'UTC',
    LBS_TEST_CLOCK_S: String(EPOCH_S + minute * MINUTE_S),
    // As bin/lbs has it.
    MALLOC_ARENA_MAX: '1',
    MALLOC_MMAP_THRESHOLD_: '4194304',
    MALLOC_TRIM_THRESHOLD_: '8388608',
  };
}

export function placesBelow(base: string): CrashPlaces {
  const at = (name: PlaceName) => join(base, name);
  return {
    store: at('store'),
    localdb: at('localdb'),
    copy: at('copy'),
    target: at('target'),
    home: at('home'),
  };
}

/** Options of each backup. */
export function saveArgs({ store, localdb }: CrashPlaces): string[] {
  return [`--dest=${store}`, `--localdb=${localdb}`, '--segment-size=64K'];
}

/** Runs lbs undisturbed, which must succeed. */
function lbsOk(world: Pick<World, 'cwd' | 'model'>, minute: number, args: readonly string[]): void {
  const [program = '', ...words] = PROGRAM;
  const env = environment(join(world.model, 'home'), minute);
  const run = spawnSync(program, [...words, ...args], { cwd: world.cwd, env, encoding: 'utf8' });
  if (run.status !== 0) throw new Error(`lbs ${args.join(' ')}: ${run.status}\n${run.stderr}`);
}

function makeOddFiles(tree: string): void {
  symlinkSync('gone/away', join(tree, 'link'));
  linkSync(join(tree, 'same', 'one'), join(tree, 'same', 'two'));
  libc.mknodAt(libc.AT_FDCWD, libc.cString(join(tree, 'fifo')), 0o010600);
  chmodSync(join(tree, 'same', 'one'), 0o4711);
  const fd = openSync(join(tree, 'sparse'), 'w');
  ftruncateSync(fd, 300_000);
  closeSync(fd);
}

/** The tree as the n-th backup finds it; made of the one before. */
function makeVersion(tree: string, version: number): void {
  if (version === 1) {
    makeFiles(tree, { 'same/one': 'one file of two names', 'empty directory/': '', empty: '' });
    makeOddFiles(tree);
  }
  for (let n = 0; n < 4; n++) {
    // Some stay, some change: segments of all ages are in use, and partly used.
    if (version > 1 && n !== version - 1 && n !== 0) continue;
    makeFiles(tree, { [`dir ${n}/file`]: pseudoRandom(`${version}/${n}`, 30_000) });
  }
  makeFiles(tree, {
    [`new in ${version}`]: `only from ${version} on`,
    'dir 0/often': `${version}`,
  });
  if (version > 1) rmSync(join(tree, `new in ${version - 1}`));
  utimesSync(join(tree, 'dir 1'), 1_000_000_000, 1_000_000_000 + version);
}

let top: string | undefined;

/** A directory for all of this; gone when the process ends. */
export function crashTop(): string {
  if (top === undefined) {
    const made = realpathSync(mkdtempSync(join(tmpdir(), 'lbs-crash-')));
    process.once('exit', () => {
      if (process.env['LBS_KEEP'] !== '1') removeTree(made);
    });
    top = made;
  }
  return top;
}

export type SavedHow = {
  readonly name: string;
  /** How many backups there were. */
  readonly saved: number;
  /** Their options. */
  readonly options: (at: CrashPlaces) => string[];
};

/** A world after some backups, whose tree has changed since. */
function savedWorld({ name, saved, options }: SavedHow): World {
  const cwd = join(crashTop(), `saved-${name}`);
  const model = join(cwd, 'model');
  const tree = join(cwd, 'tree');
  mkdirSync(tree, { recursive: true });
  const at = placesBelow(model);
  for (const place of PLACES) if (place !== 'target') mkdirSync(at[place], { recursive: true });
  const snapshots = new Map<string, TreeState>();
  for (let version = 1; version <= saved; version++) {
    makeVersion(tree, version);
    lbsOk({ cwd, model }, version, ['backup', ...options(at), 'tree']);
    snapshots.set(snapshotNames(at.store).at(-1) ?? '', readTree(tree));
  }
  makeVersion(tree, saved + 1);
  return { cwd, model, snapshots, tree: readTree(tree) };
}

/** A variant of a world, with its own places. */
export function derived(
  name: string,
  from: World,
  change: (at: CrashPlaces, model: string) => void,
): World {
  const model = join(crashTop(), name);
  copyDirectory(from.model, model);
  change(placesBelow(model), model);
  return { ...from, model };
}

const made = new Map<string, World>();

/** The world of this name, made only once. */
export function once(name: string, make: () => World): World {
  let world = made.get(name);
  if (!world) made.set(name, (world = make()));
  return world;
}

/** A world of backups with other options than the usual. */
export const savedBy = (how: SavedHow) => once(how.name, () => savedWorld(how));

/** Nothing saved yet. */
export const emptyWorld = () => savedBy({ name: 'empty', saved: 0, options: saveArgs });
export const oneSaved = () => savedBy({ name: 'one', saved: 1, options: saveArgs });
export const threeSaved = () => savedBy({ name: 'three', saved: 3, options: saveArgs });

const CHANGING_MINUTE = 10;

/** A variant of a world, made by running lbs once. */
export const changedBy = (
  name: string,
  from: () => World,
  args: (at: CrashPlaces, names: readonly string[]) => string[],
) =>
  once(name, () => {
    const { cwd, snapshots } = from();
    return derived(name, from(), (at, model) => {
      lbsOk({ cwd, model }, CHANGING_MINUTE, args(at, [...snapshots.keys()]));
    });
  });

/** The two older snapshots are forgotten, and what only they needed is in the store. */
export const forgotten = () =>
  once('forgotten', () => {
    const from = threeSaved();
    const names = [...from.snapshots.keys()];
    const world = derived('forgotten', from, (at, model) => {
      const where = [`--store=${at.store}`, `--localdb=${at.localdb}`];
      lbsOk({ cwd: from.cwd, model }, CHANGING_MINUTE, ['forget', ...where, ...names.slice(0, 2)]);
    });
    return { ...world, snapshots: new Map([...from.snapshots].slice(2)) };
  });

/** As the forgotten one, and what is to be removed stands in a list. */
export const condemned = () =>
  once('condemned', () => {
    const from = forgotten();
    return derived('condemned', from, (at, model) => {
      const where = [`--store=${at.store}`, `--localdb=${at.localdb}`];
      // Files are listed when they have been there for as long as the grace period is.
      spawnSync('sleep', ['1.2']);
      lbsOk({ cwd: from.cwd, model }, CHANGING_MINUTE, ['gc', ...where, '--grace=1s']);
    });
  });

export const withoutLocaldb = () =>
  once('without localdb', () =>
    derived('without-localdb', threeSaved(), ({ localdb }) => {
      rmSync(localdb, { recursive: true });
      mkdirSync(localdb);
    }),
  );

/** One segment of the store is damaged, and the copy is whole. */
export const damaged = () =>
  once('damaged', () =>
    derived('damaged', threeSaved(), ({ store, copy }) => {
      copyDirectory(store, copy);
      const file = join(store, segmentFiles(store)[0] ?? '');
      const bytes = readFileSync(file);
      bytes.writeUInt8((bytes[bytes.length >> 1] ?? 0) ^ 1, bytes.length >> 1);
      writeFileSync(file, bytes);
    }),
  );

/** The oldest snapshot lies in the target. */
export const restoredBefore = () =>
  once('restored', () => {
    const from = threeSaved();
    const [oldest = ''] = from.snapshots.keys();
    return derived('restored', from, ({ store, target }, model) => {
      const args = ['restore', `--store=${store}`, oldest, target];
      lbsOk({ cwd: from.cwd, model }, CHANGING_MINUTE, args);
    });
  });

/** A second backup was killed when it had put its second segment in place. */
export async function killedBackup(): Promise<World> {
  const world = once('killed', () => derived('killed', oneSaved(), () => undefined));
  const at = placesBelow(world.model);
  if (segmentFiles(at.store).length > segmentFiles(placesBelow(oneSaved().model).store).length) {
    return world;
  }
  let segments = 0;
  const command = {
    args: ['backup', ...saveArgs(at), 'tree'],
    cwd: world.cwd,
    env: environment(at.home, CHANGING_MINUTE),
    directories: [at.store],
  };
  const run = await runFaulty(command, {
    before: ({ path2 }) => (/\.tar\./.test(path2) && ++segments === 2 ? 'watch' : 'go'),
    after: () => 'kill',
  });
  if (run.code !== 137) throw new Error(`not killed: ${run.code}\n${run.stderr}`);
  return world;
}
