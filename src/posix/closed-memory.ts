/**
 * Closes the memory of this process to everybody but root: no core file is made of it, and other
 * processes of the same user can neither look into it nor read its /proc/PID/environ, which keeps
 * for ever what the program was started with.
 *
 * Called by main when a passphrase or a secret key is used. Programs that are started are not
 * closed: the system takes it back at `execve`.
 */
import koffi from 'koffi';

const prctl = koffi
  .load(null)
  .func('int prctl(int option, uint64_t a, uint64_t b, uint64_t c, uint64_t d)');

const PR_SET_DUMPABLE = 4;

/** A courtesy of the system: where it is refused the program is as open as others are. */
export function closeMemory(): void {
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}
