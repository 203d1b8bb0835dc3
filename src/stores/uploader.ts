/**
 * Handing files to an upload script: the contract, and what both generations of the protocol have
 * in common. Used by upload-store. Protocol: lbs-backup(1), "UPLOAD SCRIPTS".
 *
 * Scripts run in sessions of their own, so that Ctrl-C leaves them to finish. Everything that is
 * opened here or elsewhere in the program is closed in them: a script of the old programs that got
 * the end of a filter's pipe kept that filter waiting for ever.
 */
import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import { LbsError } from '../errors.ts';
import { rememberGroup } from '../std/child-groups.ts';
import { withoutSecrets } from '../std/secret.ts';
import { shownCommand } from '../std/shown-command.ts';

/** What a file is to the store; scripts may make a directory of each. */
export type UploadType = 'segments' | 'checksums' | 'snapshots';

export type Upload = {
  readonly type: UploadType;
  /** Its name in the store. */
  readonly remote: string;
  /** Where it is on this machine. */
  readonly local: string;
};

export interface Uploader {
  /** Begins the work of a run. */
  begin(): void;
  /** Resolves when the script has said that the file is stored. @throws {LbsError} upload-failed */
  put(upload: Upload): Promise<void>;
  /** Waits for the script's own end. @throws {LbsError} upload-failed when it is not a good one */
  end(): Promise<void>;
  /** Ends it, well or not. Never throws. */
  close(): Promise<void>;
}

/** How a process ended. */
export type Ended = { readonly code: number | null; readonly signal: NodeJS.Signals | null };

export type Script = { readonly child: ChildProcess; readonly ended: Promise<Ended> };

/** How a shell ends whose command there is not. */
export const NOT_FOUND = 127;

/** Starts a shell command; `ended` never rejects. */
export function startScript(command: string, stdio: StdioOptions): Script {
  const child = spawn('/bin/sh', ['-c', command], {
    stdio,
    env: withoutSecrets(process.env),
    detached: true,
  });
  rememberGroup(child);
  const ended = new Promise<Ended>((resolve) => {
    // No such shell, or no more processes.
    child.once('error', () => resolve({ code: NOT_FOUND, signal: null }));
    // Not `close`: something it left behind may hold its output open for ever.
    child.once('exit', (code, signal) => resolve({ code, signal }));
  });
  return { child, ended };
}

/** `exited with 3`. */
export function endWords({ code, signal }: Ended): string {
  if (signal !== null) return `was killed by ${signal}`;
  return code === NOT_FOUND ? 'was not found' : `exited with ${code}`;
}

/** An error of the script. What it says itself is on standard error, where it was said. */
export function uploadFailed(command: string, what: string): LbsError {
  return new LbsError('upload-failed', `the upload script "${shownCommand(command)}" ${what}`, {
    hint: 'what it has stored is used by the next run of the same command; see lbs-backup(1), "UPLOAD SCRIPTS"',
  });
}
