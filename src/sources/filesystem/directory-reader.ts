/**
 * Opening one directory by handle. What is in it says posix/directory-names: all of it before the
 * first of its children is visited, so that entries made meanwhile cannot make the scan endless.
 */
import { errnoName } from '../../errors.ts';
import * as libc from '../../posix/libc.ts';
import { O } from '../../posix/libc.ts';

const FLAGS = O.RDONLY | O.DIRECTORY | O.NOFOLLOW | O.NONBLOCK;

/** Opens a directory in an open directory, not through a link. @throws {SystemError} */
export function openDirectory(dir: number, name: Buffer): number {
  const fd = libc.tryOpenAt(dir, name, FLAGS | O.NOATIME);
  // O_NOATIME is refused (EPERM) for directories of others; other errors fail again alike.
  return fd < 0 ? libc.openAt(dir, name, FLAGS) : fd;
}

/**
 * The same for a directory of which only some names matter that are known: it need not be readable, as
 * a `/home` of mode 711 is not, only be passed through. @throws {SystemError}
 */
export function openToPass(dir: number, name: Buffer): number {
  try {
    return openDirectory(dir, name);
  } catch (error) {
    if (errnoName(error) !== 'EACCES') throw error;
    return libc.openAt(dir, name, O.PATH | O.DIRECTORY | O.NOFOLLOW);
  }
}

/** Opens the directory at the end of `names`, below `top`; none of them is a link. @throws {SystemError} */
export function openStepByStep(top: Buffer, names: readonly Buffer[]): number {
  let fd = openToPass(libc.AT_FDCWD, top);
  for (const name of names) {
    const above = fd;
    try {
      fd = openToPass(above, name);
    } finally {
      libc.close(above);
    }
  }
  return fd;
}
