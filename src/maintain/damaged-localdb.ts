/** A local database that is damaged: how repair knows it, and how it is kept beside the new one. */
import { existsSync, renameSync } from 'node:fs';
import { LbsError } from '../errors.ts';
import { openDatabase } from '../localdb/open-localdb.ts';
import { stagingError } from '../stores/store-error.ts';

/** Gives a database and what belongs to it a name that nobody reads. @throws {LbsError} io, no-space */
export function putAside(file: string): void {
  let number = 1;
  while (existsSync(damagedName(file, number))) number++;
  const kept = damagedName(file, number);
  try {
    for (const suffix of ['', '-wal', '-shm']) {
      if (existsSync(file + suffix)) renameSync(file + suffix, kept + suffix);
    }
  } catch (error) {
    throw stagingError(file, `keep the damaged database as ${kept}`, error);
  }
}

function damagedName(file: string, number: number): string {
  return `${file}.damaged${number === 1 ? '' : `-${number}`}`;
}

/** True for a database that SQLite cannot use. */
export function isCorrupt(localdb: string): boolean {
  try {
    openDatabase(localdb).close();
    return false;
  } catch (error) {
    if (error instanceof LbsError && error.code === 'localdb-corrupt') return true;
    throw error;
  }
}
