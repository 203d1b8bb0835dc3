/** Runs lbs under strace, which can stop, delay or kill it at a chosen system call. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ExecutionContext } from 'ava';
import type { Run, RunningLbs } from './run-lbs.ts';
import { waitUntil } from './small-tree.ts';
import { tempDir } from './temp-dir.ts';

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

/** A run that stands still from the end of a chosen call on, until it is told to go on. */
export type Halt = {
  /** Words before the program, which needs a process group of its own. */
  readonly through: readonly string[];
  /** Resolves when it stands still. */
  readonly reached: () => Promise<void>;
  /** To where it stands still again, or its end. */
  readonly goOn: (running: RunningLbs) => void;
  /** Whatever else would make it stand still. */
  readonly toItsEnd: (running: RunningLbs) => Promise<Run>;
};

/**
 * Halts each thread at the end of its call of `name` with that number, or with such numbers as `3+`:
 * nothing after that call is done before the others have done what they are to do, however slow they are.
 */
export function haltAfter(t: ExecutionContext, name: string, numbers: number | string): Halt {
  const log = join(tempDir(t), 'calls');
  const inject = `inject=${name}:signal=SIGSTOP:when=${numbers}`;
  const goOn = ({ child }: RunningLbs) => {
    if (child.exitCode === null && child.signalCode === null) {
      process.kill(-(child.pid ?? 0), 'SIGCONT');
    }
  };
  return {
    through: [...tracing(name, log), '-e', inject],
    reached: () =>
      waitUntil(
        () => existsSync(log) && readFileSync(log, 'latin1').includes('stopped by SIGSTOP'),
        `the call of ${name}`,
      ),
    goOn,
    async toItsEnd(running) {
      let isEnded = false;
      const done = running.done.finally(() => (isEnded = true));
      for (; !isEnded; await Promise.race([done, sleep(20)])) goOn(running);
      return await done;
    },
  };
}
