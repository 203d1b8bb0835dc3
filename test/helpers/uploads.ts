/** What must hold after every run with an upload script, however it ended. */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import Database from 'better-sqlite3';
import type { Places } from './places.ts';
import { snapshotNames } from './store-state.ts';

/** Staging directories, where the base of the places is the directory for them. */
export function stagings({ base }: Places): string[] {
  return readdirSync(base).filter((name) => name.startsWith('lbs.'));
}

/** What the local database offers is in the store; nothing waits. */
export function remembersOnlyWhatIsThere(t: ExecutionContext, at: Places): void {
  const db = new Database(join(at.localdb, 'lbs-localdb.sqlite'), { readonly: true });
  const files = db.prepare<[], string>('select file from segments').pluck().all();
  const snapshots = db.prepare<[], string>('select name from snapshots').pluck().all();
  db.close();
  for (const file of files) t.true(existsSync(join(at.store, file)), `${file} is not there`);
  t.true(snapshots.every((name) => snapshotNames(at.store).includes(name)));
  t.deepEqual(stagings(at), []);
}
