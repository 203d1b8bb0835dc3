/** What the metadata log reuses of older ones, and what it then costs. */
import { appendFileSync, mkdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import test from 'ava';
import { parseReference } from '../../src/format/reference.ts';
import { CheckedSeries, fileName, makeManyFiles } from '../helpers/checked-series.ts';
import { listTree } from '../helpers/snapshot-series.ts';
import { segmentFiles } from '../helpers/store-state.ts';

test.serial('an unchanged tree has the same root, and nothing is stored', async (t) => {
  const series = new CheckedSeries(t);
  makeManyFiles(series.at.tree);
  const first = await series.take();
  const stored = segmentFiles(series.at.store);
  for (const name of ['second', 'third']) {
    const again = await series.take();
    t.deepEqual(again.root, first.root, name);
    t.is(again.bytesAdded, 0);
    t.deepEqual(again.segments, first.segments);
  }
  t.deepEqual(segmentFiles(series.at.store), stored);
  await series.checkAll();
});

test.serial('one changed file costs a small object and a short root', async (t) => {
  const series = new CheckedSeries(t);
  const { tree } = series.at;
  makeManyFiles(tree);
  const first = await series.take();
  t.true((await series.log.lines(first.root)).length > 10, 'there are many objects');
  appendFileSync(join(tree, fileName(15, 20)), 'more');
  const second = await series.take();
  const added = second.bytesAdded - second.dataBytesAdded;
  t.true(added < 2000, `${added} bytes of metadata for one file`);
  const lines = await series.log.lines(second.root);
  t.is(lines.length, 3, 'stretch of the old root, the object, stretch of the old root');
  t.true(lines[0]?.includes('[0+'), lines[0]);
  // The object that changed is now nested; the rest is still taken from the first root.
  const third = await series.take();
  t.deepEqual(third.root, second.root);
  appendFileSync(join(tree, fileName(3, 3)), 'more');
  const fourth = await series.take();
  t.true(fourth.bytesAdded - fourth.dataBytesAdded < 2500);
  await series.checkAll();
});

test.serial('removing the first or last entry of every object in turn is right', async (t) => {
  const series = new CheckedSeries(t);
  const { tree } = series.at;
  makeManyFiles(tree, 12);
  const { root } = await series.take();
  const firsts: string[] = [];
  const lasts: string[] = [];
  for (const line of await series.log.lines(root)) {
    const reference = parseReference(line.slice(1), 'prefix');
    if (reference.kind !== 'object') continue;
    const text = await series.log.flatten(reference);
    const names = [...text.matchAll(/^name: (.*)$/gm)].map((match) => match[1] ?? '');
    firsts.push(names.at(0) ?? '');
    lasts.push(names.at(-1) ?? '');
  }
  for (const name of [...firsts.slice(1), ...lasts.slice(0, -1)]) {
    const full = join(tree, name);
    if (statSync(full, { throwIfNoEntry: false })?.isFile() !== true) continue;
    rmSync(full);
    await series.take();
  }
  // All firsts come back at once.
  for (const name of firsts.slice(1)) {
    const full = join(tree, name);
    mkdirSync(dirname(full), { recursive: true });
    if (statSync(full, { throwIfNoEntry: false }) === undefined) writeFileSync(full, 'back');
  }
  await series.take();
  await series.checkAll();
});

test.serial('--full-metadata refers to nothing older, and can be built upon', async (t) => {
  const series = new CheckedSeries(t);
  const { tree } = series.at;
  makeManyFiles(tree, 8);
  const first = await series.take();
  appendFileSync(join(tree, fileName(2, 2)), 'x');
  await series.take();
  const full = await series.take({ fullMetadata: true });
  t.is(full.bytesRead, 0, 'no content is read for it');
  const old = new Set(first.segments.filter((segment) => !full.segments.includes(segment)));
  t.true(old.size > 0, 'the first metadata segment is not needed any more');
  t.true(full.bytesAdded > 100_000);
  const again = await series.take();
  t.deepEqual(again.root, full.root);
  await series.checkAll();
});

test.serial('two schemes may share a local database', async (t) => {
  const series = new CheckedSeries(t);
  const { tree } = series.at;
  makeManyFiles(tree, 8);
  await series.take({ scheme: 'a' });
  const other = await series.take({ scheme: 'b' });
  t.is(other.dataBytesAdded, 0, 'contents are shared');
  for (let run = 0; run < 4; run++) {
    appendFileSync(join(tree, fileName(run, 0)), 'x');
    await series.take({ scheme: run % 2 === 0 ? 'a' : 'b' });
    if (run === 1) rmSync(join(tree, 'd05'), { recursive: true });
    await series.take({ scheme: 'b' });
  }
  const last = await series.take({ scheme: 'a' });
  t.deepEqual((await series.take({ scheme: 'a' })).root, last.root);
  await series.checkAll();
});

test.serial('one scheme may be given other paths in every run', async (t) => {
  const series = new CheckedSeries(t);
  const { tree } = series.at;
  makeManyFiles(tree, 10);
  const all = listTree(tree);
  const of = (...names: string[]) =>
    all.filter((line) => {
      const path = line.slice(0, line.indexOf(' '));
      return path === '.' || names.some((name) => path === name || path.startsWith(`${name}/`));
    });
  await series.take();
  await series.take({ paths: ['d03', 'd07'] }, of('d03', 'd07'));
  await series.take({ paths: ['d04', 'd07'] }, of('d04', 'd07'));
  const some = await series.take({ paths: ['d07'] }, of('d07'));
  t.deepEqual((await series.take({ paths: ['d07'] }, of('d07'))).root, some.root);
  const whole = await series.take();
  t.is(whole.dataBytesAdded, 0);
  t.deepEqual((await series.take()).root, whole.root);
  await series.checkAll();
});

test.serial('going back to an earlier state gives that state', async (t) => {
  const series = new CheckedSeries(t);
  const { tree, base } = series.at;
  makeManyFiles(tree, 8);
  await series.take();
  for (let round = 0; round < 3; round++) {
    renameSync(join(tree, 'd02'), join(base, 'aside'));
    await series.take();
    renameSync(join(base, 'aside'), join(tree, 'd02'));
    const back = await series.take();
    t.is(back.dataBytesAdded, 0);
  }
  await series.checkAll();
});
