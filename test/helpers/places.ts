/** The directories of one test: what is saved, where to, and where it is brought back. */
import { spawnSync } from 'node:child_process';
import { chownSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { isRoot, ORDINARY_USER, tempDir } from './temp-dir.ts';

export type Places = {
  readonly base: string;
  /** Empty at first. */
  readonly tree: string;
  /** Empty at first. */
  readonly store: string;
  /** Local database and stat cache, so that the store holds only what it must. */
  readonly localdb: string;
  /** Does not exist. */
  readonly target: string;
};

/** Makes them; for an ordinary user, so that this user may write everywhere. */
export function places(t: ExecutionContext, user?: 'ordinary'): Places {
  const base = tempDir(t);
  const make = (name: string) => {
    const dir = join(base, name);
    mkdirSync(dir, { mode: 0o755 });
    return dir;
  };
  const [tree, store, localdb] = [make('tree'), make('store'), make('localdb')];
  if (user === 'ordinary' && isRoot) {
    for (const dir of [base, tree, store, localdb]) chownSync(dir, ORDINARY_USER, ORDINARY_USER);
  }
  return { base, tree, store, localdb, target: join(base, 'target') };
}

/** Options that every backup of these places has. */
export function backupOptions(at: Places): string[] {
  return [`--dest=${at.store}`, `--localdb=${at.localdb}`];
}

/** Where an absolute path lies below a restore's target. */
export function restored(target: string, path: string): string {
  return join(target, path.slice(1));
}

/** Environment that sets the program's clock to `seconds` from now. */
export function clockAhead(seconds: number): { LBS_TEST_CLOCK_S: string } {
  return { LBS_TEST_CLOCK_S: String(Math.floor(Date.now() / 1000) + seconds) };
}

/** Makes everything in a tree the ordinary user's, where the tests run as root. */
export function giveToOrdinaryUser(tree: string): void {
  if (isRoot) spawnSync('chown', ['-hR', `${ORDINARY_USER}:${ORDINARY_USER}`, tree]);
}
