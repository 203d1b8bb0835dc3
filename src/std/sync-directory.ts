/** Makes the names in a directory durable. */
import { closeSync, constants, fsyncSync, openSync } from 'node:fs';
import { errnoName } from '../errors.ts';

/**
 * Of a directory that is open; `fd` is closed.
 * @throws what fsync(2) says, but where the filesystem cannot sync directories, as some on networks
 */
export function syncAndClose(fd: number): void {
  try {
    fsyncSync(fd);
  } catch (error) {
    if (errnoName(error) !== 'EINVAL') throw error;
  } finally {
    closeSync(fd);
  }
}

/** @throws as `syncAndClose`, and what open(2) says */
export function syncDirectory(path: string): void {
  syncAndClose(openSync(path, constants.O_RDONLY | constants.O_DIRECTORY));
}
