/**
 * Runs one command of a benchmark and says what it took. Processor time and memory come from
 * GNU time, which is itself so small that it does not show: a process started by Node directly
 * inherits Node's own peak as the start of its own. Only one command runs at any time.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export type Usage = {
  readonly wallS: number;
  /** User and system time of all processes of the command. */
  readonly cpuS: number;
  /** Peak of the largest single process. */
  readonly peakMB: number;
};

/** A command that did not exit with 0, with the end of what it said. */
export class CommandFailed extends Error {}

const SAID_CHARACTERS = 2000;
/** Of GNU time: seconds of user and of system time, KiB of the largest process. */
const FORMAT = '%U %S %M';

/** Variables of the person who runs the benchmark that must not reach the programs. */
const PRIVATE = /^(LBS|RESTIC|BORG|BUP|ZSTD|BZIP|XDG|TAR|MALLOC)_|^NODE_OPTIONS$|^BZIP2?$/;

export class Runner {
  readonly #dir: string;
  readonly #env: Record<string, string>;
  #running: ChildProcess | undefined;

  /** `dir` takes the outputs; `env` is added to a cleaned environment. */
  constructor(dir: string, env: Readonly<Record<string, string>>) {
    this.#dir = dir;
    this.#env = {};
    for (const [name, value] of Object.entries(process.env)) {
      if (value !== undefined && !PRIVATE.test(name)) this.#env[name] = value;
    }
    Object.assign(this.#env, env);
  }

  /** What the last command wrote to its standard output. */
  lastOutput(): string {
    return readFileSync(join(this.#dir, 'stdout'), 'utf8');
  }

  /**
   * Runs a bash script in `cwd` with `variables` and measures it. A pipeline fails when any part
   * of it does.
   * @throws {CommandFailed}
   */
  async run(
    script: string,
    cwd: string,
    variables: Readonly<Record<string, string>> = {},
  ): Promise<Usage> {
    const [times, stdout, stderr] = ['times', 'stdout', 'stderr'].map((name) =>
      join(this.#dir, name),
    ) as [string, string, string];
    const out = openSync(stdout, 'w');
    const err = openSync(stderr, 'w');
    const startMs = performance.now();
    const child = spawn(
      '/usr/bin/time',
      ['-q', '-f', FORMAT, '-o', times, 'bash', '-o', 'pipefail', '-c', script],
      // In a session of its own, so that an interruption reaches all of it.
      { cwd, env: { ...this.#env, ...variables }, stdio: ['ignore', out, err], detached: true },
    );
    this.#running = child;
    const status = await new Promise<string>((resolve, reject) => {
      child.on('error', reject);
      child.on('exit', (code, signal) => resolve(signal ?? String(code)));
    }).finally(() => {
      this.#running = undefined;
      closeSync(out);
      closeSync(err);
    });
    const wallS = (performance.now() - startMs) / 1000;
    if (status !== '0') {
      const said = readFileSync(stdout, 'utf8') + readFileSync(stderr, 'utf8');
      throw new CommandFailed(`exit ${status}: ${script.trim()}\n${said.slice(-SAID_CHARACTERS)}`);
    }
    return { wallS, ...parseTimes(readFileSync(times, 'utf8')) };
  }

  /** Ends what is running, with all its processes. */
  kill(): void {
    if (this.#running?.pid === undefined) return;
    try {
      process.kill(-this.#running.pid, 'SIGKILL');
    } catch {
      // It has ended meanwhile.
    }
  }
}

function parseTimes(text: string): { cpuS: number; peakMB: number } {
  const [user, system, peakKiB] = text.trim().split(' ').map(Number);
  if (user === undefined || system === undefined || peakKiB === undefined) {
    throw new Error(`unexpected output of /usr/bin/time: ${text}`);
  }
  return { cpuS: user + system, peakMB: (peakKiB * 1024) / 1e6 };
}
