/**
 * What dump and the archives that it can write (tar-archive, zip-archive) agree on, and the way
 * of bytes out of them.
 */
import type { Entry } from '../format/entry.ts';
import type { SliceDialect } from '../format/reference.ts';
import type { ObjectReader } from '../segments/object-reader.ts';

/** What an archive is made from, and whom it tells. */
export type ArchiveSource = {
  readonly objects: ObjectReader;
  readonly dialect: SliceDialect;
  /** Something of the entry is not in the archive, for which that has no form. */
  readonly warn: (entry: Entry, code: ArchiveWarningCode, message: string) => void;
  /** The entry is missing or wrong in the archive, because the store is damaged. */
  readonly damage: (entry: Entry, message: string) => void;
};

export type ArchiveWarningCode = 'unsupported-type' | 'unsupported-name';

export type Archive = {
  /**
   * Writes an entry under `path`, which is checked, and empty for the top; false when it was left
   * out. Damage that is thrown was met before anything was written.
   */
  add(entry: Entry, path: Buffer): Promise<boolean>;
  /** Writes what ends the archive. */
  end(): Promise<void>;
  close(): void;
};

/** Takes bytes that are valid until it resolves; false when nobody wants any more. */
export type Write = (bytes: Buffer) => Promise<boolean>;

/** What entries without recorded permissions get. */
export const DIRECTORY_MODE = 0o755;
export const OTHER_MODE = 0o644;

/** Small writes to a pipe cost more than copying. */
const STAGED_BYTES = 256 * 1024;

/** Thrown inside when no more can be written; without a cause because the reader has gone. */
export class OutputEnded extends Error {}

/** Gathers small pieces. */
export class StagedOutput {
  readonly #write: Write;
  readonly #staged = Buffer.allocUnsafeSlow(STAGED_BYTES);
  #filled = 0;
  #passedBytes = 0;

  constructor(write: Write) {
    this.#write = write;
  }

  /** Bytes that were put so far. */
  get bytes(): number {
    return this.#passedBytes + this.#filled;
  }

  /** Takes a copy, or waits until all is written. @throws {OutputEnded} */
  async put(bytes: Buffer): Promise<void> {
    if (this.#filled + bytes.length > STAGED_BYTES) await this.flush();
    if (bytes.length > STAGED_BYTES) await this.#pass(bytes);
    else this.#filled += bytes.copy(this.#staged, this.#filled);
  }

  /** Passes on what is held back. @throws {OutputEnded} */
  async flush(): Promise<void> {
    const filled = this.#filled;
    this.#filled = 0;
    if (filled > 0) await this.#pass(this.#staged.subarray(0, filled));
  }

  async #pass(bytes: Buffer): Promise<void> {
    this.#passedBytes += bytes.length;
    let isWanted: boolean;
    try {
      isWanted = await this.#write(bytes);
    } catch (cause) {
      // Not to be taken for trouble with the store.
      throw new OutputEnded('the archive cannot be written', { cause });
    }
    if (!isWanted) throw new OutputEnded('nobody reads the archive any more');
  }
}
