/**
 * Which segments this snapshot refers to, and which of their objects; and whether an older
 * segment may be referred to at all: the local database knows it, the store still has its file
 * with the right size, and (object by object, where cleaning has touched it) it has not expired.
 */
import type { BlockIndex } from '../localdb/block-index.ts';
import type { CacheRecord } from '../localdb/stat-cache-record.ts';
import { RepeatedText } from '../std/byte-text.ts';
import type { StoreGroup } from '../stores/store-group.ts';
import {
  SEGMENT_NAME_CHARS,
  firstReference,
  isObjectReference,
  nextReference,
  objectNumber,
} from './content-references.ts';

type Use = {
  readonly id: number | undefined;
  readonly isUsable: boolean;
  readonly hasExpired: boolean;
  /** One bit per object, lowest first. */
  bits: Buffer;
  isUsed: boolean;
};

type UsedObject = { readonly use: Use; readonly object: number };

const FIRST_BITS_BYTES = 16;

/** A segment that the database offers but the store does not have as it should be. */
export type LostSegment = { readonly segment: string; readonly why: string };

export class SegmentUse {
  readonly #index: BlockIndex;
  readonly #stores: Pick<StoreGroup, 'whyLost'>;
  readonly #uses = new Map<string, Use>();
  readonly #lost: (lost: LostSegment) => void;
  /** Segments that are about to be collected. */
  readonly #condemned: ReadonlySet<string>;
  readonly #names = new RepeatedText();
  #last: { readonly name: string; readonly use: Use } | undefined;
  #record: CacheRecord | undefined;
  #content: readonly UsedObject[] = [];

  constructor(
    index: BlockIndex,
    stores: Pick<StoreGroup, 'whyLost'>,
    condemned: ReadonlySet<string>,
    lost: (lost: LostSegment) => void,
  ) {
    this.#index = index;
    this.#stores = stores;
    this.#condemned = condemned;
    this.#lost = lost;
  }

  /** True when new snapshots may refer to objects of `segment`. */
  isUsable(segment: string): boolean {
    return this.#of(segment).isUsable;
  }

  /** True when this very object may be referred to. */
  isObjectUsable(segment: string, object: number): boolean {
    return this.#mayRefer({ use: this.#of(segment), object });
  }

  #mayRefer({ use, object }: UsedObject): boolean {
    if (!use.isUsable) return false;
    return !use.hasExpired || use.id === undefined || this.#index.isUsable(use.id, object);
  }

  /** True when all objects that the content of `record` refers to may be referred to. */
  isContentUsable(record: CacheRecord): boolean {
    return this.#contentOf(record).every((used) => this.#mayRefer(used));
  }

  /** Marks all objects that the content of `record` refers to. */
  markContent(record: CacheRecord): void {
    for (const { use, object } of this.#contentOf(record)) setBit(use, object);
  }

  /** What the content refers to; asked for twice of each unchanged file. */
  #contentOf(record: CacheRecord): readonly UsedObject[] {
    if (this.#record === record) return this.#content;
    const { bytes } = record.group;
    const found: UsedObject[] = [];
    let at = firstReference(bytes, record.contentAt, record.contentEnd);
    for (; at >= 0; at = nextReference(bytes, at, record.contentEnd)) {
      if (!isObjectReference(bytes, at)) continue;
      found.push({ use: this.#named(bytes, at), object: objectNumber(bytes, at) });
    }
    this.#record = record;
    this.#content = found;
    return found;
  }

  /** A segment that this run is writing: always usable. */
  addNew(segment: string): void {
    if (this.#uses.has(segment)) return;
    const bits = noBits();
    this.#uses.set(segment, {
      id: undefined,
      isUsable: true,
      hasExpired: false,
      bits,
      isUsed: false,
    });
  }

  /** Marks an object as used by this snapshot. */
  mark(segment: string, object: number): void {
    setBit(this.#of(segment), object);
  }

  /** Names of all segments with a used object, in byte order. */
  usedSegments(): string[] {
    const names: string[] = [];
    for (const [name, use] of this.#uses) if (use.isUsed) names.push(name);
    return names.sort();
  }

  /** The bits of a segment's used objects, without trailing zero bytes. */
  usedObjects(segment: string): Buffer {
    const { bits } = this.#of(segment);
    let length = bits.length;
    while (length > 0 && bits[length - 1] === 0) length--;
    return bits.subarray(0, length);
  }

  /** The segment whose name begins at `at`; most often it is that of the time before. */
  #named(bytes: Buffer, at: number): Use {
    const name = this.#names.text(bytes, at, at + SEGMENT_NAME_CHARS);
    if (this.#last?.name !== name) this.#last = { name, use: this.#of(name) };
    return this.#last.use;
  }

  #of(segment: string): Use {
    let use = this.#uses.get(segment);
    if (use === undefined) this.#uses.set(segment, (use = this.#look(segment)));
    return use;
  }

  #look(segment: string): Use {
    const bits = noBits();
    const row = this.#index.segment(segment);
    if (row === undefined || this.#condemned.has(segment)) {
      return { id: undefined, isUsable: false, hasExpired: false, bits, isUsed: false };
    }
    const hasExpired = row.expired !== null || this.#index.hasExpired(row.id);
    const why = this.#stores.whyLost(row.file, row.stored_bytes);
    if (why !== undefined) this.#lost({ segment: row.file, why });
    const isUsable = row.expired === null && why === undefined;
    return { id: row.id, isUsable, hasExpired, bits, isUsed: false };
  }
}

/** Parts of larger pieces of memory: one of its own for each of 100,000 segments is 20 MB more. */
function noBits(): Buffer {
  return Buffer.allocUnsafe(FIRST_BITS_BYTES).fill(0);
}

function setBit(use: Use, object: number): void {
  const byte = object >> 3;
  if (byte >= use.bits.length) {
    const grown = Buffer.alloc(Math.max(byte + 1, use.bits.length * 2));
    use.bits.copy(grown);
    use.bits = grown;
  }
  use.bits[byte] = (use.bits[byte] ?? 0) | (1 << (object & 7));
  use.isUsed = true;
}
