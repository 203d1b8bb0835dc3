/** Metadata is not stored again either after a rebuild, and every snapshot is still exactly right. */
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { rebuild } from '../../src/maintain/rebuild.ts';
import { CheckedSeries, fileName, makeManyFiles } from '../helpers/checked-series.ts';

async function loseAndRebuild({ at }: CheckedSeries): Promise<void> {
  for (const name of readdirSync(at.localdb)) rmSync(join(at.localdb, name), { recursive: true });
  const { damaged } = await rebuild({ store: at.store, localdb: at.localdb });
  if (damaged > 0) throw new Error('damage');
}

test.serial('a tree that did not change costs next to nothing after a rebuild', async (t) => {
  const series = new CheckedSeries(t);
  makeManyFiles(series.at.tree);
  const first = await series.take();
  await loseAndRebuild(series);
  const second = await series.take();
  t.is(second.dataBytesAdded, 0);
  t.is(second.filesUnchanged, first.files);
  t.true(second.bytesAdded < first.bytesAdded / 50, `${second.bytesAdded}`);
  const third = await series.take();
  t.is(third.bytesRead, 0);
  t.is(third.bytesAdded, 0);
  await series.checkAll();
});

test.serial('what changed before and after rebuilds is right in every snapshot', async (t) => {
  const series = new CheckedSeries(t);
  const { tree } = series.at;
  makeManyFiles(tree, 10);
  await series.take();
  for (let round = 0; round < 4; round++) {
    writeFileSync(join(tree, fileName(round, 3)), `changed ${round}`);
    rmSync(join(tree, fileName(round + 1, 5)));
    if (round % 2 === 0) await series.take();
    chmodSync(join(tree, fileName(round + 2, 7)), 0o600);
    await loseAndRebuild(series);
    writeFileSync(join(tree, fileName(round + 3, 9)), `after ${round}`);
    mkdirSync(join(tree, `new${round}`));
    const next = await series.take();
    t.true(next.bytesAdded < 60_000, `${next.bytesAdded}`);
    await series.take();
  }
  await series.checkAll();
});

test.serial(
  'directories that change places are seen, although no time of a file in them changes',
  async (t) => {
    const series = new CheckedSeries(t);
    const { tree } = series.at;
    for (const name of ['a', 'b']) {
      mkdirSync(join(tree, name));
      writeFileSync(join(tree, name, 'file'), name);
    }
    await series.take();
    renameSync(join(tree, 'a'), join(tree, 'c'));
    renameSync(join(tree, 'b'), join(tree, 'a'));
    renameSync(join(tree, 'c'), join(tree, 'b'));
    await loseAndRebuild(series);
    t.is((await series.take()).dataBytesAdded, 0);
    await series.checkAll();
  },
);

test.serial('a symbolic link is described anew, as its target is not compared', async (t) => {
  const series = new CheckedSeries(t);
  symlinkSync('target', join(series.at.tree, 'link'));
  await series.backup();
  await loseAndRebuild(series);
  const { bytesAdded } = await series.backup();
  t.true(bytesAdded > 0);
});
