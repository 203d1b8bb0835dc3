/**
 * Commands that run in sessions of their own, so that Ctrl-C on the terminal does not reach them:
 * they are remembered, to be ended with us when somebody insists.
 */
import type { ChildProcess } from 'node:child_process';

const running = new Set<ChildProcess>();

/** Takes a child that was started `detached`. */
export function rememberGroup(child: ChildProcess): void {
  running.add(child);
  child.once('exit', () => running.delete(child));
  child.once('error', () => running.delete(child));
}

/** Ends every such command and what it started. */
export function endGroups(): void {
  for (const { pid } of running) {
    if (pid === undefined) continue;
    try {
      process.kill(-pid, 'SIGTERM');
    } catch {
      // It has ended by itself meanwhile.
    }
  }
}
