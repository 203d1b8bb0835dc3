/**
 * Fills a new local database with what a store says of itself: segments, the objects whose SHA-256
 * is known, and what each snapshot uses. Tables: lbs-localdb(5).
 */
import { OBJECTS_PER_SEGMENT_MAX } from './block-index.ts';
import { type OpenDatabase, databaseError } from './open-localdb.ts';

export type RebuiltSegment = {
  readonly name: string;
  readonly file: string;
  readonly sha1: Buffer;
  readonly sha256: Buffer;
  readonly storedBytes: number;
  /** Seconds since 1970: of the first snapshot that names it. */
  readonly created: number;
};

export type RebuiltSnapshot = {
  readonly name: string;
  readonly scheme: string;
  readonly created: number;
  readonly entries: number;
  readonly files: number;
  readonly bytes: number;
  /** Numbers of all objects it uses, as `RebuildTables.objectId` makes them. */
  readonly used: ReadonlySet<number>;
};

const KEY_BYTES = 6;

export class RebuildTables {
  readonly #open: OpenDatabase;
  readonly #ids = new Map<string, number>();
  readonly #statements;

  /** All calls until `finish` are one transaction. */
  constructor(open: OpenDatabase) {
    this.#open = open;
    const { db } = open;
    this.#statements = {
      segment: db.prepare(
        `insert into segments(name, grp, file, sha1, sha256, raw_bytes, stored_bytes, objects, created)
         values (?, 'data', ?, ?, ?, 0, ?, 0, ?)`,
      ),
      block: db.prepare('insert or ignore into blocks(id, key, sha256, size) values (?, ?, ?, ?)'),
      size: db.prepare<[number], number>('select size from blocks where id = ?').pluck(),
      snapshot: db.prepare(
        'insert into snapshots(name, scheme, created, entries, files, bytes) values (?, ?, ?, ?, ?, ?)',
      ),
      used: db.prepare('insert into segments_used values (?, ?, ?)'),
    };
    db.exec('begin immediate');
  }

  /** True when the segment has a row already. */
  has(segment: string): boolean {
    return this.#ids.has(segment);
  }

  addSegment(segment: RebuiltSegment): void {
    const { name, file, sha1, sha256, storedBytes, created } = segment;
    this.#guard(() => {
      const row = this.#statements.segment.run(name, file, sha1, sha256, storedBytes, created);
      this.#ids.set(name, Number(row.lastInsertRowid));
    });
  }

  /** The number of an object; undefined where its segment has no row. */
  objectId(segment: string, object: number): number | undefined {
    const id = this.#ids.get(segment);
    return id === undefined ? undefined : id * OBJECTS_PER_SEGMENT_MAX + object;
  }

  /** An object whose whole content has this digest. */
  addBlock(id: number, sha256: Buffer, sizeBytes: number): void {
    this.#guard(() =>
      this.#statements.block.run(id, sha256.readUIntBE(0, KEY_BYTES), sha256, sizeBytes),
    );
  }

  addSnapshot(snapshot: RebuiltSnapshot): void {
    const { name, scheme, created, entries, files, bytes, used } = snapshot;
    this.#guard(() => {
      const row = this.#statements.snapshot.run(name, scheme, created, entries, files, bytes);
      for (const [segment, objects] of bitsOf(used)) {
        this.#statements.used.run(row.lastInsertRowid, segment, objects);
      }
    });
  }

  /** Makes it all count. The sizes of segments are those of the objects that are known. */
  finish(): void {
    this.#guard(() => {
      this.#open.db.exec(
        `update segments set
           raw_bytes = (select coalesce(sum(size), 0) from blocks
             where id between segments.id * ${OBJECTS_PER_SEGMENT_MAX}
             and segments.id * ${OBJECTS_PER_SEGMENT_MAX} + ${OBJECTS_PER_SEGMENT_MAX - 1}),
           objects = (select count(*) from blocks
             where id between segments.id * ${OBJECTS_PER_SEGMENT_MAX}
             and segments.id * ${OBJECTS_PER_SEGMENT_MAX} + ${OBJECTS_PER_SEGMENT_MAX - 1})`,
      );
      this.#open.db.exec('commit');
    });
  }

  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      throw databaseError(this.#open.file, 'write', error);
    }
  }
}

/** A bit per object, lowest first, by number of the segment's row. */
function bitsOf(used: ReadonlySet<number>): Map<number, Buffer> {
  const objects = new Map<number, number[]>();
  for (const id of used) {
    const object = id % OBJECTS_PER_SEGMENT_MAX;
    const segment = (id - object) / OBJECTS_PER_SEGMENT_MAX;
    const of = objects.get(segment);
    if (of) of.push(object);
    else objects.set(segment, [object]);
  }
  const bits = new Map<number, Buffer>();
  for (const [segment, numbers] of objects) {
    const last = numbers.reduce((highest, number) => Math.max(highest, number), 0);
    const bytes = Buffer.alloc((last >> 3) + 1);
    for (const number of numbers) {
      bytes[number >> 3] = (bytes[number >> 3] ?? 0) | (1 << (number & 7));
    }
    bits.set(segment, bytes);
  }
  return bits;
}
