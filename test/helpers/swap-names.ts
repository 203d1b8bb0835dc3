/**
 * A program: exchanges names in a restore's target for links to what is outside, as fast as it can,
 * until it is told to stop; then prints how often.
 *
 *     node swap-names.ts STAND_INS TARGET PATH=LINK...
 *
 * Each PATH of TARGET changes places with a symlink to LINK in the directory STAND_INS, in one step
 * (renameat2 with RENAME_EXCHANGE), and back, so that there is no moment without one of them. It goes
 * by open directories itself, or it would exchange what is outside.
 */
import { closeSync, constants, lstatSync, openSync, renameSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import koffi from 'koffi';

const RENAME_EXCHANGE = 2;
/** Exchanges of each name between two looks at what we are told. */
const ROUNDS_PER_TURN = 20;
const DIRECTORY = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

const renameat2 = koffi
  .load(null)
  .func('int renameat2(int from_dir, const char *from, int to_dir, const char *to, uint flags)');

const [, , standIns = '', target = '', ...swaps] = process.argv;
const standInsFd = openSync(standIns, DIRECTORY);
let rounds = 0;
let kept = 0;
let isStopped = false;
process.on('SIGTERM', () => {
  isStopped = true;
});

/** The restore puts things in the place of links: then what comes back is none, and is put away. */
function makeStandIn(name: string, link: string): void {
  const path = join(standIns, name);
  try {
    if (lstatSync(path).isSymbolicLink()) return;
    renameSync(path, join(standIns, `kept-${process.pid}-${kept++}`));
  } catch {
    // Not there yet.
  }
  symlinkSync(link, path);
}

function swap(name: string, path: string, link: string): void {
  const parts = path.split('/');
  const last = parts.pop() ?? '';
  const open = [openSync(target, DIRECTORY)];
  try {
    for (const part of parts) {
      open.push(openSync(`/proc/self/fd/${open.at(-1) ?? -1}/${part}`, DIRECTORY));
    }
    makeStandIn(name, link);
    for (let round = 0; round < ROUNDS_PER_TURN; round++) {
      const parent = open.at(-1) ?? -1;
      const result: unknown = renameat2(standInsFd, name, parent, last, RENAME_EXCHANGE);
      if (result === 0) rounds++;
    }
  } catch {
    // A directory above it is exchanged, or not there at the moment.
  } finally {
    for (const fd of open) closeSync(fd);
  }
}

function turn(): void {
  for (const [number, one] of swaps.entries()) {
    const [path = '', link = ''] = one.split('=');
    swap(String(number), path, link);
  }
  if (!isStopped) setImmediate(turn);
  else process.stdout.write(`${rounds}\n`);
}

turn();
