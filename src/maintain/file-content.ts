/**
 * The content of one regular file of a snapshot, from its start to its end, checked.
 *
 * Called by cat and dump. Each block is compared with what its reference and the entry say of it
 * before it is given out, and the last one is given out only when the content as a whole is right:
 * so wrong content is never complete.
 */
import { createHash, hash, type Hash } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import { LbsError } from '../errors.ts';
import { type Entry, referencesOf } from '../format/entry.ts';
import { parseChecksum } from '../format/checksum.ts';
import { formatObjectName, type ObjectReference, type SliceDialect } from '../format/reference.ts';
import { ObjectCheck } from '../restore/content-handler.ts';
import { layoutOf } from '../restore/file-layout.ts';
import type { ObjectReader } from '../segments/object-reader.ts';

/** Zeros that are given out at once; long stretches of zeros are this very buffer, many times. */
export const ZEROS = Buffer.alloc(1024 * 1024);
/** Bytes between two turns of the event loop, so that an interrupt gets through. */
const BYTES_PER_TURN = 64 * 1024 * 1024;

/**
 * Pieces of the content of `entry` in order; each is valid until the next is asked for.
 * @throws {LbsError} segment-corrupt, checksum-mismatch, format-syntax, store-missing-file: the
 * content cannot be had as it was; interrupted
 */
export async function* contentOf(
  entry: Entry,
  dialect: SliceDialect,
  objects: ObjectReader,
): AsyncGenerator<Buffer> {
  const whole = new WholeCheck(entry);
  let left = entry.sizeBytes;
  let untilTurn = BYTES_PER_TURN;
  if (left === 0) whole.check();
  for await (const piece of piecesOf(entry, dialect, objects)) {
    untilTurn -= piece.length;
    if (untilTurn <= 0) {
      untilTurn = BYTES_PER_TURN;
      await turn();
      objects.checkSignal();
    }
    whole.update(piece);
    left -= piece.length;
    if (left === 0) whole.check();
    yield piece;
  }
}

async function* piecesOf(
  entry: Entry,
  dialect: SliceDialect,
  objects: ObjectReader,
): AsyncGenerator<Buffer> {
  const references = referencesOf(entry, dialect);
  const layout = layoutOf(references, entry.sizeBytes, entry.holes);
  for (const [at, { reference, length }] of layout.entries()) {
    if (length === 0) continue;
    if (reference.kind === 'zero') {
      yield* zeros(length);
      continue;
    }
    const data = await objects.read(reference.segment, reference.object);
    const start = reference.slice?.start ?? 0;
    const exact = reference.exactSize ?? (reference.slice === undefined ? length : null);
    const claim = { start, length, exact, checksum: reference.checksum ?? null };
    const wrong = new ObjectCheck(data).wrongWith(claim);
    if (wrong !== undefined) throw damaged(reference, wrong);
    const piece = data.subarray(start, start + length);
    // A single block is the whole, which is checked before it is given out.
    const digest = layout.length === 1 ? undefined : entry.blockSha256[at];
    if (digest !== undefined && hash('sha256', piece, 'hex') !== digest) {
      throw damaged(reference, 'its SHA-256 does not match');
    }
    yield piece;
  }
}

function* zeros(length: number): Generator<Buffer> {
  for (let left = length; left > 0; left -= ZEROS.length) {
    yield left < ZEROS.length ? ZEROS.subarray(0, left) : ZEROS;
  }
}

function damaged({ segment, object }: ObjectReference, why: string): LbsError {
  const name = formatObjectName(segment, object);
  return new LbsError('segment-corrupt', `object ${name}: ${why}`);
}

/** The checksum of the whole content, where one is recorded. */
class WholeCheck {
  readonly #hash: Hash | undefined;
  readonly #hex: string | undefined;

  /** @throws {LbsError} format-syntax when the recorded checksum is none */
  constructor({ sha256, checksum }: Entry) {
    const text = sha256 === undefined ? checksum : `sha256=${sha256}`;
    if (text === undefined) return;
    const { algorithm, hex } = parseChecksum(text);
    this.#hash = createHash(algorithm);
    this.#hex = hex;
  }

  update(piece: Buffer): void {
    this.#hash?.update(piece);
  }

  /** @throws {LbsError} checksum-mismatch */
  check(): void {
    if (this.#hash === undefined || this.#hash.digest('hex') === this.#hex) return;
    throw new LbsError('checksum-mismatch', 'its content does not have the recorded checksum');
  }
}
