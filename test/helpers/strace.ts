/** Runs lbs under strace, which can stop, delay or kill it at a chosen system call. */
import { spawnSync } from 'node:child_process';

/** False where tracing is not allowed, as in some containers: then a test says that it left out. */
export const canTrace = spawnSync('strace', ['-o', '/dev/null', 'true']).status === 0;

/**
 * Words before the program: `fault` happens at the `nth` call of `name` in the main thread, which
 * makes all calls on names of a store. Faults: strace(1), "Tampering".
 */
export function withFault(name: string, fault: string, nth: number): string[] {
  const inject = `inject=${name}:${fault}:when=${nth}`;
  return ['strace', '-f', '-o', '/dev/null', '-e', `trace=${name}`, '-e', inject];
}

/** Words before the program that write each call of `name` to the file `log`. */
export function tracing(name: string, log: string): string[] {
  return ['strace', '-f', '-o', log, '-e', `trace=${name}`];
}
