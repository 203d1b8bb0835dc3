/**
 * Opens the local database: creates and migrates it, checks it cheaply, and locks it for the run.
 *
 * The database only remembers. It offers blocks for reuse, and every one it offers lies in a
 * segment that is durable in the store; losing it costs reading and storing again, never data.
 */
import {
  accessSync,
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  fdatasyncSync,
  openSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import Database from 'better-sqlite3';
import { LbsError, errnoName, isOutOfSpace, messageOf } from '../errors.ts';
import { ScratchDirectory } from '../posix/scratch-directory.ts';
import { newUuid } from '../std/clock.ts';
import { closeAnyway } from '../std/close-file.ts';
import { makeDirectories } from '../std/make-directories.ts';
import { APPLICATION_ID, MIGRATIONS } from './schema.ts';

/** File names within the local database's directory; lbs-localdb(5). */
export const LOCALDB_FILE = 'lbs-localdb.sqlite';

/** A database up to this size is checked completely at opening (some 30 ms at most). */
const QUICK_CHECK_BYTES_MAX = 8 * 1024 * 1024;
/** More than SQLite wants at once of a file beside the database. */
const PROBE_BYTES = 256 * 1024;
const CACHE_KIB = 8 * 1024;

export type OpenDatabase = {
  readonly db: Database.Database;
  readonly file: string;
  /** A random name of this database, to tell its leftovers in a store from others'. */
  readonly owner: string;
  /** True when there was none before. */
  readonly isNew: boolean;
  close(): void;
};

/** Turns an SQLite error into one that says what to do. */
export function databaseError(file: string, doing: string, cause: unknown): LbsError {
  if (cause instanceof LbsError) return cause;
  const code = errnoName(cause) ?? '';
  const isFull = code === 'SQLITE_FULL' || isOutOfSpace(cause);
  if (isFull || (code.startsWith('SQLITE_IOERR') && hasNoRoom(file))) {
    return new LbsError('no-space', `no space left for the local database ${file} (${doing})`, {
      cause,
      hint: 'make room and run the same command again; what was stored is kept',
    });
  }
  if (code.startsWith('SQLITE_CORRUPT') || code === 'SQLITE_NOTADB') {
    return damaged(file, messageOf(cause), cause);
  }
  const reason = code === 'SQLITE_CANTOPEN' ? reasonOf(file, cause) : messageOf(cause);
  return new LbsError('io', `cannot ${doing} the local database ${file}: ${reason}`, {
    cause,
    // SQLite calls it so, too, when there is no room for the index of its log.
    ...(code.startsWith('SQLITE_IOERR') ? { hint: 'its disk is failing, or full' } : {}),
  });
}

/** SQLite keeps to itself what the system said when it could not open a file: it is asked again. */
function reasonOf(file: string, cause: unknown): string {
  try {
    accessSync(dirname(file), constants.W_OK | constants.X_OK);
    if (existsSync(file)) closeSync(openSync(file, 'r+'));
    return messageOf(cause);
  } catch (error) {
    return messageOf(error);
  }
}

/**
 * True when nothing can be written beside the database. SQLite says "disk I/O error" for want of space
 * in some places, and only writing shows a quota.
 */
function hasNoRoom(file: string): boolean {
  const probe = `${file}-room`;
  let fd: number | undefined;
  try {
    fd = openSync(probe, 'w', 0o600);
    writeSync(fd, Buffer.alloc(PROBE_BYTES));
    fdatasyncSync(fd);
    return false;
  } catch (error) {
    return isOutOfSpace(error);
  } finally {
    if (fd !== undefined) {
      closeAnyway(fd);
      removeAnyway(probe);
    }
  }
}

/** Where something failed already, which an error from here would hide. */
function removeAnyway(file: string): void {
  try {
    rmSync(file, { force: true });
  } catch {
    // See above.
  }
}

function damaged(file: string, why: string, cause?: unknown): LbsError {
  return new LbsError('localdb-corrupt', `the local database ${file} is damaged: ${why}`, {
    cause,
    hint: `no backup is harmed. Start a new one with: mv ${file} ${file}.damaged   (then make it again: lbs rebuild)`,
  });
}

function version(db: Database.Database): number {
  return Number(db.pragma('user_version', { simple: true }));
}

function check(db: Database.Database, file: string): void {
  const application = Number(db.pragma('application_id', { simple: true }));
  const tables = db.prepare<[], { n: number }>('select count(*) as n from sqlite_schema').get()?.n;
  if (application !== APPLICATION_ID && (application !== 0 || version(db) !== 0 || tables !== 0)) {
    throw new LbsError('localdb-corrupt', `${file} is not a local database of lbs`, {
      hint: 'give another directory with --localdb=DIR, or move that file away',
    });
  }
  if (version(db) > MIGRATIONS.length) {
    throw new LbsError(
      'localdb-version',
      `the local database ${file} was made by a newer lbs (schema ${version(db)}, known ${MIGRATIONS.length})`,
      { hint: 'use that newer lbs, or another --localdb=DIR' },
    );
  }
  if (statSync(file).size > QUICK_CHECK_BYTES_MAX) return;
  const answer = String(db.pragma('quick_check(1)', { simple: true }));
  if (answer !== 'ok') throw damaged(file, answer);
}

function migrate(db: Database.Database): void {
  const present = version(db);
  const work = db.transaction(() => {
    db.pragma(`application_id = ${APPLICATION_ID}`);
    for (const script of MIGRATIONS.slice(present)) db.exec(script);
    db.pragma(`user_version = ${MIGRATIONS.length}`);
    db.prepare('insert or ignore into facts(key, value) values (?, ?)').run('owner', newUuid());
  });
  if (present < MIGRATIONS.length) work.immediate();
}

/**
 * Does something that is on disk when it returns; what is committed otherwise can be lost in a power
 * cut. Not within a transaction: SQLite ignores it there.
 */
export function durably<T>(db: Database.Database, work: () => T): T {
  db.pragma('synchronous = full');
  try {
    return work();
  } finally {
    db.pragma('synchronous = normal');
  }
}

function open(file: string, isNew: boolean, close: (db: Database.Database) => void): OpenDatabase {
  let db: Database.Database | undefined;
  try {
    // Only the owner may read it, from its first moment: it holds names and digests of everything
    // that is backed up, and who has it open goes on reading. SQLite gives its files the same mode.
    if (isNew) closeSync(openSync(file, 'a', 0o600));
    db = new Database(file);
    check(db, file);
    db.pragma('journal_mode = wal');
    // In WAL mode a power cut can lose the last commits but never mixes them: the database then
    // knows less than the store holds, which is the safe direction. Segments wait for the disk.
    db.pragma('synchronous = normal');
    db.pragma(`cache_size = -${CACHE_KIB}`);
    migrate(db);
    const opened = db;
    const owner = opened.prepare<[], { value: string }>(
      "select value from facts where key = 'owner'",
    );
    return { db, file, owner: owner.get()?.value ?? 'x', isNew, close: () => close(opened) };
  } catch (error) {
    db?.close();
    throw databaseError(file, 'open', error);
  }
}

/** Opens the database in `directory`, making both when missing. @throws {LbsError} localdb-* */
export function openDatabase(directory: string): OpenDatabase {
  try {
    makeDirectories(directory, 0o700);
  } catch (error) {
    throw new LbsError(
      'io',
      `cannot make ${directory} for the local database: ${messageOf(error)}`,
      {
        cause: error,
      },
    );
  }
  const file = join(directory, LOCALDB_FILE);
  return open(file, !existsSync(file), (db) => {
    try {
      db.pragma('wal_checkpoint(truncate)');
    } catch {
      // What is committed stays in the log beside the database, which the next run reads.
    }
    db.close();
  });
}

/**
 * A copy to look things up in, for a dry run: SQLite makes files beside a database even when it
 * only reads it, and a dry run changes nothing.
 */
export function openScratchCopy(directory: string): OpenDatabase {
  const scratch = new ScratchDirectory('dry-run');
  try {
    const file = join(scratch.path, LOCALDB_FILE);
    const original = join(directory, LOCALDB_FILE);
    for (const suffix of ['', '-wal']) {
      if (existsSync(original + suffix)) copyFileSync(original + suffix, file + suffix);
    }
    return open(file, !existsSync(original), (db) => {
      db.close();
      scratch.close();
    });
  } catch (error) {
    scratch.close();
    throw error;
  }
}
