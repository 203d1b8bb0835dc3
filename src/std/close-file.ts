/** The end of a file that nothing more is wanted of. */
import { closeSync } from 'node:fs';

/**
 * Closes a file when it no longer matters what the system says to that: where something failed
 * already, which an error from here would hide, or where all that counts was synced. A file is closed
 * even where closing it fails.
 */
export function closeAnyway(fd: number): void {
  try {
    closeSync(fd);
  } catch {
    // See above.
  }
}
