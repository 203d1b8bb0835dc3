/**
 * Where in a file each of its references belongs. Called by the content plan; restore and verify
 * learn from it which stretches are zeros.
 *
 * A reference without slice does not say how long its object is. The family has always cut files
 * into blocks of exactly 1 MiB with a shorter last one, and stores anything else with slices, so
 * the places are known before any segment is read; the objects are checked against them then.
 * We cut at the edges of recorded holes too, and at multiples of 1 MiB of the file.
 */
import { LbsError } from '../errors.ts';
import type { ByteRange } from '../format/entry.ts';
import type { Reference } from '../format/reference.ts';
import { firstAfter, normaliseRanges } from './byte-ranges.ts';

/** Size of every block of a file but the last, in every program of the family. */
const BLOCK_BYTES = 1024 * 1024;

export type PlacedReference = {
  readonly reference: Reference;
  /** Where in the file its bytes begin. */
  readonly offset: number;
  readonly length: number;
};

function knownLength(reference: Reference): number | undefined {
  if (reference.kind === 'zero') return reference.length;
  return reference.slice?.length ?? reference.exactSize;
}

/** The length of a reference at `offset` of a file that was cut at the edges of `holes`. */
function lengthAmongHoles(offset: number, sizeBytes: number, holes: readonly ByteRange[]): number {
  const blockEnd = (Math.floor(offset / BLOCK_BYTES) + 1) * BLOCK_BYTES;
  const hole = holes[firstAfter(holes, offset)];
  return Math.min(blockEnd, sizeBytes, Math.max(hole?.start ?? sizeBytes, offset)) - offset;
}

function layoutAmongHoles(
  references: readonly Reference[],
  sizeBytes: number,
  holes: readonly ByteRange[],
): PlacedReference[] {
  let offset = 0;
  const placed = references.map((reference): PlacedReference => {
    const start = offset;
    const length = knownLength(reference) ?? lengthAmongHoles(start, sizeBytes, holes);
    offset += length;
    return { reference, offset: start, length };
  });
  if (offset !== sizeBytes) throw mismatch(sizeBytes);
  return placed;
}

/**
 * Places the references of a file of `sizeBytes`; `holes` are its recorded ones, if any.
 * @throws {LbsError} format-syntax when their sizes cannot add up to it
 */
export function layoutOf(
  references: readonly Reference[],
  sizeBytes: number,
  holes: readonly ByteRange[] = [],
): PlacedReference[] {
  if (holes.length > 0) {
    return layoutAmongHoles(references, sizeBytes, normaliseRanges(holes, sizeBytes));
  }
  const lengths = references.map(knownLength);
  const lastUnknown = lengths.lastIndexOf(undefined);
  let others = 0;
  lengths.forEach((length, at) => {
    if (at !== lastUnknown) others += length ?? BLOCK_BYTES;
  });
  const placed: PlacedReference[] = [];
  let offset = 0;
  references.forEach((reference, at) => {
    const length = at === lastUnknown ? sizeBytes - others : (lengths[at] ?? BLOCK_BYTES);
    placed.push({ reference, offset, length });
    offset += length;
    if (length < 0 || offset > sizeBytes) throw mismatch(sizeBytes);
  });
  if (offset !== sizeBytes) throw mismatch(sizeBytes);
  return placed;
}

function mismatch(sizeBytes: number): LbsError {
  const message = `the sizes of its blocks do not add up to its size of ${sizeBytes} bytes`;
  return new LbsError('format-syntax', message);
}
