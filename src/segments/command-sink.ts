/**
 * Filters a segment with a shell command.
 *
 * The tar bytes are gathered in an anonymous file in memory, which becomes the command's standard
 * input; its standard output is the staged file itself. So nothing passes through pipes of ours,
 * no plain text of an encrypted store touches a disk, several commands can run at once, and a
 * command that stops reading early hurts only itself.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  fstatSync,
  ftruncateSync,
  readSync,
  read as readCallback,
  writeSync,
} from 'node:fs';
import { promisify } from 'node:util';
import { LbsError, messageOf } from '../errors.ts';
import * as libc from '../posix/libc.ts';
import { showText } from '../std/byte-path.ts';
import type { Limiter } from '../std/limiter.ts';
import { rememberGroup } from '../std/child-groups.ts';
import { withoutSecrets } from '../std/secret.ts';
import { shownCommand, withoutCommand } from '../std/shown-command.ts';
import type { FilteredFile, FilterSink } from './filter-sink.ts';
import type { PiecePool } from './piece-pool.ts';

const read = promisify(readCallback);

/** How much of what a filter says last is quoted. */
const LAST_WORDS_BYTES = 4096;
/** How long after a filter's end its last words are waited for. */
const STDERR_GRACE_MS = 500;
const HASH_PIECE_BYTES = 1024 * 1024;
const PIPEFAIL_SHELL = '/bin/bash';
const SEEK_SET = 0;
const SEEK_CUR = 1;

/** What asks a process to stop, and means every process of a terminal or service. */
const STOP_SIGNALS: ReadonlySet<string> = new Set(['SIGINT', 'SIGTERM', 'SIGHUP']);
/** How a shell tells of a program that one of them ended. */
const STOP_CODES: ReadonlySet<number> = new Set([128 + 2, 128 + 15, 128 + 1]);

/** How a command ended. */
type Ended = {
  readonly code: number | null;
  readonly killedBy: string | null;
  readonly lastWords: Buffer;
};

function wasAskedToStop({ code, killedBy }: Ended): boolean {
  return killedBy === null ? STOP_CODES.has(code ?? 0) : STOP_SIGNALS.has(killedBy);
}

/** What filter commands of a run share. */
export type CommandContext = {
  readonly command: string;
  /** Commands that may run at once: one per core. */
  readonly running: Limiter;
  /** Encrypts what a command wrote; undefined where that is what is stored. */
  readonly encrypting: PiecePool | undefined;
  /** Part of the raw size that came out of earlier segments; a first guess before. */
  ratio: number;
};

export class CommandSink implements FilterSink {
  readonly #context: CommandContext;
  readonly #staged: number;
  /** What the command writes into: the staged file, or memory when that is encrypted first. */
  #out: number;
  #spool: number;
  #rawBytes = 0;

  constructor(context: CommandContext, out: number) {
    this.#context = context;
    this.#staged = out;
    this.#out = out;
    this.#spool = libc.memoryFile('lbs-segment');
  }

  write(bytes: Buffer): void {
    let at = 0;
    while (at < bytes.length) at += writeSync(this.#spool, bytes, at);
    this.#rawBytes += bytes.length;
  }

  estimatedBytes(): number {
    return this.#rawBytes * this.#context.ratio;
  }

  async finish(): Promise<FilteredFile> {
    const { running } = this.#context;
    await running.acquire();
    try {
      if (this.#context.encrypting) this.#out = libc.memoryFile('lbs-filtered');
      try {
        await this.#runToItsEnd();
        this.#checkConsumed();
      } finally {
        this.#closeSpool();
      }
      return await this.#finished(this.#context);
    } finally {
      if (this.#out !== this.#staged) libc.close(this.#out);
      this.#out = this.#staged;
      running.release();
    }
  }

  async #finished(context: CommandContext): Promise<FilteredFile> {
    const storedBytes = fstatSync(this.#out).size;
    if (storedBytes === 0) {
      throw new LbsError('filter-failed', `the filter "${this.#shown()}" wrote nothing`, {
        hint: 'it must copy its standard input, transformed, to its standard output; see lbs-filters(7)',
      });
    }
    context.ratio = storedBytes / Math.max(this.#rawBytes, 1);
    if (context.encrypting === undefined) return { ...(await digestsOf(this.#out)), storedBytes };
    return await encrypted(this.#out, this.#staged, context.encrypting);
  }

  /** The offset of its input is ours as well: whoever stopped reading early left it behind. */
  #checkConsumed(): void {
    const consumed = libc.seek(this.#spool, 0, SEEK_CUR);
    if (consumed === this.#rawBytes) return;
    throw new LbsError(
      'filter-failed',
      `the filter "${this.#shown()}" read ${consumed} of ${this.#rawBytes} bytes and said that all was well`,
      { hint: 'a filter must read its standard input to the end; see lbs-filters(7)' },
    );
  }

  #shown(): string {
    return shownCommand(this.#context.command);
  }

  /**
   * What asks this program to stop can hit a filter as well: Ctrl-C between its start and its
   * session of its own, or a service manager that signals every process. The answer is ours to
   * give, by finishing the segment; so the filter gets its input once more.
   */
  async #runToItsEnd(): Promise<void> {
    libc.seek(this.#spool, 0, SEEK_SET);
    const first = await this.#run();
    if (first.code === 0) return;
    if (!wasAskedToStop(first)) throw this.#failed(first);
    libc.seek(this.#spool, 0, SEEK_SET);
    ftruncateSync(this.#out, 0);
    libc.seek(this.#out, 0, SEEK_SET);
    const second = await this.#run();
    if (second.code !== 0) throw this.#failed(second);
  }

  async #run(): Promise<Ended> {
    // In a session of its own: Ctrl-C on the terminal is ours to answer.
    const [shell, ...args] = shellFor(this.#context.command);
    const child = spawn(shell, args, {
      stdio: [this.#spool, this.#out, 'pipe'],
      env: withoutSecrets(process.env),
      detached: true,
    });
    rememberGroup(child);
    let lastWords = Buffer.alloc(0);
    child.stderr?.on('data', (words: Buffer) => {
      lastWords = Buffer.concat([lastWords, words]).subarray(-LAST_WORDS_BYTES);
    });
    const [code, killedBy] = await new Promise<[number | null, NodeJS.Signals | null]>(
      (resolve, reject) => {
        child.on('error', reject);
        child.on('close', (...result) => resolve(result));
        // Something it left behind may hold its error output open for ever.
        child.on('exit', (...result) => setTimeout(() => resolve(result), STDERR_GRACE_MS).unref());
      },
    ).catch((error: unknown): never => {
      throw new LbsError('filter-failed', `cannot run the filter: ${messageOf(error)}`, {
        cause: error,
      });
    });
    return { code, killedBy, lastWords };
  }

  #failed({ code, killedBy, lastWords }: Ended): LbsError {
    const words = withoutCommand(lastWords.toString().trim(), this.#context.command);
    const said = showText(words.replaceAll('\n', '; '));
    const quoted = said === '' ? 'it said nothing' : `its last words: ${said}`;
    const command = this.#shown();
    if (code === 127) {
      return new LbsError('filter-missing', `the filter "${command}" was not found (${quoted})`, {
        hint: 'install that program, or choose another --filter; nothing was published',
      });
    }
    const how = killedBy === null ? `exited with ${code}` : `was killed by ${killedBy}`;
    return new LbsError('filter-failed', `the filter "${command}" ${how} (${quoted})`, {
      hint: 'no snapshot was made; what was stored before it failed is used by the next run',
    });
  }

  abort(): Promise<void> {
    this.#closeSpool();
    return Promise.resolve();
  }

  #closeSpool(): void {
    if (this.#spool >= 0) libc.close(this.#spool);
    this.#spool = -1;
  }
}

/**
 * The shell for a command. Of a pipeline sh tells only how the last program ended; where there is
 * a shell that fails with any of them, it is taken.
 */
function shellFor(command: string): [string, ...string[]] {
  const isPipeline = command.includes('|');
  return isPipeline && existsSync(PIPEFAIL_SHELL)
    ? [PIPEFAIL_SHELL, '-o', 'pipefail', '-c', command]
    : ['/bin/sh', '-c', command];
}

/** Encrypts what `from` holds into the staged file. */
async function encrypted(from: number, staged: number, pool: PiecePool): Promise<FilteredFile> {
  const file = pool.threadFile(staged);
  try {
    for (let at = 0; ;) {
      const piece = pool.take();
      const bytesRead = readSync(from, piece, 0, piece.length, at);
      at += bytesRead;
      if (bytesRead > 0) await pool.send(piece, bytesRead, file);
      else {
        pool.giveBack(piece);
        return await file.finish();
      }
    }
  } catch (error) {
    await file.abort();
    throw error;
  }
}

async function digestsOf(fd: number): Promise<{ sha1: Buffer; sha256: Buffer }> {
  const sha1 = createHash('sha1');
  const sha256 = createHash('sha256');
  const piece = Buffer.allocUnsafe(HASH_PIECE_BYTES);
  for (let at = 0; ;) {
    const { bytesRead } = await read(fd, piece, 0, piece.length, at);
    if (bytesRead === 0) return { sha1: sha1.digest(), sha256: sha256.digest() };
    sha1.update(piece.subarray(0, bytesRead));
    sha256.update(piece.subarray(0, bytesRead));
    at += bytesRead;
  }
}
