/** Thousands of commands, without a process for each: see command-host.ts. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { MARK } from './command-host.ts';

export type Hosted = { readonly code: number; readonly stdout: string; readonly stderr: string };

/** Some read files of gigabytes, which are a hole; and the machine may be busy with other things. */
const HANGS_AFTER_MS = 240_000;
/** What commands leave in memory until it is collected is no fault of theirs. */
const COMMANDS_OF_ONE = 200;
const PEAK_BYTES_MAX = 800_000_000;
const END = new RegExp(`${MARK} (\\d+)\\n$`);

type Host = ChildProcessByStdio<Writable, Readable, Readable>;

/** Resolves with all that a stream brings up to the mark, and the code behind it. */
function untilMark(stream: Readable): Promise<{ text: string; code: number }> {
  return new Promise((resolve, reject) => {
    let text = '';
    const onData = (data: Buffer) => {
      text += data.toString('latin1');
      const end = END.exec(text.slice(-MARK.length - 8));
      if (end) settle(() => resolve({ text: text.slice(0, -end[0].length), code: Number(end[1]) }));
    };
    const onEnd = () =>
      settle(() => reject(new Error(`the process has ended: ${text.slice(-4000)}`)));
    const settle = (how: () => void) => {
      stream.off('data', onData);
      stream.off('close', onEnd);
      how();
    };
    stream.on('data', onData);
    stream.on('close', onEnd);
  });
}

export class HostedCommands {
  readonly #env: Readonly<Record<string, string>>;
  #host: Host | undefined;
  #left = 0;
  count = 0;

  constructor(env: Readonly<Record<string, string>>) {
    this.#env = env;
  }

  #start(): Host {
    const file = join(import.meta.dirname, 'command-host.ts');
    const args = ['--max-semi-space-size=4', file];
    this.#left = COMMANDS_OF_ONE;
    return spawn(process.execPath, args, {
      env: { ...this.#env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
  }

  /** Runs a command. @throws when it hangs, ends the process, or takes too much memory */
  async run(words: readonly string[]): Promise<Hosted> {
    if (this.#left-- === 0) this.close();
    const host = (this.#host ??= this.#start());
    this.count++;
    const timer = setTimeout(() => host.kill('SIGKILL'), HANGS_AFTER_MS);
    try {
      const said = Promise.all([untilMark(host.stdout), untilMark(host.stderr)]);
      host.stdin.write(`${JSON.stringify(words)}\n`);
      const [out, err] = await said;
      const status = readFileSync(`/proc/${host.pid}/status`, 'latin1');
      const peakBytes = 1024 * Number(/^VmHWM:\s+(\d+)/m.exec(status)?.[1]);
      if (peakBytes > PEAK_BYTES_MAX) throw new Error(`it took ${peakBytes} bytes`);
      return { code: out.code, stdout: out.text, stderr: err.text };
    } finally {
      clearTimeout(timer);
    }
  }

  close(): void {
    this.#host?.kill('SIGKILL');
    this.#host = undefined;
  }
}
