/**
 * What a restore remembers of every selected entry between its passes: a record in a file that has
 * no name (record-file.ts), and what needs to be looked up in a temporary database that SQLite keeps
 * in memory while it is small and on disk when it is not. Both are gone when the process is. Only
 * the state of each entry, a byte, stays in memory: it changes with every file, and an update of the
 * database costs as much as creating a small file.
 *
 * An entry's id is also its file id in the content plan. Ids follow the order of the metadata.
 */
import type Database from 'better-sqlite3';
import type { ByteRange, Entry } from '../format/entry.ts';
import { type EntryType } from '../posix/file-status.ts';
import { openScratchDatabase } from '../std/scratch-database.ts';
import { decodeRecord, encodeRecord } from './ledger-record.ts';
import { RecordFile } from './record-file.ts';
import type { Role } from './select-paths.ts';
import type { Wish } from './set-attributes.ts';

/** What is still to be done for an entry, or what came of it. */
export const STATE = {
  /** Directory, link, special file or file without stored content: to be made. */
  make: 0,
  /** File with the recorded content in place already: attributes to be looked at. */
  equal: 1,
  /** File that waits for its content. */
  content: 2,
  /** Further name of a hard-linked entry, `first`. */
  link: 3,
  /** Directory that is there: attributes to be set at the end. */
  finish: 4,
  done: 5,
  /** Not restored: the store is damaged. */
  lost: 6,
  /** Not restored: the target does not let us. */
  refused: 7,
  /** Left as it is in the target, because `--overwrite` says so. */
  kept: 8,
} as const;
export type State = (typeof STATE)[keyof typeof STATE];
const STATES = Object.values(STATE);

export type LedgerEntry = {
  readonly id: number;
  /** Below the target; `''` for the target itself. */
  readonly path: Buffer;
  readonly type: EntryType;
  readonly role: Role;
  readonly state: State;
  /** Id of the entry that this one is a hard link to. */
  readonly first: number | undefined;
  /** The recorded number of names; 1 when none is recorded. */
  readonly links: number;
  readonly sizeBytes: number;
  /** `algorithm=hex` of the content: the strongest recorded. */
  readonly checksum: string | undefined;
  readonly wish: Wish;
  /** Ranges of all-zero references. */
  readonly zeros: readonly ByteRange[];
  /** Ranges that are left unwritten. */
  readonly holes: readonly ByteRange[];
  readonly target: Buffer | undefined;
  readonly device: Entry['device'];
};

export type NewLedgerEntry = Omit<LedgerEntry, 'id'>;

const CACHE_KIB = 4 * 1024;
const SCHEMA = `
  create table directories (path blob not null, id integer not null);
  -- The first entry of each hard-link group.
  create table groups (key text primary key, id integer not null) without rowid;
  -- Files that are partly written and not open: what has arrived so far.
  create table partial (id integer primary key, received integer not null);
  -- Directories whose mode was widened to work in them, and the mode they had.
  create table relaxed (path blob primary key, mode integer not null) without rowid;
  -- Directories in whose place something else is kept.
  create table kept (path blob primary key) without rowid;
`;

const SLASH = 0x2f;
const BATCH_ROWS = 500;
const STATES_MIN = 4096;

export class RestoreLedger {
  readonly #db: Database.Database;
  readonly #records = new RecordFile();
  #lastId = 0;
  /** By id. */
  #states = new Uint8Array(STATES_MIN);
  #hasRelaxed = false;
  #hasKept = false;
  readonly #addDirectory;
  readonly #findGroup;
  readonly #addGroup;

  constructor() {
    this.#db = openScratchDatabase(SCHEMA, CACHE_KIB);
    this.#addDirectory = this.#db.prepare<[Buffer, number]>(
      'insert into directories values (?, ?)',
    );
    this.#findGroup = this.#db
      .prepare<[string], number>('select id from groups where key = ?')
      .pluck();
    this.#addGroup = this.#db.prepare<[string, number]>('insert into groups values (?, ?)');
  }

  /** The id that `add` will give out next. */
  nextId(): number {
    return this.#lastId + 1;
  }

  /** Returns the new entry's id. */
  add(entry: NewLedgerEntry): number {
    const id = ++this.#lastId;
    this.#records.add(encodeRecord(entry));
    if (entry.type === 'd') this.#addDirectory.run(entry.path, id);
    if (id >= this.#states.length) {
      const grown = new Uint8Array(2 * this.#states.length);
      grown.set(this.#states);
      this.#states = grown;
    }
    this.#states[id] = entry.state;
    return id;
  }

  /** @throws {RangeError} when there is none: a mistake of ours */
  get(id: number): LedgerEntry {
    const record = decodeRecord(this.#records.get(id));
    return { ...record, id, state: stateOf(this.#states[id]) };
  }

  /** The record of an entry in `state`; undefined when it is in another. */
  recordIn(state: State, id: number): Buffer | undefined {
    return this.#states[id] === state ? this.#records.get(id) : undefined;
  }

  setState(id: number, state: State): void {
    this.#states[id] = state;
  }

  /** The first entry of a hard-link group; undefined when this group was not met before. */
  firstOf(group: string): number | undefined {
    return this.#findGroup.get(group);
  }

  startGroup(group: string, id: number): void {
    this.#addGroup.run(group, id);
  }

  /** True when the snapshot describes the target itself. */
  hasTop(): boolean {
    return (
      this.#db.prepare("select 1 from directories where path = x'' limit 1").get() !== undefined
    );
  }

  /** Entries in one of the states, in the order of the metadata. States may change meanwhile. */
  *inState(state: State, orState: State = state): Generator<LedgerEntry> {
    for (let id = 1; id <= this.#lastId; id++) {
      const current = this.#states[id];
      if (current === state || current === orState) yield this.get(id);
    }
  }

  /** Every entry, in the order of the metadata. */
  *all(): Generator<LedgerEntry> {
    for (let id = 1; id <= this.#lastId; id++) yield this.get(id);
  }

  /** Directories to finish: what is in a directory before the directory, the target last. */
  *directoriesToFinish(): Generator<LedgerEntry> {
    this.#db.exec('create index by_path on directories (path, id)');
    // A path is a proper prefix of all that is below it, so it sorts before it by plain bytes.
    const next = this.#db.prepare<[Buffer, number], { path: Buffer; id: number }>(
      `select path, id from directories where (path, id) < (?, ?)
       order by path desc, id desc limit ${BATCH_ROWS}`,
    );
    let before = this.#db
      .prepare<[], Buffer | null>('select max(path) from directories')
      .pluck()
      .get();
    for (let beforeId = Number.MAX_SAFE_INTEGER; before;) {
      const rows = next.all(before, beforeId);
      for (const { id } of rows) if (this.#states[id] === STATE.finish) yield this.get(id);
      before = rows.at(-1)?.path;
      beforeId = rows.at(-1)?.id ?? 0;
    }
  }

  /** Notes a file that is closed while parts of its content are still to come. */
  park(id: number, receivedBytes: number): void {
    this.#db.prepare('insert or replace into partial values (?, ?)').run(id, receivedBytes);
  }

  /** Takes the note of a parked file away: the bytes received; undefined when it is not parked. */
  unpark(id: number): number | undefined {
    return this.#db
      .prepare<[number], number>('delete from partial where id = ? returning received')
      .pluck()
      .get(id);
  }

  /** Every parked file's id. */
  parked(): number[] {
    return this.#db.prepare<[], number>('select id from partial order by id').pluck().all();
  }

  /** Something that is no directory is kept in the place of one. */
  keepInPlaceOf(path: Buffer): void {
    this.#hasKept = true;
    this.#db.prepare('insert or ignore into kept values (?)').run(path);
  }

  /** True when one of the directories above `path` will not be there. */
  keptAbove(path: Buffer): boolean {
    if (!this.#hasKept) return false;
    const isKept = this.#db.prepare<[Buffer]>('select 1 from kept where path = ?');
    for (let slash = path.indexOf(SLASH); slash >= 0; slash = path.indexOf(SLASH, slash + 1)) {
      if (isKept.get(path.subarray(0, slash)) !== undefined) return true;
    }
    return false;
  }

  relaxed(path: Buffer, mode: number): void {
    this.#hasRelaxed = true;
    this.#db.prepare('insert or ignore into relaxed values (?, ?)').run(path, mode);
  }

  /** A directory has got its recorded mode: nothing is to be undone there. */
  forgetRelaxed(path: Buffer): void {
    if (!this.#hasRelaxed) return;
    this.#db.prepare('delete from relaxed where path = ?').run(path);
  }

  /** Directories that still have their widened mode, deepest first. */
  stillRelaxed(): { path: Buffer; mode: number }[] {
    return this.#db
      .prepare<[], { path: Buffer; mode: number }>('select * from relaxed order by path desc')
      .all();
  }

  close(): void {
    this.#records.close();
    this.#db.close();
  }
}

function stateOf(byte: number | undefined): State {
  return STATES.find((state) => state === byte) ?? STATE.make;
}
