/**
 * Runs that end as if killed, and leave their stat cache where the last checkpoint was, sometimes
 * damaged by a power cut: every later snapshot is right, and little is read again.
 */
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { ReportEvent } from '../../src/report.ts';
import { CheckedSeries, fileName, makeManyFiles } from '../helpers/checked-series.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';

const FILE_BYTES = 3000;
/** Many segments, so that some are durable wherever a run ends. */
const SMALL_SEGMENTS = { segmentSizeBytes: 64 * 1024 };
/** Segments on their way, and the one that is open, in files. */
const FILES_LOST_MAX = (5 * 64 * 1024) / FILE_BYTES;

class Killed extends Error {}

/** A run that ends, as if killed, at the first file that it stores at or behind `path`. */
async function killAt(series: CheckedSeries, path: string): Promise<boolean> {
  const report = (event: ReportEvent) => {
    if (event.type === 'stored' && String(event.path) >= path) throw new Killed();
  };
  try {
    await series.backup({ ...SMALL_SEGMENTS, report });
    return false;
  } catch (error) {
    if (error instanceof Killed) return true;
    throw error;
  }
}

/** Writes files anew, a third of all, that are other ones in each round. */
function change(series: CheckedSeries, round: number): number {
  let count = 0;
  for (let d = 0; d < 30; d++) {
    for (let f = round % 3; f < 40; f += 3) {
      const data = pseudoRandom(`${round}/${d}/${f}`, FILE_BYTES);
      writeFileSync(join(series.at.tree, fileName(d, f)), data);
      count++;
    }
  }
  return count;
}

function leftoverOf(series: CheckedSeries): string {
  return join(series.at.localdb, 'lbs-statcache.new');
}

test.serial('after runs that were killed snapshots are right, and only what was open is read again', async (t) => {
  const series = new CheckedSeries(t);
  makeManyFiles(series.at.tree);
  const first = await series.take(SMALL_SEGMENTS);
  for (let round = 0; round < 4; round++) {
    const changed = change(series, round);
    rmSync(join(series.at.tree, fileName(round, 39)));
    const at = 6 + 6 * round;
    t.true(await killAt(series, `d${String(at).padStart(2, '0')}/`));
    // Once more, and further, as after a night in which the power failed twice.
    if (round % 2 === 1) t.true(await killAt(series, `d${at + 2}/`));
    const notCome = (changed * (30 - at - (round % 2) * 2)) / 30;
    const notes: string[] = [];
    const report = (event: ReportEvent) => {
      if (event.type === 'note') notes.push(event.message);
    };
    const next = await series.take({ ...SMALL_SEGMENTS, report });
    t.regex(notes.join(), /^the run before did not come to its end: [^,]*$/);
    const read = next.bytesRead / FILE_BYTES;
    t.true(read > 0 && read <= notCome + FILES_LOST_MAX, `${read} read, ${notCome} not come to`);
    // With the names of accounts that the killed run saw, or all stanzas would be written anew.
    const metadataBytes = next.bytesAdded - next.dataBytesAdded;
    t.true(metadataBytes < (2 * first.bytesAdded) / 3, `${metadataBytes} of ${first.bytesAdded}`);
    const again = await series.take(SMALL_SEGMENTS);
    t.is(again.bytesRead, 0);
    t.is(again.bytesAdded, 0);
    t.false(existsSync(leftoverOf(series)));
  }
  await series.checkAll();
}); // prettier-ignore

const DAMAGES: readonly ((left: Buffer) => Buffer)[] = [
  (left) => left.subarray(0, left.length >> 1),
  (left) => Buffer.from(left).fill(0, left.length >> 2),
  (left) => Buffer.from(left).fill(0, left.length >> 1, (left.length >> 1) + 4096),
  (left) => Buffer.from(left).fill('x', 40, 44),
];

test.serial('a leftover that a power cut has torn never gets into a snapshot', async (t) => {
  const series = new CheckedSeries(t);
  makeManyFiles(series.at.tree);
  await series.take(SMALL_SEGMENTS);
  for (const [round, damage] of DAMAGES.entries()) {
    change(series, round);
    t.true(await killAt(series, 'd20/'));
    writeFileSync(leftoverOf(series), damage(readFileSync(leftoverOf(series))));
    await series.take(SMALL_SEGMENTS);
    t.is((await series.take()).bytesRead, 0);
  }
  await series.checkAll();
});

/** What the run after a killed one reads when something was done in between. */
async function readAfter(t: ExecutionContext, between: (series: CheckedSeries) => void) {
  const series = new CheckedSeries(t);
  makeManyFiles(series.at.tree);
  await series.take(SMALL_SEGMENTS);
  const changed = change(series, 0);
  t.true(await killAt(series, 'd25/'));
  between(series);
  const next = await series.take(SMALL_SEGMENTS);
  t.is((await series.take(SMALL_SEGMENTS)).bytesRead, 0);
  await series.checkAll();
  return { files: next.bytesRead / FILE_BYTES, changed };
}

test.serial('a file that changed after the run was killed is read again', async (t) => {
  const { files, changed } = await readAfter(t, (series) => {
    for (let d = 0; d < 20; d++) {
      writeFileSync(join(series.at.tree, fileName(d, 0)), pseudoRandom(`later ${d}`, FILE_BYTES));
    }
  });
  t.true(files >= 20 + changed / 6 && files <= 20 + changed / 6 + FILES_LOST_MAX, `${files}`);
});

test.serial('what a killed run stored is read again where the local database knows nothing of it', async (t) => {
  const { files, changed } = await readAfter(t, (series) => {
    rmSync(join(series.at.localdb, 'lbs-localdb.sqlite'));
  });
  t.true(files >= changed, `${files} of ${changed}`);
}); // prettier-ignore

test.serial('a file that a killed run read just after it was written is read again, and not stored again', async (t) => {
  const series = new CheckedSeries(t);
  makeManyFiles(series.at.tree);
  await series.take(SMALL_SEGMENTS);
  const changedS = String(Math.floor(Date.now() / 1000));
  const changed = change(series, 0);
  const report = (event: ReportEvent) => {
    if (event.type !== 'stored') return;
    // No longer long after everything was changed.
    process.env['LBS_TEST_CLOCK_S'] = changedS;
    if (String(event.path) >= 'd25/') throw new Killed();
  };
  await t.throwsAsync(series.backup({ ...SMALL_SEGMENTS, report }), { instanceOf: Killed });
  const next = await series.take(SMALL_SEGMENTS);
  const files = next.bytesRead / FILE_BYTES;
  t.true(files >= changed - 1, `${files} of ${changed} read`);
  const added = next.dataBytesAdded / FILE_BYTES;
  t.true(added <= changed / 6 + FILES_LOST_MAX, `${added} of ${changed} stored`);
  await series.checkAll();
}); // prettier-ignore
