/**
 * Which objects a snapshot uses, as rebuild and usage collect them: a bit for each object of its
 * segments, and the sum of the sizes of its files.
 *
 * What a stretch of metadata uses is the same in every snapshot that includes it, so it is read once,
 * however many do, and remembered as differences of numbers: mostly one byte an object.
 */
import { OBJECTS_PER_SEGMENT_MAX } from '../localdb/block-index.ts';
import type { IncludeMemory } from '../metadata/metadata-log-reader.ts';
import { GrowingBytes } from '../std/growing-bytes.ts';

/** What is remembered takes no more; beyond that, stretches are read once for each snapshot. */
const REMEMBERED_BYTES_MAX = 64 * 1024 * 1024;
const FIRST_BITS_BYTES = 16;

/** Numbers of objects: of a segment times OBJECTS_PER_SEGMENT_MAX, plus that of the object in it. */
export class ObjectBits {
  readonly #bits = new Map<number, Buffer>();

  add(id: number): void {
    const object = id % OBJECTS_PER_SEGMENT_MAX;
    const segment = (id - object) / OBJECTS_PER_SEGMENT_MAX;
    const byte = object >> 3;
    let bits = this.#bits.get(segment);
    if (bits === undefined || byte >= bits.length) {
      const grown = Buffer.alloc(Math.max(FIRST_BITS_BYTES, byte + 1, (bits?.length ?? 0) * 2));
      bits?.copy(grown);
      this.#bits.set(segment, (bits = grown));
    }
    bits[byte] = (bits[byte] ?? 0) | (1 << (object & 7));
  }

  /** A bit per object, lowest first and without zero bytes at the end, by number of the segment's row. */
  *segments(): Generator<[segment: number, objects: Buffer]> {
    for (const [segment, bits] of this.#bits) {
      let length = bits.length;
      while (length > 0 && bits[length - 1] === 0) length--;
      yield [segment, bits.subarray(0, length)];
    }
  }

  /** The objects of one segment, in order; undefined for none. */
  of(segment: number): Generator<number> | undefined {
    const bits = this.#bits.get(segment);
    return bits === undefined ? undefined : numbersIn(bits);
  }

  *ids(): Generator<number> {
    for (const [segment, bits] of this.segments()) {
      for (const object of numbersIn(bits)) yield segment * OBJECTS_PER_SEGMENT_MAX + object;
    }
  }
}

function* numbersIn(bits: Buffer): Generator<number> {
  for (let byte = 0; byte < bits.length; byte++) {
    for (let left = bits[byte] ?? 0, bit = 0; left !== 0; left >>= 1, bit++) {
      if ((left & 1) === 1) yield 8 * byte + bit;
    }
  }
}

/** Differences from one number to the next, 7 bits a byte, the lowest first; a sign below. */
function packed(ids: Iterable<number>): Buffer {
  const bytes = new GrowingBytes(256);
  const one = Buffer.alloc(1);
  let before = 0;
  for (const id of ids) {
    const difference = id - before;
    let rest = difference < 0 ? -2 * difference - 1 : 2 * difference;
    before = id;
    do {
      const low = rest % 128;
      rest = (rest - low) / 128;
      one[0] = rest > 0 ? low + 128 : low;
      bytes.addBytes(one);
    } while (rest > 0);
  }
  return Buffer.from(bytes.bytes);
}

function* unpacked(bytes: Buffer): Generator<number> {
  let id = 0;
  for (let at = 0; at < bytes.length;) {
    let value = 0;
    for (let scale = 1, more = true; more; scale *= 128) {
      const byte = bytes[at++] ?? 0;
      value += (byte % 128) * scale;
      more = byte >= 128;
    }
    id += value % 2 === 1 ? -(value + 1) / 2 : value / 2;
    yield id;
  }
}

/** What a stretch of metadata adds up to, whatever it uses. */
type Sums = {
  fileBytes: number;
  /** Of numbers that tell stanzas apart. */
  marks: number;
};

type OpenInclude = Sums & {
  readonly reference: string;
  readonly used: ObjectBits;
  isSpoilt: boolean;
};

function addSums(to: Sums, { fileBytes, marks }: Readonly<Sums>): void {
  to.fileBytes += fileBytes;
  to.marks = (to.marks + marks) % MARKS;
}

/** Marks are below this, and their sums are taken modulo it. */
export const MARKS = 2 ** 48;

export class UsesOfIncludes implements IncludeMemory {
  readonly #known = new Map<string, { readonly ids: Buffer } & Readonly<Sums>>();
  readonly #open: OpenInclude[] = [];
  /** What was played back in the present snapshot; a reader asks for a stretch more than once. */
  readonly #played = new Set<string>();
  #bytes = 0;
  /** By the present snapshot. */
  used = new ObjectBits();
  /** Sizes of the files of the present snapshot, those of known stretches included. */
  fileBytes = 0;
  /** Marks of the stanzas of the present snapshot. */
  marks = 0;

  /** Begins a snapshot. */
  begin(): void {
    this.used = new ObjectBits();
    this.fileBytes = 0;
    this.marks = 0;
    this.#open.length = 0;
    this.#played.clear();
  }

  addFile(sizeBytes: number): void {
    this.fileBytes += sizeBytes;
    for (const open of this.#open) open.fileBytes += sizeBytes;
  }

  addMark(marks: number): void {
    addSums(this, { fileBytes: 0, marks });
    for (const open of this.#open) addSums(open, { fileBytes: 0, marks });
  }

  use(id: number): void {
    this.used.add(id);
    for (const { used } of this.#open) used.add(id);
  }

  isKnown(reference: string): boolean {
    const known = this.#known.get(reference);
    if (known === undefined) return false;
    const isFirst = !this.#played.has(reference);
    this.#played.add(reference);
    // A reader asks before it comes to it, too; what surrounds it is remembered as having it then.
    if (!isFirst && this.#open.length === 0) return true;
    for (const id of unpacked(known.ids)) {
      if (isFirst) this.used.add(id);
      for (const { used } of this.#open) used.add(id);
    }
    if (isFirst) addSums(this, known);
    for (const open of this.#open) addSums(open, known);
    return true;
  }

  /** Something of what is being read could not be: it is not remembered. */
  spoil(): void {
    for (const open of this.#open) open.isSpoilt = true;
  }

  enter(reference: string): void {
    this.#open.push({ reference, used: new ObjectBits(), fileBytes: 0, marks: 0, isSpoilt: false });
  }

  leave(reference: string): void {
    const open = this.#open.pop();
    if (open?.reference !== reference || open.isSpoilt) return;
    const ids = packed(open.used.ids());
    if (this.#bytes + ids.length > REMEMBERED_BYTES_MAX) return;
    this.#bytes += ids.length;
    const { fileBytes, marks } = open;
    this.#known.set(reference, { ids, fileBytes, marks });
  }
}
