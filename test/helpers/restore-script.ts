/** Runs the restore.sh of the project on a store, as people do, with this machine's programs. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { PROJECT } from './run-lbs.ts';
import { isRoot, ORDINARY_USER } from './temp-dir.ts';

export const SCRIPT = join(PROJECT, 'recovery', 'restore.sh');

export type ScriptRun = { readonly code: number | null; readonly output: string };

export type ScriptOptions = {
  readonly env?: Readonly<Record<string, string>>;
  /** The shell and its options. */
  readonly shell?: readonly string[];
  readonly user?: 'ordinary';
};

/** Starts it in a process group of its own; the store is one that need not hold the script. */
export function startScript(
  store: string,
  args: readonly string[],
  { env = {}, shell = ['sh'], user }: ScriptOptions = {},
): { readonly child: ChildProcess; readonly done: Promise<ScriptRun> } {
  const [program = '', ...words] = shell;
  const child = spawn(program, [...words, SCRIPT, ...args], {
    detached: true,
    env: { PATH: process.env['PATH'], LBS_STORE: store, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(user === 'ordinary' && isRoot ? { uid: ORDINARY_USER, gid: ORDINARY_USER } : {}),
  });
  const parts: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (bytes: Buffer) => parts.push(bytes));
  }
  const done = new Promise<ScriptRun>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, output: Buffer.concat(parts).toString() }));
  });
  return { child, done };
}

export function runScript(
  store: string,
  args: readonly string[],
  options: ScriptOptions = {},
): Promise<ScriptRun> {
  return startScript(store, args, options).done;
}
