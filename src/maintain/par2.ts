/**
 * Runs par2(1) on files of a store, in a scratch directory of links to them, so that it writes
 * nothing into the store itself. Called by parity and heal.
 *
 * Invariant: par2 writes where the names in its files say, so it never gets files that have any
 * other names in them than those of segments of the set.
 */
import { type StdioOptions, spawn } from 'node:child_process';
import { hash } from 'node:crypto';
import { readdirSync, readFileSync, statSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { LbsError, messageOf } from '../errors.ts';
import { ScratchDirectory } from '../posix/scratch-directory.ts';
import { showText } from '../std/byte-path.ts';
import { rememberGroup } from '../std/child-groups.ts';
import { withoutSecrets } from '../std/secret.ts';
import type { OpenFile, Store } from '../stores/store.ts';
import { stagingError } from '../stores/store-error.ts';

const MEMORY_MB = 64;
const LAST_WORDS_BYTES = 4096;
/** A packet: 8 bytes of magic, its length, its MD5, what that is of: a set, its type and what it says. */
const LENGTH_OFFSET = 8;
const SUM_OFFSET = 16;
const SUMMED_OFFSET = 32;
const TYPE_OFFSET = 48;
/** Of one that describes a file: 56 bytes after its type comes the name. */
const FILE_PACKET = Buffer.from('PAR 2.0\0FileDesc', 'latin1');
const NAME_OFFSET = FILE_PACKET.length + 56;
/** Another way to give names, which par2 does not write by itself. */
const UNICODE_PACKET = Buffer.from('PAR 2.0\0UniFileN', 'latin1');
/** A file of 16 segments has some 40 MB; it is read whole. */
const FILE_BYTES_MAX = 1024 ** 3;

/** A directory that is gone when `close` was called. */
export class Par2Scratch {
  readonly #scratch = new ScratchDirectory('parity');
  readonly dir = this.#scratch.path;
  readonly #open: OpenFile[] = [];

  /** Makes a file of the store appear under its name. @throws {LbsError} store-missing-file, io */
  link(store: Store, name: string): void {
    const file = store.open(name);
    this.#open.push(file);
    try {
      symlinkSync(`/proc/self/fd/${file.fd}`, join(this.dir, name));
    } catch (error) {
      throw stagingError(this.dir, `make a link to ${name}`, error);
    }
  }

  /** What par2 has written. */
  written(): string[] {
    const entries = readdirSync(this.dir, { withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map(({ name }) => name);
  }

  /**
   * Runs par2 with `words`; its exit code and last words.
   * @throws {LbsError} filter-missing where there is no par2, interrupted
   */
  async run(
    words: readonly string[],
    signal: AbortSignal | undefined,
  ): Promise<{ readonly code: number; readonly lastWords: string }> {
    if (signal?.aborted === true) throw interrupted();
    const [verb = '', ...rest] = words;
    const args = [verb, '-q', '-q', `-m${MEMORY_MB}`, ...rest];
    return await new Promise((resolve, reject) => {
      const env = withoutSecrets(process.env);
      const stdio = this.#descriptors();
      const child = spawn('par2', args, { cwd: this.dir, env, stdio, detached: true });
      rememberGroup(child);
      const stop = () => child.kill('SIGTERM');
      signal?.addEventListener('abort', stop, { once: true });
      let said = Buffer.alloc(0);
      for (const stream of [child.stdout, child.stderr]) {
        stream?.on('data', (part: Buffer) => {
          said = Buffer.concat([said, part]).subarray(-LAST_WORDS_BYTES);
        });
      }
      child.once('error', (error) => {
        const message = `the program par2 cannot be run: ${messageOf(error)}`;
        const hint = 'install it, for example: apt-get install par2';
        reject(new LbsError('filter-missing', message, { cause: error, hint }));
      });
      child.once('close', (code) => {
        signal?.removeEventListener('abort', stop);
        if (signal?.aborted === true) return reject(interrupted());
        const lines = said.toString('utf8').trim().split('\n').slice(-2);
        resolve({ code: code ?? -1, lastWords: showText(lines.join(' / ')) });
      });
    });
  }

  /**
   * par2 has the files open under the same numbers as we, so that the links mean the same to both. By
   * our process number it could not follow them while our memory is closed (posix/closed-memory).
   */
  #descriptors(): StdioOptions {
    const open = new Set(this.#open.map(({ fd }) => fd));
    const rest = Array.from({ length: Math.max(0, ...open) - 2 }, (_, at) => at + 3);
    return ['ignore', 'pipe', 'pipe', ...rest.map((fd) => (open.has(fd) ? fd : 'ignore'))];
  }

  close(): void {
    for (const file of this.#open) file.close();
    this.#scratch.close();
  }
}

function interrupted(): LbsError {
  return new LbsError('interrupted', 'the work on parity was interrupted', {
    hint: 'the same command goes on',
  });
}

/**
 * True when a file of par2 names anything but `allowed`. It is looked for at every byte, as par2
 * does it; packets whose checksum does not match it leaves aside, as it does other damage.
 */
export function hasStrangeName(path: string, allowed: ReadonlySet<string>): boolean {
  if (statSync(path).size > FILE_BYTES_MAX) return true;
  const bytes = readFileSync(path);
  if (bytes.includes(UNICODE_PACKET)) return true;
  for (let at = bytes.indexOf(FILE_PACKET); at >= 0; at = bytes.indexOf(FILE_PACKET, at + 1)) {
    const start = at - TYPE_OFFSET;
    if (start < 0) continue;
    const length = Number(bytes.readBigUInt64LE(start + LENGTH_OFFSET));
    const end = start + length;
    if (end > bytes.length || length < TYPE_OFFSET + NAME_OFFSET) continue;
    const sum = hash('md5', bytes.subarray(start + SUMMED_OFFSET, end), 'hex');
    if (sum !== bytes.toString('hex', start + SUM_OFFSET, start + SUMMED_OFFSET)) continue;
    const name = bytes.toString('latin1', at + NAME_OFFSET, end).replace(/\0+$/, '');
    if (!allowed.has(name)) return true;
  }
  return false;
}
