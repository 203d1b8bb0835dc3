/** `import ... from 'lbs'`: the built library does what the commands do, with events. */
import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import test from 'ava';
import * as lbs from 'lbs';
import { places, restored } from './helpers/places.ts';
import { pseudoRandom } from './helpers/pseudo-random.ts';
import { makeSmallTree } from './helpers/small-tree.ts';

test('backup, list, ls, verify and restore work together and report events', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  const types = new Set<string>();
  const report = (event: lbs.ReportEvent) => void types.add(event.type);
  const options = { store: at.store, report };

  const made = await lbs.backup({
    ...options,
    localdb: at.localdb,
    paths: [lbs.bytePath(at.tree)],
  });
  t.is(made.warnings, 0);
  t.true(types.has('stored'));

  const [snapshot, ...others] = await lbs.list(options);
  t.is(snapshot?.name, made.snapshot);
  t.deepEqual(others, []);

  const paths: string[] = [];
  for await (const entry of lbs.ls({ ...options, snapshot: 'latest' })) {
    paths.push(lbs.showPath(entry.path));
  }
  t.is(paths.length, made.entries);

  const checked = await lbs.verify({ ...options, depth: 'data' });
  t.deepEqual(checked.damage, []);

  mkdirSync(at.target);
  const back = await lbs.restore({ ...options, snapshot: 'latest', target: at.target });
  t.is(back.files, made.files);
  const one = join(at.tree, 'letters', 'one');
  t.deepEqual(readFileSync(restored(at.target, one)), readFileSync(one));
});

test('forget decides by rules or names, and refuses what would keep nothing', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  const made: (string | undefined)[] = [];
  for (let n = 0; n < 4; n++) {
    const { snapshot } = await lbs.backup({
      store: at.store,
      localdb: at.localdb,
      paths: [lbs.bytePath(at.tree)],
      tags: n === 0 ? ['first'] : [],
      intent: 7,
    });
    made.push(snapshot);
  }
  const { store, localdb } = at;
  const rules: Partial<lbs.RetentionRules> = { last: 1, tags: ['first'] };
  const planned = await lbs.forget({ store, localdb, rules, dryRun: true });
  t.deepEqual([planned.kept, planned.forgotten, planned.dryRun], [2, 2, true]);
  t.deepEqual(
    planned.decisions.map(({ name, isKept }) => [name, isKept]),
    made.map((name, n) => [name, n === 0 || n === 3]),
  );
  t.deepEqual(planned.decisions[0]?.reasons, ['tag first']);
  for (const bad of [{}, { last: 0 }, { last: -1 }, { counts: { daily: 1.5 } }, { last: NaN }]) {
    await t.throwsAsync(lbs.forget({ store, localdb, rules: bad }), { code: 'usage' });
  }
  await t.throwsAsync(lbs.forget({ store, rules, snapshots: ['latest'] }), { code: 'usage' });
  const signal = AbortSignal.abort(new lbs.LbsError('interrupted', 'enough'));
  await t.throwsAsync(lbs.forget({ store, rules, signal }), { code: 'interrupted' });
  const snapshots = await lbs.list({ store });
  t.deepEqual([snapshots.length, snapshots[0]?.intent, snapshots[0]?.tags], [4, 7, ['first']]);
  await lbs.forget({ store, localdb, snapshots: ['latest~1'] });
  await lbs.forget({ store, localdb, rules });
  const left = await lbs.list({ store });
  t.deepEqual(
    left.map(({ name }) => name),
    [made[0] ?? '', made[3] ?? ''],
  );
});

test('sync copies snapshots to another store, and heal mends it from there', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  const copy = join(at.base, 'copy');
  mkdirSync(copy);
  const { store } = at;
  const made = await lbs.backup({ store, localdb: at.localdb, paths: [lbs.bytePath(at.tree)] });

  const files: string[] = [];
  const report = (event: lbs.ReportEvent) => {
    if (event.type === 'copied') files.push(event.file);
  };
  const synced = await lbs.sync({ source: store, destination: copy, report });
  t.deepEqual(synced.copied, [made.snapshot]);
  t.is(files.at(-1), `snapshot-${made.snapshot}.lbs`);
  t.is(files.length, synced.segments + 3);

  const [segment = ''] = files;
  writeFileSync(join(store, segment), 'rotten');
  const dry = await lbs.heal({ store, from: copy, dryRun: true });
  t.deepEqual(dry, { dryRun: true, damaged: 1, healed: 1, left: 0 });
  t.is(readFileSync(join(store, segment), 'utf8'), 'rotten');
  const healed = await lbs.heal({ store, from: copy });
  t.deepEqual(healed, { dryRun: false, damaged: 1, healed: 1, left: 0 });
  t.deepEqual(readFileSync(join(store, segment)), readFileSync(join(copy, segment)));
  const error = await t.throwsAsync(lbs.sync({ source: store, destination: `${copy}/none` }));
  t.true(error instanceof lbs.LbsError && error.code === 'store-missing');
});

test('rebuild makes a lost local database again, and says what of the store is missing', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  const { store, localdb } = at;
  const backup = async () => lbs.backup({ store, localdb, paths: [lbs.bytePath(at.tree)] });
  const first = await backup();
  await t.throwsAsync(lbs.rebuild({ store, localdb }), { code: 'usage' });
  rmSync(localdb, { recursive: true });
  const rebuilt = await lbs.rebuild({ store, localdb });
  t.like(rebuilt, { snapshots: 1, segments: first.segmentsStored, hashed: 0, damaged: 0 });
  t.is((await backup()).dataBytesAdded, 0);

  rmSync(localdb, { recursive: true });
  for (const name of readdirSync(store)
    .filter((file) => file.includes('.tar'))
    .slice(0, 1)) {
    rmSync(join(store, name));
  }
  const events: lbs.ReportEvent[] = [];
  const report = (event: lbs.ReportEvent) => void events.push(event);
  t.true((await lbs.rebuild({ store, localdb, report })).damaged > 0);
  t.true(events.some(({ type }) => type === 'damage'));
});

test('a program that Node was given as text can use the threads of this one', async (t) => {
  const at = places(t);
  for (let n = 0; n < 2100; n++) writeFileSync(join(at.tree, `${n}`), pseudoRandom(`${n}`, 500));
  writeFileSync(join(at.tree, 'large'), pseudoRandom('large', 13 * 1024 * 1024));
  mkdirSync(at.target);
  const program = `
    import * as lbs from ${JSON.stringify(import.meta.resolve('lbs'))};
    const { store, localdb, tree, target } = ${JSON.stringify(at)};
    await lbs.backup({ store, localdb, paths: [lbs.bytePath(tree)] });
    const { damage } = await lbs.verify({ store, depth: 'data' });
    const { files } = await lbs.restore({ store, snapshot: 'latest', target });
    console.log(damage.length, files);
  `;
  const args = ['--input-type=module', '--eval', program];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  t.is(stdout, '0 2101\n');
});

test('clean and collect say what they do, and a dry run what they would', async (t) => {
  const at = places(t);
  const options = { store: at.store, localdb: at.localdb };
  const paths = [lbs.bytePath(at.tree)];
  makeSmallTree(at.tree);
  await lbs.backup({ ...options, paths });
  writeFileSync(join(at.store, 'snapshot-20200101T000000.sha1sums'), '');
  const cleaned = await lbs.clean({ ...options, dryRun: true });
  t.deepEqual([cleaned.dryRun, cleaned.segments, cleaned.segmentsLeft], [true, 0, 2]);
  const names: string[] = [];
  const onFile = ({ name, step }: lbs.CollectedFile) => void names.push(`${step} ${name}`);
  const dry = await lbs.collect({ ...options, graceS: 0, dryRun: true, onFile });
  const done = await lbs.collect({ ...options, graceS: 0, onFile });
  t.deepEqual({ ...dry, dryRun: false }, done);
  t.is(done.removed, 1);
  t.deepEqual(names, Array<string>(2).fill('removed snapshot-20200101T000000.sha1sums'));
});

test('an error has a code that programs can branch on', async (t) => {
  const { store } = { store: '/nowhere/at/all' };
  const error = await t.throwsAsync(lbs.list({ store }), { instanceOf: lbs.LbsError });
  t.is(error?.code, 'store-missing');
  t.is(lbs.exitCodeOf(error), lbs.EXIT.missing);
});

test('a signal stops a backup', async (t) => {
  const at = places(t);
  makeSmallTree(at.tree);
  const signal = AbortSignal.abort(new lbs.LbsError('interrupted', 'enough'));
  const paths = [lbs.bytePath(at.tree)];
  await t.throwsAsync(lbs.backup({ store: at.store, paths, signal }));
  t.deepEqual(await lbs.list({ store: at.store }), []);
});
