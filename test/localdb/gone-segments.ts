/** What another machine has forgotten and collected, in the local database of this one. */
import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import test from 'ava';
import { LOCALDB_FILE } from '../../src/localdb/open-localdb.ts';
import { neededSegments, otherMachine } from '../helpers/collected-store.ts';
import { backupOptions, clockAhead, type Places, places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { jsonMessage, lbsOk } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { segmentFiles, snapshotNames } from '../helpers/store-state.ts';

/** Files of segments, and snapshots, that the local database knows. */
function known({ localdb }: Places) {
  const db = new Database(join(localdb, LOCALDB_FILE), { readonly: true });
  try {
    const all = (sql: string) => db.prepare<[], string>(sql).pluck().all().sort();
    return {
      segments: all('select file from segments'),
      snapshots: all('select name from snapshots'),
      strays:
        all('select id from blocks where id >> 24 not in (select id from segments)').length +
        all('select segment from segments_used where segment not in (select id from segments)').length,
    }; // prettier-ignore
  } finally {
    db.close();
  }
}

test('what another machine has collected goes with the next snapshot, and only that', async (t) => {
  const at = places(t);
  const other = otherMachine(at, 'other');
  // In the past: what is from the future is never forgotten.
  let aheadS = -100_000;
  const backup = (to: Places, ...more: string[]) =>
    lbsOk(t, ['--json', ...backupOptions(to), '--scheme=s', ...more, '.'], {
      cwd: at.tree,
      env: clockAhead((aheadS += 1000)),
    });
  const [stays, goes] = [pseudoRandom('stays', 300_000), pseudoRandom('goes', 300_000)];
  makeFiles(at.tree, { stays, goes });
  await backup(at, '--segment-size=64K');
  rmSync(join(at.tree, 'goes'));
  await backup(at);
  const before = known(at);
  const collector = [`--store=${at.store}`, `--localdb=${other.localdb}`];
  await lbsOk(t, ['forget', ...collector, '--keep-last=1']);
  await lbsOk(t, ['gc', ...collector, '--grace=0h']);
  t.true(segmentFiles(at.store).length < before.segments.length);
  t.deepEqual(known(at), before, 'nobody has told it');

  // The same local database, with another store: it knows nothing of what is there.
  const second = { ...at, store: join(at.base, 'second') };
  mkdirSync(second.store);
  await backup(second, '--full-metadata');
  const both = known(at);
  for (const segment of before.segments) t.true(both.segments.includes(segment));
  t.deepEqual(both.snapshots, [...before.snapshots, ...snapshotNames(second.store)].sort());

  // A segment that a snapshot needs, and that may come back.
  const [needed = ''] = neededSegments(at.store);
  renameSync(join(at.store, needed), join(at.base, needed));
  makeFiles(at.tree, { fresh: pseudoRandom('fresh', 1000) });
  await backup(at, '--full-metadata');
  renameSync(join(at.base, needed), join(at.store, needed));
  const after = known(at);
  const stay = [...segmentFiles(at.store), ...segmentFiles(second.store)].sort();
  t.deepEqual(after.segments, stay);
  t.deepEqual(after.snapshots, [...snapshotNames(at.store), ...snapshotNames(second.store)].sort());
  t.is(after.strays, 0);
  t.is(jsonMessage(await backup(at), 'summary')['content_added'], 0);
}); // prettier-ignore

test('gc drops what another machine has collected, too', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { stays: 'stays' });
  const options = (aheadS: number) => ({ cwd: at.tree, env: clockAhead(aheadS) });
  await lbsOk(t, [...backupOptions(at), '.'], options(1000));
  const stays = known(at);
  makeFiles(at.tree, { goes: pseudoRandom('goes', 90_000) });
  await lbsOk(t, [...backupOptions(at), '.'], options(2000));
  const [first = '', last = ''] = snapshotNames(at.store);
  for (const kind of ['lbs', 'sha1sums', 'sha256sums']) {
    rmSync(join(at.store, `snapshot-${last}.${kind}`));
  }
  for (const file of segmentFiles(at.store)) {
    if (!stays.segments.includes(file)) rmSync(join(at.store, file));
  }
  const gc = ['gc', `--store=${at.store}`, `--localdb=${at.localdb}`];
  await lbsOk(t, [...gc, '-n']);
  t.is(known(at).snapshots.length, 2, 'a dry run changes nothing');
  await lbsOk(t, gc);
  t.deepEqual(known(at), { segments: stays.segments, snapshots: [first], strays: 0 });
});
