/**
 * What cleaning asks of the local database and tells it: how much of each segment the snapshots
 * use, and which segments are given up. Tables: lbs-localdb(5).
 */
import type Database from 'better-sqlite3';
import { OBJECTS_PER_SEGMENT_MAX } from './block-index.ts';
import { SnapshotsOfStore } from './gone-segments.ts';
import { type OpenDatabase, databaseError } from './open-localdb.ts';

/** The group of segments that hold metadata. */
export const METADATA = 'metadata';

export type CleaningRow = {
  readonly id: number;
  readonly name: string;
  readonly file: string;
  readonly group: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly rawBytes: number;
  readonly storedBytes: number;
  /** Bytes of the objects that any snapshot uses. */
  readonly usedBytes: number;
  /** Of those that the last snapshots of the schemes use. */
  readonly usedByLastBytes: number;
  /** When the oldest snapshot was made that uses any, the last ones aside; undefined for none. */
  readonly pinnedSinceS: number | undefined;
};

export type ExpiredBlock = { readonly createdS: number; readonly bytes: number };

type SegmentFields = Omit<CleaningRow, 'usedBytes' | 'usedByLastBytes' | 'pinnedSinceS'>;
type UseRow = { readonly snapshot: number; readonly segment: number; readonly objects: Buffer };
/** What snapshots use of a segment: a bit for each object. */
type SegmentUses = {
  objects: Buffer;
  byLast: Buffer;
  pinnedSinceS: number | undefined;
};

const NO_BITS = Buffer.alloc(0);
const UNUSED: SegmentUses = { objects: NO_BITS, byLast: NO_BITS, pinnedSinceS: undefined };

type SizeRow = { readonly id: number; readonly size: number; readonly age: number | null };

export class SegmentCleaning {
  readonly #open: OpenDatabase;
  readonly #db: Database.Database;
  /** When the snapshots that there are were made, by row; and the rows of each scheme's last one. */
  readonly #live = new Map<number, number>();
  readonly #latest = new Set<number>();
  /** By row of the segment. */
  readonly #uses = new Map<number, SegmentUses>();
  readonly #objectsOf;
  #copied: Database.Statement<[number, number], number> | undefined;

  /** `snapshots` are the names of all that the store has, `files` those of its files. */
  constructor(open: OpenDatabase, snapshots: Iterable<string>, files: ReadonlySet<string>) {
    this.#open = open;
    this.#db = open.db;
    const names = new Set(snapshots);
    const latest = new Map<string, number>();
    const rows = this.#db
      .prepare<[], { id: number; name: string; scheme: string; created: number }>(
        'select id, name, scheme, created from snapshots order by id',
      )
      .all();
    const ofStore = new SnapshotsOfStore(open, files);
    for (const { id, name, scheme, created } of rows) {
      // One of the same name may be of another store that uses the same database.
      if (!names.has(name) || !ofStore.wasMadeHere(id)) continue;
      this.#live.set(id, created);
      latest.set(scheme, id);
    }
    for (const id of latest.values()) this.#latest.add(id);
    this.#objectsOf = this.#db.prepare<[number, number], SizeRow>(
      'select id, size, age from blocks where id between ? and ?',
    );
    this.#readUses();
  }

  /** All at once, since the table is in the order of snapshots. */
  #readUses(): void {
    const rows = this.#db.prepare<[], UseRow>(
      'select snapshot, segment, objects from segments_used',
    );
    for (const { snapshot, segment, objects } of rows.iterate()) {
      const created = this.#live.get(snapshot);
      if (created === undefined) continue;
      let use = this.#uses.get(segment);
      if (use === undefined) this.#uses.set(segment, (use = { ...UNUSED }));
      use.objects = union(use.objects, objects);
      if (this.#latest.has(snapshot)) use.byLast = union(use.byLast, objects);
      else use.pinnedSinceS = Math.min(use.pinnedSinceS ?? created, created);
    }
  }

  /** When the oldest snapshot was made that there is. */
  get oldestS(): number {
    return [...this.#live.values()].reduce(
      (oldest, created) => Math.min(oldest, created),
      Infinity,
    );
  }

  /** Segments that were not given up before, or all, the oldest first. @throws {LbsError} io */
  *segments(which: 'kept' | 'all' = 'kept'): Generator<CleaningRow> {
    const rows = this.#all<SegmentFields>(
      `select id, name, file, grp as "group", created, raw_bytes as rawBytes,
         stored_bytes as storedBytes
       from segments ${which === 'all' ? '' : 'where expired is null'} order by created, id`,
    );
    for (const row of rows) {
      const { objects, byLast, pinnedSinceS } = this.#useOf(row.id);
      const usedBytes = this.#bytesOf(row.id, objects);
      yield { ...row, usedBytes, usedByLastBytes: this.#bytesOf(row.id, byLast), pinnedSinceS };
    }
  }

  /**
   * Shares of a segment, 0 to 1: what snapshots use of it, and what of that is stored nowhere else.
   * After a rebuild only objects that are used are known; others show by the numbers that they left.
   */
  sharesOf({ id, rawBytes }: Pick<CleaningRow, 'id' | 'rawBytes'>): { used: number; sole: number } {
    const { objects } = this.#useOf(id);
    const first = id * OBJECTS_PER_SEGMENT_MAX;
    this.#copied ??= this.#db
      .prepare<[number, number], number>('select id from temp.copied where id between ? and ?')
      .pluck();
    const copied = new Set(this.#copied.all(first, first + OBJECTS_PER_SEGMENT_MAX - 1));
    let [known, last, bytes, used, sole] = [0, 0, 0, 0, 0];
    for (const { id: object, size } of this.#objects(id)) {
      known++;
      last = Math.max(last, object - first);
      bytes += size;
      if (!hasBit(objects, object)) continue;
      used += size;
      if (!copied.has(object)) sole += size;
    }
    const whole = Math.max(1, rawBytes, (bytes * (last + 1)) / Math.max(1, known));
    return { used: used / whole, sole: sole / whole };
  }

  /** Finds out which objects are stored a second time; once, before `sharesOf`. @throws {LbsError} io */
  findCopies(): void {
    try {
      this.#db.exec(
        `create temp table copied(id integer primary key);
         insert into temp.copied
           select b.id from (select key from blocks group by key having count(*) > 1) d
           join blocks b on b.key = d.key
           where exists (select 1 from blocks c where c.key = b.key and c.sha256 = b.sha256
             and c.size = b.size and c.id > b.id and c.expired is null)`,
      );
    } catch (error) {
      throw databaseError(this.#open.file, 'read', error);
    }
  }

  /** What snapshots use of data segments that are given up. */
  *expiredBlocks(rows: readonly CleaningRow[]): Generator<ExpiredBlock> {
    for (const { id, group, created } of rows) {
      if (group === METADATA) continue;
      for (const { size, age } of this.#objectsIn(id, this.#useOf(id).objects)) {
        yield { createdS: age ?? created, bytes: size };
      }
    }
  }

  /** What the last snapshot of each scheme uses of these segments: of content, and of metadata. */
  bytesOfLatest(rows: readonly CleaningRow[]): { content: number; metadata: number } {
    const bytes = { content: 0, metadata: 0 };
    for (const { id, group } of rows) {
      bytes[group === METADATA ? 'metadata' : 'content'] += this.#bytesOf(
        id,
        this.#useOf(id).byLast,
      );
    }
    return bytes;
  }

  /**
   * Gives segments up, in one transaction; `groupOf` says where a data block goes that is stored
   * anew. @throws {LbsError} io, no-space
   */
  expire(rows: readonly CleaningRow[], nowS: number, groupOf: (createdS: number) => number): void {
    const segment = this.#db.prepare('update segments set expired = ? where id = ?');
    const block = this.#db.prepare('update blocks set expired = ? where id = ?');
    const work = this.#db.transaction(() => {
      for (const { id, group, created } of rows) {
        segment.run(nowS, id);
        for (const object of this.#objects(id)) {
          block.run(group === METADATA ? 0 : groupOf(object.age ?? created), object.id);
        }
      }
    });
    try {
      work.immediate();
    } catch (error) {
      throw databaseError(this.#open.file, 'write', error);
    }
  }

  #useOf(segmentId: number): SegmentUses {
    return this.#uses.get(segmentId) ?? UNUSED;
  }

  #bytesOf(segmentId: number, bits: Buffer): number {
    let bytes = 0;
    for (const { size } of this.#objectsIn(segmentId, bits)) bytes += size;
    return bytes;
  }

  *#objectsIn(segmentId: number, bits: Buffer): Generator<SizeRow> {
    if (bits.length === 0) return;
    for (const row of this.#objects(segmentId)) if (hasBit(bits, row.id)) yield row;
  }

  #objects(segmentId: number): SizeRow[] {
    const first = segmentId * OBJECTS_PER_SEGMENT_MAX;
    return this.#objectsOf.all(first, first + OBJECTS_PER_SEGMENT_MAX - 1);
  }

  #all<Row>(sql: string): Row[] {
    try {
      return this.#db.prepare<[], Row>(sql).all();
    } catch (error) {
      throw databaseError(this.#open.file, 'read', error);
    }
  }
}

function hasBit(bits: Buffer, id: number): boolean {
  const object = id % OBJECTS_PER_SEGMENT_MAX;
  return ((bits[object >> 3] ?? 0) & (1 << (object & 7))) !== 0;
}

/** Bits of either. */
function union(a: Buffer, b: Buffer): Buffer {
  if (a.length === 0) return b;
  const bits = Buffer.alloc(Math.max(a.length, b.length));
  a.copy(bits);
  for (let at = 0; at < b.length; at++) bits[at] = (bits[at] ?? 0) | (b[at] ?? 0);
  return bits;
}
