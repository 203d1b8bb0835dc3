/**
 * Makes a directory and those above it that are missing. Node's own way never ends where a
 * filesystem says of a name that its directory is missing although it is there, as /proc does.
 */
import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';

const QUIETLY = { throwIfNoEntry: false } as const;

/** `mode` is that of directories that are made. @throws what mkdir(2) says */
export function makeDirectories(path: string, mode: number): void {
  const missing: string[] = [];
  for (let at = path; statSync(at, QUIETLY) === undefined;) {
    missing.push(at);
    const above = dirname(at);
    if (above === at) break;
    at = above;
  }
  for (const directory of missing.reverse()) {
    try {
      mkdirSync(directory, { mode });
    } catch (error) {
      // Somebody else was quicker.
      if (statSync(directory, QUIETLY)?.isDirectory() !== true) throw error;
    }
  }
}
