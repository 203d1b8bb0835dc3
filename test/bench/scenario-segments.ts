/** A store of very many segments: what grows with their number, in time and in memory. */
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Bench } from './bench.ts';
import { ROW, SECTION } from './goals.ts';
import { makeRandomFiles } from './make-input.ts';
import { LBS } from './programs.ts';

/** The smallest that lbs takes, and files of which so many fill one. */
const SEGMENT_SIZE = '64k';
const FILE_BYTES = 66_000;
const FILES_PER_SEGMENT = 2;

const COMMANDS: readonly [string, string][] = [
  ['lbs backup, first', `"$LBS" --segment-size=${SEGMENT_SIZE} ${backupWords()}`],
  ['lbs backup, nothing changed', `"$LBS" ${backupWords()}`],
  ['lbs list', '"$LBS" list --store="$STORE"'],
  ['lbs ls', '"$LBS" ls -R --store="$STORE" latest > /dev/null'],
  ['lbs verify', '"$LBS" verify --store="$STORE"'],
  ['lbs verify --data', '"$LBS" verify --data --store="$STORE"'],
  ['lbs restore of one file', '"$LBS" restore --store="$STORE" latest "$TARGET" "$INSIDE"'],
  ['lbs restore', '"$LBS" restore --store="$STORE" latest "$TARGET"'],
];

function backupWords(): string {
  return '--dest="$STORE" --localdb="$STORE.local" "$SOURCE"';
}

/** Each command once: what is looked for are memory, and times that are out of all proportion. */
export async function manySegments(bench: Bench): Promise<void> {
  const section = SECTION.segments;
  const { segments } = bench.settings.sizes;
  const dir = join(bench.dir, 'many');
  bench.say(`${section}: making files for ${segments} segments`);
  makeRandomFiles(dir, segments * FILES_PER_SEGMENT, FILE_BYTES);
  bench.inputChanged();
  await bench.settle();
  const store = await bench.newStore(LBS);
  if (store === undefined) return;
  const target = join(bench.dir, 'restored', 'many');
  mkdirSync(target);
  const words = { STORE: store, SOURCE: 'many', TARGET: target, INSIDE: 'many/d0/file-7' };
  let peakMB = 0;
  for (const [name, script] of COMMANDS) {
    const usage = await bench.sample(section, name, { script, cwd: bench.dir, words });
    peakMB = Math.max(peakMB, usage?.peakMB ?? 0);
  }
  const made = readdirSync(store).filter((name) => name.includes('.tar')).length;
  bench.results.note(section, 'lbs backup, first', `${made} segments`);
  bench.results.figure(SECTION.memory, ROW.manySegments, peakMB, 'MB');
  bench.removeStore(store);
  bench.remove(target);
  bench.remove(dir);
}
