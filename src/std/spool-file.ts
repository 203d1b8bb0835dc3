/**
 * A place to keep bytes for a while without keeping them in memory: some MiB in memory, the rest
 * in a temporary file that has no name, so that nothing is left behind however the process ends.
 */
import { closeSync, existsSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { messageOf } from '../errors.ts';

export type SpoolOptions = {
  /** Directory for the file; default: $TMPDIR, else /var/tmp, as SQLite does it. */
  readonly tmpdir?: string | undefined;
  /** Bytes kept in memory before the file is used. */
  readonly memoryBytesMax?: number;
};

/** Where bytes were put. */
export type Spooled =
  | { readonly kind: 'memory'; readonly bytes: Buffer; readonly length: number }
  | { readonly kind: 'file'; readonly at: number; readonly length: number };

const MEMORY_BYTES_MAX = 32 * 1024 * 1024;

/** For large files: /tmp is memory on many machines. */
const LARGE_TMPDIR = '/var/tmp';

function defaultTmpdir(): string {
  const isUnset = (process.env['TMPDIR'] ?? '') === '';
  return isUnset && existsSync(LARGE_TMPDIR) ? LARGE_TMPDIR : tmpdir();
}

/**
 * What is kept aside cannot be. Not an `LbsError`: where damage of a store is told apart, this must not
 * pass for it.
 */
export class SpoolTrouble extends Error {
  constructor(tmpdir: string, cause: unknown) {
    super(`cannot keep temporary files in ${tmpdir}: ${messageOf(cause)}`, { cause });
    this.name = 'SpoolTrouble';
  }
}

export class SpoolFile {
  readonly #tmpdir: string;
  readonly #memoryBytesMax: number;
  #memoryBytes = 0;
  #fd: number | undefined;
  #end = 0;
  /** Bytes of the file in use; at 0 the file is written from its start again. */
  #liveBytes = 0;

  constructor(options: SpoolOptions = {}) {
    this.#tmpdir = options.tmpdir ?? defaultTmpdir();
    this.#memoryBytesMax = options.memoryBytesMax ?? MEMORY_BYTES_MAX;
  }

  /** True when `length` more bytes still fit in memory. */
  hasMemoryFor(length: number): boolean {
    return this.#memoryBytes + length <= this.#memoryBytesMax;
  }

  /** Size of the file. */
  get fileBytes(): number {
    return this.#end;
  }

  /** Keeps a copy of `data`. @throws {SpoolTrouble} */
  put(data: Buffer): Spooled {
    const { length } = data;
    if (this.hasMemoryFor(length)) {
      this.#memoryBytes += length;
      const bytes = Buffer.allocUnsafeSlow(length);
      data.copy(bytes);
      return { kind: 'memory', bytes, length };
    }
    const at = this.#end;
    try {
      this.#fd ??= this.#openUnnamed();
      for (let written = 0; written < length;) {
        written += writeSync(this.#fd, data, written, length - written, at + written);
      }
    } catch (error) {
      throw new SpoolTrouble(this.#tmpdir, error);
    }
    this.#end += length;
    this.#liveBytes += length;
    return { kind: 'file', at, length };
  }

  /** Bytes that were put; not to be changed, and gone after `release`. */
  get(spooled: Spooled, start = 0, length = spooled.length - start): Buffer {
    if (spooled.kind === 'memory') return spooled.bytes.subarray(start, start + length);
    const bytes = Buffer.allocUnsafe(length);
    for (let read = 0; read < length;) {
      const at = spooled.at + start + read;
      const got = readSync(this.#fd ?? -1, bytes, read, length - read, at);
      if (got === 0) throw new RangeError('read past the end of a spool file');
      read += got;
    }
    return bytes;
  }

  /** Gives up what was put. */
  release(spooled: Spooled): void {
    if (spooled.kind === 'memory') {
      this.#memoryBytes -= spooled.length;
      return;
    }
    this.#liveBytes -= spooled.length;
    if (this.#liveBytes === 0) this.#end = 0;
  }

  close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #openUnnamed(): number {
    const dir = mkdtempSync(join(this.#tmpdir, 'lbs-spool-'));
    try {
      return openSync(join(dir, 'spool'), 'wx+', 0o600);
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  }
}
