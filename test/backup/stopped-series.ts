/** Runs that are stopped somewhere leave a stat cache from which every later snapshot is right. */
import { chmodSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { LbsError } from '../../src/errors.ts';
import type { ReportEvent } from '../../src/report.ts';
import { CheckedSeries, fileName, makeManyFiles } from '../helpers/checked-series.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';

/** A run that is told to stop when it has stored a file at or behind `path`. */
async function stopAt(series: CheckedSeries, path: string): Promise<boolean> {
  const control = new AbortController();
  const report = (event: ReportEvent) => {
    if (event.type !== 'stored' || String(event.path) < path) return;
    control.abort(new LbsError('interrupted', 'enough'));
    // The run looks up now and then only.
    for (const end = performance.now() + 60; performance.now() < end;);
  };
  try {
    await series.backup({ report, signal: control.signal });
    return false;
  } catch (error) {
    if (error instanceof LbsError && error.code === 'interrupted') return true;
    throw error;
  }
}

test.serial(
  'every snapshot after stopped runs is exactly right, and little is written anew',
  async (t) => {
    const series = new CheckedSeries(t);
    const { tree } = series.at;
    makeManyFiles(tree);
    const first = await series.take();
    let stopped = 0;
    for (let round = 0; round < 6; round++) {
      for (let d = round; d < 30; d += 6) {
        writeFileSync(join(tree, fileName(d, round)), pseudoRandom(`${round}/${d}`, 3000));
      }
      rmSync(join(tree, fileName(round, 30)));
      chmodSync(join(tree, fileName(29 - round, 20)), 0o600);
      renameSync(join(tree, fileName(20, 2 * round)), join(tree, `d1${round}`, 'moved'));
      if (await stopAt(series, `d${10 + 3 * round}`)) stopped++;
      if (round % 2 === 0 && (await stopAt(series, 'd'))) stopped++;
      const next = await series.take();
      t.is(next.filesChanged + next.filesNew <= 6, true, JSON.stringify(next));
      t.true(next.bytesAdded < first.bytesAdded / 3, `${next.bytesAdded} of ${first.bytesAdded}`);
      const again = await series.take();
      t.is(again.bytesRead, 0);
    }
    t.true(stopped >= 3, `${stopped} runs were stopped`);
    await series.checkAll();
  },
);

test.serial('a first run that is stopped is gone on with', async (t) => {
  const series = new CheckedSeries(t);
  makeManyFiles(series.at.tree);
  t.true(await stopAt(series, 'd10'));
  const next = await series.take();
  t.true(next.filesUnchanged > 0, JSON.stringify(next));
  t.is((await series.take()).bytesAdded, 0);
  await series.checkAll();
});
