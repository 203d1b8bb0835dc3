/**
 * Opening one directory by handle. What is in it says posix/directory-names: all of it before the
 * first of its children is visited, so that entries made meanwhile cannot make the scan endless.
 */
import * as libc from '../../posix/libc.ts';
import { O } from '../../posix/libc.ts';

const FLAGS = O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.NONBLOCK;

/** Opens a directory in an open directory, not through a link. @throws {SystemError} */
export function openDirectory(dir: number, name: Buffer): number {
  const fd = libc.tryOpenAt(dir, name, FLAGS | O.NOATIME);
  // O_NOATIME is refused (EPERM) for directories of others; other errors fail again alike.
  return fd < 0 ? libc.openAt(dir, name, FLAGS) : fd;
}
