/** Backups and collections of one store at the same time, from machines of their own. */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import { allIsWell, otherMachine } from './collected-store.ts';
import { backupOptions, type Places } from './places.ts';
import { pseudoRandom } from './pseudo-random.ts';
import { lbs, lbsExits, lbsOk } from './run-lbs.ts';
import { makeFiles } from './small-tree.ts';

const COLLECTED = /was taken out of the store meanwhile/;
const DELAY_MS_MAX = 1200;

export type RaceCounts = { readonly made: number; readonly refused: number };

/** Numbers from 0 to 1 that only `seed` decides. */
export function randomNumbers(seed: string): () => number {
  let at = 0;
  return () => pseudoRandom(`${seed}/${at++}`, 4).readUInt32LE() / 2 ** 32;
}

/**
 * In each round one machine backs up what it had before and lost again, so that its local database
 * offers orphans, while another collects without any grace. A backup is whole, or is refused and
 * leaves no snapshot.
 */
export async function raceWithCollector(
  t: ExecutionContext,
  at: Places,
  { rounds, seed }: { readonly rounds: number; readonly seed: string },
): Promise<RaceCounts> {
  const saver = otherMachine(at, 'saver');
  const random = randomNumbers(seed);
  const backup = [...backupOptions(saver), '--scheme=saver', '--full-metadata', saver.tree];
  const collector = [`--store=${at.store}`, `--localdb=${at.localdb}`];
  const counts = { made: 0, refused: 0 };
  makeFiles(saver.tree, { always: pseudoRandom('always', 30_000) });
  await lbsOk(t, backup);
  for (let round = 0; round < rounds; round++) {
    for (const name of ['a', 'b', 'c']) {
      if (random() < 0.5) rmSync(join(saver.tree, name), { force: true });
      else makeFiles(saver.tree, { [name]: pseudoRandom(name, 60_000) });
    }
    makeFiles(saver.tree, { own: pseudoRandom(`${seed}/${round}`, 5000) });
    // Another machine forgets, so that the saver's local database knows nothing of it.
    await lbsOk(t, ['forget', ...collector, '--keep-last=1']);
    const delayMs = Math.floor(random() * DELAY_MS_MAX);
    const [saved] = await Promise.all([
      sleep(DELAY_MS_MAX / 2).then(() => lbs(t, backup)),
      sleep(delayMs).then(() => lbsOk(t, ['gc', ...collector, '--grace=0h'])),
    ]);
    if (saved.code === 0) counts.made++;
    else {
      t.is(saved.code, 1, saved.stderr);
      t.regex(saved.stderr, COLLECTED);
      counts.refused++;
    }
    await lbsExits(t, 0, ['verify', `--store=${at.store}`, '--objects']);
  }
  await lbsOk(t, backup);
  await allIsWell(t, saver, '--scheme=saver');
  return counts;
}
