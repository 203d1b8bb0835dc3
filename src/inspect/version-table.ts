/**
 * Versions of paths, and which snapshots hold each, in a temporary database without a name.
 *
 * Filled by snapshot-search: a version is noted with the part of the metadata that it was read in, so
 * that a later snapshot with the same part is known to hold it without being read.
 */
import type Database from 'better-sqlite3';
import type { Entry } from '../format/entry.ts';
import type { EntryType, Timespec } from '../posix/file-status.ts';
import { normalisePath } from '../restore/select-paths.ts';
import { type BytePath, bytePath } from '../std/byte-path.ts';
import { openScratchDatabase } from '../std/scratch-database.ts';
import { pathKey } from './path-key.ts';

const CACHE_KIB = 16 * 1024;

/** One state of a path. */
export type Version = {
  readonly path: BytePath;
  readonly type: EntryType;
  readonly sizeBytes: number;
  readonly mtime: Timespec | undefined;
  readonly sha256: string | undefined;
  /** `algorithm=hex` of the content. */
  readonly checksum: string | undefined;
  /** Of a symbolic link. */
  readonly target: Buffer | undefined;
};

type VersionRow = {
  id: number;
  path: Buffer;
  type: EntryType;
  size: number;
  mtime_s: number | null;
  mtime_ns: number | null;
  sha256: string | null;
  checksum: string | null;
  target: Buffer | null;
};

const SCHEMA = `
  create table versions (
    id integer primary key,
    key blob not null,
    path blob not null,
    type text not null,
    size integer not null,
    mtime_s integer,
    mtime_ns integer,
    sha256 text,
    checksum text,
    target blob,
    -- All that makes it a version of its own.
    state text not null
  );
  create unique index versions_state on versions (key, path, state);
  -- Snapshots by their place in the list of snapshots.
  create table held (version integer, snapshot integer, primary key (version, snapshot))
    without rowid;
  -- What is in a part of the metadata.
  create table contained (part integer, version integer, primary key (part, version)) without rowid;
`;

/** What makes two states of a path different versions: type, content, size and time. */
function stateOf(entry: Entry): string {
  const { type, sizeBytes, mtime, sha256, checksum, data, target, device } = entry;
  const content = sha256 ?? checksum ?? data.join(' ');
  const time = mtime === undefined ? '' : `${mtime.s}.${mtime.ns}`;
  const node = device === undefined ? '' : `${device.major}/${device.minor}`;
  return [type, sizeBytes, time, content, target?.toString('hex') ?? '', node].join(' ');
}

export class VersionTable {
  readonly #db: Database.Database;
  readonly #statements;

  constructor() {
    this.#db = openScratchDatabase(SCHEMA, CACHE_KIB);
    this.#statements = prepare(this.#db);
  }

  /** Notes that a snapshot holds an entry, which is in these parts of its metadata. */
  add(entry: Entry, snapshot: number, parts: Iterable<number>): void {
    const { held, contain } = this.#statements;
    const id = this.#idOf(entry);
    held.run(id, snapshot);
    for (const part of parts) contain.run(part, id);
  }

  #idOf(entry: Entry): number {
    const { find, add } = this.#statements;
    const { type, sizeBytes, mtime, sha256, checksum, target } = entry;
    const path = normalisePath(entry.path);
    const key = pathKey(path);
    const state = stateOf(entry);
    const known = find.get(key, path, state);
    if (known !== undefined) return known;
    const facts = [
      type,
      sizeBytes,
      mtime?.s ?? null,
      mtime?.ns ?? null,
      sha256 ?? null,
      checksum ?? null,
      target ?? null,
    ] as const;
    return Number(add.run(key, path, ...facts, state).lastInsertRowid);
  }

  /** Notes that a snapshot holds all that is in a part, and so do the parts around it. */
  addPart(part: number, snapshot: number, around: Iterable<number>): void {
    this.#statements.heldByPart.run(snapshot, part);
    for (const outer of around) this.#statements.containPart.run(outer, part);
  }

  /**
   * Versions in the order of paths, older times first, each with the places of the snapshots that
   * hold it. Nothing else may be asked meanwhile.
   */
  *versions(): Generator<Version & { readonly snapshots: readonly number[] }> {
    for (const row of this.#statements.all.iterate()) {
      yield { ...versionOf(row), snapshots: JSON.parse(row.snapshots) };
    }
  }

  close(): void {
    this.#db.close();
  }
}

function versionOf(row: VersionRow): Version {
  return {
    path: bytePath(row.path),
    type: row.type,
    sizeBytes: row.size,
    mtime: row.mtime_s === null ? undefined : { s: row.mtime_s, ns: row.mtime_ns ?? 0 },
    sha256: row.sha256 ?? undefined,
    checksum: row.checksum ?? undefined,
    target: row.target ?? undefined,
  };
}

type FactsRow = [
  EntryType,
  number,
  number | null,
  number | null,
  string | null,
  string | null,
  Buffer | null,
];

function prepare(db: Database.Database) {
  return {
    find: db
      .prepare<[Buffer, Buffer, string], number>(
        'select id from versions where key = ? and path = ? and state = ?',
      )
      .pluck(),
    add: db.prepare<[Buffer, Buffer, ...FactsRow, string]>(
      `insert into versions (key, path, type, size, mtime_s, mtime_ns, sha256, checksum, target, state)
       values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    held: db.prepare<[number, number]>('insert or ignore into held values (?, ?)'),
    contain: db.prepare<[number, number]>('insert or ignore into contained values (?, ?)'),
    heldByPart: db.prepare<[number, number]>(
      'insert or ignore into held select version, ? from contained where part = ?',
    ),
    containPart: db.prepare<[number, number]>(
      'insert or ignore into contained select ?, version from contained where part = ?',
    ),
    all: db.prepare<[], VersionRow & { snapshots: string }>(
      `select *, (select json_group_array(snapshot order by snapshot) from held
       where version = versions.id) as snapshots
       from versions order by key, path, mtime_s, mtime_ns, id`,
    ),
  };
}
