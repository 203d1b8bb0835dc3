/**
 * One file of the store, read from its start to its end: its checksums, and of a segment the size
 * and SHA-256 of each object in it.
 *
 * Needs nothing of the metadata, so it runs in any thread at any time, and what it finds out is the
 * same whatever refers to the objects, and how often. Called by examine-files.ts and its helper.
 */
import { createHash, hash } from 'node:crypto';
import { readSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { type ErrorCode, LbsError, messageOf } from '../errors.ts';
import { CHECKSUM_ALGORITHMS, type ChecksumAlgorithm } from '../format/checksum.ts';
import { isDamage } from '../metadata/metadata-objects.ts';
import { objectsOf } from '../segments/segment-source.ts';
import type { Reading } from '../segments/unfilter.ts';
import { freeMemory } from '../std/free-memory.ts';
import { GrowingBytes } from '../std/growing-bytes.ts';

const READ_BYTES = 1024 * 1024;
/** Reads between two turns of the event loop. */
const TURN_READS = 8;

/** What the checksums files say of one file. */
export type Sums = Partial<Record<ChecksumAlgorithm, string>>;

/** The strongest first. */
const ALGORITHMS = CHECKSUM_ALGORITHMS.toReversed();

/** What is to be known of the objects of a segment. */
export type Inside = 'nothing' | 'sizes' | 'digests';

export type ExamineOrder = {
  readonly fileName: string;
  /** Open until the file is examined; descriptors are common to all threads. */
  readonly fd: number;
  readonly sizeBytes: number;
  readonly sums: Sums;
  /** The segment that the file holds; undefined when nobody wants to know of its objects. */
  readonly segment: string | undefined;
  /** What is wanted when the checksums match, and when they do not. */
  readonly inside: Inside;
  readonly insideDamaged: Inside;
};

/** Size of an object (4 bytes, little-endian), and its SHA-256. */
export const RECORD_BYTES = { sizes: 4, digests: 36 } as const;

/** What is in a segment: all objects before the damage, if there is any. */
export type ObjectList = {
  readonly kind: keyof typeof RECORD_BYTES;
  /** Numbers of the objects, when they are not 0, 1, 2 and so on. */
  readonly numbers: Float64Array<ArrayBuffer> | undefined;
  readonly records: Uint8Array<ArrayBuffer>;
  readonly error: { code: ErrorCode; message: string; hint: string | undefined } | undefined;
};

export type Examined = {
  /** What is wrong with the file, by its checksums. */
  readonly trouble: string | undefined;
  readonly objects: ObjectList | undefined;
};

export type ExamineOptions = {
  readonly reading: Reading;
  readonly signal: AbortSignal | undefined;
};

/** @throws {LbsError} interrupted; what is wrong with the file is told in the result */
export async function examineFile(order: ExamineOrder, options: ExamineOptions): Promise<Examined> {
  const trouble = await troubleWith(order);
  const inside = trouble === undefined ? order.inside : order.insideDamaged;
  const { segment } = order;
  if (segment === undefined || inside === 'nothing') return { trouble, objects: undefined };
  const objects = await objectsIn({ ...order, segment }, inside, options);
  // A damaged bit can make it look as if it were encrypted to another key.
  const isOfKey = trouble !== undefined && objects.error?.code === 'decryption-key';
  if (!isOfKey) return { trouble, objects };
  return { trouble, objects: { ...objects, error: { ...objects.error, code: 'segment-corrupt' } } };
}

/**
 * A weaker checksum is taken only where there is no stronger one, or that does not match. One that
 * matches says that these are the bytes that were stored, of which all were taken, and the lists
 * themselves are held against the descriptor: so the SHA-1 could tell nothing else of the file.
 */
async function troubleWith({ fd, sums }: ExamineOrder): Promise<string | undefined> {
  const wrong: string[] = [];
  try {
    for (const algorithm of ALGORITHMS) {
      if (sums[algorithm] === undefined) continue;
      if ((await digestOf(fd, algorithm)) !== sums[algorithm]) wrong.unshift(`its ${algorithm}`);
      else if (wrong.length === 0) return undefined;
    }
  } catch (error) {
    return `cannot be read: ${messageOf(error)}`;
  }
  if (wrong.length === 0) return undefined;
  return `${wrong.join(' and ')} checksum ${wrong.length === 1 ? 'does' : 'do'} not match`;
}

/**
 * The digest of an open file, from its start, in hex; where it is read from next stays as it is.
 * Synchronous, since to hand each MiB to another thread and back costs more than to wait for it; but
 * with a turn of the event loop now and then.
 */
export async function digestOf(fd: number, algorithm: ChecksumAlgorithm): Promise<string> {
  const digest = createHash(algorithm);
  const chunk = Buffer.allocUnsafeSlow(READ_BYTES);
  for (let position = 0, untilTurn = TURN_READS; ; untilTurn--) {
    const bytesRead = readSync(fd, chunk, 0, READ_BYTES, position);
    if (bytesRead === 0) break;
    digest.update(chunk.subarray(0, bytesRead));
    position += bytesRead;
    if (untilTurn > 0) continue;
    untilTurn = TURN_READS;
    await turn();
  }
  freeMemory(chunk);
  await turn();
  return digest.digest('hex');
}

async function objectsIn(
  { segment, fileName, fd, sizeBytes }: ExamineOrder & { segment: string },
  kind: keyof typeof RECORD_BYTES,
  options: ExamineOptions,
): Promise<ObjectList> {
  const records = new GrowingBytes(RECORD_BYTES[kind] * 1024);
  const numbers: number[] = [];
  const size = Buffer.alloc(RECORD_BYTES.sizes);
  let error: ObjectList['error'];
  try {
    const file = { fd, sizeBytes, close: () => undefined };
    for await (const batch of objectsOf(file, { segment, fileName, ...options })) {
      for (const { object, data } of batch) {
        numbers.push(object);
        size.writeUInt32LE(data.length);
        records.addBytes(size);
        if (kind === 'digests') records.addBytes(hash('sha256', data, 'buffer'));
      }
    }
  } catch (thrown) {
    if (!(thrown instanceof LbsError) || thrown.code === 'interrupted') throw thrown;
    error = { code: thrown.code, message: messageOf(thrown), hint: thrown.hint };
  }
  const isPlain = numbers.every((number, at) => number === at);
  const ownRecords = new Uint8Array(records.bytes);
  freeMemory(records.bytes);
  return {
    kind,
    numbers: isPlain ? undefined : Float64Array.from(numbers),
    records: ownRecords,
    error,
  };
}

/** The error of an object list. @throws {LbsError} when it is none of damage: filter-missing */
export function damageOf({ error }: ObjectList): LbsError | undefined {
  if (error === undefined) return undefined;
  const { code, message, hint } = error;
  const damage = new LbsError(code, message, hint === undefined ? {} : { hint });
  if (!isDamage(damage)) throw damage;
  return damage;
}
