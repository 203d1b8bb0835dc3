/**
 * One file from a store to another: written aside, read back, held against its checksum, and only
 * then given its name. Used by sync and heal.
 *
 * What is wrong with the file that is to be copied is a `CopyTrouble`, which costs that file only;
 * everything else that goes wrong is the destination's trouble, and ends the work.
 */
import { fsync, readSync, writeSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { promisify } from 'node:util';
import { LbsError, errnoName, messageOf } from '../errors.ts';
import { CHECKSUM_ALGORITHMS, type ChecksumAlgorithm } from '../format/checksum.ts';
import { isDamage } from '../metadata/metadata-objects.ts';
import { freeMemory } from '../std/free-memory.ts';
import { storeError } from '../stores/store-error.ts';
import type { StagedFile, Store } from '../stores/store.ts';
import { type Sums, digestOf } from './examine-file.ts';

const fsyncAsync = promisify(fsync);
const CHUNK_BYTES = 1024 * 1024;

/** Why one file, or one snapshot, cannot be copied; others can. */
export class CopyTrouble extends LbsError {}

export type CopyOptions = {
  /** What is known of the file's checksums; without any it is compared with its source. */
  readonly sums: Sums;
  /** Take the place of a file of that name. */
  readonly replaces?: boolean;
  readonly signal: AbortSignal | undefined;
  /** Told of bytes as they are written. @throws {LbsError} interrupted */
  readonly onBytes?: (bytes: number) => void;
};

/** The strongest checksum of those. */
function strongest(sums: Sums): ChecksumAlgorithm | undefined {
  return CHECKSUM_ALGORITHMS.findLast((algorithm) => sums[algorithm] !== undefined);
}

/**
 * Does what only reads, mostly the store that is copied from: damage becomes a `CopyTrouble`.
 * Signatures that are bad or missing do not.
 */
export async function ofSource<T>(read: () => T | Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (error instanceof LbsError) {
      if (!isDamage(error) || error.code.startsWith('signature-')) throw error;
      throw new CopyTrouble(error.code, error.message, { cause: error });
    }
    // A disk that fails under us.
    if (errnoName(error) === undefined) throw error;
    throw new CopyTrouble('io', messageOf(error), { cause: error });
  }
}

/**
 * Copies `name`; the bytes that were written.
 * @throws {LbsError} CopyTrouble when the source cannot be read or does not have its checksum; io
 * when the destination did not keep what was written; store-exists, store-unwritable, no-space,
 * interrupted. In all cases nothing is in place
 */
export async function copyFile(
  from: Store,
  to: Store,
  name: string,
  options: CopyOptions,
): Promise<number> {
  const { sums, replaces = false } = options;
  const source = await ofSource(() => from.open(name));
  try {
    const staged = to.stage(replaces ? name : undefined);
    try {
      const bytes = await copyBytes({ from, to, name, sourceFd: source.fd, staged }, options);
      await compare({ from, to, name, sourceFd: source.fd, staged }, sums);
      await (replaces ? staged.publishOver(name) : staged.publish(name));
      return bytes;
    } catch (error) {
      staged.discard();
      throw error;
    }
  } finally {
    source.close();
  }
}

type Copy = {
  readonly from: Store;
  readonly to: Store;
  readonly name: string;
  readonly sourceFd: number;
  readonly staged: StagedFile;
};

async function copyBytes(copy: Copy, { signal, onBytes }: CopyOptions): Promise<number> {
  const { to, name, sourceFd, staged } = copy;
  const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  try {
    for (let at = 0; ;) {
      refuseInterrupted(signal);
      const length = await ofSource(() => readSync(sourceFd, chunk, 0, CHUNK_BYTES, at));
      if (length === 0) return at;
      try {
        for (let done = 0; done < length;) {
          done += writeSync(staged.fd, chunk, done, length - done, at + done);
        }
      } catch (error) {
        throw storeError(to.place, `write ${name}`, error);
      }
      at += length;
      onBytes?.(length);
      await turn();
    }
  } finally {
    freeMemory(chunk);
  }
}

/** @throws {LbsError} interrupted */
export function refuseInterrupted(signal: AbortSignal | undefined): void {
  if (signal?.aborted !== true) return;
  throw new LbsError('interrupted', 'the copy was interrupted', {
    hint: 'what was copied is whole; the same command goes on from there',
  });
}

/** Looks at what has arrived, not at what was sent. */
async function compare(copy: Copy, sums: Sums): Promise<void> {
  const { from, to, name, sourceFd, staged } = copy;
  const algorithm = strongest(sums) ?? 'sha256';
  const recorded = sums[algorithm];
  try {
    const arrived = await digestOf(staged.fd, algorithm);
    if (arrived === recorded) return;
    const sent = await ofSource(() => digestOf(sourceFd, algorithm));
    if (arrived === sent && recorded === undefined) return;
    if (arrived === sent) throw notAsRecorded(from, name, algorithm);
  } catch (error) {
    throw storeError(to.place, `read back ${name}`, error);
  }
  throw new LbsError('io', `${name} is not in ${to.place} as it was written`, {
    hint: 'check that disk, and the memory of this machine; nothing was put in place',
  });
}

function notAsRecorded(from: Store, name: string, algorithm: ChecksumAlgorithm): CopyTrouble {
  const message = `${name} in ${from.place} does not have its recorded ${algorithm} checksum`;
  return new CopyTrouble('checksum-mismatch', message);
}

/** Reads `name` without copying it. @throws {LbsError} CopyTrouble when it is not as `sums` say */
export async function checkFile(from: Store, name: string, sums: Sums): Promise<void> {
  const algorithm = strongest(sums);
  if (algorithm === undefined) return;
  const digest = await ofSource(() => digestOfFile(from, name, algorithm));
  if (digest !== sums[algorithm]) throw notAsRecorded(from, name, algorithm);
}

/**
 * True when the file of that name is in `to` as it is to be, by its checksum or else by its source;
 * then it is durable, too, whoever wrote it.
 * @throws {LbsError} CopyTrouble when the source cannot be read
 */
export async function isThereAsRecorded(
  from: Store,
  to: Store,
  name: string,
  sums: Sums,
): Promise<boolean> {
  const algorithm = strongest(sums) ?? 'sha256';
  const expected = sums[algorithm] ?? (await ofSource(() => digestOfFile(from, name, algorithm)));
  const file = to.open(name);
  try {
    if ((await digestOf(file.fd, algorithm)) !== expected) return false;
    await fsyncAsync(file.fd);
    return true;
  } catch (error) {
    // What cannot be read is not as it is to be.
    if (errnoName(error) === 'EIO') return false;
    throw storeError(to.place, `read ${name}`, error);
  } finally {
    file.close();
  }
}

async function digestOfFile(store: Store, name: string, algorithm: ChecksumAlgorithm) {
  const file = store.open(name);
  try {
    return await digestOf(file.fd, algorithm);
  } finally {
    file.close();
  }
}
