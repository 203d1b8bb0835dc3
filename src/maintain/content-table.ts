/**
 * The distinct contents of all files being verified, and what is known of each, in a temporary
 * database without a name. Files of many snapshots that have the same references and checksums
 * are one content, checked once. Memory stays flat; nothing is left behind.
 */
import { hash } from 'node:crypto';
import type Database from 'better-sqlite3';
import type { ByteRange, Entry } from '../format/entry.ts';
import { openScratchDatabase } from '../std/scratch-database.ts';

const CACHE_KIB = 8 * 1024;
const KEY_BYTES = 16;

/** How the bytes of a content are checked. */
export const CHECK = {
  /** Only that they are there. */
  presence: 0,
  /** One piece is the whole content. */
  single: 1,
  /** In order from the start; pieces that come early are put aside. */
  ordered: 2,
  /** Each piece by its own SHA-256: for pieces that come in any order. */
  pieces: 3,
} as const;
export type Check = (typeof CHECK)[keyof typeof CHECK];

export type Content = {
  readonly id: number;
  readonly check: Check;
  readonly sizeBytes: number;
  readonly checksum: string | undefined;
  readonly sha256: string | undefined;
  /** All-zero stretches, in order. */
  readonly zeros: readonly ByteRange[];
};

type Row = {
  id: number;
  check: Check;
  size: number;
  checksum: string | null;
  sha256: string | null;
  zeros: string | null;
};

const SCHEMA = `
  create table contents (
    id integer primary key,
    key blob not null,
    "check" integer not null,
    size integer not null,
    checksum text,
    sha256 text,
    zeros text
  );
  create unique index contents_key on contents (key);
  -- SHA-256 of single pieces.
  create table pieces (id integer, offset integer, sha256 text not null, primary key (id, offset))
    without rowid;
  -- Pieces that came before their turn, and where they were put.
  create table early (id integer, offset integer, at integer not null, length integer not null,
    primary key (id, offset)) without rowid;
  create table lost (id integer primary key, reason text not null);
`;

/** What makes two files one content. */
export function contentKey(entry: Entry): Buffer {
  const { sizeBytes, checksum, sha256, data } = entry;
  const text = `${sizeBytes}\0${checksum ?? ''}\0${sha256 ?? ''}\0${data.join(' ')}`;
  return hash('sha256', text, 'buffer').subarray(0, KEY_BYTES);
}

export class ContentTable {
  readonly #db: Database.Database;
  readonly #statements;
  #lost = 0;

  constructor() {
    this.#db = openScratchDatabase(SCHEMA, CACHE_KIB);
    this.#statements = prepare(this.#db);
  }

  has(key: Buffer): boolean {
    return this.#statements.find.get(key) !== undefined;
  }

  add(key: Buffer, content: Content): void {
    const { id, check, sizeBytes, checksum, sha256, zeros } = content;
    const zeroText = zeros.length === 0 ? null : JSON.stringify(zeros);
    const row = [id, key, check, sizeBytes, checksum ?? null, sha256 ?? null, zeroText] as const;
    this.#statements.add.run(...row);
  }

  get(id: number): Content | undefined {
    const row = this.#statements.get.get(id);
    if (row === undefined) return undefined;
    const zeros: ByteRange[] = row.zeros === null ? [] : JSON.parse(row.zeros);
    return {
      id,
      check: row.check,
      sizeBytes: row.size,
      checksum: row.checksum ?? undefined,
      sha256: row.sha256 ?? undefined,
      zeros,
    };
  }

  addPiece(id: number, offset: number, sha256: string): void {
    this.#statements.addPiece.run(id, offset, sha256);
  }

  pieceSha256(id: number, offset: number): string | undefined {
    return this.#statements.piece.get(id, offset);
  }

  /** Notes that a content is lost; the first reason counts. */
  lose(id: number, reason: string): void {
    this.#lost += this.#statements.lose.run(id, reason).changes;
  }

  isLost(id: number): boolean {
    return this.#lost > 0 && this.#statements.isLost.get(id) !== undefined;
  }

  get lost(): number {
    return this.#lost;
  }

  /** Why the content with this key is lost; undefined when it is not. */
  reasonOf(key: Buffer): string | undefined {
    return this.#statements.reason.get(key);
  }

  addEarly(id: number, offset: number, at: number, length: number): void {
    this.#statements.addEarly.run(id, offset, at, length);
  }

  /** Takes out the early piece that begins at `offset`. */
  takeEarly(id: number, offset: number): { at: number; length: number } | undefined {
    return this.#statements.takeEarly.get(id, offset);
  }

  /** A content after `id` with early pieces. */
  nextWithEarly(id: number): number | undefined {
    return this.#statements.nextEarly.get(id);
  }

  close(): void {
    this.#db.close();
  }
}

type ContentRow = [number, Buffer, number, number, string | null, string | null, string | null];

function prepare(db: Database.Database) {
  return {
    find: db.prepare<[Buffer], number>('select id from contents where key = ?').pluck(),
    add: db.prepare<ContentRow>('insert into contents values (?, ?, ?, ?, ?, ?, ?)'),
    get: db.prepare<[number], Row>('select * from contents where id = ?'),
    addPiece: db.prepare<[number, number, string]>('insert into pieces values (?, ?, ?)'),
    piece: db
      .prepare<[number, number], string>('select sha256 from pieces where id = ? and offset = ?')
      .pluck(),
    lose: db.prepare<[number, string]>('insert or ignore into lost values (?, ?)'),
    isLost: db.prepare<[number], number>('select 1 from lost where id = ?').pluck(),
    reason: db
      .prepare<[Buffer], string>('select reason from lost join contents using (id) where key = ?')
      .pluck(),
    addEarly: db.prepare<[number, number, number, number]>('insert into early values (?, ?, ?, ?)'),
    takeEarly: db.prepare<[number, number], { at: number; length: number }>(
      'delete from early where id = ? and offset = ? returning at, length',
    ),
    nextEarly: db
      .prepare<[number], number>('select id from early where id > ? order by id limit 1')
      .pluck(),
  };
}
