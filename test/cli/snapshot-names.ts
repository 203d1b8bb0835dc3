/** Names of snapshots: in UTC, never the same, and in the order in which they were made. */
import { renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { backupOptions, places } from '../helpers/places.ts';
import { jsonMessage, lbsOk } from '../helpers/run-lbs.ts';
import { makeSmallTree } from '../helpers/small-tree.ts';
import { filesEndingIn, snapshotNames } from '../helpers/store-state.ts';

test('a snapshot is named in UTC, and snapshots of one second get names of their own', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  const names: string[] = [];
  for (const TZ of ['Pacific/Auckland', 'America/New_York', 'UTC']) {
    const args = [...backupOptions(at), '--json', at.tree];
    names.push(
      String(jsonMessage(await lbsOk(t, args, { env: { TZ } }), 'summary')['snapshot_id']),
    );
  }
  t.deepEqual(snapshotNames(at.store), names, 'they sort as they were made');
});

test('a snapshot never sorts before an older one of its scheme, whatever the clock says', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  const save = (scheme: string) => lbsOk(t, [...backupOptions(at), `--scheme=${scheme}`, at.tree]);
  await save('a');
  const [name = ''] = snapshotNames(at.store);
  for (const file of filesEndingIn(at.store, ''))
    if (file.includes(name))
      renameSync(join(at.store, file), join(at.store, file.replace(name, 'a-20991231T235959')));
  rmSync(join(at.localdb, 'lbs-seen'));
  t.regex((await save('a')).stderr, /from the future \(20991231T235959\): is this clock right/);
  const other = await save('b');
  t.is(other.stderr, '');
  const names = snapshotNames(at.store);
  t.deepEqual(names.slice(0, 2), ['a-20991231T235959', 'a-21000101T000000']);
  t.regex(names[2] ?? '', /^b-20[0-8]/);
});
