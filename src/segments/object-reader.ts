/**
 * Single objects of any segments, in any order, for who needs contents in the order of the metadata.
 *
 * Called by cat and dump. Files lie in segments much in the order of their names, each snapshot's in
 * its own segments; so a few segments are held open, and each goes on from where it was. Where the
 * frames of a segment can be had alone, its objects are looked for (object-finder). Any other is
 * read from its start as far as it is needed, and what was passed is kept in a file without a
 * name, so that it is read once however its objects are asked for: a snapshot of old stores can
 * hop between dozens of segments that take a second each to read. Memory stays flat.
 */
import { LbsError } from '../errors.ts';
import { formatObjectName } from '../format/reference.ts';
import { SpoolFile, type Spooled } from '../std/spool-file.ts';
import type { ObjectFinder } from './object-finder.ts';
import type { SegmentObject, SegmentSource } from './segment-source.ts';

/** Segments that are being read; each costs some MiB, and a process where a command unfilters it. */
const OPEN_SEGMENTS_MAX = 6;
/** Of all segments that were read to their end and are kept: in temporary files. */
const KEPT_BYTES_MAX = 2 * 1024 * 1024 * 1024;
/** The same, in memory: some 100 bytes each. */
const KEPT_OBJECTS_MAX = 300_000;
/** Of one segment, unfiltered; beyond it what was passed is forgotten, and read again if need be. */
const SPOOL_BYTES_MAX = 512 * 1024 * 1024;

export class ObjectReader {
  readonly #source: SegmentSource;
  readonly #signal: AbortSignal | undefined;
  /** The one used last at the end. */
  readonly #open = new Map<string, OpenedSegment>();

  constructor(source: SegmentSource, signal?: AbortSignal) {
    this.#source = source;
    this.#signal = signal;
  }

  /**
   * The data of an object, valid until the next call.
   * @throws {LbsError} segment-corrupt when the segment does not hold it; as `SegmentSource.objects`
   */
  async read(segment: string, object: number): Promise<Buffer> {
    this.checkSignal();
    const opened = await this.#opened(segment);
    const data = await opened.read(object);
    if (data !== undefined) return data;
    const name = formatObjectName(segment, object);
    throw new LbsError('segment-corrupt', `object ${name}: the segment does not hold it`);
  }

  /** @throws {LbsError} interrupted, once the signal of the reader is aborted */
  checkSignal(): void {
    if (this.#signal?.aborted === true) throw new LbsError('interrupted', 'interrupted');
  }

  async close(): Promise<void> {
    for (const opened of this.#open.values()) await opened.close();
    this.#open.clear();
  }

  async #opened(segment: string): Promise<OpenedSegment> {
    let opened = this.#open.get(segment);
    if (opened === undefined) {
      await this.#makeRoom();
      opened = new OpenedSegment(this.#source, segment, this.#signal);
    }
    this.#open.delete(segment);
    this.#open.set(segment, opened);
    return opened;
  }

  /** For one more segment that is being read. */
  async #makeRoom(): Promise<void> {
    const beingRead = [...this.#open].filter(([, { isWhole }]) => !isWhole);
    const [oldest] = beingRead;
    if (oldest === undefined || beingRead.length < OPEN_SEGMENTS_MAX) return;
    await oldest[1].finish();
    let bytes = 0;
    let objects = 0;
    for (const [segment, opened] of [...this.#open].reverse()) {
      bytes += opened.keptBytes;
      objects += opened.keptObjects;
      const hasRoom = bytes <= KEPT_BYTES_MAX && objects <= KEPT_OBJECTS_MAX;
      // One that is still being read stays, but for the oldest, which was not worth keeping.
      if (opened.isWhole ? hasRoom : opened !== oldest[1]) continue;
      this.#open.delete(segment);
      await opened.close();
    }
  }
}

class OpenedSegment {
  readonly #finder: ObjectFinder | undefined;
  readonly #begin: () => PassedObjects;
  #passed: PassedObjects | undefined;

  constructor(source: SegmentSource, segment: string, signal: AbortSignal | undefined) {
    this.#begin = () => new PassedObjects(source.objects(segment, signal));
    this.#finder = source.finder(segment);
  }

  /** Undefined when the segment does not hold it. */
  async read(object: number): Promise<Buffer | undefined> {
    // What is not found this way is found by reading from the start, or that says why not.
    const found = await this.#finder?.find(object);
    if (found !== undefined) return found;
    this.#passed ??= this.#begin();
    const data = await this.#passed.read(object);
    if (data !== undefined || !this.#passed.hasForgotten) return data;
    await this.#passed.close();
    this.#passed = this.#begin();
    return await this.#passed.read(object);
  }

  /** True when it was read to its end and all of it is kept: then nothing is open but a file. */
  get isWhole(): boolean {
    return this.#finder === undefined && this.#passed?.isWhole === true;
  }

  get keptBytes(): number {
    return this.#passed?.bytes ?? 0;
  }

  get keptObjects(): number {
    return this.#passed?.objects ?? 0;
  }

  /** Reads the rest, of a segment that cannot be looked into: it would cost as much again. */
  async finish(): Promise<void> {
    if (this.#finder === undefined) await this.#passed?.finish();
  }

  async close(): Promise<void> {
    this.#finder?.close();
    await this.#passed?.close();
  }
}

/** The objects of a segment that were read so far. */
class PassedObjects {
  readonly #batches: AsyncGenerator<SegmentObject[]>;
  readonly #places = new Map<number, Spooled>();
  #spool = PassedObjects.#newSpool();
  /** Why no more can be read. */
  #end: { readonly error: unknown } | undefined;
  hasForgotten = false;

  constructor(batches: AsyncGenerator<SegmentObject[]>) {
    this.#batches = batches;
  }

  static #newSpool(): SpoolFile {
    return new SpoolFile({ memoryBytesMax: 0 });
  }

  /** Reads on until `object` is met. @throws what reading the segment throws */
  async read(object: number): Promise<Buffer | undefined> {
    const kept = this.#places.get(object);
    if (kept !== undefined) return this.#spool.get(kept);
    while (this.#end === undefined) {
      const data = await this.#readBatch(object);
      if (data !== undefined) return data;
    }
    if (this.#end.error === undefined) return undefined;
    throw this.#end.error;
  }

  get isWhole(): boolean {
    return this.#end !== undefined && !this.hasForgotten;
  }

  get bytes(): number {
    return this.#spool.fileBytes;
  }

  get objects(): number {
    return this.#places.size;
  }

  /** Reads to the end, unless that is too much to be kept. Trouble is told when it matters. */
  async finish(): Promise<void> {
    while (this.#end === undefined && !this.hasForgotten) await this.#readBatch(-1);
  }

  async close(): Promise<void> {
    this.#spool.close();
    await this.#batches.return(undefined);
  }

  /** Keeps the next objects; the data of `wanted` when it is among them. */
  async #readBatch(wanted: number): Promise<Buffer | undefined> {
    let result: IteratorResult<SegmentObject[], unknown>;
    try {
      result = await this.#batches.next();
    } catch (error) {
      this.#end = { error };
      return undefined;
    }
    if (result.done === true) {
      this.#end = { error: undefined };
      return undefined;
    }
    if (this.#spool.fileBytes > SPOOL_BYTES_MAX) this.#forget();
    let found: Buffer | undefined;
    for (const { object, data } of result.value) {
      if (this.#places.has(object)) continue;
      this.#places.set(object, this.#spool.put(data));
      if (object === wanted) found = data;
    }
    return found;
  }

  #forget(): void {
    this.#spool.close();
    this.#spool = PassedObjects.#newSpool();
    this.#places.clear();
    this.hasForgotten = true;
  }
}
