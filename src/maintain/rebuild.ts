/**
 * Makes a lost local database again, from a store's descriptors, checksums files and metadata.
 *
 *     descriptors, checksums files          which segments there are
 *       -> metadata of every snapshot       rebuild-snapshots: what objects hold, and who uses them
 *       -> metadata of each scheme's last   rebuilt-cache: where stanzas and contents are
 *       -> all in a directory aside, then put in its place, the database last and at once
 *
 * Data segments are not read, with two exceptions: other programs recorded no SHA-256 of their
 * segment files, which every new snapshot has to name, so those files are hashed once; and
 * with `check` all are. The next backup reads every file, because inodes are not recorded, and
 * stores none of what the store has.
 */
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { LbsError, isOutOfSpace, messageOf } from '../errors.ts';
import { lockLocaldb } from '../localdb/lock.ts';
import { LOCALDB_FILE, openDatabase } from '../localdb/open-localdb.ts';
import { RebuildTables } from '../localdb/rebuild-tables.ts';
import { discardLeftover } from '../localdb/stat-cache-leftover.ts';
import { statCacheFile } from '../localdb/stat-cache-place.ts';
import { MetadataObjects } from '../metadata/metadata-objects.ts';
import { SegmentSource } from '../segments/segment-source.ts';
import { type SnapshotFile, openSnapshot, snapshotsAmong } from '../snapshots/open-snapshot.ts';
import { syncDirectory } from '../std/sync-directory.ts';
import { openStore } from '../stores/open-store.ts';
import type { Store } from '../stores/store.ts';
import { segmentListsAmong } from './read-segment-list.ts';
import type { RebuildOptions, RebuildSummary } from './rebuild-options.ts';
import { RebuildSnapshots } from './rebuild-snapshots.ts';
import { writeRebuiltCache } from './rebuilt-cache.ts';
import { TakenOut } from './taken-out.ts';

const ASIDE = 'lbs-localdb.rebuild';

/**
 * @throws {LbsError} store-missing, snapshot-missing, usage when there is a database already,
 * localdb-locked, signature-* when no snapshot is believed, format-version, filter-missing, decryption-key, no-space, io,
 * interrupted
 */
export async function rebuild(options: RebuildOptions): Promise<RebuildSummary> {
  const store = openStore(options.store);
  const localdb = options.localdb ?? store.place;
  const files = store.list();
  const snapshots = snapshotsAmong(files);
  if (snapshots.length === 0) {
    throw new LbsError('snapshot-missing', `the store ${store.place} has no snapshots yet`, {
      hint: 'is the disk mounted? Without snapshots there is nothing to make a database from',
    });
  }
  const lock = lockLocaldb(localdb);
  const aside = join(localdb, ASIDE);
  try {
    // What a run left that was killed, be it when all was done but this.
    removeAside(aside);
    refuseExisting(localdb);
    makeAside(aside);
    const source = new SegmentSource(store, options, files);
    const summary = await build({ store, source, snapshots, aside }, options);
    putInPlace(aside, localdb);
    return summary;
  } finally {
    removeAside(aside);
    lock.release();
  }
}

/** Removes what a rebuild left that was killed, once somebody else has made a database. */
export function removeLeftOfRebuild(localdb: string): void {
  const aside = join(localdb, ASIDE);
  if (!existsSync(aside)) return;
  const lock = lockLocaldb(localdb);
  removeAside(aside);
  lock.release();
}

/** Says nothing of what stands in the way: making it anew tells, and what failed before is not hidden. */
function removeAside(aside: string): void {
  try {
    rmSync(aside, { recursive: true, force: true });
  } catch {
    // See above.
  }
}

/** Asked with the lock held: a backup may just have made one. */
function refuseExisting(localdb: string): void {
  const file = join(localdb, LOCALDB_FILE);
  if (!existsSync(file)) return;
  throw new LbsError('usage', `there is a local database already: ${file}`, {
    hint: `move it away first, if it is really lost or damaged: mv ${file} ${file}.old`,
  });
}

function makeAside(aside: string): void {
  try {
    mkdirSync(aside, { mode: 0o700 });
  } catch (error) {
    throw unwritable(aside, error);
  }
}

function unwritable(place: string, cause: unknown): LbsError {
  const code = isOutOfSpace(cause) ? 'no-space' : 'io';
  return new LbsError(code, `cannot make the local database in ${place}: ${messageOf(cause)}`, {
    cause,
    hint: 'make room, or give another directory with --localdb=DIR; nothing was changed',
  });
}

function putInPlace(aside: string, localdb: string): void {
  // It is there when its content could not be written into the database: the disk is full.
  if (existsSync(join(aside, `${LOCALDB_FILE}-wal`))) {
    throw unwritable(
      localdb,
      new Error('it could not be written as a whole: its disk is full, or failing'),
    );
  }
  try {
    // SQLite would take the log of the database that was lost for one of the new.
    for (const suffix of ['-wal', '-shm']) {
      rmSync(join(localdb, LOCALDB_FILE + suffix), { force: true });
    }
    for (const name of readdirSync(aside)) {
      // A cache that was not lost knows more.
      const isCache = name !== LOCALDB_FILE && !existsSync(join(localdb, name));
      if (!isCache) continue;
      // Of a run that was killed: it may speak of segments that nobody knows any more.
      discardLeftover(join(localdb, name));
      renameSync(join(aside, name), join(localdb, name));
    }
    renameSync(join(aside, LOCALDB_FILE), join(localdb, LOCALDB_FILE));
    // Without it a power cut could take back what was said to be done.
    syncDirectory(localdb);
  } catch (error) {
    throw unwritable(localdb, error);
  }
}

type Parts = {
  readonly store: Store;
  readonly source: SegmentSource;
  readonly snapshots: readonly SnapshotFile[];
  readonly aside: string;
};

async function build(
  { store, source, snapshots, aside }: Parts,
  options: RebuildOptions,
): Promise<RebuildSummary> {
  const open = openDatabase(aside);
  const objects = new MetadataObjects(source, { signal: options.signal });
  try {
    const segmentLists = segmentListsAmong(store.list());
    const lists = { source, segmentLists, signal: options.signal };
    const tables = new RebuildTables(open);
    const takenOut = new TakenOut(store, snapshots);
    const run = new RebuildSnapshots({ tables, source, objects, lists, takenOut, options });
    for (const snapshot of snapshots) {
      try {
        await run.add(await openSnapshot(store, snapshot, options), snapshot.timestamp);
      } catch (error) {
        run.lose(snapshot.name, error);
      }
    }
    for (const [scheme, snapshot] of run.lastOfSchemes()) {
      const cache = statCacheFile(aside, scheme === '' ? undefined : scheme);
      await writeRebuiltCache(cache, snapshot, { source, objects, signal: options.signal });
    }
    return run.finish();
  } finally {
    objects.close();
    open.close();
  }
}
