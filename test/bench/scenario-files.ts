/**
 * Large single files: two big ones, a byte inserted into one, a database changed in many places,
 * and the classic filter.
 */
import { mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { Bench } from './bench.ts';
import { ROW, SECTION } from './goals.ts';
import {
  changeDatabase,
  makeDatabase,
  makeRandomFile,
  makeTextFile,
  storeBytes,
} from './make-input.ts';
import { BORG, LBS, type Program, RESTIC, TAR } from './programs.ts';

const PROGRAMS: readonly Program[] = [LBS, TAR, RESTIC, BORG];

export async function bigFiles(bench: Bench): Promise<void> {
  const dir = join(bench.dir, 'big');
  const { sizes } = bench.settings;
  mkdirSync(dir);
  makeRandomFile(join(dir, 'random'), sizes.randomFileBytes);
  makeTextFile(join(dir, 'text'), sizes.textFileBytes);
  for (const round of bench.rounds()) {
    for (const program of bench.present(SECTION.big, PROGRAMS)) {
      if (program.isPeer && round > sizes.peerRounds) continue;
      const store = await bench.newStore(program);
      if (store === undefined) continue;
      const words = { STORE: store, SOURCE: 'big', NAME: 'first' };
      await bench.sample(SECTION.big, program.name, {
        script: program.backup,
        cwd: bench.dir,
        words,
      });
      if (round === 1) bench.results.figure(SECTION.big, program.name, storeBytes(store), 'B');
      bench.removeStore(store);
    }
  }
  bench.remove(dir);
}

const DATABASE_PLACES = 100;

export async function changedBlocks(bench: Bench): Promise<void> {
  const dir = join(bench.dir, 'blocks');
  const { sizes } = bench.settings;
  mkdirSync(dir);
  const file = join(dir, 'file');
  makeRandomFile(file, sizes.insertBytes);
  const names = { lbs: ROW.inserted, other: 'a byte inserted at the start' };
  await addedByChange(bench, names, async () =>
    bench.prepare('{ printf x; cat file; } > new && mv new file', dir),
  );
  bench.remove(file);

  const database = join(dir, 'database');
  makeDatabase(database, sizes.databaseBytes);
  await addedByChange(bench, { lbs: ROW.database, other: 'database, 100 places' }, async () => {
    changeDatabase(database, DATABASE_PLACES);
    return Promise.resolve(true);
  });
  bench.remove(dir);
}

/** Bytes that each program adds to its store after the same change of the folder `blocks`. */
async function addedByChange(
  bench: Bench,
  names: { readonly lbs: string; readonly other: string },
  change: () => Promise<boolean>,
): Promise<void> {
  const rows: { row: string; program: Program; store: string; before: number }[] = [];
  for (const program of bench.present(SECTION.blocks, [LBS, RESTIC, BORG])) {
    const row = program === LBS ? names.lbs : `${program.name}: ${names.other}`;
    bench.results.row(SECTION.blocks, row);
    const store = await bench.newStore(program);
    const words = { STORE: store ?? '', SOURCE: 'blocks', NAME: 'before' };
    if (store === undefined || !(await bench.prepare(program.backup, bench.dir, words))) {
      bench.results.row(SECTION.blocks, row).failed = true;
      continue;
    }
    rows.push({ row, program, store, before: storeBytes(store) });
  }
  if (!(await change())) return;
  for (const { row, program, store, before } of rows) {
    const words = { STORE: store, SOURCE: 'blocks', NAME: 'after' };
    const command = { script: program.backup, cwd: bench.dir, words };
    if (await bench.sample(SECTION.blocks, row, command)) {
      bench.results.figure(SECTION.blocks, row, storeBytes(store) - before, 'B');
    }
    bench.removeStore(store);
  }
}

export async function classicFilter(bench: Bench): Promise<void> {
  const dir = join(bench.dir, 'filtered');
  mkdirSync(dir);
  makeTextFile(join(dir, 'text'), bench.settings.sizes.filterBytes);
  const store = await bench.newStore(LBS);
  const words = { STORE: store ?? '', SOURCE: 'filtered' };
  const script = LBS.backup.replace('"$LBS"', `"$LBS" --filter='bzip2 -c'`);
  const usage = await bench.sample(SECTION.filter, LBS.name, { script, cwd: bench.dir, words });
  await bench.sample(SECTION.filter, 'tar | bzip2 -c, one core', {
    script: 'tar cf - filtered | bzip2 -c > filtered.bz2; sync filtered.bz2',
    cwd: bench.dir,
  });
  if (usage) {
    const used = usage.cpuS / usage.wallS / availableParallelism();
    bench.results.figure(SECTION.filter, ROW.cores, used, '');
  }
  if (store !== undefined) bench.removeStore(store);
  bench.remove(join(bench.dir, 'filtered.bz2'));
  bench.remove(dir);
}
