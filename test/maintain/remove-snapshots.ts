/** Removing a snapshot: somebody may hold it after it was listed, or be adding others. */
import { existsSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { BlockIndex } from '../../src/localdb/block-index.ts';
import { CompactedTable } from '../../src/localdb/compacted-table.ts';
import { openDatabase } from '../../src/localdb/open-localdb.ts';
import { SnapshotTable } from '../../src/localdb/snapshot-table.ts';
import { SnapshotRemover } from '../../src/maintain/remove-snapshots.ts';
import { SnapshotReplacer } from '../../src/maintain/replace-snapshot.ts';
import { addNote, refuseForgotten } from '../../src/snapshots/snapshot-notes.ts';
import { openStore } from '../../src/stores/open-store.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const [OLD, NEW] = ['a-20200101T030000', 'a-20200102T030000'] as const;

test('what somebody holds while it is being removed is put back', async (t) => {
  const place = tempDir(t);
  const file = (name: string, text = '') => writeFileSync(join(place, name), text);
  const names = [`snapshot-${OLD}.lbs`, `snapshot-${OLD}.sha1sums`, `snapshot-${OLD}.tag-x`];
  for (const name of names) file(name, `content of ${name}`);
  const store = openStore(place);
  const remover = new SnapshotRemover(store, store.list(), [OLD]);
  const removing = remover.remove(OLD);
  // It waits for the disk by now.
  t.false(existsSync(join(place, `snapshot-${OLD}.lbs`)));
  file(`snapshot-${OLD}.hold`);
  t.false(await removing);
  await refuseForgotten(store, { name: OLD, tag: undefined });
  t.deepEqual(readdirSync(place).sort(), [`snapshot-${OLD}.hold`, ...names].sort());
  for (const name of names) t.is(readFileSync(join(place, name), 'utf8'), `content of ${name}`);
});

test('what somebody holds while compacting replaces it stays, and the next time its successor is held', async (t) => {
  const place = tempDir(t);
  const store = openStore(place);
  for (const name of [OLD, NEW]) writeFileSync(join(place, `snapshot-${name}.lbs`), name);
  const open = openDatabase(tempDir(t));
  const [index, table, compacted] = [new BlockIndex(open), new SnapshotTable(open), new CompactedTable(open)]; // prettier-ignore
  const sign = (text: Buffer) => Promise.resolve(text);
  const replacer = new SnapshotReplacer({ store, index, table, compacted, sign, signing: {} });
  const finishing = replacer.finish(OLD, NEW, new Map());
  // It has looked for notes by now.
  writeFileSync(join(place, `snapshot-${OLD}.hold`), 'me');
  t.false(await finishing);
  await refuseForgotten(store, { name: OLD, tag: undefined });
  t.true(existsSync(join(place, `snapshot-${OLD}.hold`)));
  t.true(await replacer.finish(OLD, NEW, new Map()));
  t.deepEqual(
    readdirSync(place).filter((name) => name.startsWith('snapshot-')),
    [`snapshot-${NEW}.hold`, `snapshot-${NEW}.lbs`],
  );
  open.close();
});

test('what is noted of a snapshot that has just gone is refused, and leaves nothing', async (t) => {
  const place = tempDir(t);
  writeFileSync(join(place, `snapshot-${OLD}.lbs`), '');
  const store = openStore(place);
  t.true(await new SnapshotRemover(store, store.list(), [OLD]).remove(OLD));
  const note = { name: OLD, tag: undefined };
  t.true(await addNote(store, note, 'me'));
  await t.throwsAsync(refuseForgotten(store, note), { code: 'snapshot-missing' });
  t.deepEqual(readdirSync(place), []);
});

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
