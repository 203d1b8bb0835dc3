/**
 * Directories with files on their way, which are of no use to anybody when this process is gone:
 * they are remembered, to be removed with us when somebody insists.
 */
import { rmSync } from 'node:fs';

const inUse = new Set<string>();

/** Takes a directory that only this process uses. */
export function rememberStaging(path: string): void {
  inUse.add(path);
}

/** Removes one of them with what is in it. Never throws: the next run tries again. */
export function removeStaging(path: string): void {
  inUse.delete(path);
  try {
    rmSync(path, { recursive: true, force: true });
  } catch {
    // Somebody else's file in it, or a disk that fails: nothing that this run needs.
  }
}

/** Removes all that are in use. */
export function removeStagings(): void {
  for (const path of inUse) removeStaging(path);
}
