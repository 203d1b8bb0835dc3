/** The one rule of `--overwrite`: for the plan, and again at the moment of replacing. */
import { type FileStatus, type Timespec, toNs } from '../posix/file-status.ts';
import type { Overwrite } from './restore-options.ts';

/**
 * True when what is there stays. `mtime` is the recorded time of what would take its place.
 * Whether contents are compared is not decided here.
 */
export function isKeptBy(
  overwrite: Overwrite,
  mtime: Timespec | undefined,
  status: FileStatus,
): boolean {
  if (overwrite === 'never') return true;
  if (overwrite !== 'if-newer' || mtime === undefined) return false;
  return toNs(status.mtime) >= toNs(mtime);
}
