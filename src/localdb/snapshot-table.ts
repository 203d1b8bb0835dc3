/** What the local database remembers of snapshots: their counts, and the objects they use. */
import type { OpenDatabase } from './open-localdb.ts';
import { databaseError, durably } from './open-localdb.ts';

export type NewSnapshot = {
  readonly name: string;
  readonly scheme: string;
  readonly created: number;
  readonly entries: number;
  readonly files: number;
  readonly bytes: number;
  /** Segment row number, and a bit per object that is used. */
  readonly used: Iterable<readonly [segmentId: number, objects: Buffer]>;
};

type Totals = { readonly files: number; readonly bytes: number };

export class SnapshotTable {
  readonly #open: OpenDatabase;

  constructor(open: OpenDatabase) {
    this.#open = open;
  }

  /** Files and bytes of the scheme's last snapshot, for the progress display. */
  lastTotals(scheme: string): Totals | undefined {
    return this.#open.db
      .prepare<[string], Totals>(
        'select files, bytes from snapshots where scheme = ? order by id desc limit 1',
      )
      .get(scheme);
  }

  /** Metadata segments of less than `belowBytes` that the scheme's last snapshot uses. */
  smallMetadataSegments(scheme: string, belowBytes: number): string[] {
    return this.#open.db
      .prepare<[string, number], { name: string }>(
        `select s.name from segments_used u join segments s on s.id = u.segment
         where u.snapshot = (select max(id) from snapshots where scheme = ?)
         and s.grp = 'metadata' and s.raw_bytes < ?`,
      )
      .all(scheme, belowBytes)
      .map(({ name }) => name);
  }

  /** Forgets snapshots, and what they use. @throws {LbsError} io, no-space */
  remove(names: readonly string[]): void {
    const { db, file } = this.#open;
    const removeUse = db.prepare(
      'delete from segments_used where snapshot in (select id from snapshots where name = ?)',
    );
    const removeRow = db.prepare('delete from snapshots where name = ?');
    const removeCompacted = db.prepare('delete from compacted where name = ?');
    const work = db.transaction(() => {
      for (const name of names) {
        removeUse.run(name);
        removeRow.run(name);
        removeCompacted.run(name);
      }
    });
    try {
      work.immediate();
    } catch (error) {
      throw databaseError(file, 'write', error);
    }
  }

  /** Forgets the snapshots of all schemes that are not among `names`. @throws {LbsError} io, no-space */
  retain(names: Iterable<string>): void {
    const kept = new Set(names);
    const known = this.#open.db.prepare<[], { name: string }>('select name from snapshots').all();
    const gone = known.map(({ name }) => name).filter((name) => !kept.has(name));
    if (gone.length > 0) this.remove(gone);
  }

  /** True when it was made with this database, or found by a rebuild. */
  has(name: string): boolean {
    const row = this.#open.db.prepare<[string], { id: number }>(
      'select id from snapshots where name = ?',
    );
    return row.get(name) !== undefined;
  }

  /**
   * The snapshot `old` is called `name` from now on and uses other objects; its place among the
   * snapshots stays. On disk when it returns: the old one is about to go.
   * @throws {LbsError} io, no-space
   */
  replace(old: string, name: string, used: NewSnapshot['used']): void {
    const { db, file } = this.#open;
    const idOf = db.prepare<[string], { id: number }>('select id from snapshots where name = ?');
    const addUsed = db.prepare('insert into segments_used values (?, ?, ?)');
    const work = db.transaction(() => {
      const id = (idOf.get(old) ?? idOf.get(name))?.id;
      if (id === undefined) return;
      db.prepare('update snapshots set name = ? where id = ?').run(name, id);
      db.prepare('delete from segments_used where snapshot = ?').run(id);
      for (const [segment, objects] of used) addUsed.run(id, segment, objects);
    });
    try {
      durably(db, () => work.immediate());
    } catch (error) {
      throw databaseError(file, 'write', error);
    }
  }

  /** One transaction: the snapshot and everything about it. */
  add(snapshot: NewSnapshot): void {
    const { db, file } = this.#open;
    const addUsed = db.prepare('insert into segments_used values (?, ?, ?)');
    const work = db.transaction(() => {
      const { lastInsertRowid } = db
        .prepare(
          `insert into snapshots(name, scheme, created, entries, files, bytes)
           values (?, ?, ?, ?, ?, ?)`,
        )
        .run(
          snapshot.name,
          snapshot.scheme,
          snapshot.created,
          snapshot.entries,
          snapshot.files,
          snapshot.bytes,
        );
      for (const [segment, objects] of snapshot.used)
        addUsed.run(lastInsertRowid, segment, objects);
    });
    try {
      work.immediate();
    } catch (error) {
      throw databaseError(file, 'write', error);
    }
  }
}
