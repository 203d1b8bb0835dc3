/** `lbs heal`: what is put right, what is left, and what is never taken. Old stores: copy-old-stores.ts. */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { jsonLines, jsonMessage, lbs, lbsExits, lbsOk } from '../helpers/run-lbs.ts';
import { makeIncompressible } from '../helpers/small-tree.ts';
import { segmentFiles, snapshotNames, storeState } from '../helpers/store-state.ts';
import { canTrace, withFault } from '../helpers/strace.ts';
import { mountTmpfs } from '../helpers/temp-dir.ts';
import { places } from '../helpers/places.ts';
import {
  copyTree,
  DAMAGES,
  flip,
  isWhole,
  saveTree,
  type TwoStores,
  twoStores,
} from '../helpers/two-stores.ts';

/** The calls that give a healed file its name. */
const RENAMES = 'rename,renameat,renameat2';

/** Two stores that are the same. */
async function twins(t: ExecutionContext): Promise<TwoStores> {
  const at = await twoStores(t);
  copyTree(at.store, at.copy);
  return at;
}

const heal = (at: TwoStores, ...options: string[]) => [
  'heal',
  `--store=${at.store}`,
  `--from=${at.copy}`,
  ...options,
];

function sameContents(t: ExecutionContext, at: TwoStores): void {
  const of = (store: string) => [...storeState(store)].map(([name, { sha256 }]) => [name, sha256]);
  t.deepEqual(of(at.store), of(at.copy));
}

function replaceIn(file: string, from: RegExp, to: string): void {
  const text = readFileSync(file, 'latin1');
  if (!from.test(text)) throw new Error(`${String(from)} is not in ${file}`);
  writeFileSync(file, text.replace(from, to), 'latin1');
}

test('every kind of damage to every file of a store is healed byte for byte', async (t) => {
  const at = await twins(t);
  for (const [how, damage] of Object.entries(DAMAGES)) {
    const files = [...segmentFiles(at.store)];
    for (const name of at.snapshots) {
      files.push(`snapshot-${name}.sha1sums`, `snapshot-${name}.sha256sums`);
    }
    for (const file of files) damage(join(at.store, file));
    const dry = await lbsOk(t, heal(at, '-n', '-v'));
    const run = await lbsOk(t, heal(at, '-v'));
    t.regex(
      run.stdout,
      new RegExp(
        `\\n${files.length} files damaged, ${files.length} healed, 0 left as they are\\n$`,
      ),
      how,
    );
    t.is(dry.stdout.replace('could be healed', 'healed'), run.stdout);
    sameContents(t, at);
  }
  const again = await lbsOk(t, heal(at));
  t.is(again.stdout, 'nothing is damaged\n');
  await isWhole(t, at, at.store);
});

for (const [title, damage] of Object.entries<(file: string) => void>({
  'is cut short': (file) => DAMAGES['truncated']?.(file),
  'is empty': (file) => writeFileSync(file, ''),
  'is zeros': (file) => writeFileSync(file, Buffer.alloc(readFileSync(file).length)),
  'has another format': (file) => replaceIn(file, /v0\.6/, 'v4.6'),
  'has another checksum of a list': (file) =>
    replaceIn(file, /(Checksums_sha256: sha256=)./, '$1_'),
  'has another digit in the checksum of a list': (file) =>
    replaceIn(
      file,
      /(Checksums: sha1=)(.)/,
      readFileSync(file, 'latin1').includes('sha1=0') ? '$11' : '$10',
    ),
  'names another segment': (file) => replaceIn(file, /( {4}[0-9a-f-]{35})./, '$1_'),
  'names a segment that there is not': (file) =>
    replaceIn(file, / {4}[0-9a-f-]{36}/, '    00000000-0000-4000-8000-000000000000'),
})) {
  test(`a descriptor that ${title} is healed`, async (t) => {
    const at = await twins(t);
    const file = `snapshot-${at.snapshots[1] ?? ''}.lbs`;
    damage(join(at.store, file));
    const before = storeState(at.store);
    const dry = await lbsOk(t, heal(at, '--dry-run', '-v'));
    t.deepEqual(storeState(at.store), before);
    const run = await lbsOk(t, heal(at, '-v'));
    t.regex(run.stdout, new RegExp(`^${file} \\[copied, .*\\]\\n1 file damaged, 1 healed, 0 left`));
    t.is(dry.stdout.replace('could be healed', 'healed'), run.stdout);
    sameContents(t, at);
    await isWhole(t, at, at.store);
  });
}

test('lists and segments that a damaged descriptor hid are healed with it, and a dry run knows', async (t) => {
  const at = await twins(t);
  const name = at.snapshots[2] ?? '';
  writeFileSync(join(at.store, `snapshot-${name}.lbs`), 'nothing');
  flip(join(at.store, `snapshot-${name}.sha256sums`));
  rmSync(join(at.store, `snapshot-${name}.sha1sums`));
  const needed = readFileSync(join(at.copy, `snapshot-${name}.lbs`), 'utf8');
  const others = at.snapshots
    .slice(0, 2)
    .map((other) => readFileSync(join(at.copy, `snapshot-${other}.lbs`), 'utf8'));
  const own =
    segmentFiles(at.store).find((file) => {
      const segment = file.slice(0, 36);
      return needed.includes(segment) && !others.some((text) => text.includes(segment));
    }) ?? '';
  flip(join(at.store, own));
  const dry = await lbsOk(t, heal(at, '-n', '-v'));
  t.regex(dry.stdout, /\n4 files damaged, 4 could be healed, 0 left as they are\n$/);
  const run = await lbsOk(t, heal(at, '-v'));
  t.is(dry.stdout.replace('could be healed', 'healed'), run.stdout);
  sameContents(t, at);
});

test('from a copy that is damaged too nothing wrong is taken, and the rest is healed', async (t) => {
  const at = await twins(t);
  const [one = '', two = '', three = ''] = segmentFiles(at.store);
  const list = `snapshot-${at.snapshots[0] ?? ''}.sha256sums`;
  for (const file of [one, two, three, list]) flip(join(at.store, file));
  writeFileSync(join(at.copy, one), 'rotten in another way');
  rmSync(join(at.copy, two));
  writeFileSync(join(at.copy, list), 'rotten');
  const before = storeState(at.store);
  for (const options of [['-n'], []]) {
    const run = await lbsExits(t, 4, heal(at, ...options));
    t.regex(run.stdout, /^4 files damaged, 1 (healed|could be healed), 3 left as they are\n$/);
    t.regex(run.stderr, new RegExp(`damaged: ${one}: .*; it cannot be healed: .* recorded sha256`));
    t.regex(
      run.stderr,
      new RegExp(`damaged: ${two}: .*; it cannot be healed: .* does not have it`),
    );
    t.regex(run.stderr, new RegExp(`damaged: ${list}: .*; it cannot be healed: `));
  }
  const after = storeState(at.store);
  for (const file of [one, two, list]) t.deepEqual(after.get(file), before.get(file));
  t.is(after.get(three)?.sha256, storeState(at.copy).get(three)?.sha256);
});

test('a store that has nothing to do with it gives nothing, not even a descriptor of that name', async (t) => {
  const at = await twins(t);
  const other = places(t);
  writeFileSync(join(other.tree, 'file'), pseudoRandom('unrelated', 100_000));
  const name = await saveTree(t, other);
  const [first = ''] = at.snapshots;
  for (const ending of ['lbs', 'sha1sums', 'sha256sums']) {
    cpSync(
      join(other.store, `snapshot-${name}.${ending}`),
      join(other.store, `snapshot-${first}.${ending}`),
    );
  }
  const [segment = ''] = segmentFiles(at.store);
  flip(join(at.store, segment));
  for (const content of [
    'nothing',
    readFileSync(join(at.store, `snapshot-${first}.lbs`), 'utf8').replace(/sha1=./, 'sha1=_'),
  ]) {
    writeFileSync(join(at.store, `snapshot-${first}.lbs`), content);
    const before = storeState(at.store);
    const run = await lbsExits(t, 4, ['heal', `--store=${at.store}`, `--from=${other.store}`]);
    t.regex(run.stderr, /it cannot be healed: the snapshot of that name in .* is another one/);
    t.regex(run.stdout, /, 0 healed, 2 left as they are\n$/);
    t.deepEqual(storeState(at.store), before);
  }
});

test('a snapshot that only the other store has is a matter of sync, which is said', async (t) => {
  const at = await twins(t);
  const [first = '', second = ''] = at.snapshots;
  for (const name of [first, second]) rmSync(join(at.store, `snapshot-${name}.lbs`));
  const run = await lbsOk(t, heal(at));
  t.is(run.stdout, 'nothing is damaged\n');
  const command = `lbs sync ${at.copy} ${at.store}`;
  t.true(
    run.stderr.includes(`${first}, ${second} are in ${at.copy} only; to copy them: ${command}`),
    run.stderr,
  );
  await lbsOk(t, command.split(' ').slice(1));
  sameContents(t, at);
  for (const name of at.snapshots) rmSync(join(at.store, `snapshot-${name}.lbs`));
  const none = await lbsExits(t, 10, heal(at));
  t.regex(none.stderr, /has no snapshots to heal\n.*lbs sync/);
});

test('what no snapshot needs, and what only the other store has, is left alone', async (t) => {
  const at = await twins(t);
  const stray = '99999999-9999-4999-8999-999999999999.tar.zst';
  writeFileSync(join(at.store, stray), 'an orphan');
  writeFileSync(join(at.copy, stray), 'another orphan');
  writeFileSync(join(at.copy, 'letter'), 'of somebody');
  const before = storeState(at.store);
  t.is((await lbsOk(t, heal(at))).stdout, 'nothing is damaged\n');
  t.deepEqual(storeState(at.store), before);
});

test('only snapshots of a scheme are healed when that is asked for', async (t) => {
  const at = await twoStores(t);
  const home = await saveTree(t, at, ['--scheme=home']);
  copyTree(at.store, at.copy);
  const [own, others] = [`snapshot-${home}.sha1sums`, `snapshot-${at.snapshots[0] ?? ''}.sha1sums`];
  for (const file of [own, others]) flip(join(at.store, file));
  const run = await lbsOk(t, heal(at, '--scheme=home', '--json', '-v'));
  t.like(jsonMessage(run, 'summary'), { damaged: 1, healed: 1, left: 0, dry_run: false });
  t.true(jsonLines(run).some((line) => line['action'] === 'copied' && line['item'] === own));
  t.true(jsonLines(run).some((line) => line['message_type'] === 'status'));
  await lbsOk(t, heal(at));
  sameContents(t, at);
});

test('a store that cannot be written to, or is full, is one error', async (t) => {
  const at = await twins(t);
  const full = join(at.base, 'full');
  mkdirSync(full);
  if (!mountTmpfs(full, 4_000_000)) return t.pass('no mounts here');
  copyTree(at.store, full);
  for (const file of segmentFiles(full)) flip(join(full, file));
  spawnSync('dd', ['if=/dev/zero', `of=${full}/film`, 'bs=4k']);
  const args = ['heal', `--store=${full}`, `--from=${at.copy}`];
  t.regex((await lbsExits(t, 1, args)).stderr, /^lbs: no space left in the store/);
  rmSync(join(full, 'film'));
  t.is(spawnSync('mount', ['-o', 'remount,ro', full]).status, 0);
  t.regex((await lbsExits(t, 1, args)).stderr, /^lbs: cannot write to the store/);
  t.is(spawnSync('mount', ['-o', 'remount,rw', full]).status, 0);
  await lbsOk(t, args);
  await isWhole(t, at, full);
});

test('stopped at any moment, each file is the old or the new one, and the next run goes on', async (t) => {
  if (!canTrace) return t.pass('left out: strace cannot be used here');
  const at = await twins(t);
  const good = storeState(at.copy);
  const files = segmentFiles(at.store);
  for (let step = 1; step <= files.length; step++) {
    for (const file of files) flip(join(at.store, file));
    const damaged = storeState(at.store);
    const through = withFault(RENAMES, 'signal=KILL', step);
    t.not((await lbs(t, heal(at), { through })).code, 0);
    const between = storeState(at.store);
    let healed = 0;
    for (const file of files) {
      const { sha256 } = between.get(file) ?? {};
      const isHealed = sha256 === good.get(file)?.sha256;
      t.true(isHealed || sha256 === damaged.get(file)?.sha256);
      if (isHealed) healed++;
    }
    t.is(healed, step - 1);
    const left = [...between.keys()].filter((name) => name.startsWith('.lbs-tmp-'));
    t.is(left.length, 1, 'the one that was to be renamed, cleared away a day later');
    for (const name of left) rmSync(join(at.store, name));
    t.regex(
      (await lbsOk(t, heal(at))).stdout,
      new RegExp(`^${files.length - healed} files? damaged`),
    );
    sameContents(t, at);
  }
});

test('an interrupt ends it, and nothing is half-done', async (t) => {
  if (!canTrace) return t.pass('left out: strace cannot be used here');
  const at = { ...places(t), copy: '', snapshots: [] as string[] };
  const two: TwoStores = { ...at, copy: join(at.base, 'copy') };
  mkdirSync(two.copy);
  makeIncompressible(two.tree, 24, 256 * 1024);
  await saveTree(t, two, ['--filter=cat', '--filter-extension=', '--segment-size=256K']);
  copyTree(two.store, two.copy);
  const files = segmentFiles(two.store);
  for (const file of files) flip(join(two.store, file));
  const [damaged, good] = [storeState(two.store), storeState(two.copy)];
  // As the second one gets its name.
  const through = withFault(RENAMES, 'signal=SIGINT', 2);
  await lbsExits(t, 130, heal(two), { through });
  const left = storeState(two.store);
  t.deepEqual([...left.keys()], [...damaged.keys()]);
  const shaOf = (file: string) => left.get(file)?.sha256;
  const healed = files.filter((file) => shaOf(file) === good.get(file)?.sha256);
  const unhealed = files.filter((file) => shaOf(file) === damaged.get(file)?.sha256);
  t.true(healed.length >= 2 && unhealed.length > 0, `${healed.length} healed`);
  t.is(healed.length + unhealed.length, files.length);
  await lbsOk(t, heal(two));
  sameContents(t, two);
  t.true(existsSync(join(two.store, `snapshot-${snapshotNames(two.store)[0] ?? ''}.lbs`)));
});

test('heal says what it is missing, and takes no other words', async (t) => {
  const at = await twins(t);
  t.regex((await lbsExits(t, 2, ['heal', `--store=${at.store}`])).stderr, /no --from=OTHER given/);
  t.regex((await lbsExits(t, 2, heal(at, 'latest'))).stderr, /takes no arguments/);
  await lbsExits(t, 2, ['heal', `--from=${at.copy}`]);
  await lbsExits(t, 10, ['heal', `--store=${at.store}`, `--from=${at.base}/nowhere`]);
});
