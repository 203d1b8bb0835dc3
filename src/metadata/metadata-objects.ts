/**
 * The objects that a metadata log consists of, fetched segment by segment and kept.
 *
 * Called by the metadata log reader. Segments can only be read from their start, and a log that
 * grew over many snapshots hops between dozens of them; so the objects wanted are collected
 * first, every segment is read once for all of them, and they are kept in a spool (memory, then
 * an unnamed file). One instance may serve many snapshots of a store, which share most objects.
 */
import { type ErrorCode, LbsError, messageOf } from '../errors.ts';
import { checksumOf, parseChecksum } from '../format/checksum.ts';
import { formatObjectName, type ObjectReference } from '../format/reference.ts';
import type { SegmentSource } from '../segments/segment-source.ts';
import { SpoolFile, type Spooled } from '../std/spool-file.ts';
import { freeMemory } from '../std/free-memory.ts';

type Slot =
  | { readonly kind: 'kept'; readonly spooled: Spooled; checked: string | undefined }
  | { readonly kind: 'lost'; readonly reason: string };

/** Numbers of the objects wanted, by segment. */
export type WantedObjects = Map<string, Set<number>>;

export type MetadataObjectsOptions = {
  readonly tmpdir?: string | undefined;
  /** Bytes kept in memory before the file is used. */
  readonly memoryBytesMax?: number;
  readonly signal?: AbortSignal | undefined;
};

/** Errors that say nothing about the store's health: the run cannot go on after them. */
const NOT_DAMAGE: ReadonlySet<ErrorCode> = new Set([
  'filter-missing',
  'decryption-key',
  'interrupted',
  'internal',
]);

/** True for an error that means that (part of) a stored file is not as it was written. */
export function isDamage(error: unknown): boolean {
  return error instanceof LbsError && !NOT_DAMAGE.has(error.code);
}

/** Kept in memory; more goes to the file, which mostly stays in the system's cache. */
const MEMORY_BYTES_MAX = 8 * 1024 * 1024;

export class MetadataObjects {
  readonly #source: SegmentSource;
  readonly #signal: AbortSignal | undefined;
  readonly #spool: SpoolFile;
  readonly #slots = new Map<string, Map<number, Slot>>();

  constructor(source: SegmentSource, options: MetadataObjectsOptions = {}) {
    this.#source = source;
    this.#signal = options.signal;
    const { tmpdir, memoryBytesMax = MEMORY_BYTES_MAX } = options;
    this.#spool = new SpoolFile({ tmpdir, memoryBytesMax });
  }

  /** Bytes kept on disk. */
  get fileBytes(): number {
    return this.#spool.fileBytes;
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
    if (slots === undefined) this.#slots.set(segment, (slots = new Map()));
    let missing = wanted.size;
    let reason = 'the segment does not hold it';
    try {
      for await (const batch of this.#source.objects(segment, this.#signal)) {
        for (const { object, data } of batch) {
          if (slots.has(object)) continue;
          const isWanted = wanted.has(object);
          // What lies beside a wanted object is often wanted next, so it is kept while it is free.
          if (!isWanted && !this.#spool.hasMemoryFor(data.length)) continue;
          slots.set(object, { kind: 'kept', spooled: this.#spool.put(data), checked: undefined });
          if (isWanted) missing--;
        }
        if (missing === 0) return;
      }
    } catch (error) {
      if (!isDamage(error)) throw error;
      reason = messageOf(error);
    }
    for (const object of wanted) {
      if (!slots.has(object)) slots.set(object, { kind: 'lost', reason });
    }
  }

  /**
   * The bytes that `reference` means, its checksum and size checked; not to be changed.
   * @throws {LbsError} segment-corrupt, with what is wrong, when they cannot be had
   */
  get(reference: ObjectReference): Buffer {
    const { checksum, slice, exactSize } = reference;
    const slot = this.#slots.get(reference.segment)?.get(reference.object);
    if (slot === undefined) throw lost(reference, 'it was not read');
    if (slot.kind === 'lost') throw lost(reference, slot.reason);
    const { spooled } = slot;
    if (exactSize !== undefined && exactSize !== spooled.length) {
      throw lost(reference, `it has ${spooled.length} bytes instead of ${exactSize}`);
    }
    if (checksum !== undefined && checksum !== slot.checked) {
      const { algorithm, hex } = parseChecksum(checksum);
      if (checksumOf(algorithm, this.#spool.get(spooled)) !== `${algorithm}=${hex}`) {
        throw lost(reference, `its ${algorithm} checksum does not match`);
      }
      slot.checked = checksum;
    }
    const { start, length } = slice ?? { start: 0, length: spooled.length };
    if (start + length > spooled.length) {
      throw lost(reference, `bytes ${start}+${length} of its ${spooled.length} are asked for`);
    }
    return this.#spool.get(spooled, start, length);
  }

  close(): void {
    // Not left to the collector: a restore goes on to what needs the memory.
    for (const slots of this.#slots.values()) {
      for (const slot of slots.values()) {
        if (slot.kind === 'kept' && slot.spooled.kind === 'memory') freeMemory(slot.spooled.bytes);
      }
    }
    this.#slots.clear();
    this.#spool.close();
  }
}

function lost(reference: ObjectReference, reason: string): LbsError {
  const name = formatObjectName(reference.segment, reference.object);
  return new LbsError('segment-corrupt', `metadata object ${name}: ${reason}`);
}
