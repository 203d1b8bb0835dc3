/** Runs that change a store, killed at times that nobody chose, and the run after each. */
import { readdirSync } from 'node:fs';
import type { ExecutionContext } from 'ava';
import { setTimeout as sleep } from 'node:timers/promises';
import { allIsWell, gc } from './collected-store.ts';
import { randomNumbers } from './collect-race.ts';
import { backupOptions, type Places } from './places.ts';
import { pseudoRandom } from './pseudo-random.ts';
import { lbs, lbsOk, startLbs } from './run-lbs.ts';
import { makeFiles } from './small-tree.ts';

const STORE_FILE =
  /^([0-9a-f-]{36}\.tar\.zst|snapshot-\d{8}T\d{6}\.(lbs|sha1sums|sha256sums)|README\.txt|restore\.sh)$/;
const LOCAL_FILE = /^lbs-(localdb\.(sqlite|lock)|statcache)$/;
/** Shorter ones die before they have begun. */
const START_SHARE = 0.3;

/**
 * In each round one of backup, clean, gc and prune is killed and started again, which must work;
 * then every snapshot is verified. Returns how many runs were killed before their end.
 */
export async function killInRounds(
  t: ExecutionContext,
  at: Places,
  { rounds, seed }: { readonly rounds: number; readonly seed: string },
): Promise<number> {
  const random = randomNumbers(seed);
  const where = [`--store=${at.store}`, `--localdb=${at.localdb}`];
  const backup = ['backup', ...backupOptions(at), '--segment-size=64K', at.tree];
  const commands = [
    backup,
    ['prune', ...where, '--keep-last=3', '--grace=0h', '--min-used=70'],
    ['gc', ...where, '--grace=0h'],
    ['clean', ...where, '--min-used=90'],
  ];
  const durationsMs = new Map<string, number>();
  let killed = 0;
  for (let round = 0; round < rounds; round++) {
    for (let n = 0; n < 4; n++) {
      const name = `${Math.floor(random() * 12)}`;
      makeFiles(at.tree, { [name]: pseudoRandom(`${seed}/${round}/${n}`, 40_000) });
    }
    const command = commands[round % commands.length] ?? backup;
    const [name = ''] = command;
    // Something for the others to do, and a snapshot that this round's victim did not make.
    if (command !== backup) await lbsOk(t, backup);
    const usualMs = durationsMs.get(name) ?? 500;
    const running = startLbs(t, command, { ownGroup: true });
    const timer = sleep(usualMs * (START_SHARE + random()), 'late');
    if ((await Promise.race([timer, running.done])) === 'late') {
      process.kill(-(running.child.pid ?? 0), 'SIGKILL');
      killed++;
    }
    await running.done;
    const start = performance.now();
    const again = await lbs(t, command);
    durationsMs.set(name, performance.now() - start);
    t.is(again.code, 0, `round ${round}: ${command.join(' ')}\n${again.stderr}`);
    await lbsOk(t, ['verify', `--store=${at.store}`, '--objects']);
  }
  await lbsOk(t, backup);
  await gc(t, at, '--grace=0h');
  t.deepEqual(readdirSync(at.store).filter((name) => !STORE_FILE.test(name)), []); // prettier-ignore
  t.deepEqual(readdirSync(at.localdb).filter((name) => !LOCAL_FILE.test(name)), []); // prettier-ignore
  await allIsWell(t, at);
  return killed;
}
