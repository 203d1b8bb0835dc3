/**
 * Blocks of segments that are not durable yet: equal content of one run is stored once, and their
 * rows are written when the segment is. Called by block-index.
 *
 * Kept in arrays of numbers, not as an object and a text for each block: they live for a second or
 * two, which is just long enough for the collector to move them twice, and it took a fifth of a
 * first backup of small files.
 */
import { LbsError } from '../errors.ts';

const DIGEST_BYTES = 32;
const FIRST_OBJECTS = 256;
/** Room for the object number beside the number of its segment; segment-writer allows 2^14. */
const OBJECTS_PER_SEGMENT_MAX = 2 ** 24;

export type BlockPlace = { readonly segment: string; readonly object: number };

export type PendingBlock = {
  /** Hex. */
  readonly sha256: string;
  readonly sizeBytes: number;
  /** When its content was first stored, if that was before. */
  readonly age: number | undefined;
};

/** The objects of one segment, in the order of their numbers. */
export class PendingSegment {
  readonly name: string;
  readonly slot: number;
  #digests = Buffer.alloc(FIRST_OBJECTS * DIGEST_BYTES);
  #sizes = new Float64Array(FIRST_OBJECTS);
  /** When content was first stored, for the few objects for which that was before. */
  readonly #ages = new Map<number, number>();
  #length = 0;

  constructor(name: string, slot: number) {
    this.name = name;
    this.slot = slot;
  }

  get length(): number {
    return this.#length;
  }

  get rawBytes(): number {
    return this.#sizes.subarray(0, this.#length).reduce((sum, size) => sum + size, 0);
  }

  /** SHA-256 of an object, valid until the next is added. */
  digest(object: number): Buffer {
    return this.#digests.subarray(object * DIGEST_BYTES, (object + 1) * DIGEST_BYTES);
  }

  sizeBytes(object: number): number {
    return this.#sizes[object] ?? 0;
  }

  age(object: number): number | undefined {
    return this.#ages.get(object);
  }

  add({ sha256, sizeBytes, age }: PendingBlock): void {
    if (this.#length === this.#sizes.length) this.#grow();
    this.#digests.write(sha256, this.#length * DIGEST_BYTES, DIGEST_BYTES, 'hex');
    this.#sizes[this.#length] = sizeBytes;
    if (age !== undefined) this.#ages.set(this.#length, age);
    this.#length++;
  }

  #grow(): void {
    this.#digests = Buffer.concat([this.#digests, Buffer.alloc(this.#digests.length)]);
    const sizes = new Float64Array(2 * this.#sizes.length);
    sizes.set(this.#sizes);
    this.#sizes = sizes;
  }
}

export class PendingBlocks {
  readonly #byName = new Map<string, PendingSegment>();
  readonly #bySlot: (PendingSegment | undefined)[] = [];
  /** From the key of a digest to slot and object number in one small number. */
  readonly #places = new Map<number, number>();

  /** `key` is that of the block's digest; objects of a segment come in order, from 0. */
  add(key: number, { segment: name, object }: BlockPlace, block: PendingBlock): void {
    const segment = this.#byName.get(name) ?? this.#begin(name);
    if (object !== segment.length || object >= OBJECTS_PER_SEGMENT_MAX) {
      throw new LbsError('internal', `object ${object} of a segment with ${segment.length}`);
    }
    segment.add(block);
    this.#places.set(key, segment.slot * OBJECTS_PER_SEGMENT_MAX + object);
  }

  #begin(name: string): PendingSegment {
    const free = this.#bySlot.indexOf(undefined);
    const segment = new PendingSegment(name, free < 0 ? this.#bySlot.length : free);
    this.#byName.set(name, segment);
    this.#bySlot[segment.slot] = segment;
    return segment;
  }

  /** Where that content is; of two whose keys are equal only the later one is found. */
  find(key: number, sha256: string, sizeBytes: number): BlockPlace | undefined {
    const place = this.#places.get(key);
    if (place === undefined) return undefined;
    const object = place % OBJECTS_PER_SEGMENT_MAX;
    const segment = this.#bySlot[(place - object) / OBJECTS_PER_SEGMENT_MAX];
    if (segment?.sizeBytes(object) !== sizeBytes) return undefined;
    if (segment.digest(object).toString('hex') !== sha256) return undefined;
    return { segment: segment.name, object };
  }

  /** The objects of a segment that is about to be remembered for good. */
  of(name: string): PendingSegment | undefined {
    return this.#byName.get(name);
  }

  /** Forgets a segment; `keyOf` gives the keys of its digests. */
  forget(segment: PendingSegment, keyOf: (digest: Buffer) => number): void {
    this.#byName.delete(segment.name);
    this.#bySlot[segment.slot] = undefined;
    for (let object = 0; object < segment.length; object++) {
      const key = keyOf(segment.digest(object));
      // Equal keys: the place may be that of a block in another segment by now.
      const place = segment.slot * OBJECTS_PER_SEGMENT_MAX + object;
      if (this.#places.get(key) === place) this.#places.delete(key);
    }
  }
}
