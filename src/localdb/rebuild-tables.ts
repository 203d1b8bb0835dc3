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
  /** Segment row number, and a bit per object that is used, lowest first. */
  readonly used: Iterable<readonly [segmentId: number, objects: Buffer]>;
};

type KnownBlock = { readonly sha256: Buffer; readonly size: number };

const KEY_BYTES = 6;

export class RebuildTables {
  readonly #open: OpenDatabase;
  readonly #ids = new Map<string, number>();
  /** Rows of segments that hold objects of metadata logs, and of those that hold content of files. */
  readonly #metadata = new Set<number>();
  readonly #data = new Set<number>();
  /** Objects of which two different things are said. */
  readonly #contradicted = new Set<number>();
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
      known: db.prepare<[number], KnownBlock>('select sha256, size from blocks where id = ?'),
      forget: db.prepare('delete from blocks where id = ?'),
      group: db.prepare("update segments set grp = 'metadata' where id = ?"),
      count: db.prepare<[], number>('select count(*) from blocks').pluck(),
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

  /** The number of an object; undefined where its segment has no row, or can have no such object. */
  objectId(segment: string, object: number): number | undefined {
    const id = this.#ids.get(segment);
    // A larger one would be the number of an object of another segment.
    if (id === undefined || object >= OBJECTS_PER_SEGMENT_MAX) return undefined;
    return id * OBJECTS_PER_SEGMENT_MAX + object;
  }

  /** An object of content, with the digest of all of it. False when another one is recorded. */
  addBlock(id: number, sha256: Buffer, sizeBytes: number): boolean {
    this.#data.add(segmentOf(id));
    return this.#add(id, sha256, sizeBytes);
  }

  /** An object of a metadata log. */
  addMetadata(id: number, sha256: Buffer, sizeBytes: number): void {
    this.#metadata.add(segmentOf(id));
    this.#add(id, sha256, sizeBytes);
  }

  #add(id: number, sha256: Buffer, sizeBytes: number): boolean {
    return this.#guard(() => {
      if (this.#contradicted.has(id)) return true;
      const key = sha256.readUIntBE(0, KEY_BYTES);
      if (this.#statements.block.run(id, key, sha256, sizeBytes).changes > 0) return true;
      const known = this.#statements.known.get(id);
      if (known?.size === sizeBytes && known.sha256.equals(sha256)) return true;
      this.#statements.forget.run(id);
      this.#contradicted.add(id);
      return false;
    });
  }

  addSnapshot(snapshot: RebuiltSnapshot): void {
    const { name, scheme, created, entries, files, bytes, used } = snapshot;
    this.#guard(() => {
      const row = this.#statements.snapshot.run(name, scheme, created, entries, files, bytes);
      for (const [segment, objects] of used) {
        this.#statements.used.run(row.lastInsertRowid, segment, objects);
      }
    });
  }

  /**
   * Makes it all count; the number of objects that can be found. The sizes of segments are those of
   * the objects that are known.
   */
  finish(): number {
    return this.#guard(() => {
      for (const id of this.#metadata) if (!this.#data.has(id)) this.#statements.group.run(id);
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
      return this.#statements.count.get() ?? 0;
    });
  }

  #guard<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw databaseError(this.#open.file, 'write', error);
    }
  }
}

function segmentOf(id: number): number {
  return Math.floor(id / OBJECTS_PER_SEGMENT_MAX);
}
