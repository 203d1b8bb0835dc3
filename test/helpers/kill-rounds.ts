/** Runs that change a store, killed at times that nobody chose, and the run after each. */
import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { setTimeout as sleep } from 'node:timers/promises';
import { randomNumbers } from './collect-race.ts';
import { allIsWell, gc, otherMachine } from './collected-store.ts';
import { backupOptions, type Places } from './places.ts';
import { pseudoRandom } from './pseudo-random.ts';
import { killGroup, lbs, lbsOk, startLbs } from './run-lbs.ts';
import { makeFiles } from './small-tree.ts';
import { storedBytes } from './store-state.ts';

const STORE_FILE =
  /^([0-9a-f-]{36}\.tar\.zst|snapshot-\d{8}T\d{6}\.(lbs|sha1sums|sha256sums)|forgotten-[0-9a-f-]{36}\.note|README\.txt|restore\.sh)$/;
const LOCAL_FILE = /^lbs-(localdb\.(sqlite|lock)|statcache|seen)$/;
/** Shorter ones die before they have begun. */
const START_SHARE = 0.3;
const USUAL_MS = 500;
const KEEP = '--keep-last=3';

/** A store, what is beside it, and a store that it is copied to. */
type Side = Places & { readonly copy: string };

type Victim = {
  readonly args: (side: Side) => string[];
  /** What it needs to have something to do; a backup unless said. */
  readonly prepare?: (side: Side) => void;
  /** True when a run that was killed had done it all. */
  readonly isDone?: (side: Side) => boolean;
};

const where = ({ store, localdb }: Places) => [`--store=${store}`, `--localdb=${localdb}`];
const backupOf = (side: Places) => [
  'backup',
  ...backupOptions(side),
  '--segment-size=64K',
  side.tree,
];
const database = ({ localdb }: Places) => join(localdb, 'lbs-localdb.sqlite');

const VICTIMS: Readonly<Record<string, Victim>> = {
  backup: { args: backupOf, prepare: () => undefined },
  prune: { args: (side) => ['prune', ...where(side), KEEP, '--grace=0h', '--min-used=70'] },
  forget: { args: (side) => ['forget', ...where(side), KEEP] },
  gc: { args: (side) => ['gc', ...where(side), '--grace=0h'] },
  clean: { args: (side) => ['clean', ...where(side), '--min-used=90'] },
  compact: { args: (side) => ['compact', ...where(side), '--all', '--min-used=90'] },
  sync: { args: ({ store, copy }) => ['sync', store, copy] },
  rebuild: {
    args: (side) => ['rebuild', ...where(side)],
    prepare: ({ localdb }) => {
      rmSync(localdb, { recursive: true });
      mkdirSync(localdb);
    },
    // It never replaces a database, so a second run would refuse.
    isDone: (side) => existsSync(database(side)),
  },
};

export type KillRounds = {
  readonly seed: string;
  /** Goes on until so many were killed before their end. */
  readonly kills: number;
  /** Does the same once more with nobody killed, and compares what the stores have come to. */
  readonly compared?: boolean;
};

export type KillCounts = {
  readonly rounds: number;
  /** By command. */
  readonly killed: Readonly<Record<string, number>>;
  /** Bytes in segments of the store and of its copy, as shares of what they are when nobody is killed. */
  readonly shares: readonly number[];
};

/** Ways to take part in the rounds: with kills, or without. */
class Rounds {
  readonly #t: ExecutionContext;
  readonly #usualMs = new Map<string, number>();
  readonly #random: () => number;
  readonly killed: Record<string, number> = {};

  constructor(t: ExecutionContext, seed: string) {
    this.#t = t;
    this.#random = randomNumbers(`${seed}/times`);
  }

  /** Starts a command, kills it after a while unless it ends before, and starts it again. */
  async killAndRepeat(name: string, { args, isDone }: Victim, side: Side): Promise<void> {
    const usualMs = this.#usualMs.get(name) ?? USUAL_MS;
    const running = startLbs(this.#t, args(side), { ownGroup: true });
    const timer = sleep(usualMs * (START_SHARE + this.#random()), 'late');
    const isLate = (await Promise.race([timer, running.done])) === 'late';
    const isKilled = isLate && killGroup(running);
    if (isKilled) {
      this.killed[name] = (this.killed[name] ?? 0) + 1;
    } else {
      const { code, stderr } = await running.done;
      this.#t.is(code, 0, `lbs ${args(side).join(' ')}\n${stderr}`);
    }
    await running.done;
    if (isDone?.(side) === true) return;
    const start = performance.now();
    const again = await lbs(this.#t, args(side));
    const tookMs = performance.now() - start;
    // A machine that was busy when it was measured may be fast by now: next time it is to be killed.
    this.#usualMs.set(name, isKilled ? tookMs : Math.min(tookMs, usualMs) / 2);
    this.#t.is(again.code, 0, `lbs ${args(side).join(' ')}\n${again.stderr}`);
  }

  /** The same with nobody killed. */
  async repeat({ args, isDone }: Victim, side: Side): Promise<void> {
    await lbsOk(this.#t, args(side));
    if (isDone === undefined) await lbsOk(this.#t, args(side));
  }
}

function sideOf(at: Places): Side {
  const copy = `${at.store}-copy`;
  mkdirSync(copy);
  return { ...at, copy };
}

/** A store and a machine of its own, with the same tree. */
function calmSide(at: Places): Side {
  const store = join(at.base, 'calm-store');
  mkdirSync(store);
  return sideOf({ ...otherMachine(at, 'calm'), tree: at.tree, store });
}

/** What is left when all is forgotten but the last snapshots, and collected. */
async function tidyUp(t: ExecutionContext, side: Side): Promise<number[]> {
  await lbsOk(t, backupOf(side));
  await lbsOk(t, ['sync', side.store, side.copy]);
  for (const at of [side, { ...side, store: side.copy, localdb: side.copy }]) {
    await lbsOk(t, ['forget', ...where(at), KEEP]);
    await gc(t, at, '--grace=0h');
    t.deepEqual(readdirSync(at.store).filter((name) => !STORE_FILE.test(name)), []); // prettier-ignore
  }
  t.deepEqual(readdirSync(side.localdb).filter((name) => !LOCAL_FILE.test(name)), []); // prettier-ignore
  await allIsWell(t, side);
  await allIsWell(t, { ...side, store: side.copy });
  return [storedBytes(side.store), storedBytes(side.copy)];
}

/**
 * In each round a command is killed and started again, which must work; then every snapshot is
 * verified, of the store or of its copy.
 */
export async function killInRounds(
  t: ExecutionContext,
  at: Places,
  { seed, kills, compared = false }: KillRounds,
): Promise<KillCounts> {
  const random = randomNumbers(seed);
  const side = sideOf(at);
  const calm = compared ? calmSide(at) : undefined;
  const runs = new Rounds(t, seed);
  const names = Object.keys(VICTIMS);
  let round = 0;
  for (; Object.values(runs.killed).reduce((sum, n) => sum + n, 0) < kills; round++) {
    if (round >= 3 * kills)
      throw new Error(`too fast to be killed: ${JSON.stringify(runs.killed)}`);
    for (let n = 0; n < 4; n++) {
      const name = `${Math.floor(random() * 12)}`;
      makeFiles(at.tree, { [name]: pseudoRandom(`${seed}/${round}/${n}`, 40_000) });
    }
    const name = names[round % names.length] ?? 'backup';
    const victim = VICTIMS[name] ?? { args: backupOf };
    for (const each of calm === undefined ? [side] : [side, calm]) {
      // Something for the others to do, and a snapshot that this round's victim did not make.
      if (name !== 'backup') await lbsOk(t, backupOf(each));
      victim.prepare?.(each);
    }
    await runs.killAndRepeat(name, victim, side);
    if (calm !== undefined) await runs.repeat(victim, calm);
    const changed = name === 'sync' ? side.copy : side.store;
    await lbsOk(t, ['verify', `--store=${changed}`, '--objects']);
  }
  const bytes = await tidyUp(t, side);
  const ideal = calm === undefined ? [] : await tidyUp(t, calm);
  const shares = ideal.map((size, n) => (bytes[n] ?? 0) / size);
  return { rounds: round, killed: runs.killed, shares };
}
