/** Directories of our own that are closed to us, and how they are opened up. Used by target-tree.ts. */
import { statusOf } from '../posix/file-status.ts';
import * as libc from '../posix/libc.ts';
import { O } from '../posix/libc.ts';

export const OWNER_ALL = 0o700;

/** chmod of exactly what `fd` is open on, O_PATH or not. */
export function chmodPinned(fd: number, mode: number): void {
  libc.chmodAt(libc.AT_FDCWD, libc.cString(`/proc/self/fd/${fd}`), mode);
}

/**
 * A directory that changes its place has to be writable itself; one of our own is made so while
 * `move` runs. False, with nothing done, when that is not what is in the way.
 */
export function moveOpenedUp(
  { dir, name }: { readonly dir: { readonly fd: number }; readonly name: Buffer },
  move: () => void,
): boolean {
  const fd = libc.tryOpenAt(dir.fd, name, O.PATH | O.NOFOLLOW);
  if (fd < 0) return false;
  try {
    const { type, mode, uid } = statusOf(fd);
    const own = process.geteuid?.();
    if (own === 0 || type !== 'd' || uid !== own || (mode & OWNER_ALL) === OWNER_ALL) return false;
    chmodPinned(fd, mode | OWNER_ALL);
    try {
      move();
    } finally {
      chmodPinned(fd, mode);
    }
    return true;
  } finally {
    libc.close(fd);
  }
}
