/** Arithmetic with ranges of bytes: holes, all-zero stretches, and what is outside of them. */
import type { ByteRange } from '../format/entry.ts';

/** The same bytes as sorted ranges that do not touch each other, none beyond `sizeBytes`. */
export function normaliseRanges(ranges: readonly ByteRange[], sizeBytes: number): ByteRange[] {
  const result: { start: number; length: number }[] = [];
  for (const { start, length } of ranges.toSorted((a, b) => a.start - b.start)) {
    const end = Math.min(start + length, sizeBytes);
    if (end <= start) continue;
    const last = result.at(-1);
    if (last && start <= last.start + last.length) {
      last.length = Math.max(last.length, end - last.start);
    } else result.push({ start, length: end - start });
  }
  return result;
}

/** Index of the first of `ranges` (normalised) that ends after `offset`. */
export function firstAfter(ranges: readonly ByteRange[], offset: number): number {
  let low = 0;
  let high = ranges.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    const range = ranges[middle];
    if (range && range.start + range.length <= offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** True when one of `ranges` (normalised) holds all of `start`..`end`. */
export function covers(ranges: readonly ByteRange[], start: number, end: number): boolean {
  const range = ranges[firstAfter(ranges, start)];
  return (
    start >= end ||
    (range !== undefined && range.start <= start && end <= range.start + range.length)
  );
}

/** The parts of one range that are outside (`inside: false`) or inside of `ranges`, in order. */
export function* partsOf(
  whole: ByteRange,
  ranges: readonly ByteRange[],
): Generator<ByteRange & { readonly inside: boolean }> {
  const end = whole.start + whole.length;
  let at = whole.start;
  for (let index = firstAfter(ranges, at); at < end; index++) {
    const range = ranges[index];
    const start = Math.min(range?.start ?? end, end);
    if (start > at) yield { start: at, length: start - at, inside: false };
    at = Math.max(at, start);
    if (!range || at >= end) break;
    const stop = Math.min(range.start + range.length, end);
    yield { start: at, length: stop - at, inside: true };
    at = stop;
  }
}

/** How many bytes the ranges have together. */
export function totalLength(ranges: readonly ByteRange[]): number {
  return ranges.reduce((sum, { length }) => sum + length, 0);
}
