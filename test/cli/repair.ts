/** `lbs repair`: what is made again, what is kept beside it, and what is never taken for the truth. */
import { cpSync, existsSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { gpg, gpgHome } from '../helpers/gpg-home.ts';
import { backupOptions } from '../helpers/places.ts';
import { jsonMessage, lbsExits, lbsOk } from '../helpers/run-lbs.ts';
import { segmentFiles, snapshotNames, storeState } from '../helpers/store-state.ts';
import { copyTree, DAMAGES, flip, isWhole, type TwoStores, twoStores } from '../helpers/two-stores.ts'; // prettier-ignore

const repair = (at: TwoStores, ...options: string[]) => [
  'repair',
  `--store=${at.store}`,
  ...options,
];

/** Names and contents; those that a repair kept or made beside them as a count. */
function contents(store: string): { files: Map<string, string>; besides: string[] } {
  const state = [...storeState(store)];
  const isBeside = (name: string) => /\.(damaged|rebuilt)(-\d+)?$/.test(name);
  const files = state.filter(([name]) => !isBeside(name)).map(([name, { sha256 }]) => [name, sha256] as const); // prettier-ignore
  return { files: new Map(files), besides: state.map(([name]) => name).filter(isBeside) };
}

async function twins(t: ExecutionContext): Promise<TwoStores> {
  const at = await twoStores(t);
  copyTree(at.store, at.copy);
  return at;
}

test('checksums files are made again byte for byte, and the damaged ones are kept', async (t) => {
  const at = await twins(t);
  const lists = at.snapshots.flatMap((name) => [`snapshot-${name}.sha1sums`, `snapshot-${name}.sha256sums`]); // prettier-ignore
  const ways = Object.values(DAMAGES);
  lists.forEach((list, number) => ways[number % ways.length]?.(join(at.store, list)));
  const damaged = storeState(at.store);
  const dry = await lbsOk(t, repair(at, '-n'));
  t.deepEqual(storeState(at.store), damaged, 'a dry run changes nothing');
  const run = await lbsOk(t, repair(at));
  t.is(dry.stdout.replaceAll('to be made', 'made').replace('could be made', 'made'), run.stdout);
  t.regex(run.stdout, /\n6 made again, 0 left as they are\n$/);
  const after = contents(at.store);
  t.deepEqual(after.files, contents(at.copy).files);
  const kept = lists.filter((list) => damaged.has(list)).map((list) => `${list}.damaged`);
  t.deepEqual(after.besides, kept.sort());
  for (const name of kept) {
    t.is(storeState(at.store).get(name)?.sha256, damaged.get(name.replace('.damaged', ''))?.sha256);
  }
  t.is((await lbsOk(t, repair(at))).stdout, 'nothing is lost that could be made again\n');
  // What is kept means nothing to anybody.
  await isWhole(t, at, at.store);
  const gc = await lbsOk(t, [
    'gc',
    '-v',
    `--store=${at.store}`,
    `--localdb=${at.localdb}`,
    '--grace=0s',
  ]);
  t.notRegex(gc.stdout, /damaged/);
  t.deepEqual(contents(at.store), after);
});

for (const [how, damage] of Object.entries<(file: string) => void>({
  deleted: (file) => rmSync(file),
  torn: (file) => truncateSync(file, 200),
  'changed by one bit': flip,
})) {
  test(`descriptors that are ${how} are made again, and their snapshots restore`, async (t) => {
    const at = await twins(t);
    const [first = '', second = '', third = ''] = at.snapshots;
    for (const name of at.snapshots) damage(join(at.store, `snapshot-${name}.lbs`));
    // One list is enough.
    rmSync(join(at.store, `snapshot-${first}.sha1sums`));
    flip(join(at.store, `snapshot-${second}.sha256sums`));
    const run = await lbsOk(t, repair(at));
    t.regex(run.stdout, /\n5 made again, 0 left as they are\n$/, run.stdout);
    const [before, after] = [contents(at.copy).files, contents(at.store).files];
    const changed = [...before].filter(([name, sha256]) => after.get(name) !== sha256);
    t.deepEqual(
      changed.map(([name]) => name),
      at.snapshots.map((name) => `snapshot-${name}.lbs`),
    );
    for (const name of at.snapshots) {
      const of = (store: string) => readFileSync(join(store, `snapshot-${name}.lbs`), 'latin1');
      const left =
        /^(Host|Top|Paths|Stored|Warnings|Previous|Previous_sha256|Descriptor_sha256|Date):.*\n/gm;
      t.is(of(at.store).replace(left, '').replace('Repaired: yes\n', ''), of(at.copy).replace(left, '')); // prettier-ignore
    }
    t.regex(readFileSync(join(at.store, `snapshot-${third}.lbs`), 'utf8'), /^Repaired: yes$/m);
    await isWhole(t, at, at.store);
  });
}

test('what cannot be proved gets a name that nobody reads, and is said', async (t) => {
  const at = await twins(t);
  const name = at.snapshots.at(-1) ?? '';
  for (const kind of ['sha1sums', 'sha256sums']) rmSync(join(at.store, `snapshot-${name}.${kind}`));
  const own = segmentFiles(at.store).find((file) => {
    const names = (snapshot: string) => readFileSync(join(at.store, `snapshot-${snapshot}.lbs`), 'utf8').includes(file.slice(0, 36)); // prettier-ignore
    return names(name) && !at.snapshots.slice(0, 2).some(names);
  });
  flip(join(at.store, own ?? ''));
  const run = await lbsExits(t, 4, repair(at, '--json'));
  t.like(jsonMessage(run, 'summary'), {
    made: [
      { name: `snapshot-${name}.sha1sums.rebuilt`, kept_as: null, proved: false },
      { name: `snapshot-${name}.sha256sums.rebuilt`, kept_as: null, proved: false },
    ],
    left: 2,
  });
  t.false(existsSync(join(at.store, `snapshot-${name}.sha1sums`)));
  const damaged = await lbsExits(t, 4, ['verify', `--store=${at.store}`]);
  t.true(damaged.stdout.includes(`snapshot-${name}.sha1sums: `), damaged.stdout);
  // With the segment healed it can be.
  cpSync(join(at.copy, own ?? ''), join(at.store, own ?? ''));
  await lbsOk(t, repair(at));
  t.deepEqual(contents(at.store).files, contents(at.copy).files);
});

test('a descriptor of which too little is left is not made up', async (t) => {
  const at = await twins(t);
  const [first = '', second = '', third = ''] = at.snapshots;
  for (const name of at.snapshots) rmSync(join(at.store, `snapshot-${name}.lbs`));
  for (const kind of ['sha1sums', 'sha256sums']) writeFileSync(join(at.store, `snapshot-${first}.${kind}`), ''); // prettier-ignore
  // A list that names a segment more, as if another root were meant.
  const list = join(at.store, `snapshot-${second}.sha256sums`);
  const lines = readFileSync(list, 'utf8').split('\n').slice(1).join('\n');
  writeFileSync(list, lines);
  writeFileSync(join(at.store, `snapshot-${second}.sha1sums`), '');
  const run = await lbsExits(t, 4, repair(at));
  t.regex(run.stderr, new RegExp(`snapshot-${first}.lbs: missing; it cannot be repaired: no checksums file of it is whole`)); // prettier-ignore
  t.regex(run.stderr, new RegExp(`snapshot-${second}.lbs: missing; it cannot be repaired: no metadata is whole that needs just the segments`)); // prettier-ignore
  t.deepEqual(snapshotNames(at.store), [third]);
});

test('in a store of signed snapshots a descriptor is only made with a signature', async (t) => {
  const key = gpgHome(t);
  const at = await twoStores(t);
  const signing = `--sign-key=${key.secretKey}`;
  await lbsOk(t, [...backupOptions(at), signing, 'tree'], { cwd: at.base });
  const lost = join(at.store, `snapshot-${at.snapshots[0] ?? ''}.lbs`);
  rmSync(lost);
  const refused = await lbsExits(t, 4, repair(at));
  t.regex(refused.stderr, /signed, so --sign-key or --signature-filter is needed/);
  t.false(existsSync(lost));
  await lbsOk(t, repair(at, signing));
  t.is(gpg(key, ['--verify', lost]).code, 0);
});

test('a local database that is lost or damaged is made again, and the damaged one is kept', async (t) => {
  const at = await twoStores(t);
  const database = join(at.localdb, 'lbs-localdb.sqlite');
  rmSync(database);
  t.regex((await lbsOk(t, repair(at, `--localdb=${at.localdb}`))).stdout, /local database \[made again\]/); // prettier-ignore
  writeFileSync(database, 'not a database');
  await lbsOk(t, repair(at, `--localdb=${at.localdb}`));
  t.is(readFileSync(`${database}.damaged`, 'utf8'), 'not a database');
  const run = await lbsOk(t, [...backupOptions(at), '--json', 'tree'], { cwd: at.base });
  t.is(jsonMessage(run, 'summary')['content_added'], 0);
  const none = await lbsOk(t, repair(at, `--localdb=${at.localdb}`));
  t.is(none.stdout, 'nothing is lost that could be made again\n');
});
