/**
 * Nights of a store that lives for years: a changing tree, a backup and a prune each night, within
 * this process (a process for each would take hours). The working directory and the clock are the
 * process's, so only one of these may run in a test file.
 */
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { backup } from '../../src/backup/run-backup.ts';
import { clean } from '../../src/maintain/clean.ts';
import { collect } from '../../src/maintain/collect.ts';
import { compact } from '../../src/maintain/compact.ts';
import { forget } from '../../src/maintain/forget.ts';
import type { RetentionRules } from '../../src/maintain/retention.ts';
import { restore } from '../../src/restore/restore.ts';
import { bytePath } from '../../src/std/byte-path.ts';
import { randomNumbers } from './collect-race.ts';
import { backupOptions, type Places, places } from './places.ts';
import { pseudoRandom } from './pseudo-random.ts';
import { lbsOk } from './run-lbs.ts';
import { snapshotNames } from './store-state.ts';
import { readTree, sameTree } from './tree-state.ts';

const DAY_S = 86400;
/** Long ago: a snapshot that claims to be younger than its file is not forgotten. */
const FIRST_NIGHT_S = Date.UTC(2010, 0, 1, 2) / 1000;
const RULES: RetentionRules = {
  last: 0,
  counts: { daily: 7, weekly: 4, monthly: 12, yearly: 5 },
  within: [],
  tags: [],
};
/** Names that files can have, and files that are written or removed on a day. */
const NAMES = 300;
const WRITTEN = 4;
const REMOVED = 3;
const FILE_BYTES_MAX = 24_000;
/** How many pictures there are, and how often a new one comes and the oldest goes. */
const PICTURES = 40;
const PICTURE_BYTES = 100_000;
const PICTURE_DAYS = 14;
const LOG_BYTES_MAX = 30_000;
/** Compacting is not for every night: it replaces most snapshots. Years end halfway between two. */
const COMPACT_NIGHTS = 30;

export type Night = {
  /** Processor time of the backup and of the prune. */
  readonly cpuMs: number;
  readonly storeBytes: number;
  readonly localdbBytes: number;
  readonly statCacheBytes: number;
};

const sizeOf = (file: string): number => (existsSync(file) ? statSync(file).size : 0);

/** Bytes of all files in a directory. */
export function bytesIn(dir: string): number {
  return readdirSync(dir).reduce((sum, name) => sum + sizeOf(join(dir, name)), 0);
}

/** Half of it compresses, as most of what people have. */
function content(seed: string, length: number): Buffer {
  const bytes = pseudoRandom(seed, length);
  return Buffer.concat([
    bytes.subarray(0, length / 2),
    Buffer.from(bytes.subarray(0, length / 4).toString('hex')),
  ]);
}

/**
 * What a day does to the tree: a few small files are new, changed or gone, some of them far more
 * often than others; a log grows; and now and then there is a picture, which stays as it is until
 * it is the oldest. As much comes as goes, or later nights would have more to do.
 */
function liveADay(tree: string, day: number, random: () => number): void {
  const nameOf = (n: number) => join(tree, `${n % 8}`, `${n}`);
  const some = () => Math.floor(random() ** 3 * NAMES);
  const write = (n: number) => {
    mkdirSync(join(nameOf(n), '..'), { recursive: true });
    writeFileSync(nameOf(n), content(`${day}/${n}`, Math.floor(random() * FILE_BYTES_MAX)));
  };
  if (day === 0) {
    for (let n = 0; n < NAMES; n++) if (random() < WRITTEN / (WRITTEN + REMOVED)) write(n);
  }
  for (let n = 0; n < WRITTEN; n++) write(some());
  for (let n = 0; n < REMOVED; n++) rmSync(nameOf(some()), { force: true });
  if (day % PICTURE_DAYS === 0) {
    const pictureOf = (number: number) => join(tree, `picture-${number}`);
    const last = PICTURES - 1 + day / PICTURE_DAYS;
    for (let number = day === 0 ? 0 : last; number <= last; number++) {
      writeFileSync(pictureOf(number), pseudoRandom(`picture ${number}`, PICTURE_BYTES));
    }
    rmSync(pictureOf(last - PICTURES), { force: true });
  }
  const log = join(tree, 'log');
  const kept = sizeOf(log) > LOG_BYTES_MAX || !existsSync(log) ? '' : readFileSync(log, 'latin1');
  writeFileSync(log, `${kept}${pseudoRandom(`log ${day}`, 600).toString('base64')}\n`);
}

/** Of all processes that this one has started and that have ended; the kernel counts in 10 ms. */
function childrenCpuMs(): number {
  const stat = readFileSync('/proc/self/stat', 'latin1');
  const [user = 0, system = 0] = stat
    .slice(stat.lastIndexOf(')'))
    .split(' ')
    .slice(14, 16)
    .map(Number);
  return (user + system) * 10;
}

export class Soak {
  readonly at: Places;
  readonly nights: Night[] = [];
  readonly #t: ExecutionContext;
  readonly #random = randomNumbers('soak');
  readonly #home = process.cwd();
  #days = 0;

  constructor(t: ExecutionContext) {
    this.#t = t;
    this.at = places(t);
    mkdirSync(join(this.at.base, 'copies'));
    t.teardown(() => {
      delete process.env['LBS_TEST_CLOCK_S'];
      process.chdir(this.#home);
    });
  }

  #copyOf(snapshot: string): string {
    return join(this.at.base, 'copies', snapshot);
  }

  /** Returns the number of the day, and when its night begins. */
  #liveADay(): { day: number; clockS: string } {
    const day = this.#days++;
    liveADay(this.at.tree, day, this.#random);
    return { day, clockS: String(FIRST_NIGHT_S + day * DAY_S) };
  }

  /** A day, and the night after it by the program itself; processor time of that, in ms. */
  async liveByProgram(): Promise<number> {
    const { tree, store, localdb } = this.at;
    const env = { LBS_TEST_CLOCK_S: this.#liveADay().clockS };
    const rules = Object.entries(RULES.counts).map(([unit, count]) => `--keep-${unit}=${count}`);
    const start = childrenCpuMs();
    await lbsOk(this.#t, ['-q', ...backupOptions(this.at), '.'], { cwd: tree, env });
    const places = [`--store=${store}`, `--localdb=${localdb}`];
    await lbsOk(this.#t, ['prune', '-q', ...places, ...rules, '--grace=0s'], { env });
    return childrenCpuMs() - start;
  }

  /** A day, and the night after it. */
  async live(): Promise<void> {
    const { tree, store, localdb } = this.at;
    const { day, clockS } = this.#liveADay();
    process.env['LBS_TEST_CLOCK_S'] = clockS;
    process.chdir(tree);
    const start = process.cpuUsage();
    const { snapshot = '' } = await backup({ store, localdb, paths: [bytePath('.')] });
    await forget({ store, localdb, rules: RULES });
    await clean({ store, localdb });
    const isCompacting = day % COMPACT_NIGHTS === COMPACT_NIGHTS >> 1;
    const compacted = isCompacting ? await compact({ store, localdb, all: true }) : undefined;
    await collect({ store, localdb, graceS: 0 });
    const { user, system } = process.cpuUsage(start);
    spawnSync('cp', ['-a', tree, this.#copyOf(snapshot)]);
    for (const { oldName, name } of compacted?.snapshots ?? []) {
      renameSync(this.#copyOf(oldName), this.#copyOf(name));
    }
    const kept = new Set(snapshotNames(store));
    for (const name of readdirSync(join(this.at.base, 'copies'))) {
      if (!kept.has(name)) rmSync(this.#copyOf(name), { recursive: true });
    }
    this.nights.push({
      cpuMs: (user + system) / 1000,
      storeBytes: bytesIn(store),
      localdbBytes: sizeOf(join(localdb, 'lbs-localdb.sqlite')),
      statCacheBytes: sizeOf(join(localdb, 'lbs-statcache')),
    });
  }

  /** Every snapshot that was kept gives back the tree of its day. */
  async checkSnapshots(): Promise<number> {
    const { store, target } = this.at;
    const kept = snapshotNames(store);
    for (const snapshot of kept) {
      rmSync(target, { recursive: true, force: true });
      mkdirSync(target);
      await restore({ store, snapshot, target });
      sameTree(this.#t, readTree(this.#copyOf(snapshot)), readTree(target));
    }
    return kept.length;
  }

  /** Size of a store to which only the snapshots that were kept were ever made, one after the other. */
  async idealBytes(): Promise<number> {
    const [store, localdb] = [join(this.at.base, 'ideal'), join(this.at.base, 'ideal-localdb')];
    mkdirSync(store);
    for (const snapshot of snapshotNames(this.at.store)) {
      process.chdir(this.#copyOf(snapshot));
      await backup({ store, localdb, paths: [bytePath('.')] });
    }
    return bytesIn(store);
  }

  /** The middle one of the nights from `from` to `to`, counted from 1. */
  middleCpuMs(from: number, to: number): number {
    const times = this.nights.slice(from - 1, to).map(({ cpuMs }) => cpuMs);
    return times.sort((a, b) => a - b)[times.length >> 1] ?? 0;
  }
}
