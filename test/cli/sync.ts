/** `lbs sync`: what is copied, what is refused, and what is said of it. */
import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { jsonLines, jsonMessage, lbsExits, lbsOk } from '../helpers/run-lbs.ts';
import { segmentFiles, snapshotNames, storeState } from '../helpers/store-state.ts';
import { isRoot, mountTmpfs } from '../helpers/temp-dir.ts';
import { DAMAGES, flip, isWhole, saveTree, twoStores } from '../helpers/two-stores.ts';

/** Files whose bytes matter: what a copy must have exactly as its source. */
function contents(store: string): Map<string, string> {
  const state = [...storeState(store)].filter(([name]) => !/^(README|restore)/.test(name));
  return new Map(state.map(([name, { sha256 }]) => [name, sha256]));
}

test('every snapshot is copied with what it needs, byte for byte, and nothing else', async (t) => {
  const at = await twoStores(t);
  writeFileSync(join(at.store, 'a letter'), 'not of the store');
  const before = storeState(at.store);
  const run = await lbsOk(t, ['sync', at.store, at.copy]);
  t.regex(run.stdout, /^3 snapshots copied, 0 there already; .* with \d+ segments\n$/);
  const wanted = contents(at.store);
  wanted.delete('a letter');
  t.deepEqual(contents(at.copy), wanted);
  t.true(existsSync(join(at.copy, 'restore.sh')));
  await isWhole(t, at, at.copy);
  t.deepEqual(storeState(at.store), before, 'the source is only read');
});

test('the second time only what is new is copied', async (t) => {
  const at = await twoStores(t);
  await lbsOk(t, ['sync', at.store, at.copy]);
  const before = storeState(at.copy);
  const again = await lbsOk(t, ['sync', at.store, at.copy]);
  t.is(again.stdout, '0 snapshots copied, 3 there already; 0 B with 0 segments\n');
  t.deepEqual(storeState(at.copy), before);
  writeFileSync(join(at.tree, 'fourth'), 'a little more');
  const name = await saveTree(t, at);
  const run = await lbsOk(t, ['sync', at.store, at.copy, '--json']);
  const { copied, present, segments, bytes } = jsonMessage(run, 'summary');
  t.deepEqual(copied, [name]);
  t.deepEqual(present, at.snapshots);
  const added = [...storeState(at.copy)].filter(([file]) => !before.has(file));
  t.is(
    bytes,
    added.reduce((sum, [, { sizeBytes }]) => sum + sizeBytes, 0),
  );
  t.is(segments, added.filter(([file]) => file.includes('.tar')).length);
  for (const [file, state] of before) t.deepEqual(storeState(at.copy).get(file), state);
});

test('snapshots can be named: latest, a prefix, one twice, those before a date, a scheme', async (t) => {
  const at = await twoStores(t);
  const [first = '', second = '', third = ''] = at.snapshots;
  await lbsOk(t, ['sync', at.store, at.copy, 'latest', third, 'latest']);
  t.deepEqual(snapshotNames(at.copy), [third]);
  await lbsOk(t, ['verify', `--store=${at.copy}`, '--data']);
  await lbsOk(t, ['sync', at.store, at.copy, 'latest~2']);
  t.deepEqual(snapshotNames(at.copy), [first, third]);
  await lbsOk(t, ['sync', at.store, at.copy, second.slice(0, 15)]);
  const home = await saveTree(t, at, ['--scheme=home']);
  await lbsExits(t, 2, ['sync', at.store, at.copy, 'latest']);
  await lbsOk(t, ['sync', at.store, at.copy, '--scheme=home']);
  t.deepEqual(snapshotNames(at.copy), [...at.snapshots, home].sort());
  await isWhole(t, at, at.copy);
  const unknown = await lbsExits(t, 10, ['sync', at.store, at.copy, '--scheme=other']);
  t.regex(unknown.stderr, /no snapshots to copy/);
});

test('two stores can be brought together in one', async (t) => {
  const [a, b] = [await twoStores(t), await twoStores(t)];
  const name = await saveTree(t, b, ['--scheme=b']);
  await lbsOk(t, ['sync', a.store, a.copy]);
  await lbsOk(t, ['sync', b.store, a.copy, name]);
  await lbsOk(t, ['verify', `--store=${a.copy}`, '--data']);
  t.is(snapshotNames(a.copy).length, 4);
});

test('a dry run says the same and writes nothing', async (t) => {
  const at = await twoStores(t);
  const dry = await lbsOk(t, ['sync', '-n', '-v', at.store, at.copy]);
  t.deepEqual(storeState(at.copy), new Map());
  const run = await lbsOk(t, ['sync', '-v', at.store, at.copy]);
  t.is(dry.stdout.replace('would be copied', 'copied'), run.stdout);
});

test('a place that is no store, or the same one by another name, is refused', async (t) => {
  const at = await twoStores(t);
  const before = storeState(at.store);
  const missing = await lbsExits(t, 10, ['sync', at.store, `${at.base}/nowhere`]);
  t.regex(missing.stderr, /no store at .*nowhere[^]*mkdir .*nowhere/);
  await lbsExits(t, 10, ['sync', `${at.base}/nowhere`, at.copy]);
  const empty = await lbsExits(t, 10, ['sync', at.copy, at.store]);
  t.regex(empty.stderr, /no snapshots to copy[^]*mounted/);
  const link = join(at.base, 'link');
  symlinkSync(at.store, link);
  mkdirSync(join(at.store, 'segments'));
  for (const other of [at.store, `${at.store}/`, `${at.store}/../store`, link]) {
    const run = await lbsExits(t, 2, ['sync', at.store, other]);
    t.regex(run.stderr, /are the same directory/);
    await lbsExits(t, 2, ['heal', `--store=${at.store}`, `--from=${other}`]);
  }
  const inside = await lbsExits(t, 2, ['sync', at.store, join(link, 'segments')]);
  t.regex(inside.stderr, /is inside of/);
  await lbsExits(t, 2, ['sync', at.base, at.store]);
  rmSync(join(at.store, 'segments'), { recursive: true });
  t.deepEqual([...storeState(at.store).keys()], [...before.keys()]);
  for (const args of [[], [at.store]]) {
    t.regex((await lbsExits(t, 2, ['sync', ...args])).stderr, /usage: lbs sync/);
  }
});

/** Not anywhere: what is wrong with other lines only a signature, or a later snapshot, can tell. */
const DAMAGES_OF_DESCRIPTORS: Readonly<Record<string, (file: string) => void>> = {
  flipped: (file) => writeFileSync(file, readFileSync(file, 'utf8').replace(/^Root/m, 'Rott')),
  truncated: (file) => truncateSync(file, readFileSync(file).indexOf('Root: ') + 10),
};

for (const [how, damage] of Object.entries(DAMAGES)) {
  test(`a segment of the source that is ${how} costs the snapshots that need it, and no other`, async (t) => {
    const at = await twoStores(t);
    const [first = '', second = '', third = ''] = at.snapshots;
    const of = (name: string) => readFileSync(join(at.store, `snapshot-${name}.lbs`), 'utf8');
    const file = segmentFiles(at.store).find((name) => {
      const segment = name.slice(0, 36);
      return (
        !of(first).includes(segment) && of(second).includes(segment) && of(third).includes(segment)
      );
    });
    if (file === undefined) return t.fail('no segment of that kind');
    damage(join(at.store, file));
    const run = await lbsExits(t, 4, ['sync', at.store, at.copy]);
    t.deepEqual(snapshotNames(at.copy), [first]);
    for (const name of [second, third]) {
      t.regex(run.stderr, new RegExp(`damaged: snapshot-${name}\\.lbs: not copied: .*${file}`));
    }
    t.false(existsSync(join(at.copy, file)));
    await lbsOk(t, ['verify', `--store=${at.copy}`, '--data']);
  });

  for (const ending of ['sha1sums', 'sha256sums', 'lbs']) {
    test(`a .${ending} of the source that is ${how} costs its snapshot, and no other`, async (t) => {
      const at = await twoStores(t);
      const [first = '', second = '', third = ''] = at.snapshots;
      const file = join(at.store, `snapshot-${second}.${ending}`);
      if (ending === 'lbs') (DAMAGES_OF_DESCRIPTORS[how] ?? damage)(file);
      else damage(file);
      // Without its descriptor it is no snapshot; then there is nothing to be said.
      const isGone = ending === 'lbs' && how === 'deleted';
      const run = await lbsExits(t, isGone ? 0 : 4, ['sync', at.store, at.copy]);
      if (!isGone) t.true(run.stderr.includes(`damaged: snapshot-${second}.lbs: not copied: `));
      t.deepEqual(snapshotNames(at.copy), [first, third]);
      await lbsOk(t, ['verify', `--store=${at.copy}`, '--data']);
    });
  }
}

test('what a stopped copy by another program left is read, and replaced where it is in pieces', async (t) => {
  const at = await twoStores(t);
  const [whole = '', truncated = '', zeros = ''] = segmentFiles(at.store);
  for (const name of [whole, truncated, zeros]) {
    copyFileSync(join(at.store, name), join(at.copy, name));
  }
  truncateSync(join(at.copy, truncated), 10);
  const size = readFileSync(join(at.copy, zeros)).length;
  writeFileSync(join(at.copy, zeros), Buffer.alloc(size));
  const before = storeState(at.copy);
  const run = await lbsOk(t, ['sync', '-v', at.store, at.copy]);
  t.false(run.stdout.includes(whole), 'what was whole is not copied again');
  t.true(run.stdout.includes(truncated) && run.stdout.includes(zeros));
  t.deepEqual(storeState(at.copy).get(whole), before.get(whole));
  await isWhole(t, at, at.copy);
});

test('a file that a snapshot there needs is never replaced; the message names heal, which helps', async (t) => {
  const at = await twoStores(t);
  const [first = '', second = ''] = at.snapshots;
  await lbsOk(t, ['sync', at.store, at.copy, first]);
  const text = (name: string) => readFileSync(join(at.store, `snapshot-${name}.lbs`), 'utf8');
  const file = segmentFiles(at.copy).find((name) => text(second).includes(name.slice(0, 36))) ?? '';
  truncateSync(join(at.copy, file), 10);
  const run = await lbsExits(t, 4, ['sync', at.store, at.copy]);
  t.true(run.stderr.includes(`${file} has 10 bytes in ${at.copy}`), run.stderr);
  const hint = `lbs heal --store=${at.copy} --from=${at.store}`;
  t.true(run.stderr.includes(hint), run.stderr);
  await lbsOk(t, hint.split(' ').slice(1));
  await lbsOk(t, ['sync', at.store, at.copy]);
  await isWhole(t, at, at.copy);
});

test('a snapshot that is there but lacks a file gets it', async (t) => {
  const at = await twoStores(t);
  await lbsOk(t, ['sync', at.store, at.copy]);
  const [segment = ''] = segmentFiles(at.copy);
  const list = `snapshot-${at.snapshots[1] ?? ''}.sha256sums`;
  for (const name of [segment, list]) rmSync(join(at.copy, name));
  const run = await lbsOk(t, ['sync', '-v', at.store, at.copy]);
  t.regex(run.stdout, /0 snapshots copied, 3 there already; .* with 1 segment\n$/);
  await isWhole(t, at, at.copy);
});

test('another snapshot of the same name is left alone, and the others are copied', async (t) => {
  const at = await twoStores(t);
  const [first = '', , third = ''] = at.snapshots;
  const descriptor = join(at.copy, `snapshot-${first}.lbs`);
  writeFileSync(descriptor, 'Format: LBS Snapshot v0.6\n');
  writeFileSync(join(at.copy, `snapshot-${third}.sha1sums`), 'that of a backup at work');
  const run = await lbsExits(t, 4, ['sync', at.store, at.copy]);
  t.true(run.stderr.includes(`${at.copy} has another snapshot-${first}.lbs`), run.stderr);
  t.true(run.stderr.includes(`${at.copy} has another snapshot-${third}.sha1sums`), run.stderr);
  t.is(readFileSync(descriptor, 'utf8'), 'Format: LBS Snapshot v0.6\n');
  t.deepEqual(snapshotNames(at.copy), at.snapshots.slice(0, 2));
});

test('a segment is copied under the name that the lists have, whatever else holds it', async (t) => {
  const at = await twoStores(t, ['--filter=cat', '--filter-extension=']);
  const [file = ''] = segmentFiles(at.store);
  // Somebody compressed one by hand, here and there.
  copyFileSync(join(at.store, file), join(at.store, `${file}.other`));
  writeFileSync(join(at.copy, `${file}.other`), 'unreadable');
  await lbsOk(t, ['sync', at.store, at.copy]);
  t.true(existsSync(join(at.copy, file)));
  await isWhole(t, at, at.copy);
  renameSync(join(at.store, file), join(at.store, `${file}.more`));
  const other = join(at.base, 'other');
  mkdirSync(other);
  const run = await lbsExits(t, 4, ['sync', at.store, other]);
  t.true(run.stderr.includes(`${file} is missing in ${at.store}`), run.stderr);
});

test('holds and tags come along, also later, and a changed one does no harm', async (t) => {
  const at = await twoStores(t);
  const [first = ''] = at.snapshots;
  await lbsOk(t, ['hold', `--store=${at.store}`, first]);
  await lbsOk(t, ['sync', at.store, at.copy]);
  t.true(existsSync(join(at.copy, `snapshot-${first}.hold`)));
  await lbsOk(t, ['tag', `--store=${at.store}`, first, 'moving']);
  const before = storeState(at.copy);
  await lbsOk(t, ['sync', at.store, at.copy]);
  t.deepEqual(
    [...storeState(at.copy).keys()].filter((name) => !before.has(name)),
    [`snapshot-${first}.tag-moving`],
  );
  // Nothing is ever taken out of the destination.
  await lbsOk(t, ['release', `--store=${at.store}`, first]);
  await lbsOk(t, ['sync', at.store, at.copy]);
  t.true(existsSync(join(at.copy, `snapshot-${first}.hold`)));
});

test('a destination without room is refused before anything is copied', async (t) => {
  const at = await twoStores(t);
  if (!mountTmpfs(at.copy, 100_000)) return t.pass('no mounts here');
  for (const options of [[], ['--dry-run']]) {
    const run = await lbsExits(t, 1, ['sync', ...options, at.store, at.copy]);
    t.regex(run.stderr, /has no room: .* needed, .* free\n +nothing was copied/);
    t.deepEqual(storeState(at.copy), new Map());
  }
});

test('a destination that nobody may write to is one error', async (t) => {
  const at = await twoStores(t);
  if (!isRoot) return t.pass('needs a mount');
  t.true(mountTmpfs(at.copy, 10_000_000));
  await lbsOk(t, ['sync', at.store, at.copy, 'latest']);
  t.is(spawnSync('mount', ['-o', 'remount,ro', at.copy]).status, 0);
  const run = await lbsExits(t, 1, ['sync', at.store, at.copy]);
  t.regex(run.stderr, /^lbs: cannot write to the store .*\n.*how it is mounted\n$/);
  // With nothing to be copied there is nothing to complain of.
  await lbsOk(t, ['sync', at.store, at.copy, 'latest']);
});

test('the JSON has progress in bytes of a total, files, damage and a summary', async (t) => {
  const at = await twoStores(t);
  flip(join(at.store, `snapshot-${at.snapshots[1] ?? ''}.sha1sums`));
  const run = await lbsExits(t, 4, ['sync', '--json', '-v', at.store, at.copy]);
  const lines = jsonLines(run);
  const status = lines.find((line) => line['message_type'] === 'status');
  t.true(Number(status?.['total_bytes']) > 300_000, run.stdout);
  t.true(lines.some((line) => line['action'] === 'copied' && line['size'] !== undefined));
  const error = jsonMessage(run, 'error');
  t.is(error['item'], `snapshot-${at.snapshots[1] ?? ''}.lbs`);
  t.is(error['during'], 'copy');
  t.is(jsonMessage(run, 'summary')['damaged'], 1);
});

test('progress ends at all bytes, also for what a stopped copy left', async (t) => {
  const at = await twoStores(t);
  const [one = ''] = segmentFiles(at.store);
  copyFileSync(join(at.store, one), join(at.copy, one));
  const { sync } = await import('lbs');
  let last: { bytes: number; totalBytes: number | undefined } | undefined;
  await sync({
    source: at.store,
    destination: at.copy,
    report: (event) => {
      if (event.type === 'progress') last = event.progress;
    },
  });
  t.true((last?.totalBytes ?? 0) > 300_000);
  t.is(last?.bytes, last?.totalBytes);
});

for (const [title, command] of [
  ['cp -a', 'cp -a "$0"/. "$1"'],
  ['rsync -a', 'rsync -a "$0"/ "$1"'],
] as const) {
  test(`a plain copy by ${title} is a store as good as the first, and backups go on in it`, async (t) => {
    if (spawnSync(title.split(' ')[0] ?? '', ['--version']).status !== 0) {
      return t.pass(`left out: no ${title}`);
    }
    const at = await twoStores(t);
    const plain = join(at.base, 'plain');
    t.is(spawnSync('/bin/sh', ['-c', command, at.store, plain]).status, 0);
    await isWhole(t, at, plain);
    // With the same local database: what it knows is there.
    writeFileSync(join(at.tree, 'later'), 'one more');
    const into = [`--dest=${plain}`, `--localdb=${at.localdb}`, '--json', 'tree'];
    const run = await lbsOk(t, into, { cwd: at.base });
    t.is(jsonMessage(run, 'summary')['files_new'], 1);
    t.true(Number(jsonMessage(run, 'summary')['data_added_packed']) < 20_000, run.stdout);
    await lbsOk(t, ['verify', `--store=${plain}`, '--data']);
    // And the first store goes on, too: what it lacks is stored anew.
    await saveTree(t, at);
    await lbsOk(t, ['verify', `--store=${at.store}`, '--data']);
    const sync = await lbsOk(t, ['sync', at.store, plain, ...at.snapshots]);
    t.is(sync.stdout, '0 snapshots copied, 3 there already; 0 B with 0 segments\n');
  });
}

test('a plain copy takes along a local database that lies in the store', async (t) => {
  const at = await twoStores(t);
  const own = join(at.base, 'own');
  mkdirSync(own);
  await lbsOk(t, [`--dest=${own}`, at.tree]);
  const plain = join(at.base, 'plain');
  t.is(spawnSync('cp', ['-a', own, plain]).status, 0);
  const run = await lbsOk(t, [`--dest=${plain}`, '--json', at.tree]);
  t.is(jsonMessage(run, 'summary')['content_added'], 0);
  await lbsOk(t, ['verify', `--store=${plain}`, '--data']);
});
