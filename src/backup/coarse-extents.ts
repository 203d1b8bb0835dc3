/**
 * The data and holes of a file in no more stretches than its list of blocks has room for: where there
 * are more, the shorter holes are read as the zeros that they are. Called by store-content.
 */
import type { Extent, SourceContent } from '../sources/source.ts';

/** A hole and the data behind it take some 250 bytes of the list at most, of which there are 60 MiB. */
const HOLES_MAX = 64 * 1024;
/** Holes that are kept, the first size with which there are few enough. */
const HOLE_BYTES_MIN = [0, 64 * 1024, 1024 ** 2, 16 * 1024 ** 2, 256 * 1024 ** 2] as const;

/** What to read of `content`, and what not, in order. @throws {SourceTrouble} unreadable */
export function coarseExtents(content: SourceContent): Iterable<Extent> {
  if (content.isOneExtent()) return content.extents();
  const counts = HOLE_BYTES_MIN.map(() => 0);
  for (const { kind, length } of content.extents()) {
    if (kind === 'data') continue;
    for (const [at, min] of HOLE_BYTES_MIN.entries()) {
      if (length >= min) counts[at] = (counts[at] ?? 0) + 1;
    }
  }
  const fitting = counts.findIndex((count) => count <= HOLES_MAX);
  const min = HOLE_BYTES_MIN[fitting] ?? Infinity;
  return min === 0 ? content.extents() : withoutHolesBelow(min, content);
}

function* withoutHolesBelow(min: number, content: SourceContent): Generator<Extent> {
  let start = 0;
  let end = 0;
  for (const extent of content.extents()) {
    const isKept = extent.kind === 'hole' && extent.length >= min;
    if (isKept) {
      if (end > start) yield { kind: 'data', start, length: end - start };
      yield extent;
      start = extent.start + extent.length;
    }
    end = extent.start + extent.length;
  }
  if (end > start) yield { kind: 'data', start, length: end - start };
}
