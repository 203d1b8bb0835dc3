/**
 * Power cuts in the middle of a command on filesystems as they are. One run of the command gives all
 * of them: at each call the device is copied, if it has written anything since the call before; then
 * each copy is mounted in the place of the disk, and must be as the crash matrix wants it.
 */
import { join } from 'node:path';
import { allProblems, type Prepared } from './crash-checks.ts';
import { runAt } from './crash-points.ts';
import { placesBelow } from './crash-worlds.ts';
import type { CutDisk } from './cut-disk.ts';
import { copyDirectory } from './durable-state.ts';

export type DiskResult = {
  /** Calls at which the power was cut, and at the end. */
  readonly cuts: number;
  /** In how many states the device was then. */
  readonly states: number;
  readonly problems: readonly string[];
};

type State = { readonly name: string; readonly isDone: boolean };

/** Runs the scenario on the disk; the states of the device on the way, and how many calls there were. */
async function statesOf(
  { scenario, world }: Prepared,
  disk: CutDisk,
): Promise<{ cuts: number; states: State[] }> {
  const base = join(disk.place, 'world');
  copyDirectory(world.model, base);
  disk.sync();
  const states: State[] = [];
  let seen = '';
  const keep = (name: string, isDone = false) => {
    const written = disk.written();
    if (written === seen && !isDone) return;
    seen = written;
    disk.keepAs(name);
    states.push({ name, isDone });
  };
  const run = await runAt(scenario, world, placesBelow(base), {
    before: () => 'watch',
    after: ({ number, name }) => {
      keep(`${number}-${name}`);
      return 'go';
    },
  });
  if (run.code !== 0) throw new Error(`${scenario.name}: ${run.code}: ${run.stderr}`);
  keep('end', true);
  await disk.unmount();
  return { cuts: run.calls.length + 1, states };
}

/** Cuts the power at every call of a scenario, on a disk that is new. */
export async function cutEverywhere(
  prepared: Prepared,
  disk: CutDisk,
  isWanted: (name: string) => boolean,
): Promise<DiskResult> {
  const { cuts, states } = await statesOf(prepared, disk);
  const problems: string[] = [];
  for (const { name, isDone } of states) {
    if (isWanted(name)) {
      disk.startWith(name);
      try {
        const at = placesBelow(join(disk.place, 'world'));
        const found = await allProblems(prepared, at, isDone);
        problems.push(...found.map((text) => `${prepared.scenario.name}:${name}: ${text}`));
      } finally {
        await disk.unmount();
      }
    }
    disk.drop(name);
  }
  return { cuts, states: states.length, problems };
}
