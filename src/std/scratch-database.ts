/**
 * A temporary database without a name: SQLite keeps it in memory while it is small and on disk when
 * it is not, so memory stays flat for millions of rows, and nothing is left behind however the
 * process ends. For plans and tables that only the one who makes them reads.
 */
import Database from 'better-sqlite3';

/** `cacheKib` is the memory that it takes at most. Each user closes its own. */
export function openScratchDatabase(schema: string, cacheKib: number): Database.Database {
  const db = new Database('');
  db.pragma('journal_mode = off');
  db.pragma('synchronous = off');
  db.pragma(`cache_size = -${cacheKib}`);
  db.exec(schema);
  // One transaction for good: nobody else will read it, and each commit has its price.
  db.exec('begin');
  return db;
}
