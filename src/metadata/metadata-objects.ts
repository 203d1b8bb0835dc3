/**
 * The objects that a metadata log consists of, fetched segment by segment and kept.
 *
 * Called by the metadata log reader. Most segments can only be read from their start, and a log
 * that grew over many snapshots hops between dozens of them; so the objects wanted are collected
 * first, every segment is read once for all of them, and they are kept in a spool (memory, then
 * an unnamed file). A few objects of a large segment are looked for without reading the rest.
 * One instance may serve many snapshots of a store, which share most objects.
 */
import { type ErrorCode, LbsError, messageOf } from '../errors.ts';
import { checksumOf, parseChecksum } from '../format/checksum.ts';
import { formatObjectName, type ObjectReference } from '../format/reference.ts';
import type { ObjectFinder } from '../segments/object-finder.ts';
import type { SegmentSource } from '../segments/segment-source.ts';
import { SpoolFile, type Spooled } from '../std/spool-file.ts';
import { freeMemory } from '../std/free-memory.ts';

type Slot =
  | { readonly kind: 'kept'; readonly spooled: Spooled; checked: string | undefined }
  | { readonly kind: 'lost'; readonly reason: string };

/** Objects of one segment, by their numbers. */
type Slots = Map<number, Slot>;

/** Numbers of the objects wanted, by segment. */
export type WantedObjects = Map<string, Set<number>>;

export type MetadataObjectsOptions = {
  readonly tmpdir?: string | undefined;
  /** Few objects are wanted, one after the other and here and there. */
  readonly isSearch?: boolean;
  readonly signal?: AbortSignal | undefined;
};

/** Errors that say nothing about the store's health: the run cannot go on after them. */
const NOT_DAMAGE: ReadonlySet<ErrorCode> = new Set([
  'filter-missing',
  'decryption-key',
  'format-version',
  'interrupted',
  'store-missing',
  'internal',
  // Of what is kept aside while reading.
  'no-space',
]);

/** True for an error that means that (part of) a stored file is not as it was written. */
export function isDamage(error: unknown): boolean {
  return error instanceof LbsError && !NOT_DAMAGE.has(error.code);
}

/**
 * An honest log comes to a fifth or a tenth behind the filter. A hostile one that unpacks to a
 * thousand times its size, or names its lists again and again, ends here.
 */
const TEXT_BYTES_FREE = 64 * 1024 * 1024;
const TEXT_PER_STORED_MAX = 256;

/** Adds up what is given out of each object: a log has each byte of an object once. */
export class GivenBytes {
  readonly #given = new Map<object, number>();

  /** False when that would be more than there is. */
  take(object: object, bytes: number, bytesMax: number): boolean {
    const given = (this.#given.get(object) ?? 0) + bytes;
    if (given > bytesMax) return false;
    this.#given.set(object, given);
    return true;
  }
}

/** Kept in memory; more goes to the file, which mostly stays in the system's cache. */
const MEMORY_BYTES_MAX = 8 * 1024 * 1024;

/** Bytes of a temporary file that a search may take for objects that it may not need. */
const SEARCH_FILE_BYTES_MAX = 512 * 1024 * 1024;
/** More objects of one segment are as fast, or faster, had by reading it from its start. */
const FIND_MAX = 64;
/** Segments that a search goes to and fro between; each costs some MiB. */
const FINDERS_MAX = 4;

export class MetadataObjects {
  readonly #source: SegmentSource;
  readonly #signal: AbortSignal | undefined;
  readonly #isSearch: boolean;
  readonly #spool: SpoolFile;
  readonly #slots = new Map<string, Slots>();
  #storedBytes = 0;
  #keptBytes = 0;
  /** By segment, the one used last at the end; undefined where there can be none. */
  readonly #finders = new Map<string, ObjectFinder | undefined>();

  constructor(source: SegmentSource, options: MetadataObjectsOptions = {}) {
    this.#source = source;
    this.#signal = options.signal;
    this.#isSearch = options.isSearch ?? false;
    this.#spool = new SpoolFile({ tmpdir: options.tmpdir, memoryBytesMax: MEMORY_BYTES_MAX });
  }

  /** Bytes kept on disk. */
  get fileBytes(): number {
    return this.#spool.fileBytes;
  }

  /** How much text an honest log can be that lies in the segments read so far. */
  get textBytesMax(): number {
    return TEXT_BYTES_FREE + this.#storedBytes * TEXT_PER_STORED_MAX;
  }

  /** Adds the object of `reference` to `wanted`, unless it is here or known to be lost. */
  want(reference: ObjectReference, wanted: WantedObjects): void {
    if (this.#slots.get(reference.segment)?.has(reference.object) === true) return;
    let objects = wanted.get(reference.segment);
    if (objects === undefined) wanted.set(reference.segment, (objects = new Set()));
    objects.add(reference.object);
  }

  /**
   * Reads each segment of `wanted` once. Objects that cannot be had are remembered as lost, with
   * the reason. @throws {LbsError} filter-missing, interrupted
   */
  async load(wanted: WantedObjects): Promise<void> {
    for (const [segment, objects] of wanted) await this.#loadSegment(segment, objects);
  }

  async #loadSegment(segment: string, wanted: ReadonlySet<number>): Promise<void> {
    let slots = this.#slots.get(segment);
    if (slots === undefined) {
      this.#slots.set(segment, (slots = new Map()));
      this.#storedBytes += this.#source.fileOf(segment)?.sizeBytes ?? 0;
    }
    let reason = 'the segment does not hold it';
    try {
      if (wanted.size <= FIND_MAX && (await this.#find(segment, wanted, slots))) return;
      if (await this.#read(segment, wanted, slots)) return;
    } catch (error) {
      if (!isDamage(error)) throw error;
      reason = messageOf(error);
    }
    for (const object of wanted) {
      if (!slots.has(object)) slots.set(object, { kind: 'lost', reason });
    }
  }

  /** Looks for the objects of `wanted` one by one; true when all are here. */
  async #find(segment: string, wanted: ReadonlySet<number>, slots: Slots): Promise<boolean> {
    const finder = this.#finder(segment);
    if (finder === undefined) return false;
    for (const object of [...wanted].sort((a, b) => a - b)) {
      const data = await finder.find(object);
      if (this.#signal?.aborted === true) {
        throw new LbsError('interrupted', 'interrupted while reading metadata');
      }
      if (data === undefined) return false;
      slots.set(object, this.#keep(data));
    }
    return true;
  }

  #finder(segment: string): ObjectFinder | undefined {
    const known = this.#finders.has(segment);
    const finder = known ? this.#finders.get(segment) : this.#source.finder(segment);
    this.#finders.delete(segment);
    for (const [oldest, other] of this.#finders) {
      if (this.#finders.size < FINDERS_MAX) break;
      this.#finders.delete(oldest);
      other?.close();
    }
    this.#finders.set(segment, finder);
    return finder;
  }

  /** Reads `segment` from its start until all of `wanted` are here; false when it has not all. */
  async #read(segment: string, wanted: ReadonlySet<number>, slots: Slots): Promise<boolean> {
    let missing = 0;
    for (const object of wanted) if (!slots.has(object)) missing++;
    for await (const batch of this.#source.objects(segment, this.#signal)) {
      for (const { object, data } of batch) {
        if (slots.has(object)) continue;
        const isWanted = wanted.has(object);
        if (!isWanted && !this.#hasRoomFor(data.length)) continue;
        slots.set(object, this.#keep(data));
        if (isWanted) missing--;
      }
      if (missing === 0 && !(this.#isSearch && this.#hasRoomFor(0))) return true;
    }
    return missing === 0;
  }

  /**
   * What lies beside a wanted object is often wanted next, so it is kept while it is free. A search
   * comes back to a segment a dozen times: it keeps all, so that the segment is read once.
   */
  #hasRoomFor(bytes: number): boolean {
    if (this.#spool.hasMemoryFor(bytes)) return true;
    return this.#isSearch && this.#spool.fileBytes < SEARCH_FILE_BYTES_MAX;
  }

  /** @throws {LbsError} segment-corrupt when there is more than a log can be */
  #keep(data: Buffer): Slot {
    this.#keptBytes += data.length;
    if (this.#keptBytes > this.textBytesMax) {
      throw new LbsError('segment-corrupt', 'its metadata unpacks to far more than it can be');
    }
    return { kind: 'kept', spooled: this.#spool.put(data), checked: undefined };
  }

  /**
   * Hands the bytes that `reference` means to `action`, their checksum and size checked, and with
   * `given` not more often than they are there. They are
   * valid during the call only: left to the collector, pieces of 64 KiB each once took 50 MB.
   * @throws {LbsError} segment-corrupt, with what is wrong, when they cannot be had
   */
  use<T>(reference: ObjectReference, action: (bytes: Buffer) => T, given?: GivenBytes): T {
    const { checksum, slice, exactSize } = reference;
    const slot = this.#slots.get(reference.segment)?.get(reference.object);
    if (slot === undefined) throw lost(reference, 'it was not read');
    if (slot.kind === 'lost') throw lost(reference, slot.reason);
    const { spooled } = slot;
    if (exactSize !== undefined && exactSize !== spooled.length) {
      throw lost(reference, `it has ${spooled.length} bytes instead of ${exactSize}`);
    }
    const { start, length } = slice ?? { start: 0, length: spooled.length };
    if (start + length > spooled.length) {
      throw lost(reference, `bytes ${start}+${length} of its ${spooled.length} are asked for`);
    }
    if (given?.take(slot, length, spooled.length) === false) {
      throw lost(reference, 'the metadata has it more than once');
    }
    const isChecked = checksum === undefined || checksum === slot.checked;
    const [from, bytes] = isChecked ? [start, length] : [0, spooled.length];
    const read = this.#spool.get(spooled, from, bytes);
    try {
      if (!isChecked) {
        const { algorithm, hex } = parseChecksum(checksum);
        if (checksumOf(algorithm, read) !== `${algorithm}=${hex}`) {
          throw lost(reference, `its ${algorithm} checksum does not match`);
        }
        slot.checked = checksum;
      }
      return action(read.subarray(start - from, start - from + length));
    } finally {
      if (spooled.kind === 'file') freeMemory(read);
    }
  }

  close(): void {
    // Not left to the collector: a restore goes on to what needs the memory.
    for (const slots of this.#slots.values()) {
      for (const slot of slots.values()) {
        if (slot.kind === 'kept' && slot.spooled.kind === 'memory') freeMemory(slot.spooled.bytes);
      }
    }
    this.#slots.clear();
    for (const finder of this.#finders.values()) finder?.close();
    this.#finders.clear();
    this.#spool.close();
  }
}

function lost(reference: ObjectReference, reason: string): LbsError {
  const name = formatObjectName(reference.segment, reference.object);
  return new LbsError('segment-corrupt', `metadata object ${name}: ${reason}`);
}
