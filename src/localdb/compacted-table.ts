/**
 * Which snapshots compacting has put in place of which others, and when the store first got them.
 *
 * A new descriptor comes late, so that by its arrival alone nobody could tell it from one that was
 * made up. What is in this table was written by this machine before the descriptor was published;
 * whoever can add files to a store can add nothing here. Table: lbs-localdb(5).
 */
import { type OpenDatabase, databaseError, durably } from './open-localdb.ts';

export type CompactedSnapshot = {
  /** SHA-256 of its descriptor as it is stored. */
  readonly descriptor: Buffer;
  readonly name: string;
  /** What it took the place of, and the SHA-256 of that descriptor. */
  readonly oldName: string;
  readonly oldDescriptor: Buffer;
  /** When the store got the first descriptor of this snapshot, by its own clock: seconds since 1970. */
  readonly arrivedS: number;
};

export class CompactedTable {
  readonly #open: OpenDatabase;

  constructor(open: OpenDatabase) {
    this.#open = open;
  }

  /** All of them. @throws {LbsError} io */
  all(): CompactedSnapshot[] {
    return this.#guard('read', () =>
      this.#open.db
        .prepare<[], CompactedSnapshot>(
          `select descriptor, name, old_name as oldName, old_descriptor as oldDescriptor,
             arrived as arrivedS from compacted order by name`,
        )
        .all(),
    );
  }

  /** When the store first got the snapshot of that descriptor, if it is known. @throws {LbsError} io */
  arrivalOf(descriptor: Buffer): number | undefined {
    return this.#guard('read', () =>
      this.#open.db
        .prepare<[Buffer], number>('select arrived from compacted where descriptor = ?')
        .pluck()
        .get(descriptor),
    );
  }

  /** True when this machine began to publish a snapshot of that name. @throws {LbsError} io */
  has(name: string): boolean {
    return this.#guard('read', () => {
      const row = this.#open.db.prepare('select 1 from compacted where name = ?');
      return row.get(name) !== undefined;
    });
  }

  /**
   * To be called before the descriptor is published; on disk when it returns, or after a power cut
   * nobody would know who made that one. @throws {LbsError} io, no-space
   */
  add({ descriptor, name, oldName, oldDescriptor, arrivedS }: CompactedSnapshot): void {
    const { db } = this.#open;
    this.#guard('write', () => {
      const insert = db.prepare('insert or replace into compacted values (?, ?, ?, ?, ?)');
      durably(db, () => insert.run(descriptor, name, oldName, oldDescriptor, arrivedS));
    });
  }

  /** Forgets what is known of a snapshot that is no more. @throws {LbsError} io, no-space */
  remove(name: string): void {
    this.#guard('write', () =>
      this.#open.db.prepare('delete from compacted where name = ?').run(name),
    );
  }

  #guard<T>(doing: string, work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw databaseError(this.#open.file, doing, error);
    }
  }
}
