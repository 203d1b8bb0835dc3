/**
 * The differences between two trees, in a temporary database without a name: which of the paths
 * that are gone and of those that came are one file that was moved is known only when all are.
 *
 * Called by diff. Memory stays flat, however many differences there are.
 */
import { setImmediate as turn } from 'node:timers/promises';
import type Database from 'better-sqlite3';
import { LbsError } from '../errors.ts';
import type { EntryType } from '../posix/file-status.ts';
import { type BytePath, bytePath, nameOf } from '../std/byte-path.ts';
import { openScratchDatabase } from '../std/scratch-database.ts';
import { attributeLetters, type Facts, type Precision } from './facts.ts';
import { pathKey } from './path-key.ts';

const CACHE_KIB = 8 * 1024;
/** Rows that are held while others are changed. */
const PAGE_ROWS = 500;

/** One line of a diff. */
export type Change = {
  /** `+`, `-`, or any of `M`, `C`, `O`, `P`, `T`, `X` in this order. */
  readonly letters: string;
  readonly path: BytePath;
  /** Where a moved file was before. */
  readonly from?: BytePath;
  readonly type: EntryType;
  /** Of a regular file, as it is after (before, when it is gone); 0 of everything else. */
  readonly sizeBytes: number;
};

type ChangeRow = {
  letters: string;
  path: Buffer;
  source: Buffer | null;
  type: EntryType;
  size: number;
};
type FileRow = { id: number; path: Buffer; name: Buffer; facts: string };
type NewRow = [Buffer, Buffer, Buffer, string, EntryType, number, string | null, string | null];

const SCHEMA = `
  create table changes (
    id integer primary key,
    key blob not null,
    path blob not null,
    -- Last component.
    name blob not null,
    letters text not null,
    type text not null,
    size integer not null,
    sha256 text,
    checksum text,
    -- Of what may be a part of a move: the state, as JSON.
    facts text,
    -- Where it was before.
    source blob
  );
  create index changes_key on changes (key, id);
  create index gone_size on changes (size) where letters = '-' and type = 'f';
  create index came_sha256 on changes (sha256, name) where letters = '+';
  create index came_checksum on changes (checksum, name) where letters = '+';
`;

/** Completes the facts of a file that came, which may need its content to be read. */
export type Hasher = (path: BytePath, facts: Facts) => Promise<Facts | undefined>;

export class ChangeTable {
  readonly #db: Database.Database;
  readonly #statements;

  constructor() {
    this.#db = openScratchDatabase(SCHEMA, CACHE_KIB);
    this.#statements = prepare(this.#db);
  }

  /** Notes a difference; `facts` as the path is after, or was when it is gone. */
  add(letters: string, path: BytePath, facts: Facts): void {
    const { type, sizeBytes, sha256, checksum } = facts;
    const name = Buffer.from(nameOf(path));
    const row: NewRow = [
      pathKey(path),
      path,
      name,
      letters,
      type,
      sizeBytes,
      sha256 ?? null,
      checksum ?? null,
    ];
    // Only files with content can be told to be the same ones elsewhere.
    const mayMove = (letters === '+' || letters === '-') && type === 'f' && sizeBytes > 0;
    this.#statements.add.run(...row, mayMove ? JSON.stringify(facts) : null);
  }

  /** Forgets all. */
  clear(): void {
    this.#statements.clear.run();
  }

  /** Lets `hasher` complete the files that came and have the size of one that is gone. */
  async hashCandidates(hasher: Hasher): Promise<void> {
    for (let after = 0; ;) {
      const rows = this.#statements.unhashed.all(after, PAGE_ROWS);
      for (const { id, path, facts } of rows) {
        after = id;
        const hashed = await hasher(bytePath(path), JSON.parse(facts));
        if (hashed === undefined) continue;
        const { sha256, checksum } = hashed;
        this.#statements.hashed.run(sha256 ?? null, checksum ?? null, JSON.stringify(hashed), id);
      }
      if (rows.length < PAGE_ROWS) return;
    }
  }

  /**
   * Makes one move of a file that is gone and one with its content that came. Of several the one
   * with the same name is taken, else the first. @throws {LbsError} interrupted
   */
  async pairMoves(precision: Precision, signal: AbortSignal | undefined): Promise<void> {
    for (const isNamed of [true, false]) {
      for (let after = 0; ;) {
        const rows = this.#statements.gone.all(after, PAGE_ROWS);
        for (const row of rows) {
          after = row.id;
          const came = this.#counterpart(row, isNamed);
          if (came !== undefined) this.#makeMove(row, came, precision);
        }
        await turn();
        if (signal?.aborted === true) throw new LbsError('interrupted', 'interrupted');
        if (rows.length < PAGE_ROWS) break;
      }
    }
  }

  #counterpart(gone: FileRow, isNamed: boolean): FileRow | undefined {
    const { sha256, checksum, sizeBytes }: Facts = JSON.parse(gone.facts);
    const name = isNamed ? gone.name : null;
    const { bySha256, byChecksum, byNamedSha256, byNamedChecksum } = this.#statements;
    let found: FileRow | undefined;
    if (sha256 !== undefined) {
      found =
        name === null
          ? bySha256.get(sha256, sizeBytes)
          : byNamedSha256.get(sha256, name, sizeBytes);
    }
    if (found !== undefined || checksum === undefined) return found;
    return name === null
      ? byChecksum.get(checksum, sizeBytes)
      : byNamedChecksum.get(checksum, name, sizeBytes);
  }

  #makeMove(gone: FileRow, came: FileRow, precision: Precision): void {
    const letters = `M${attributeLetters(JSON.parse(gone.facts), JSON.parse(came.facts), precision)}`;
    this.#statements.move.run(letters, gone.path, came.id);
    this.#statements.remove.run(gone.id);
  }

  /** The differences in the order of paths. Nothing else may be asked meanwhile. */
  *changes(): Generator<Change> {
    for (const { letters, path, source, type, size } of this.#statements.all.iterate()) {
      yield {
        letters,
        path: bytePath(path),
        ...(source === null ? {} : { from: bytePath(source) }),
        type,
        sizeBytes: size,
      };
    }
  }

  close(): void {
    this.#db.close();
  }
}

function prepare(db: Database.Database) {
  const came = `select id, path, name, facts from changes where letters = '+' and type = 'f'`;
  return {
    add: db.prepare<[...NewRow, string | null]>(
      `insert into changes (key, path, name, letters, type, size, sha256, checksum, facts)
       values (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    clear: db.prepare('delete from changes'),
    unhashed: db.prepare<[number, number], FileRow>(
      `select id, path, name, facts from changes as one where id > ? and letters = '+'
       and facts is not null and sha256 is null and exists (select 1 from changes as other
       where other.letters = '-' and other.type = 'f' and other.size = one.size)
       order by id limit ?`,
    ),
    hashed: db.prepare<[string | null, string | null, string, number]>(
      'update changes set sha256 = ?, checksum = ?, facts = ? where id = ?',
    ),
    gone: db.prepare<[number, number], FileRow>(
      `select id, path, name, facts from changes where id > ? and letters = '-'
       and facts is not null order by id limit ?`,
    ),
    bySha256: db.prepare<[string, number], FileRow>(`${came} and sha256 = ? and size = ? limit 1`),
    byChecksum: db.prepare<[string, number], FileRow>(
      `${came} and checksum = ? and size = ? limit 1`,
    ),
    byNamedSha256: db.prepare<[string, Buffer, number], FileRow>(
      `${came} and sha256 = ? and name = ? and size = ? limit 1`,
    ),
    byNamedChecksum: db.prepare<[string, Buffer, number], FileRow>(
      `${came} and checksum = ? and name = ? and size = ? limit 1`,
    ),
    move: db.prepare<[string, Buffer, number]>(
      'update changes set letters = ?, source = ? where id = ?',
    ),
    remove: db.prepare<[number]>('delete from changes where id = ?'),
    all: db.prepare<[], ChangeRow>(
      'select letters, path, source, type, size from changes order by key, path, id',
    ),
  };
}
