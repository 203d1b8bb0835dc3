/** Stores that other programs of the family divided into subdirectories: what is found in them. */
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { readSmallFile } from '../../src/snapshots/open-snapshot.ts';
import { openStore } from '../../src/stores/open-store.ts';
import type { Store } from '../../src/stores/store.ts';
import '../helpers/on-disk.ts';
import { tempDir } from '../helpers/temp-dir.ts';

const TIME = '20261120T091421';
const segment = (digit: number) =>
  '8-4-4-4-12'.replace(/\d+/g, (length) => String(digit).repeat(Number(length)));

/** A store with these files, whose content is their path. */
function storeWith(t: ExecutionContext, paths: readonly string[]): Store {
  const place = tempDir(t);
  for (const path of paths) {
    mkdirSync(join(place, path, '..'), { recursive: true });
    writeFileSync(join(place, path), path);
  }
  return openStore(place);
}

const namesOf = (store: Store) =>
  store
    .list()
    .map(({ name }) => name)
    .sort();
const contentOf = (store: Store, name: string) => readSmallFile(store, name, 1000).toString();

test('files are found by their names in the directories of the typed and the structured layout', (t) => {
  const paths = [
    `${segment(1)}.tar`,
    `segments/${segment(2)}.tar.bz2`,
    `segments0/${segment(3)}.tar.bz2`,
    `segments1/${segment(4)}.tar.gpg`,
    `snapshots/snapshot-${TIME}.cumulus`,
    `snapshots/snapshot-a-${TIME}.lbs`,
    `checksums/snapshot-a-${TIME}.sha1sums`,
    `meta/snapshot-${TIME}.meta.bz2`,
  ];
  const store = storeWith(t, paths);
  const names = paths.map((path) => path.slice(path.indexOf('/') + 1));
  t.deepEqual(namesOf(store), [...names].sort());
  for (const [at, name] of names.entries()) {
    const path = paths[at] ?? '';
    const found = store.find(name);
    t.deepEqual([found?.name, found?.sizeBytes], [name, path.length]);
    t.is(contentOf(store, name), path);
    t.true(store.names().includes(name));
  }
});

test('of two files of one name that at the top counts, and it is listed once', (t) => {
  const name = `${segment(1)}.tar`;
  const store = storeWith(t, [name, `segments/${name}`, `segments1/${name}`]);
  t.deepEqual(namesOf(store), [name]);
  t.is(store.find(name)?.sizeBytes, name.length);
  t.is(contentOf(store, name), name);
});

test('other directories, and other files in these, mean nothing', (t) => {
  const store = storeWith(t, [
    `old/${segment(1)}.tar`,
    `segments/more/${segment(2)}.tar`,
    'segments/notes.txt',
    `snapshots/.snapshot-${TIME}.lbs`,
    `meta/${segment(3)}.tar/x`,
  ]);
  t.deepEqual(namesOf(store), []);
  t.is(store.find(`${segment(1)}.tar`), undefined);
  t.throws(() => store.open(`${segment(2)}.tar`), { code: 'store-missing-file' });
});

test('a file that has the name of a subdirectory is no subdirectory', (t) => {
  const store = storeWith(t, ['segments', `segments0/${segment(1)}.tar`]);
  t.deepEqual(namesOf(store), [`${segment(1)}.tar`, 'segments'].sort());
});

test('a subdirectory may lie on another disk, and where that is not there the store is not', (t) => {
  const store = storeWith(t, ['x']);
  const disk = tempDir(t);
  writeFileSync(join(disk, `${segment(1)}.tar`), 'there');
  symlinkSync(disk, join(store.place, 'segments1'));
  t.deepEqual(namesOf(openStore(store.place)), [`${segment(1)}.tar`, 'x'].sort());
  t.is(contentOf(openStore(store.place), `${segment(1)}.tar`), 'there');
  // Descriptors in it would be missed, and what they need removed.
  symlinkSync(join(disk, 'nothing'), join(store.place, 'snapshots'));
  const message = /the link snapshots leads nowhere/;
  t.throws(() => openStore(store.place), { code: 'store-missing', message });
});

test('new files are written to the top', async (t) => {
  const store = storeWith(t, [`segments/${segment(1)}.tar`]);
  const staged = store.stage();
  writeFileSync(staged.fd, 'new');
  await staged.publish(`${segment(2)}.tar`);
  await store.settle();
  t.is(readFileSync(join(store.place, `${segment(2)}.tar`), 'utf8'), 'new');
  t.deepEqual(namesOf(store), [`${segment(1)}.tar`, `${segment(2)}.tar`]);
});
