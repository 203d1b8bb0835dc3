/** Removing a snapshot: somebody may hold it after it was listed, or be adding others. */
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { SnapshotRemover } from '../../src/maintain/remove-snapshots.ts';
import { openStore } from '../../src/stores/open-store.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const [OLD, NEW] = ['a-20200101T030000', 'a-20200102T030000'] as const;

test('what was held since it was listed stays as it is', async (t) => {
  const place = tempDir(t);
  const file = (name: string) => writeFileSync(join(place, name), '');
  for (const name of [OLD, NEW]) {
    for (const kind of ['lbs', 'sha1sums', 'sha256sums', 'tag-x', 'meta.gz']) {
      file(`snapshot-${name}.${kind}`);
    }
  }
  file('snapshot-20200101T030000.lbs');
  file('restore.sh');
  const store = openStore(place);
  const remover = new SnapshotRemover(store, store.list(), [OLD, NEW]);
  file(`snapshot-${OLD}.hold`);
  t.false(await remover.remove(OLD));
  t.true(await remover.remove(NEW));
  t.deepEqual(readdirSync(place).sort(), [
    'restore.sh',
    'snapshot-20200101T030000.lbs',
    `snapshot-${OLD}.hold`,
    `snapshot-${OLD}.lbs`,
    `snapshot-${OLD}.meta.gz`,
    `snapshot-${OLD}.sha1sums`,
    `snapshot-${OLD}.sha256sums`,
    `snapshot-${OLD}.tag-x`,
  ]);
});
