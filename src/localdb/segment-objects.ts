/** What the local database knows of the objects of a segment, by their numbers. */
import type Database from 'better-sqlite3';
import { OBJECTS_PER_SEGMENT_MAX } from './block-index.ts';
import { type OpenDatabase, databaseError } from './open-localdb.ts';

export type KnownObject = {
  readonly sizeBytes: number;
  readonly sha256: Buffer;
  /** When its content was first stored, if that was before its segment: seconds since 1970. */
  readonly age: number | null;
};

type Row = KnownObject & { readonly id: number };

const COLUMNS = 'id, size as sizeBytes, sha256, age';

export class SegmentObjects {
  readonly #file: string;
  readonly #all: Database.Statement<[number, number], Row>;
  readonly #one: Database.Statement<[number], Row>;
  readonly #idOf: Database.Statement<[string], { id: number }>;

  constructor({ db, file }: OpenDatabase) {
    this.#file = file;
    this.#all = db.prepare(`select ${COLUMNS} from blocks where id between ? and ?`);
    this.#one = db.prepare(`select ${COLUMNS} from blocks where id = ?`);
    this.#idOf = db.prepare('select id from segments where name = ?');
  }

  /** All that are known of the segment with that row. @throws {LbsError} io */
  of(segmentId: number): Map<number, KnownObject> {
    const first = segmentId * OBJECTS_PER_SEGMENT_MAX;
    try {
      const rows = this.#all.all(first, first + OBJECTS_PER_SEGMENT_MAX - 1);
      return new Map(rows.map((row) => [row.id - first, row]));
    } catch (error) {
      throw databaseError(this.#file, 'read', error);
    }
  }

  /** SHA-256 of an object; undefined when it is unknown. @throws {LbsError} io */
  digestOf(segment: string, object: number): Buffer | undefined {
    try {
      const id = this.#idOf.get(segment)?.id;
      return id === undefined
        ? undefined
        : this.#one.get(id * OBJECTS_PER_SEGMENT_MAX + object)?.sha256;
    } catch (error) {
      throw databaseError(this.#file, 'read', error);
    }
  }
}
