/** Notes on snapshots: hold, release and tag, and the tags and the intent that a backup gives. */
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { backupOptions, giveToOrdinaryUser, places, type Places } from '../helpers/places.ts';
import {
  jsonLines,
  jsonMessage,
  lbs,
  lbsExits,
  lbsOk,
  ordinaryUserCanRun,
} from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { storeState } from '../helpers/store-state.ts';
import { isRoot } from '../helpers/temp-dir.ts';
import { saveAt } from '../helpers/timed-series.ts';

const FIRST = '20200101T030000';
const SECOND = '20200102T030000';

/** A store with snapshots FIRST and SECOND. */
async function twoSnapshots(t: ExecutionContext, user?: 'ordinary'): Promise<Places> {
  const at = places(t, user);
  makeFiles(at.tree, { one: 'one\n' });
  await saveAt(t, at, '2020-01-01T03:00:00Z');
  await saveAt(t, at, '2020-01-02T03:00:00Z');
  if (user === 'ordinary') giveToOrdinaryUser(at.store);
  return at;
}

const notesIn = (store: string) =>
  readdirSync(store)
    .filter((name) => /\.(?:hold|tag-.*)$/.test(name))
    .sort();

/** The last column of `lbs list`, by snapshot. */
async function listed(t: ExecutionContext, at: Places): Promise<Record<string, string>> {
  const { stdout } = await lbsOk(t, ['list', `--store=${at.store}`]);
  const lines = stdout.split('\n').filter((line) => /^\d{8}T/.test(line));
  return Object.fromEntries(
    lines.map((line) => [
      line.split(' ')[0] ?? '',
      line.replace(/^.*\d (?:[KM]i)?B(?: {2}|$)/, ''),
    ]),
  );
}

test('hold and release say what they did, and that it was so already', async (t) => {
  const at = await twoSnapshots(t);
  const store = `--store=${at.store}`;
  const said = async (...args: string[]) => (await lbsOk(t, [...args, store])).stdout;
  t.is(await said('hold', 'latest', FIRST), `${SECOND} is held\n${FIRST} is held\n`);
  t.deepEqual(notesIn(at.store), [`snapshot-${FIRST}.hold`, `snapshot-${SECOND}.hold`]);
  t.is(await said('hold', 'latest~1', FIRST), `${FIRST} was held already\n`);
  t.deepEqual(await listed(t, at), { [FIRST]: 'held', [SECOND]: 'held' });
  t.is(await said('release', 'before:2020-01-02'), `${FIRST} is released\n`);
  t.is(await said('release', FIRST), `${FIRST} was not held\n`);
  t.is(await said('release', '-q', SECOND), '');
  t.deepEqual(notesIn(at.store), []);
});

test('a note says who made it and when', async (t) => {
  const at = await twoSnapshots(t);
  const env = { LBS_TEST_CLOCK_S: String(Date.parse('2020-01-03T12:00:00Z') / 1000) };
  await lbsOk(t, ['hold', `--store=${at.store}`, FIRST], { env });
  const user = spawnSync('id', ['-un'], { encoding: 'utf8' }).stdout.trim();
  const host = spawnSync('uname', ['-n'], { encoding: 'utf8' }).stdout.trim();
  t.is(
    readFileSync(join(at.store, `snapshot-${FIRST}.hold`), 'utf8'),
    `${user} on ${host}, 2020-01-03 12:00:00 +0000\n`,
  );
});

test('a user without a name can hold too', async (t) => {
  if (!isRoot || !ordinaryUserCanRun(t)) {
    t.pass();
    return;
  }
  const at = await twoSnapshots(t);
  chmodSync(at.store, 0o777);
  const through = ['setpriv', '--reuid=54321', '--regid=54321', '--clear-groups', '--'];
  await lbsOk(t, ['hold', `--store=${at.store}`, FIRST], { through });
  t.regex(readFileSync(join(at.store, `snapshot-${FIRST}.hold`), 'utf8'), /^54321 on /);
});

test('tags are given, listed and taken away', async (t) => {
  const at = await twoSnapshots(t);
  const store = `--store=${at.store}`;
  const said = async (...args: string[]) => (await lbsOk(t, ['tag', store, ...args])).stdout;
  t.is(await said(FIRST, 'b', 'a.1'), `${FIRST} has the tag b\n${FIRST} has the tag a.1\n`);
  t.is(await said(FIRST, 'b', '_c'), `${FIRST} had the tag b already\n${FIRST} has the tag _c\n`);
  t.deepEqual(await listed(t, at), { [FIRST]: '_c a.1 b', [SECOND]: '' });
  t.is(await said('--remove', FIRST, 'b'), `${FIRST} no longer has the tag b\n`);
  t.is(await said('--remove', FIRST, 'b'), `${FIRST} did not have the tag b\n`);
  const [first, second] = jsonLines(await lbsOk(t, ['list', store, '--json']));
  t.deepEqual([first?.['tags'], first?.['held']], [['_c', 'a.1'], false]);
  t.deepEqual([second?.['tags'], second?.['held']], [[], false]);
});

test('--json has a line for each note', async (t) => {
  const at = await twoSnapshots(t);
  const store = `--store=${at.store}`;
  await lbsOk(t, ['tag', store, FIRST, 'a']);
  t.deepEqual(jsonLines(await lbsOk(t, ['tag', store, '--json', FIRST, 'a', 'b'])), [
    { message_type: 'tag', snapshot_id: FIRST, tag: 'a', changed: false },
    { message_type: 'tag', snapshot_id: FIRST, tag: 'b', changed: true },
  ]);
  t.deepEqual(jsonLines(await lbsOk(t, ['hold', store, '--json', FIRST])), [
    { message_type: 'hold', snapshot_id: FIRST, tag: null, changed: true },
  ]);
  t.deepEqual(jsonLines(await lbsOk(t, ['release', store, '--json', FIRST])), [
    { message_type: 'release', snapshot_id: FIRST, tag: null, changed: true },
  ]);
});

test('what cannot be meant changes nothing', async (t) => {
  const at = await twoSnapshots(t);
  const store = `--store=${at.store}`;
  const before = storeState(at.store);
  await lbsExits(t, 2, ['hold', store]);
  await lbsExits(t, 2, ['release', store]);
  await lbsExits(t, 2, ['tag', store]);
  await lbsExits(t, 2, ['tag', store, FIRST]);
  await lbsExits(t, 2, ['hold', FIRST]);
  // All words are understood before anything is changed.
  await lbsExits(t, 10, ['hold', store, FIRST, '20190101']);
  await lbsExits(t, 2, ['hold', store, FIRST, '2020']);
  await lbsExits(t, 10, ['hold', `--store=${at.base}/none`, FIRST]);
  t.deepEqual(storeState(at.store), before);
});

test('a tag that could be taken for something else is refused', async (t) => {
  const at = await twoSnapshots(t);
  const before = storeState(at.store);
  for (const tag of ['', '../x', `a-${SECOND}.lbs`]) {
    const run = await lbsExits(t, 2, ['tag', `--store=${at.store}`, '--', FIRST, 'good', tag]);
    t.regex(run.stderr, /is not a usable tag/, tag);
  }
  t.deepEqual(storeState(at.store), before);
  await lbsOk(t, ['tag', `--store=${at.store}`, FIRST, 'x'.repeat(64), SECOND, '0-_.']);
  t.is(Object.keys(await listed(t, at)).length, 2);
});

test('in a store that cannot be written to, a note fails with a message', async (t) => {
  if (!ordinaryUserCanRun(t)) return;
  const at = await twoSnapshots(t, 'ordinary');
  await lbsOk(t, ['hold', `--store=${at.store}`, FIRST], { user: 'ordinary' });
  const before = storeState(at.store);
  chmodSync(at.store, 0o555);
  const hold = await lbsExits(t, 1, ['hold', `--store=${at.store}`, SECOND], { user: 'ordinary' });
  t.regex(hold.stderr, /cannot write to the store/);
  const release = await lbsExits(t, 1, ['release', `--store=${at.store}`, FIRST], {
    user: 'ordinary',
  });
  t.regex(release.stderr, /cannot remove snapshot-.*\.hold from the store/);
  t.deepEqual(storeState(at.store), before);
});

test('directories and dead links that are named like notes are none, and are left alone', async (t) => {
  const at = await twoSnapshots(t);
  const store = `--store=${at.store}`;
  mkdirSync(join(at.store, `snapshot-${FIRST}.hold`));
  mkdirSync(join(at.store, `snapshot-${FIRST}.tag-a`));
  symlinkSync('nowhere', join(at.store, `snapshot-${SECOND}.hold`));
  t.deepEqual(await listed(t, at), { [FIRST]: '', [SECOND]: '' });
  // It would not be held, so it must not say so.
  t.regex((await lbsExits(t, 1, ['hold', store, FIRST])).stderr, /exists already/);
  t.regex((await lbsExits(t, 1, ['hold', store, SECOND])).stderr, /exists already/);
  t.regex((await lbsExits(t, 1, ['release', store, FIRST])).stderr, /cannot remove/);
  await lbsOk(t, ['forget', store, FIRST]);
  t.false(existsSync(join(at.store, `snapshot-${FIRST}.lbs`)));
  t.true(existsSync(join(at.store, `snapshot-${FIRST}.hold`)));
});

test('ten thousand notes, and notes on snapshots that there are not, are no trouble', async (t) => {
  const at = await twoSnapshots(t);
  const store = `--store=${at.store}`;
  for (let n = 0; n < 10_000; n++) {
    const name = n % 2 === 0 ? FIRST : `20190101T${String(n).padStart(6, '0')}`;
    writeFileSync(join(at.store, `snapshot-${name}.tag-${n}`), '');
  }
  writeFileSync(join(at.store, 'snapshot-20190101T000000.hold'), '');
  const { stdout } = await lbsOk(t, ['list', store, '--json']);
  t.is(stdout.trim().split('\n').length, 2);
  await lbsOk(t, ['verify', store]);
  const { stdout: said } = await lbsOk(t, ['forget', store, '--keep-last=1']);
  t.regex(said, /1 kept, 1 forgotten\n$/);
  // Those of a snapshot go with it, those of others are not touched.
  t.is(notesIn(at.store).length, 5001);
  await lbsOk(t, [...backupOptions(at), at.tree]);
});

test('notes lie beside descriptors, and are not saved where the store is in the tree', async (t) => {
  const at = places(t);
  const store = join(at.tree, 'store');
  makeFiles(at.tree, { one: 'one\n', 'store/': '' });
  const backup = [`--dest=${store}`, `--localdb=${at.localdb}`, '.'];
  await lbsOk(t, [...backup, '--tag=a'], { cwd: at.tree });
  await lbsOk(t, ['hold', `--store=${store}`, 'latest']);
  await lbsOk(t, backup, { cwd: at.tree });
  const { stdout } = await lbsOk(t, ['ls', '-R', `--store=${store}`, 'latest']);
  t.notRegex(stdout, /hold|tag-/);
});

test('a backup gives its snapshot tags', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { one: 'one\n' });
  const args = [...backupOptions(at), '--tag=a', '--tag=b.1', '--tag=a', at.tree];
  const made = jsonMessage(await lbsOk(t, [...args, '--json']), 'summary');
  t.deepEqual(made['tags'], ['a', 'b.1']);
  const name = String(made['snapshot_id']);
  t.deepEqual(notesIn(at.store), [`snapshot-${name}.tag-a`, `snapshot-${name}.tag-b.1`]);
  const dry = jsonMessage(await lbsOk(t, [...args, '--json', '-n']), 'summary');
  t.deepEqual(dry['tags'], []);
  t.is(notesIn(at.store).length, 2);
  const run = await lbsExits(t, 2, [...backupOptions(at), '--tag=a/b', at.tree]);
  t.regex(run.stderr, /"a\/b" is not a usable tag/);
  await lbsOk(t, ['verify', `--store=${at.store}`]);
});

test('a tag that cannot be given is told, and the snapshot is there', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { one: 'one\n' });
  mkdirSync(join(at.store, `snapshot-${FIRST}.tag-a`));
  const env = { LBS_TEST_CLOCK_S: String(Date.parse('2020-01-01T03:00:00Z') / 1000) };
  const args = [...backupOptions(at), '--tag=a', '--tag=b', at.tree];
  const run = await lbsOk(t, args, { env });
  t.regex(`${run.stdout}${run.stderr}`, /the snapshot is made, but without the tag a: /);
  rmSync(join(at.store, `snapshot-${FIRST}.tag-a`), { recursive: true });
  t.deepEqual(await listed(t, at), { [FIRST]: 'b' });
});

test('the intent is recorded, and only a number above 0 is one', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { one: 'one\n' });
  const intents = async () =>
    jsonLines(await lbsOk(t, ['list', `--store=${at.store}`, '--json'])).map(
      (line) => line['intent'],
    );
  await saveAt(t, at, '2020-01-01T03:00:00Z');
  await saveAt(t, at, '2020-01-02T03:00:00Z', ['--intent=7']);
  await saveAt(t, at, '2020-01-03T03:00:00Z', ['--intent', '0.5']);
  t.deepEqual(await intents(), [null, 7, 0.5]);
  const text = readFileSync(join(at.store, `snapshot-${SECOND}.lbs`), 'utf8');
  t.regex(text, /^Intent: 7$/m);
  for (const bad of ['0', '-1', 'x', '', '1e3', 'Infinity', '0.0']) {
    const run = await lbs(t, [...backupOptions(at), `--intent=${bad}`, at.tree]);
    t.is(run.code, 2, bad);
    t.regex(run.stderr, /is not a number above 0/);
  }
  t.is((await intents()).length, 3);
  await lbsOk(t, ['verify', '--data', `--store=${at.store}`]);
});
