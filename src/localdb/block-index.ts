/**
 * Which blocks are stored already, by content, and which objects may still be used.
 *
 * Found by SHA-256 and size, never by SHA-1. Rows are only added for segments that are durable in
 * the store (`addSegment`, one transaction each); blocks of segments on their way there are in
 * `pending`, so that equal files of one run are stored once. Table: lbs-localdb(5).
 */
import { LbsError } from '../errors.ts';
import { KeyFilter } from './key-filter.ts';
import { type BlockPlace, PendingBlocks, type PendingSegment } from './pending-blocks.ts';
import type { OpenDatabase } from './open-localdb.ts';
import { databaseError, durably } from './open-localdb.ts';

/** Objects per segment that the row numbers have room for. */
export const OBJECTS_PER_SEGMENT_MAX = 2 ** 24;

/** What is known of a block's content. */
export type KnownBlock =
  | { readonly kind: 'stored'; readonly place: BlockPlace }
  /** Stored, but not to be used again: store it anew in `group`, keeping its age. */
  | { readonly kind: 'expired'; readonly group: number; readonly age: number };

/** A segment that has become durable; its objects were told of by `addPending`. */
export type NewSegment = {
  readonly name: string;
  readonly group: string;
  readonly file: string;
  readonly sha1: Buffer;
  readonly sha256: Buffer;
  readonly storedBytes: number;
  readonly created: number;
  /** How many objects it has. */
  readonly objects: number;
};

/** A row of a segment. */
export type SegmentRow = {
  readonly id: number;
  readonly name: string;
  readonly file: string;
  readonly sha1: Buffer;
  readonly sha256: Buffer;
  readonly stored_bytes: number;
  readonly expired: number | null;
};

type BlockRow = {
  readonly id: number;
  readonly size: number;
  readonly sha256: Buffer;
  readonly age: number | null;
  readonly expired: number | null;
};

type SegmentFacts = { readonly name: string; readonly created: number };

const KEY_BYTES = 6;
/** A query takes as long as reading this many keys: after so many the filter has paid for itself. */
const KEYS_PER_QUERY = 10;

/** First 48 bits of a hex digest. */
function keyOf(sha256: string): number {
  return Number.parseInt(sha256.slice(0, 2 * KEY_BYTES), 16);
}

function keyOfBytes(sha256: Buffer): number {
  return sha256.readUIntBE(0, KEY_BYTES);
}

export class BlockIndex {
  readonly #open: OpenDatabase;
  readonly #pending = new PendingBlocks();
  readonly #facts = new Map<number, SegmentFacts>();
  readonly #statements;
  /** Undefined until looking blocks up has cost as much as reading all keys. */
  #filter: KeyFilter | undefined;
  #queries = 0;
  #keys: number;

  constructor(open: OpenDatabase) {
    this.#open = open;
    const { db } = open;
    this.#statements = {
      // No join and no order here: the planner would walk the whole table by id for them.
      byContent: db.prepare<[number], BlockRow>(
        'select id, size, sha256, age, expired from blocks where key = ?',
      ),
      facts: db.prepare<[number], SegmentFacts>('select name, created from segments where id = ?'),
      segment: db.prepare<[string], SegmentRow>(
        'select id, name, file, sha1, sha256, stored_bytes, expired from segments where name = ?',
      ),
      hasExpired: db.prepare<[number, number], { id: number }>(
        'select id from blocks where id between ? and ? and expired is not null limit 1',
      ),
      usable: db.prepare<[number], { id: number }>(
        'select id from blocks where id = ? and expired is null',
      ),
      addSegment: db.prepare(
        `insert into segments(name, grp, file, sha1, sha256, raw_bytes, stored_bytes, objects, created)
         values (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      ),
      keys: db.prepare<[], number>('select key from blocks').pluck(),
      countKeys: db.prepare<[], number>('select coalesce(sum(objects), 0) from segments').pluck(),
      learn: db.prepare('insert or ignore into blocks(id, key, sha256, size) values (?, ?, ?, ?)'),
      grow: db.prepare(
        'update segments set raw_bytes = raw_bytes + ?, objects = objects + 1 where id = ?',
      ),
      addBlock: db.prepare('insert into blocks(id, key, sha256, size, age) values (?, ?, ?, ?, ?)'),
    };
    this.#keys = this.#statements.countKeys.get() ?? 0;
  }

  /**
   * Looks a block up by content. `isUsable` says whether a segment may be referred to (it is
   * in the store); rows of others are as if they were not there.
   */
  find(
    sha256: string,
    sizeBytes: number,
    isUsable: (segment: string) => boolean,
  ): KnownBlock | undefined {
    const key = keyOf(sha256);
    const place = this.#pending.find(key, sha256, sizeBytes);
    if (place !== undefined) return { kind: 'stored', place };
    if (!this.#mayHave(key)) return undefined;
    let expired: KnownBlock | undefined;
    for (const row of this.#rows(key)) {
      if (row.size !== sizeBytes || row.sha256.toString('hex') !== sha256) continue;
      const object = row.id % OBJECTS_PER_SEGMENT_MAX;
      const { name, created } = this.#factsOf((row.id - object) / OBJECTS_PER_SEGMENT_MAX);
      if (row.expired !== null)
        expired = { kind: 'expired', group: row.expired, age: row.age ?? created };
      else if (isUsable(name)) return { kind: 'stored', place: { segment: name, object } };
    }
    return expired;
  }

  #factsOf(segmentId: number): SegmentFacts {
    let facts = this.#facts.get(segmentId);
    if (facts === undefined) {
      facts = this.#statements.facts.get(segmentId);
      if (facts === undefined) {
        throw databaseError(this.#open.file, 'read', new Error(`segment ${segmentId} has no row`));
      }
      this.#facts.set(segmentId, facts);
    }
    return facts;
  }

  /**
   * False: no row has this key. A query takes some 8 us, and in a first backup nearly every block
   * is new; but a run that stores little shall not read a large index for it.
   */
  #mayHave(key: number): boolean {
    if (this.#filter === undefined) {
      if (this.#queries++ * KEYS_PER_QUERY < this.#keys) return true;
      this.#filter = this.#newFilter();
    }
    return this.#filter.mayHave(key);
  }

  /** With room for as many keys again. */
  #newFilter(): KeyFilter {
    const filter = new KeyFilter(this.#keys * 2);
    try {
      for (const key of this.#statements.keys.iterate()) filter.add(key);
    } catch (error) {
      throw databaseError(this.#open.file, 'read', error);
    }
    return filter;
  }

  #rows(key: number): BlockRow[] {
    try {
      return this.#statements.byContent.all(key);
    } catch (error) {
      throw databaseError(this.#open.file, 'read', error);
    }
  }

  /**
   * Remembers a block that was just put into an open segment; `age` is when its content was first
   * stored, if that was before.
   */
  addPending(sha256: string, sizeBytes: number, place: BlockPlace, age?: number): void {
    this.#pending.add(keyOf(sha256), place, { sha256, sizeBytes, age });
  }

  /**
   * One transaction: the segment and its objects, on disk when it returns, or a power cut would lose
   * more than the segments that are open. Call only when the segment is durable in the store.
   */
  addSegment(segment: NewSegment): void {
    const objects = this.#pending.of(segment.name);
    if (objects?.length !== segment.objects) {
      throw new LbsError('internal', `a segment of ${segment.objects} objects has other ones`);
    }
    const { db, file } = this.#open;
    try {
      const insert = db.transaction(() => this.#insert(segment, objects));
      durably(db, () => insert.immediate());
    } catch (error) {
      throw databaseError(file, 'write', error);
    }
    this.#keys += objects.length;
    for (let object = 0; object < objects.length; object++) {
      this.#filter?.add(keyOfBytes(objects.digest(object)));
    }
    this.#pending.forget(objects, keyOfBytes);
    if (this.#filter?.isFull === true) this.#filter = this.#newFilter();
  }

  #insert(segment: NewSegment, objects: PendingSegment): void {
    const { lastInsertRowid } = this.#statements.addSegment.run(
      segment.name,
      segment.group,
      segment.file,
      segment.sha1,
      segment.sha256,
      objects.rawBytes,
      segment.storedBytes,
      objects.length,
      segment.created,
    );
    const first = Number(lastInsertRowid) * OBJECTS_PER_SEGMENT_MAX;
    for (let object = 0; object < objects.length; object++) {
      const digest = objects.digest(object);
      const age = objects.age(object) ?? null;
      const size = objects.sizeBytes(object);
      this.#statements.addBlock.run(first + object, keyOfBytes(digest), digest, size, age);
    }
  }

  /** An object of a stored segment that had no row, since nobody knew its digest: all of it. */
  learn({ segment, object }: BlockPlace, sha256: string, sizeBytes: number): void {
    const row = this.segment(segment);
    if (row === undefined || object >= OBJECTS_PER_SEGMENT_MAX) return;
    const key = keyOf(sha256);
    const id = row.id * OBJECTS_PER_SEGMENT_MAX + object;
    const work = this.#open.db.transaction(() => {
      const digest = Buffer.from(sha256, 'hex');
      if (this.#statements.learn.run(id, key, digest, sizeBytes).changes === 0) return;
      this.#statements.grow.run(sizeBytes, row.id);
      this.#keys++;
      this.#filter?.add(key);
    });
    try {
      work.immediate();
    } catch (error) {
      throw databaseError(this.#open.file, 'write', error);
    }
  }

  /** The row of a segment, if this database knows it. */
  segment(name: string): SegmentRow | undefined {
    return this.#statements.segment.get(name);
  }

  /** Forgets segments and their objects, in one transaction. @throws {LbsError} io, no-space */
  removeSegments(names: readonly string[]): void {
    const { db, file } = this.#open;
    const blocks = db.prepare('delete from blocks where id between ? and ?');
    const row = db.prepare('delete from segments where id = ?');
    const work = db.transaction(() => {
      let isAny = false;
      for (const name of names) {
        const id = this.segment(name)?.id;
        if (id === undefined) continue;
        const first = id * OBJECTS_PER_SEGMENT_MAX;
        blocks.run(first, first + OBJECTS_PER_SEGMENT_MAX - 1);
        row.run(id);
        isAny = true;
      }
      // Once for all of them: the table is in the order of snapshots.
      if (isAny)
        db.exec('delete from segments_used where segment not in (select id from segments)');
    });
    try {
      work.immediate();
    } catch (error) {
      throw databaseError(file, 'write', error);
    }
  }

  /** True when some object of the segment has expired, so that each must be looked up. */
  hasExpired(segmentId: number): boolean {
    const first = segmentId * OBJECTS_PER_SEGMENT_MAX;
    const last = first + OBJECTS_PER_SEGMENT_MAX - 1;
    return this.#statements.hasExpired.get(first, last) !== undefined;
  }

  /** True when that object exists and has not expired. */
  isUsable(segmentId: number, object: number): boolean {
    return this.#statements.usable.get(segmentId * OBJECTS_PER_SEGMENT_MAX + object) !== undefined;
  }
}
