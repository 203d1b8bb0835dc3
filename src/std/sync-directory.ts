/** Makes the names in a directory durable. */
import { closeSync, constants, fsyncSync, openSync } from 'node:fs';
import { errnoName } from '../errors.ts';

/** @throws what fsync(2) says, but where the filesystem cannot sync directories, as some on networks */
export function syncDirectory(path: string): void {
  const fd = openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
  try {
    fsyncSync(fd);
  } catch (error) {
    if (errnoName(error) !== 'EINVAL') throw error;
  } finally {
    closeSync(fd);
  }
}
