/**
 * A store that lives for years: LBS_SOAK_NIGHTS nights (five years unless said) of backup, forget,
 * clean and gc of a changing tree, and of compact once a month. Prints its figures: `make test-soak`.
 */
import test from 'ava';
import { bytesIn, type Night, Soak } from '../helpers/soak.ts';

const NIGHTS = Number(process.env['LBS_SOAK_NIGHTS'] ?? 1800);
/** With compacting once a month; without it 1.6 after 300 nights of such a tree. */
const SIZE_RATIO_MAX = 1.25;
const TIME_RATIO_MAX = 1.3;
/** Of what the program remembers. */
const GROWTH_MAX = 1.25;

test('years of nights: snapshots restore, and neither store, database nor time grows', async (t) => {
  const soak = new Soak(t);
  for (let night = 1; night <= NIGHTS; night++) {
    await soak.live();
    if (night % 100 === 0) t.log(`${night}: ${JSON.stringify(soak.nights.at(-1))}`);
  }
  const kept = await soak.checkSnapshots();
  const ratio = bytesIn(soak.at.store) / (await soak.idealBytes());
  // Beside a young store of as large a tree, now: what else the machine does changes in an hour.
  const young = new Soak(t);
  for (let night = 1; night <= 25; night++) await young.live();
  const late = soak.middleCpuMs(NIGHTS - 10, NIGHTS);
  const own = late / soak.middleCpuMs(15, 25);
  const inProcess = late / young.middleCpuMs(15, 25);
  const byProgram = { old: 0, young: 0 };
  for (let night = 0; night < 9; night++) {
    byProgram.old += await soak.liveByProgram();
    byProgram.young += await young.liveByProgram();
  }
  const slower = byProgram.old / byProgram.young;
  t.log(`${kept} snapshots kept; ${ratio.toFixed(3)} times the ideal size`);
  t.log(`a night takes ${slower.toFixed(2)} times the processor time of a 20th one now`);
  t.log(
    `without starting the program ${inProcess.toFixed(2)}; beside its own 20th ${own.toFixed(2)}`,
  );
  t.true(ratio < SIZE_RATIO_MAX, `${ratio} times the ideal`);
  t.true(slower < TIME_RATIO_MAX, `${slower} times the time`);
  const [early, last] = [soak.nights[Math.min(99, NIGHTS >> 1)], soak.nights.at(-1)];
  const growthOf = (field: keyof Night) => (last?.[field] ?? 0) / (early?.[field] ?? 1);
  // The tree is of one size, and the store grows as long as the rules keep more of it each year.
  const growth = {
    statCache: growthOf('statCacheBytes'),
    localdb: growthOf('localdbBytes') / growthOf('storeBytes'),
  };
  t.log(
    `since night ${Math.min(100, (NIGHTS >> 1) + 1)}: ${JSON.stringify(growth)} (local database: beside that of the store)`,
  );
  for (const grown of Object.values(growth)) t.true(grown < GROWTH_MAX);
});
