/** `import ... from 'lbs'`: looking into snapshots from a program. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import * as lbs from 'lbs';
import { places, type Places } from './helpers/places.ts';
import { pseudoRandom } from './helpers/pseudo-random.ts';
import { makeFiles } from './helpers/small-tree.ts';
import { OLD_S, saveAt, setTimes } from './helpers/timed-series.ts';

const FIRST = '20300101T000000';
const LAST = '20300102T000000';
const LARGE = pseudoRandom('large', 2_500_000);
const path = lbs.bytePath('docs/note');

/** Two snapshots; the note is `one`, then `two!`. */
async function twoDays(t: ExecutionContext): Promise<Places> {
  const at = places(t);
  makeFiles(at.tree, { 'docs/note': 'one', 'docs/sub/deep': 'd', large: LARGE });
  setTimes(at.tree);
  await saveAt(t, at, '2030-01-01T00:00:00Z');
  writeFileSync(join(at.tree, 'docs/note'), 'two!');
  setTimes(at.tree);
  await saveAt(t, at, '2030-01-02T00:00:00Z');
  return at;
}

/** Collects what is written; the buffers are valid only for the moment. */
function collector() {
  const pieces: Buffer[] = [];
  const write = (bytes: Buffer) => {
    pieces.push(Buffer.from(bytes));
    return Promise.resolve(true);
  };
  return { write, all: () => Buffer.concat(pieces) };
}

test('ls gives one directory, or everything', async (t) => {
  const { store } = await twoDays(t);
  const names = async (options: Partial<lbs.LsOptions>) => {
    const found: string[] = [];
    for await (const entry of lbs.ls({ store, snapshot: 'latest', ...options })) {
      found.push(lbs.showPath(entry.path));
    }
    return found;
  };
  const docs = lbs.bytePath('docs');
  t.deepEqual(await names({ isShallow: true }), ['docs', 'large']);
  t.deepEqual(await names({ path: docs, isShallow: true }), ['docs/note', 'docs/sub']);
  t.deepEqual(await names({ path: docs }), ['docs', 'docs/note', 'docs/sub', 'docs/sub/deep']);
});

test('cat gives the content of files, one after the other', async (t) => {
  const { store } = await twoDays(t);
  const { write, all } = collector();
  const paths = [path, lbs.bytePath('large')];
  t.true(await lbs.cat({ store, snapshot: FIRST, paths, write }));
  t.true(all().equals(Buffer.concat([Buffer.from('one'), LARGE])));
  const missing = lbs.cat({ store, snapshot: FIRST, paths: [lbs.bytePath('no')], write });
  const error = await t.throwsAsync(missing, { instanceOf: lbs.LbsError });
  t.is(error?.code, 'source-missing');
});

test('dump gives an archive', async (t) => {
  const at = await twoDays(t);
  for (const [format, program] of [
    ['tar', 'tar -xOf "$0" docs/note'],
    ['zip', 'unzip -p "$0" docs/note'],
  ] as const) {
    const { write, all } = collector();
    const done = await lbs.dump({ store: at.store, snapshot: 'latest', format, write });
    t.deepEqual([done.warnings, done.damaged], [0, 0]);
    const file = join(at.base, format);
    writeFileSync(file, all());
    t.is(spawnSync('/bin/sh', ['-c', program, file], { encoding: 'utf8' }).stdout, 'two!');
  }
});

test('stanza gives the metadata as it is stored, and its place', async (t) => {
  const { store } = await twoDays(t);
  const found = await lbs.stanza({ store, snapshot: 'latest', path });
  t.true(found.bytes.toString().startsWith('name: docs/note\n'));
  t.is(found.fields.get('size'), '4');
  t.regex(found.segment, /^[0-9a-f-]{36}$/);
});

test('diff gives what differs between two snapshots', async (t) => {
  const { store } = await twoDays(t);
  const found = await lbs.diff({ store, snapshot: FIRST, other: 'latest' });
  t.deepEqual([found.before, found.after], [FIRST, LAST]);
  const changes = [...found.changes()].map((one) => `${one.letters} ${lbs.showPath(one.path)}`);
  t.deepEqual(changes, ['C docs/note']);
  found.close();
});

test('diffLive gives what differs from the disk', async (t) => {
  const at = places(t);
  makeFiles(at.tree, { kept: 'k', note: 'one' });
  setTimes(at.tree);
  const options = { store: at.store, localdb: at.localdb };
  await lbs.backup({ ...options, paths: [lbs.bytePath(at.tree)] });
  writeFileSync(join(at.tree, 'note'), 'two!');
  const here = lbs.bytePath(at.tree);
  const found = await lbs.diffLive({ ...options, snapshot: 'latest', path: here });
  const changes = [...found.changes()].map((one) => `${one.letters} ${lbs.showPath(one.path)}`);
  t.deepEqual(changes, [`CT ${join(at.tree, 'note').slice(1)}`]);
  t.is(found.after, undefined);
  found.close();
});

test('find gives versions, and the names of the snapshots that hold them', async (t) => {
  const { store } = await twoDays(t);
  const found: string[] = [];
  for await (const one of lbs.find({ store, criteria: { name: 'n*' } })) {
    found.push(`${lbs.showPath(one.path)} ${one.sizeBytes} ${one.snapshots.join(' ')}`);
  }
  t.deepEqual(found.sort(), [`docs/note 3 ${FIRST}`, `docs/note 4 ${LAST}`]);
  const all: string[][] = [];
  for await (const one of lbs.find({ store, criteria: {}, path: lbs.bytePath('large') })) {
    all.push([...one.snapshots]);
  }
  t.deepEqual(all, [[FIRST, LAST]]);
});

test('history gives the versions of one path', async (t) => {
  const { store } = await twoDays(t);
  const periods = await lbs.history({ store, path });
  t.deepEqual(
    periods.map(({ first, last, version }) => [first, last, version?.sizeBytes]),
    [
      [FIRST, FIRST, 3],
      [LAST, LAST, 4],
    ],
  );
  t.is(periods[0]?.version?.mtime?.s, OLD_S);
});
