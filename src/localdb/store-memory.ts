/**
 * What the local database knows of a store that nobody can look into: one that an upload script
 * fills. Segments and snapshots have their tables; of other files the names and sizes are facts.
 *
 * It also knows what kind of store it belongs to, since what it remembers of a directory says
 * nothing of what a script has got. Table: lbs-localdb(5), "facts".
 */
import { LbsError } from '../errors.ts';
import { parseSegmentFile } from '../format/snapshot-name.ts';
import type { OpenDatabase } from './open-localdb.ts';
import { databaseError } from './open-localdb.ts';

/** `upload`: everything in the database was handed to the upload script. */
export type KindOfStore = 'directory' | 'upload';

const KIND = 'store';
const STAGING = 'staging';
const SENT = 'sent ';

type FileRow = { readonly name: string; readonly bytes: number; readonly created: number };

/** A file, as a store that can be looked into would list it. */
type KnownFile = { readonly name: string; readonly sizeBytes: number; readonly arrivedS: number };

/** What `stores/store` calls a StoreMemory. */
export class LocalMemory {
  readonly owner: string;
  readonly #open: OpenDatabase;
  readonly #statements;

  constructor(open: OpenDatabase) {
    this.owner = open.owner;
    this.#open = open;
    const { db } = open;
    this.#statements = {
      fact: db.prepare<[string], string>('select value from facts where key = ?').pluck(),
      set: db.prepare('insert or replace into facts(key, value) values (?, ?)'),
      remove: db.prepare('delete from facts where key = ?'),
      segment: db.prepare<[string], FileRow>(
        'select file as name, stored_bytes as bytes, created from segments where name = ?',
      ),
      names: db
        .prepare<[string], string>(
          `select file from segments
         union all select 'snapshot-' || name || '.lbs' from snapshots
         union all select substr(key, ${SENT.length + 1}) from facts where substr(key, 1, ${SENT.length}) = ?`,
        )
        .pluck(),
      hasSegments: db.prepare<[], number>('select 1 from segments limit 1').pluck(),
    };
  }

  /**
   * Makes sure that the database is of a store of that kind. A script has to have got everything
   * that is in it; a directory is looked at in every run anyway.
   * @throws {LbsError} usage
   */
  claim(kind: KindOfStore): void {
    const before = this.#statements.fact.get(KIND);
    if (before === kind) return;
    if (before === 'directory' && this.#statements.hasSegments.get() !== undefined) {
      throw new LbsError(
        'usage',
        'this local database is of stores that the upload script did not fill',
        {
          hint: 'give the script its own --localdb=DIR; where it fills a copy of a store, make one of that: lbs rebuild --store=COPY --localdb=DIR',
        },
      );
    }
    this.#set(KIND, kind);
  }

  /** A file that was given away; only names and sizes are known of it. */
  find(name: string): KnownFile | undefined {
    const segment = parseSegmentFile(name)?.segment;
    if (segment === undefined) {
      const sent = this.#statements.fact.get(SENT + name);
      return sent === undefined ? undefined : { name, sizeBytes: Number(sent), arrivedS: 0 };
    }
    const row = this.#statements.segment.get(segment);
    if (row?.name !== name) return undefined;
    return { name, sizeBytes: row.bytes, arrivedS: row.created };
  }

  names(): string[] {
    return this.#statements.names.all(SENT);
  }

  add(name: string, sizeBytes: number): void {
    this.#set(SENT + name, String(sizeBytes));
  }

  stagingDirectory(): string | undefined {
    return this.#statements.fact.get(STAGING);
  }

  setStagingDirectory(path: string | undefined): void {
    this.#set(STAGING, path);
  }

  #set(key: string, value: string | undefined): void {
    try {
      if (value === undefined) this.#statements.remove.run(key);
      else this.#statements.set.run(key, value);
    } catch (error) {
      throw databaseError(this.#open.file, 'write', error);
    }
  }
}
