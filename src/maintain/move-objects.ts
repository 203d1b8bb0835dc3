/**
 * Copies what is used of segments into new ones, for compacting: each object is held against the
 * SHA-256 that the local database has of it, and lies with others of about its age from then on.
 * What is stored elsewhere too is not copied but found there, also what an interrupted run copied.
 *
 * Invariant: a segment counts as moved only when all that is used of it was good.
 */
import { hash } from 'node:crypto';
import type Database from 'better-sqlite3';
import { LbsError, messageOf } from '../errors.ts';
import { formatObjectName } from '../format/reference.ts';
import { type BlockIndex, OBJECTS_PER_SEGMENT_MAX } from '../localdb/block-index.ts';
import type { BlockPlace } from '../localdb/pending-blocks.ts';
import type { KnownObject } from '../localdb/segment-objects.ts';
import { isDamage } from '../metadata/metadata-objects.ts';
import type { SegmentSink } from '../segments/dry-run-segments.ts';
import type { SegmentSource } from '../segments/segment-source.ts';
import { openScratchDatabase } from '../std/scratch-database.ts';
import { SpoolFile, type Spooled } from '../std/spool-file.ts';
import type { UsableSegments } from './usable-segments.ts';

export type MoverParts = {
  readonly source: SegmentSource;
  readonly index: BlockIndex;
  /** New segments. */
  readonly segments: SegmentSink;
  /** Those that are stored, stay, and may be referred to. */
  readonly usable: UsableSegments;
  /** The group of content that was first stored then. */
  readonly groupOf: (createdS: number) => string;
  /** Then nothing is read. */
  readonly dryRun: boolean;
  readonly signal?: AbortSignal | undefined;
};

/** A segment whose objects are to be elsewhere. */
export type MovedSegment = {
  readonly name: string;
  readonly created: number;
  readonly storedBytes: number;
  /** What is used of it as file data, in order. */
  readonly objects: readonly (readonly [object: number, known: KnownObject])[];
};

const CACHE_KIB = 8 * 1024;
const SCHEMA = 'create table moves (id integer primary key, place integer not null)';

export class ObjectMover {
  readonly #parts: MoverParts;
  readonly #db: Database.Database;
  readonly #find;
  readonly #add;
  /** Numbers of segments that moved. */
  readonly #moved = new Map<string, number>();
  /** Segments that hold what moved, and their numbers. */
  readonly #targets = new Map<string, number>();
  readonly #targetNames: string[] = [];
  readonly counts = { readBytes: 0, contentBytes: 0 };

  constructor(parts: MoverParts) {
    this.#parts = parts;
    this.#db = openScratchDatabase(SCHEMA, CACHE_KIB);
    this.#find = this.#db.prepare<[number], number>('select place from moves where id = ?').pluck();
    this.#add = this.#db.prepare('insert into moves values (?, ?)');
  }

  close(): void {
    this.#db.close();
  }

  /** Where an object is now, as `segment/object`; undefined for one that did not move. */
  newNameOf(segment: string, object: number): string | undefined {
    const number = this.#moved.get(segment);
    if (number === undefined) return undefined;
    const place = this.#find.get(number * OBJECTS_PER_SEGMENT_MAX + object);
    if (place === undefined) {
      throw new LbsError('internal', `object ${object} of ${segment} was not moved`);
    }
    const target = Math.floor(place / OBJECTS_PER_SEGMENT_MAX);
    return formatObjectName(this.#targetNames[target] ?? '', place % OBJECTS_PER_SEGMENT_MAX);
  }

  /** Segments that hold what moved. */
  get targets(): readonly string[] {
    return this.#targetNames;
  }

  /**
   * Nothing is stored, and nothing counts, when anything of it is damaged; then what that is. Trouble
   * with writing is not the segment's.
   * @throws {LbsError} filter-failed, filter-missing, decryption-key, interrupted, store-*, no-space, io
   */
  async move({ name, created, storedBytes, objects }: MovedSegment): Promise<string | undefined> {
    const { dryRun, usable } = this.#parts;
    const wanted = new Map<number, KnownObject>();
    const known = new Map<number, BlockPlace>();
    for (const [object, { sha256, sizeBytes }] of objects) {
      const place = await usable.find(sha256.toString('hex'), sizeBytes);
      if (place !== undefined) known.set(object, place);
    }
    for (const [object, row] of objects) if (!known.has(object)) wanted.set(object, row);
    if (wanted.size > 0) this.counts.readBytes += storedBytes;
    const spool = new SpoolFile();
    try {
      let read: Map<number, Spooled> | undefined;
      try {
        read = dryRun ? undefined : await this.#read(name, wanted, spool);
      } catch (error) {
        if (!isDamage(error)) throw error;
        return messageOf(error);
      }
      for (const [object, row] of wanted) {
        const spooled = read?.get(object);
        const data = spooled === undefined ? undefined : spool.get(spooled);
        known.set(object, await this.#store(row, row.age ?? created, data));
      }
    } finally {
      spool.close();
    }
    const number = this.#moved.size;
    for (const [object, place] of known) {
      this.#add.run(number * OBJECTS_PER_SEGMENT_MAX + object, this.#placeNumber(place));
    }
    this.#moved.set(name, number);
    return undefined;
  }

  /** All of `wanted`, checked; the segment is read as far as that needs. */
  async #read(
    segment: string,
    wanted: ReadonlyMap<number, KnownObject>,
    spool: SpoolFile,
  ): Promise<Map<number, Spooled>> {
    const { source, signal } = this.#parts;
    const read = new Map<number, Spooled>();
    if (wanted.size === 0) return read;
    for await (const batch of source.objects(segment, signal)) {
      for (const { object, data } of batch) {
        const row = wanted.get(object);
        if (row === undefined || read.has(object)) continue;
        const isGood = data.length === row.sizeBytes && hash('sha256', data, 'buffer').equals(row.sha256); // prettier-ignore
        if (!isGood) throw damaged(segment, object, 'its SHA-256 is not as it was recorded');
        read.set(object, spool.put(data));
      }
      if (read.size === wanted.size) return read;
    }
    const missing = [...wanted.keys()].find((object) => !read.has(object)) ?? 0;
    throw damaged(segment, missing, 'the segment does not hold it');
  }

  /** `data` is undefined in a dry run. */
  async #store(
    { sha256, sizeBytes }: KnownObject,
    age: number,
    data: Buffer | undefined,
  ): Promise<BlockPlace> {
    const { segments, index, groupOf, usable } = this.#parts;
    await segments.room();
    // The same content may be in the segment twice.
    const known = await usable.find(sha256.toString('hex'), sizeBytes);
    if (known !== undefined) return known;
    const added = segments.add(groupOf(age), data ?? NO_DATA);
    index.addPending(sha256.toString('hex'), sizeBytes, added, age);
    this.counts.contentBytes += sizeBytes;
    return added;
  }

  #placeNumber({ segment, object }: BlockPlace): number {
    let target = this.#targets.get(segment);
    if (target === undefined) {
      target = this.#targetNames.push(segment) - 1;
      this.#targets.set(segment, target);
    }
    return target * OBJECTS_PER_SEGMENT_MAX + object;
  }
}

const NO_DATA = Buffer.alloc(0);

function damaged(segment: string, object: number, why: string): LbsError {
  return new LbsError('segment-corrupt', `object ${formatObjectName(segment, object)}: ${why}`);
}
