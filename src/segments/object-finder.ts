/**
 * Single objects of a segment, without reading all of it.
 *
 * Called by metadata-objects, which looks for a few of the thousand objects of a segment. The tar
 * text of our segments is compressed in frames that can be decompressed alone, and objects are in
 * the order of their numbers; so a frame tells by the first object that begins in it whether the
 * one looked for is before or after it, and how far. Objects of metadata are much of one size, so
 * the second or third frame looked at is the right one. Where anything is not as expected nothing
 * is found, and the caller reads the segment from its start.
 *
 * Invariant: what is found is what reading from the start finds, for a segment that follows the
 * format. A record in the middle of an object that looks like the header of another would have to
 * hold the random name of its own segment.
 */
import { readTarHeader, TAR_RECORD_BYTES, tarMemberBytes } from '../format/tar-header.ts';
import { freeMemory } from '../std/free-memory.ts';
import type { OpenFile } from '../stores/store.ts';
import { OBJECT_BYTES_MAX } from './tar-reader.ts';
import { type IndexedFrame, indexZstdFrames, readZstdFrame } from './zstd-index.ts';

/** Frames whose content is kept: a search comes back to the last ones. */
const KEPT_FRAMES = 3;
/** What an object of metadata takes in the tar file, for the first guess. */
const USUAL_MEMBER_BYTES = 66_500;

/** Where the data of an object begins in the tar text, and its length. */
type Place = { readonly at: number; readonly sizeBytes: number };

/** The part of the tar text that one frame holds. */
type Part = {
  readonly frame: IndexedFrame;
  readonly bytes: Buffer;
  /** Of the objects that begin here. */
  readonly places: ReadonlyMap<number, Place>;
  /** The first object that begins here; undefined when none does. */
  readonly first: number | undefined;
};

/** The first record of `bytes`, a multiple of 512, that is the header of an object of `prefix`. */
function firstHeader(bytes: Buffer, prefix: string): number | undefined {
  const start = Buffer.from(prefix, 'latin1');
  for (let at = bytes.indexOf(start); at >= 0; at = bytes.indexOf(start, at + 1)) {
    if (at % TAR_RECORD_BYTES !== 0 || at + TAR_RECORD_BYTES > bytes.length) continue;
    try {
      readTarHeader(bytes.subarray(at));
      return at;
    } catch {
      // Text of an object: its checksum is none.
    }
  }
  return undefined;
}

/** The objects that begin in `bytes`, which are the tar text from `textAt` on. */
function placesIn(bytes: Buffer, textAt: number, prefix: string): Map<number, Place> {
  const places = new Map<number, Place>();
  let at = firstHeader(bytes, prefix);
  while (at !== undefined && at + TAR_RECORD_BYTES <= bytes.length) {
    const header = readTarHeader(bytes.subarray(at));
    if (header === undefined || !header.name.startsWith(prefix)) break;
    const { sizeBytes } = header;
    const object = Number.parseInt(header.name.slice(prefix.length), 16);
    if (!places.has(object)) {
      places.set(object, { at: textAt + at + TAR_RECORD_BYTES, sizeBytes });
    }
    at += tarMemberBytes(sizeBytes);
  }
  return places;
}

export class ObjectFinder {
  readonly #prefix: string;
  readonly #file: OpenFile;
  readonly #frames: readonly IndexedFrame[];
  /** Numbers of the frames in which an object begins, or that were not looked at yet. */
  readonly #candidates: number[];
  /** First objects of the frames that were looked at, by their numbers. */
  readonly #firsts = new Map<number, number>([[0, 0]]);
  /** Parts by the number of the frame, the one used last at the end. */
  readonly #kept = new Map<number, Part>();

  private constructor(segment: string, file: OpenFile, frames: readonly IndexedFrame[]) {
    this.#prefix = `${segment}/`;
    this.#file = file;
    this.#frames = frames;
    this.#candidates = [...frames.keys()];
  }

  /**
   * A finder in `file`, a segment filtered by zstd, which it closes; undefined (and the file
   * closed) when its frames cannot be used alone.
   */
  static open(segment: string, file: OpenFile): ObjectFinder | undefined {
    let frames: IndexedFrame[] | undefined;
    try {
      frames = indexZstdFrames(file);
    } catch {
      // Whoever reads the segment from its start finds what is wrong.
    }
    const isUsable =
      frames !== undefined &&
      frames.length > 1 &&
      frames.every(({ contentAt }) => contentAt % TAR_RECORD_BYTES === 0);
    if (isUsable) return new ObjectFinder(segment, file, frames ?? []);
    file.close();
    return undefined;
  }

  /** The data of `object`, valid until the next call; undefined when it is not found. */
  async find(object: number): Promise<Buffer | undefined> {
    try {
      const part = await this.#partOf(object);
      const place = part?.places.get(object);
      if (part === undefined || place === undefined || place.sizeBytes > OBJECT_BYTES_MAX) {
        return undefined;
      }
      return await this.#bytesAt(place, part);
    } catch {
      // As above: damage is told by whoever reads from the start.
      return undefined;
    }
  }

  close(): void {
    for (const { bytes } of this.#kept.values()) freeMemory(bytes);
    this.#kept.clear();
    this.#file.close();
  }

  /** The part in which `object` begins, or would begin. */
  async #partOf(object: number): Promise<Part | undefined> {
    for (const [frame, { places }] of this.#kept) {
      if (places.has(object)) return await this.#part(frame);
    }
    for (;;) {
      const { low, high } = this.#bounds(object);
      const lowFrame = this.#candidates[low];
      if (lowFrame === undefined) return undefined;
      if (high - low <= 1) return await this.#part(lowFrame);
      const at = this.#guess(object, low, high);
      const frame = this.#candidates[at] ?? lowFrame;
      const part = await this.#part(frame);
      if (part.places.has(object)) return part;
      const { first } = part;
      if (first === undefined) this.#candidates.splice(at, 1);
      else this.#firsts.set(frame, first);
    }
  }

  /** Places in the candidates: of the last one known to be not after `object`, of one known to be. */
  #bounds(object: number): { low: number; high: number } {
    let low = 0;
    let high = this.#candidates.length;
    for (const [at, frame] of this.#candidates.entries()) {
      const first = this.#firsts.get(frame);
      if (first === undefined) continue;
      if (first <= object) low = at;
      else {
        high = at;
        break;
      }
    }
    return { low, high };
  }

  /** Where between `low` and `high`, both left out, `object` should be. */
  #guess(object: number, low: number, high: number): number {
    const [from, to] = [this.#frameAt(low), this.#frameAt(high)];
    const fromFirst = this.#firsts.get(this.#candidates[low] ?? 0) ?? 0;
    const toFirst = this.#firsts.get(this.#candidates[high] ?? -1);
    const memberBytes =
      from === undefined || to === undefined || toFirst === undefined || toFirst <= fromFirst
        ? USUAL_MEMBER_BYTES
        : (to.contentAt - from.contentAt) / (toFirst - fromFirst);
    const textAt = (from?.contentAt ?? 0) + (object - fromFirst) * memberBytes;
    let at = low + 1;
    while (at + 1 < high && (this.#frameAt(at + 1)?.contentAt ?? Infinity) <= textAt) at++;
    return at;
  }

  #frameAt(candidate: number): IndexedFrame | undefined {
    return this.#frames[this.#candidates[candidate] ?? -1];
  }

  async #part(number: number): Promise<Part> {
    const kept = this.#kept.get(number);
    if (kept !== undefined) {
      this.#kept.delete(number);
      this.#kept.set(number, kept);
      return kept;
    }
    const frame = this.#frames[number];
    if (frame === undefined) throw new RangeError(`there is no frame ${number}`);
    for (const [oldest, { bytes }] of this.#kept) {
      if (this.#kept.size < KEPT_FRAMES) break;
      this.#kept.delete(oldest);
      freeMemory(bytes);
    }
    const bytes = await readZstdFrame(this.#file, frame);
    const places = placesIn(bytes, frame.contentAt, this.#prefix);
    const [first] = places.keys();
    const part = { frame, bytes, places, first };
    this.#kept.set(number, part);
    return part;
  }

  /** The data at `place`, which begins in `part` and may go on in the parts after it. */
  async #bytesAt({ at, sizeBytes }: Place, part: Part): Promise<Buffer | undefined> {
    const start = at - part.frame.contentAt;
    if (start + sizeBytes <= part.bytes.length)
      return part.bytes.subarray(start, start + sizeBytes);
    const last = this.#frames.at(-1);
    if (last === undefined || at + sizeBytes > last.contentAt + last.contentBytes) return undefined;
    const data = Buffer.allocUnsafeSlow(sizeBytes);
    let filled = start < part.bytes.length ? part.bytes.copy(data, 0, start) : 0;
    for (let next = this.#frames.indexOf(part.frame) + 1; filled < sizeBytes; next++) {
      filled += (await this.#part(next)).bytes.copy(data, filled);
    }
    return data;
  }
}
