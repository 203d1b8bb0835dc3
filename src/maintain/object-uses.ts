/**
 * Which snapshots use which objects: for each object its size, and the first and last snapshot.
 * A few bytes an object, since a store has millions of them.
 */
import { OBJECTS_PER_SEGMENT_MAX } from '../localdb/block-index.ts';

const NONE = 0xffffffff;
const FIRST_OBJECTS = 64;

type Objects = {
  readonly segment: string;
  /** Bytes; snapshot numbers, `NONE` for none. By number of the object. */
  sizes: Uint32Array;
  first: Uint32Array;
  last: Uint32Array;
};

/** Bytes in the store. */
export type SnapshotTotals = { whole: number; isNew: number; onlyHere: number };

export class ObjectUses {
  readonly #numbers = new Map<string, number>();
  readonly #segments: Objects[] = [];
  /** By snapshot: bytes of the objects it uses, by number of their segment. */
  readonly #whole: Map<number, number>[] = [];

  /** The number of an object; the largest size that is told of counts. */
  idOf(segment: string, object: number, bytes: number): number {
    let number = this.#numbers.get(segment);
    if (number === undefined) {
      number = this.#segments.length;
      this.#numbers.set(segment, number);
      this.#segments.push({ segment, ...emptyObjects(FIRST_OBJECTS) });
    }
    const objects = this.#segments[number];
    if (objects !== undefined) {
      if (object >= objects.sizes.length) grow(objects, object + 1);
      objects.sizes[object] = Math.max(objects.sizes[object] ?? 0, bytes);
    }
    return number * OBJECTS_PER_SEGMENT_MAX + object;
  }

  /** Snapshots are asked for in order: 0, 1, ... */
  use(id: number, snapshot: number): void {
    const object = id % OBJECTS_PER_SEGMENT_MAX;
    const number = (id - object) / OBJECTS_PER_SEGMENT_MAX;
    const objects = this.#segments[number];
    // The same content several times in one snapshot takes no more room.
    if (objects === undefined || objects.last[object] === snapshot) return;
    if (objects.first[object] === NONE) objects.first[object] = snapshot;
    objects.last[object] = snapshot;
    const whole = (this.#whole[snapshot] ??= new Map<number, number>());
    whole.set(number, (whole.get(number) ?? 0) + (objects.sizes[object] ?? 0));
  }

  /**
   * Sums by snapshot. `shareOf` says how many bytes of the store a byte of a segment takes, whose
   * known objects add up to `knownBytes`.
   */
  totals(
    snapshots: number,
    shareOf: (segment: string, knownBytes: number) => number,
  ): { snapshots: readonly SnapshotTotals[]; needed: number } {
    const totals = Array.from({ length: snapshots }, (): SnapshotTotals => ({
      whole: 0,
      isNew: 0,
      onlyHere: 0,
    }));
    const shares = this.#segments.map(({ segment, sizes }) =>
      shareOf(
        segment,
        sizes.reduce((sum, size) => sum + size, 0),
      ),
    );
    let needed = 0;
    for (const [number, { sizes, first, last }] of this.#segments.entries()) {
      for (let object = 0; object < sizes.length; object++) {
        const [from = NONE, to = NONE] = [first[object], last[object]];
        const total = totals[from];
        if (total === undefined) continue;
        const bytes = (sizes[object] ?? 0) * (shares[number] ?? 0);
        needed += bytes;
        total.isNew += bytes;
        if (from === to) total.onlyHere += bytes;
      }
    }
    for (const [snapshot, total] of totals.entries()) {
      for (const [number, bytes] of this.#whole[snapshot] ?? []) {
        total.whole += bytes * (shares[number] ?? 0);
      }
    }
    return { snapshots: totals, needed };
  }
}

function emptyObjects(length: number): Omit<Objects, 'segment'> {
  return {
    sizes: new Uint32Array(length),
    first: new Uint32Array(length).fill(NONE),
    last: new Uint32Array(length).fill(NONE),
  };
}

function grow(objects: Objects, length: number): void {
  const grown = emptyObjects(Math.max(length, 2 * objects.sizes.length));
  grown.sizes.set(objects.sizes);
  grown.first.set(objects.first);
  grown.last.set(objects.last);
  Object.assign(objects, grown);
}
