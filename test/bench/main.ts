/**
 * `make bench` and `make bench-quick`: runs all scenarios on one machine, prints one table and
 * writes JSON. A report and no test: what is slower than its goal fails nothing, but a command
 * that does not work does. What is measured, and how to read it: README.md here.
 */
import { writeFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import { inspect } from 'node:util';
import { Bench } from './bench.ts';
import { MEMORY_ROWS, SECTION } from './goals.ts';
import { treeSize } from './make-input.ts';
import { missingPeers, versions } from './programs.ts';
import { Results } from './results.ts';
import { bigFiles, changedBlocks, classicFilter } from './scenario-files.ts';
import { growth, seriesOfSnapshots } from './scenario-growth.ts';
import { manySegments } from './scenario-segments.ts';
import { TreeScenario } from './scenario-tree.ts';
import { readSettings } from './settings.ts';
import { showTable } from './table.ts';

const startMs = performance.now();
const settings = readSettings(process.argv.slice(2), process.env);
/** Processes that wanted to run in the last minute; more than none makes wall times doubtful. */
const loadAtStart = loadavg()[0] ?? 0;
const BUSY_LOAD = 0.5;
const results = new Results();
const bench = new Bench(settings, results, missingPeers());

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    bench.close();
    process.exit(130);
  });
}

/** What the tree of this run came to; undefined when that scenario is left out. */
let tree: { entries: number; files: number; bytes: number } | undefined;

const SCENARIOS: Readonly<Record<string, () => Promise<void>>> = {
  tree: async () => {
    const scenario = new TreeScenario(bench);
    tree = scenario.makeTree();
    bench.say(`Tree: ${tree.entries} entries, ${Math.round(tree.bytes / 1e6)} MB`);
    await scenario.run();
  },
  big: () => bigFiles(bench),
  blocks: () => changedBlocks(bench),
  series: () => seriesOfSnapshots(bench),
  filter: () => classicFilter(bench),
  growth: () => growth(bench),
  segments: () => manySegments(bench),
};

/** The tree four times (itself, two stores, restored), or the big files and a store of them. */
function neededBytes(): number {
  const { sizes } = settings;
  const { bytes } = settings.treeFrom ? treeSize(settings.treeFrom) : { bytes: sizes.treeBytes };
  return Math.max(bytes * 4, (sizes.randomFileBytes + sizes.textFileBytes) * 2.5);
}

function addMemoryRows(): void {
  for (const { name, section, row } of MEMORY_ROWS) {
    const samples = results.find(section, row)?.samples ?? [];
    if (samples.length === 0) continue;
    const peakMB = Math.max(...samples.map((usage) => usage.peakMB));
    results.figure(SECTION.memory, name, peakMB, 'MB');
  }
}

function writeJson(seconds: number): void {
  const rows = results.rows().map((row) => ({ ...row, ...results.judge(row) }));
  const { quick, sizes } = settings;
  const machine = {
    processor: cpus()[0]?.model,
    processors: availableParallelism(),
    memoryBytes: totalmem(),
    loadAtStart,
  };
  const report = { date: new Date().toISOString(), quick, seconds, sizes, tree, machine };
  const json = { ...report, versions: versions(), rows, failures: results.failures };
  writeFileSync(settings.jsonFile, `${JSON.stringify(json, null, 2)}\n`);
}

try {
  const unknown = [...(settings.only ?? [])].find((name) => !(name in SCENARIOS));
  if (unknown !== undefined) throw new Error(`BENCH_ONLY: there is no scenario ${unknown}`);
  if (bench.freeBytes() < neededBytes()) {
    throw new Error(`${bench.dir}: needs ${Math.ceil(neededBytes() / 1e9)} GB (see BENCH_DIR)`);
  }
  for (const [name, run] of Object.entries(SCENARIOS)) {
    if (settings.only !== undefined && !settings.only.has(name)) continue;
    // What was measured so far is worth showing, whatever becomes of the others.
    await run().catch((error: unknown) => bench.fail(`scenario ${name}: ${inspect(error)}`));
  }
} finally {
  bench.close();
}
addMemoryRows();
const seconds = Math.round((performance.now() - startMs) / 1000);
writeJson(seconds);

const size = tree ? `${tree.entries} entries, ${Math.round(tree.bytes / 1e6)} MB; ` : '';
const processors = `${availableParallelism()} processors`;
console.log(
  `\n${size}${processors}; medians of up to ${settings.sizes.rounds}; ${seconds} s in all\n`,
);
console.log(showTable(results));
if (loadAtStart > BUSY_LOAD) {
  console.log(`\nThe machine was busy (load ${loadAtStart.toFixed(1)}): do not trust wall times.`);
}
console.log(`\nAll figures: ${settings.jsonFile}`);
for (const failure of results.failures) console.log(`\n*** FAILED *** ${failure}`);
if (results.failures.length > 0) process.exitCode = 1;
