/**
 * The first name of each hard-linked thing, until all its names were met. A temporary database
 * without a name, as the plans of restore and verify are: memory stays flat however many there are.
 */
import type Database from 'better-sqlite3';
import { openScratchDatabase } from '../std/scratch-database.ts';

const CACHE_KIB = 4 * 1024;
const SCHEMA = 'create table names (thing text primary key, path blob, left) without rowid';

type Row = { readonly path: Buffer; readonly left: number };

export class FirstNames {
  readonly #db: Database.Database;
  readonly #get;
  readonly #put;
  readonly #remove;

  constructor() {
    this.#db = openScratchDatabase(SCHEMA, CACHE_KIB);
    this.#get = this.#db.prepare<[string], Row>('select path, left from names where thing = ?');
    this.#put = this.#db.prepare<[string, Buffer, number]>(
      'insert or replace into names values (?, ?, ?)',
    );
    this.#remove = this.#db.prepare<[string]>('delete from names where thing = ?');
  }

  /** Remembers the first of `links` names of `thing`. */
  add(thing: string, path: Buffer, links: number): void {
    this.#put.run(thing, path, links - 1);
  }

  /** The first name of a thing that one more name of was met; undefined when this is the first. */
  take(thing: string): Buffer | undefined {
    const row = this.#get.get(thing);
    if (row === undefined) return undefined;
    if (row.left <= 1) this.#remove.run(thing);
    else this.#put.run(thing, row.path, row.left - 1);
    return row.path;
  }

  close(): void {
    this.#db.close();
  }
}
