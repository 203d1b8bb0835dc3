/** Many snapshots of one tree, many entries in one snapshot, and what starting costs. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench, Words } from './bench.ts';
import { compareTrees } from './compare-trees.ts';
import { ROW, SECTION } from './goals.ts';
import { changeFiles, makeTinyFiles, makeTree } from './make-input.ts';
import { LBS } from './programs.ts';

const ONE_PER_CENT = 100;
/** Entries of the series are files of a few kB. */
const SERIES_BYTES_PER_ENTRY = 20_000;

/** A series of snapshots with one per cent changed between them; the first and the last restored. */
export async function seriesOfSnapshots(bench: Bench): Promise<void> {
  const dir = join(bench.dir, 'series');
  const { sizes } = bench.settings;
  mkdirSync(dir);
  makeTree(dir, {
    treeEntries: sizes.seriesEntries,
    treeBytes: sizes.seriesEntries * SERIES_BYTES_PER_ENTRY,
  });
  const store = await bench.newStore(LBS);
  const words = { STORE: store ?? '', SOURCE: 'series' };
  bench.say(`${SECTION.series}: ${sizes.snapshots} backups`);
  for (let run = 1; run <= sizes.snapshots; run++) {
    if (run > 1) changeFiles(dir, ONE_PER_CENT, run);
    const command = { script: LBS.backup, cwd: bench.dir, words };
    const isShown = run === 1 || run === sizes.snapshots;
    const done = isShown
      ? await bench.sample(SECTION.series, `lbs backup ${run}`, command)
      : await bench.prepare(command.script, command.cwd, words);
    if (!done) return;
  }
  await restoreBoth(bench, words);
  await lists(bench, words);
  if (store !== undefined) bench.removeStore(store);
  bench.remove(dir);
}

async function restoreBoth(bench: Bench, words: Words): Promise<void> {
  if (!(await bench.prepare('"$LBS" list --store="$STORE" --json', bench.dir, words))) return;
  const oldest = /"id":"([^"]*)"/.exec(bench.lastOutput())?.[1];
  if (oldest === undefined) throw new Error(`no snapshot in ${bench.lastOutput()}`);
  const target = join(bench.dir, 'restored', 'series');
  for (const round of bench.rounds()) {
    for (const [row, snapshot] of [
      [ROW.firstSnapshot, oldest],
      [ROW.latestSnapshot, 'latest'],
    ] as const) {
      mkdirSync(target);
      const script = LBS.restore.replace('latest', snapshot);
      const command = { script, cwd: bench.dir, words: { ...words, TARGET: target } };
      const usage = await bench.sample(SECTION.series, row, command);
      if (usage && round === 1 && snapshot === 'latest') checkSeries(bench, target);
      bench.remove(target);
    }
  }
  const [first, latest] = [ROW.firstSnapshot, ROW.latestSnapshot].map((row) =>
    bench.results.wall(SECTION.series, row),
  );
  if (first === undefined || latest === undefined) return;
  bench.results.figure(SECTION.series, ROW.latestShare, latest / first, 'x');
}

function checkSeries(bench: Bench, target: string): void {
  const difference = compareTrees(join(bench.dir, 'series'), join(target, 'series'));
  if (difference === '') return;
  bench.results.row(SECTION.series, ROW.latestSnapshot).failed = true;
  bench.fail(`${SECTION.series}: not what was saved:\n${difference}`);
}

/** Quick ones are run more often, since their times are small. */
const QUICK_RUNS = 9;

async function lists(bench: Bench, words: Words): Promise<void> {
  const section = SECTION.verify;
  for (let round = 1; round <= QUICK_RUNS; round++) {
    const run = (name: string, script: string) =>
      bench.sample(section, name, { script, cwd: bench.dir, words, onlyReads: true });
    await run(ROW.list, '"$LBS" list --store="$STORE"');
    await run(ROW.help, '"$LBS" --help');
  }
  bench.results.note(section, ROW.list, `${bench.settings.sizes.snapshots} snapshots`);
}

/** First and unchanged backup of ever more tiny files: time per entry, and memory. */
export async function growth(bench: Bench): Promise<void> {
  const section = SECTION.growth;
  const perEntry: { first: number; unchanged: number }[] = [];
  const { growth: counts } = bench.settings.sizes;
  // All of them before the first is used, so that there is one wait and not many.
  for (const count of counts) {
    bench.say(`${section}: making ${count} files`);
    makeTinyFiles(join(bench.dir, `tiny-${count}`), count);
  }
  bench.inputChanged();
  await bench.settle();
  for (const count of counts) {
    const dir = join(bench.dir, `tiny-${count}`);
    const store = await bench.newStore(LBS);
    const words = { STORE: store ?? '', SOURCE: `tiny-${count}` };
    const command = { script: LBS.backup, cwd: bench.dir, words };
    const [first, unchanged] = [`lbs, first, ${count} files`, `lbs, unchanged, ${count} files`];
    const one = await bench.sample(section, first, command);
    const two = await bench.sample(section, unchanged, command);
    if (store !== undefined) bench.removeStore(store);
    bench.remove(dir);
    if (one === undefined || two === undefined) return;
    const us = { first: (one.wallS / count) * 1e6, unchanged: (two.wallS / count) * 1e6 };
    bench.results.figure(section, first, us.first, 'us');
    bench.results.figure(section, unchanged, us.unchanged, 'us');
    perEntry.push(us);
    const peakMB = Math.max(one.peakMB, two.peakMB);
    bench.results.figure(SECTION.memory, ROW.memoryOfGrowth, peakMB, 'MB');
  }
  const [smallest, largest] = [perEntry[0], perEntry.at(-1)];
  if (smallest === undefined || largest === undefined || smallest === largest) return;
  const { results } = bench;
  results.figure(section, ROW.flatFirst, largest.first / smallest.first, 'x');
  results.figure(section, ROW.flatUnchanged, largest.unchanged / smallest.unchanged, 'x');
}
