/**
 * One file from a store to another: written aside, read back, held against its checksum, and only
 * then given its name. Used by sync and heal.
 */
import { readSync, writeSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { LbsError } from '../errors.ts';
import { CHECKSUM_ALGORITHMS, type ChecksumAlgorithm } from '../format/checksum.ts';
import { storeError } from '../stores/store-error.ts';
import type { StagedFile, Store } from '../stores/store.ts';
import { type Sums, digestOf } from './examine-file.ts';

const CHUNK_BYTES = 1024 * 1024;

export type CopyOptions = {
  /** What is known of the file's checksums; without any it is compared with its source. */
  readonly sums: Sums;
  /** Take the place of a file of that name. */
  readonly replaces?: boolean;
  readonly signal: AbortSignal | undefined;
};

/** The strongest checksum of those. */
function strongest(sums: Sums): ChecksumAlgorithm | undefined {
  return CHECKSUM_ALGORITHMS.findLast((algorithm) => sums[algorithm] !== undefined);
}

/**
 * Copies `name`; the bytes that were written.
 * @throws {LbsError} checksum-mismatch when the source does not have what it should, or the
 * destination did not keep it: then nothing is in place; store-missing-file, store-exists, no-space,
 * io, interrupted
 */
export async function copyFile(
  from: Store,
  to: Store,
  name: string,
  options: CopyOptions,
): Promise<number> {
  const { sums, signal, replaces = false } = options;
  const source = from.open(name);
  try {
    const staged = to.stage();
    try {
      const bytes = await copyBytes(source.fd, staged, to, signal);
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

async function copyBytes(
  fd: number,
  staged: StagedFile,
  to: Store,
  signal: AbortSignal | undefined,
): Promise<number> {
  const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  for (let at = 0; ;) {
    if (signal?.aborted === true) {
      throw new LbsError('interrupted', 'the copy was interrupted', {
        hint: 'what was copied is whole; the same command goes on from there',
      });
    }
    const length = readSync(fd, chunk, 0, CHUNK_BYTES, at);
    if (length === 0) return at;
    try {
      for (let done = 0; done < length;) {
        done += writeSync(staged.fd, chunk, done, length - done, at + done);
      }
    } catch (error) {
      throw storeError(to.place, 'copy a file', error);
    }
    at += length;
    await turn();
  }
}

type Copy = {
  readonly from: Store;
  readonly to: Store;
  readonly name: string;
  readonly sourceFd: number;
  readonly staged: StagedFile;
};

/** Looks at what has arrived, not at what was sent. */
async function compare(copy: Copy, sums: Sums): Promise<void> {
  const { from, to, name, sourceFd, staged } = copy;
  const algorithm = strongest(sums) ?? 'sha256';
  const arrived = await digestOf(staged.fd, algorithm);
  const recorded = sums[algorithm];
  if (arrived === recorded) return;
  const sent = await digestOf(sourceFd, algorithm);
  if (arrived !== sent) {
    throw new LbsError('io', `${name} is not in ${to.place} as it was written`, {
      hint: 'check that disk; nothing was put in place',
    });
  }
  if (recorded === undefined) return;
  const message = `${name} in ${from.place} does not have its recorded ${algorithm} checksum`;
  throw new LbsError('checksum-mismatch', message);
}
