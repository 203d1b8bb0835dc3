/** The README's section on looking into snapshots: its commands are run, and say what it says. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { places, type Places } from '../helpers/places.ts';
import { pseudoRandom } from '../helpers/pseudo-random.ts';
import { cleanEnvironment, PROJECT } from '../helpers/run-lbs.ts';
import { makeFiles } from '../helpers/small-tree.ts';
import { saveAt } from '../helpers/timed-series.ts';

const README = readFileSync(join(PROJECT, 'README.md'), 'utf8');
const SECTION =
  /^## Looking into snapshots\n[^]*?^```console\n([^]*?)^```$/m.exec(README)?.[1] ?? '';

/** Commands and what they print. */
const STEPS = SECTION.split(/^\$ /m)
  .slice(1)
  .map((text) => {
    const end = text.indexOf('\n') + 1;
    return { command: text.slice(0, end - 1), output: text.slice(end) };
  });

function touch(at: Places, when: string, ...names: string[]): void {
  spawnSync('touch', ['-d', `${when} UTC`, ...names], { cwd: at.tree });
}

/** Writing into a directory changes its time, so that is set last. */
async function threeDays(t: ExecutionContext): Promise<Places> {
  const at = places(t);
  const ann = join(at.tree, 'home/ann');
  const lake = pseudoRandom('lake', 3_000_000);
  makeFiles(ann, { 'letters/bea': 'Dear Bea\n', 'pictures/lake.jpg': lake, list: 'milk\n' });
  touch(at, '2026-11-20 14:21:58', 'home/ann/letters/bea', 'home/ann/letters');
  touch(at, '2026-11-12 10:02:11', 'home/ann/pictures/lake.jpg', 'home/ann/pictures');
  touch(at, '2026-11-19 08:30:00', 'home/ann/list', 'home/ann', 'home', '.');
  await saveAt(t, at, '2026-11-20T14:22:04Z');
  writeFileSync(join(ann, 'letters/bea'), 'Dear Bea\nP.S.\n');
  touch(at, '2026-11-20 14:22:10', 'home/ann/letters/bea');
  await saveAt(t, at, '2026-11-20T14:22:11Z');
  renameSync(join(ann, 'pictures/lake.jpg'), join(ann, 'pictures/lake-2026.jpg'));
  rmSync(join(ann, 'list'));
  await saveAt(t, at, '2026-11-21T03:00:00Z');
  return at;
}

test('every command of the section prints what stands below it', async (t) => {
  const at = await threeDays(t);
  t.true(STEPS.length >= 7);
  const env = cleanEnvironment(t);
  env['PATH'] = `${join(PROJECT, 'bin')}:${env['PATH']}`;
  const cwd = join(at.base, 'work');
  mkdirSync(cwd);
  for (const { command, output } of STEPS) {
    const script = command.replaceAll('/mnt/backup', at.store);
    const run = spawnSync('/bin/sh', ['-c', script], { encoding: 'utf8', env, cwd });
    t.is(run.stdout, output, command);
    t.is(run.stderr, '', command);
  }
});
