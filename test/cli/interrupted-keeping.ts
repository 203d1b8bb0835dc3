/** SIGINT to the commands that take something away, at the very call that does it. */
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { forget } from '../helpers/collected-store.ts';
import { multiply } from '../helpers/many-snapshots.ts';
import { backupOptions, places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { jsonMessage, lbsExits, lbsOk } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { canTrace, tracing, withFault } from '../helpers/strace.ts';
import { snapshotNames } from '../helpers/store-state.ts';

const DAYS = Array.from(
  { length: 20 },
  (_, day) => `2020-01-${String(day + 1).padStart(2, '0')} 03`,
);

test('an interrupted forget leaves whole snapshots, and the same command forgets the rest', async (t) => {
  if (!canTrace) return t.pass('left out: no strace here');
  const at = places(t);
  makeFiles(at.tree, { one: 'one' });
  await lbsOk(t, [...backupOptions(at), at.tree]);
  multiply(at.store, DAYS);
  const args = ['forget', `--store=${at.store}`, `--localdb=${at.localdb}`, '--keep-last=1'];
  // A snapshot has three files.
  const through = withFault('unlinkat', 'signal=SIGINT', 8);
  const run = await lbsExits(t, 130, args, { through });
  t.regex(run.stderr, /stopping tidily.*\n.*interrupted.*\n.*the same command forgets the rest/);
  const left = snapshotNames(at.store).length;
  t.true(left > 1 && left < DAYS.length + 1, `${left} left`);
  await lbsOk(t, ['verify', `--store=${at.store}`]);
  await lbsOk(t, args);
  t.is(snapshotNames(at.store).length, 1);
}); // prettier-ignore

test('an interrupt that hits clean at work leaves nothing half given up', async (t) => {
  if (!canTrace) return t.pass('left out: no strace here');
  const at = places(t);
  for (let n = 0; n < 10; n++) makeFiles(at.tree, { [`${n}`]: pseudoRandom(`${n}`, 50_000) });
  const backup = ['backup', ...backupOptions(at), '--full-metadata'];
  await lbsOk(t, [...backup, at.tree]);
  const few = join(at.base, 'few');
  mkdirSync(few);
  makeFiles(few, { 0: pseudoRandom('0', 50_000) });
  await lbsOk(t, [...backup, few]);
  await forget(t, at, snapshotNames(at.store)[0] ?? '');
  const args = ['clean', `--store=${at.store}`, `--localdb=${at.localdb}`, '--json'];
  const chosen = async () => jsonMessage(await lbsOk(t, [...args, '--dry-run']), 'summary')['segments']; // prettier-ignore
  const before = await chosen();
  t.is(before, 1);
  // In the middle of the transaction, for which nothing waits: it comes to its end.
  const log = join(at.base, 'calls');
  const inject = 'inject=pwrite64:signal=SIGINT:when=2';
  const run = await lbsOk(t, args, { through: [...tracing('pwrite64', log), '-e', inject] });
  t.regex(readFileSync(log, 'utf8'), /SIGINT/);
  t.is(jsonMessage(run, 'summary')['segments'], before);
  t.is(await chosen(), 0);
});
