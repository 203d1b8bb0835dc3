/**
 * What is known of the objects of all segments that were examined: how long each is, and its
 * SHA-256. Asked by verify-contents for each reference of each file.
 *
 * 36 bytes for each object of the store (1,400,000 for 2,000,000 small files), some MiB of them in
 * memory and the rest in a file without a name.
 */
import { type LbsError, messageOf } from '../errors.ts';
import { freeMemory } from '../std/free-memory.ts';
import { type Spooled, SpoolFile } from '../std/spool-file.ts';
import { type ObjectList, RECORD_BYTES } from './examine-file.ts';

const MEMORY_BYTES_MAX = 8 * 1024 * 1024;
const SIZE_BYTES = RECORD_BYTES.sizes;
/** Read at once of what is in the file: references mostly come in the order of objects. */
const WINDOW_BYTES = 8 * 1024;

type Known = {
  readonly kind: ObjectList['kind'];
  readonly spooled: Spooled;
  /** Places of the records by object, where they are not in the order 0, 1, 2. */
  readonly places: ReadonlyMap<number, number> | undefined;
  /** Why other objects cannot be had. */
  readonly reason: string;
};

/** An object as it is; without digest where only the sizes were wanted. */
export type ObjectFact = { readonly sizeBytes: number; readonly sha256: string | undefined };

export class SegmentFacts {
  readonly #spool = new SpoolFile({ memoryBytesMax: MEMORY_BYTES_MAX });
  readonly #segments = new Map<string, Known>();
  /** What was read last of the file: `bytes` of `known`, from `start` of its records on. */
  #window: { known: Known; start: number; bytes: Buffer } | undefined;

  /** Notes what is in a segment, of which `damage` made the rest unreadable; empties `objects`. */
  add(segment: string, objects: ObjectList, damage: LbsError | undefined): void {
    const { kind, numbers, records } = objects;
    let places: Map<number, number> | undefined;
    if (numbers !== undefined) {
      places = new Map();
      // Of two objects of one number the first counts, as for a restore.
      for (const [place, number] of numbers.entries()) {
        if (!places.has(number)) places.set(number, place);
      }
    }
    const spooled = this.#spool.put(Buffer.from(records.buffer));
    freeMemory(records);
    this.#segments.set(segment, {
      kind,
      spooled,
      places,
      reason: damage === undefined ? 'the segment does not hold it' : messageOf(damage),
    });
  }

  has(segment: string): boolean {
    return this.#segments.has(segment);
  }

  /**
   * What is known of an object; or why it cannot be had; undefined when nobody looked into its
   * segment.
   */
  find(segment: string, object: number): ObjectFact | string | undefined {
    const known = this.#segments.get(segment);
    if (known === undefined) return undefined;
    const bytes = RECORD_BYTES[known.kind];
    const place = known.places === undefined ? object : known.places.get(object);
    if (place === undefined || (place + 1) * bytes > known.spooled.length) return known.reason;
    const { from, at } = this.#recordAt(known, place * bytes, bytes);
    return {
      sizeBytes: from.readUInt32LE(at),
      sha256: bytes > SIZE_BYTES ? from.toString('hex', at + SIZE_BYTES, at + bytes) : undefined,
    };
  }

  /** The bytes that hold the record at `start`, and where. */
  #recordAt(known: Known, start: number, length: number): { from: Buffer; at: number } {
    const { spooled } = known;
    if (spooled.kind === 'memory') return { from: spooled.bytes, at: start };
    let window = this.#window;
    const isIn =
      window !== undefined &&
      window.known === known &&
      start >= window.start &&
      start + length <= window.start + window.bytes.length;
    if (window === undefined || !isIn) {
      const windowBytes = Math.min(WINDOW_BYTES, spooled.length - start);
      window = { known, start, bytes: this.#spool.get(spooled, start, windowBytes) };
      this.#window = window;
    }
    return { from: window.bytes, at: start - window.start };
  }

  close(): void {
    this.#segments.clear();
    this.#window = undefined;
    this.#spool.close();
  }
}
