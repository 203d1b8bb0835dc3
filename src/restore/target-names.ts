/**
 * Every name below the target that the snapshot speaks of, for `--delete` (which removes all
 * others) and `--strip-components` (which may give two entries one name). Kept in a temporary
 * database, and only when one of the two is asked for.
 */
import type Database from 'better-sqlite3';
import { openScratchDatabase } from '../std/scratch-database.ts';

/** What the snapshot has under a name, as far as deleting goes. */
export const NAME = {
  /** Not a directory: a directory in its place has to go. */
  other: 0,
  /** What is there is left alone, whatever it is. */
  kept: 1,
  /** A directory that is restored: what else is in it goes. */
  directory: 2,
  /** Not restored, and so kept, unless something else that is restored comes to the same name. */
  left: 3,
  /** As `other`, and a directory was seen in its place. */
  replaced: 4,
} as const;
export type NameKind = (typeof NAME)[keyof typeof NAME];

/** A directory: its place below the target, and its path in the snapshot. */
export type NamedDirectory = { readonly path: Buffer; readonly source: Buffer };

const CACHE_KIB = 4 * 1024;
const BATCH_ROWS = 500;
const SCHEMA = `
  create table names (path blob primary key, kind integer not null, source blob) without rowid;
`;
const AFTER_SLASH = 0x30;

export class TargetNames {
  readonly #db: Database.Database;
  readonly #claim;
  readonly #kind;

  constructor() {
    this.#db = openScratchDatabase(SCHEMA, CACHE_KIB);
    this.#claim = this.#db.prepare<[Buffer, number, Buffer | null]>(
      `insert into names values (?, ?, ?) on conflict (path)
       do update set kind = excluded.kind, source = excluded.source
       where kind = ${NAME.left} and excluded.kind <> ${NAME.left}`,
    );
    this.#kind = this.#db
      .prepare<[Buffer], NameKind>('select kind from names where path = ?')
      .pluck();
  }

  /** False when another entry has the name already. `source` is a directory's path in the snapshot. */
  claim(path: Buffer, kind: NameKind, source: Buffer): boolean {
    const isDirectory = kind === NAME.directory || kind === NAME.replaced;
    return this.#claim.run(path, kind, isDirectory ? source : null).changes === 1;
  }

  kindOf(path: Buffer): NameKind | undefined {
    return this.#kind.get(path);
  }

  /** The restored directories, each before what is below it. */
  directories(): Generator<NamedDirectory> {
    return this.#ofKind(NAME.directory);
  }

  /** Directories of the target in whose place the snapshot has something else. */
  replacedDirectories(): Generator<NamedDirectory> {
    return this.#ofKind(NAME.replaced);
  }

  *#ofKind(kind: NameKind): Generator<NamedDirectory> {
    const next = this.#db.prepare<[Buffer], NamedDirectory>(
      `select path, source from names where path > ? and kind = ${kind}
       order by path limit ${BATCH_ROWS}`,
    );
    const top = this.#db
      .prepare<[], NamedDirectory>(
        `select path, source from names where path = x'' and kind = ${kind}`,
      )
      .get();
    if (top !== undefined) yield top;
    for (let last: Buffer = Buffer.alloc(0); ;) {
      const rows = next.all(last);
      yield* rows;
      const end = rows.at(-1);
      if (end === undefined) return;
      last = end.path;
    }
  }

  /** True when the snapshot has anything in the directory. */
  hasBelow(path: Buffer): boolean {
    const from = Buffer.concat([path, Buffer.from('/')]);
    const to = Buffer.concat([path, Buffer.of(AFTER_SLASH)]);
    return (
      this.#db.prepare('select 1 from names where path > ? and path < ? limit 1').get(from, to) !==
      undefined
    );
  }

  close(): void {
    this.#db.close();
  }
}
