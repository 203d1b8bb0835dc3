/** Snapshots at chosen times, of a tree whose own times are set: output that is known to the byte. */
import { spawnSync } from 'node:child_process';
import type { ExecutionContext } from 'ava';
import { backupOptions, type Places } from './places.ts';
import { lbsOk } from './run-lbs.ts';

/** 2001-09-09 01:46:40 UTC. */
export const OLD_S = 1_000_000_000;

/** Sets the time of change of everything in a tree, and of its top. */
export function setTimes(top: string, seconds = OLD_S): void {
  // By programs, since names need not be text.
  const touch = ['-exec', 'touch', '-h', '-d', `@${seconds}`, '{}', '+'];
  const { status, stderr } = spawnSync('find', [top, ...touch]);
  if (status !== 0) throw new Error(`cannot set times in ${top}: ${String(stderr)}`);
}

/** Saves the tree, with paths relative to it, when the clock says `time` (as in RFC 3339). */
export async function saveAt(
  t: ExecutionContext,
  at: Places,
  time: string,
  options: readonly string[] = [],
): Promise<void> {
  const env = { LBS_TEST_CLOCK_S: String(Date.parse(time) / 1000) };
  await lbsOk(t, [...backupOptions(at), ...options, '.'], { cwd: at.tree, env });
}
