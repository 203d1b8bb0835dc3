/**
 * Cleaning: gives up segments of which little is used, so that the next backup stores anew what it
 * still needs of them, from the source, and nothing has to be fetched from the store.
 *
 *     local database: which objects do snapshots use?      share of each segment that is alive
 *       -> segment-benefit                                 which are worth it
 *       -> age-groups                                      what is to lie together from then on
 *       -> marked in the local database                    one transaction; nothing else changes
 *
 * A segment that was given up stays in the store as long as a snapshot names it, and is collected
 * afterwards. Nothing of the store is read but its list of files.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { LbsError } from '../errors.ts';
import { type CleaningRow, METADATA, SegmentCleaning } from '../localdb/segment-cleaning.ts';
import { lockLocaldb } from '../localdb/lock.ts';
import { LOCALDB_FILE, openDatabase, openScratchCopy } from '../localdb/open-localdb.ts';
import { snapshotsAmong } from '../snapshots/open-snapshot.ts';
import { nowSeconds } from '../std/clock.ts';
import { openStore } from '../stores/open-store.ts';
import { type AgedBytes, ageLimits, groupOfAge } from './age-groups.ts';
import { isWorthCleaning } from './segment-benefit.ts';

/** Below this share a segment is cleaned whatever its age. */
export const MIN_USED = 0.4;
const DAY_S = 86400;

export type CleanOptions = {
  readonly store: string;
  /** Directory of the local database; default: the store. */
  readonly localdb?: string;
  /** Share of a segment, 0 to 1, below which it is cleaned whatever its age. */
  readonly minUsed?: number;
  readonly dryRun?: boolean;
  /** Of a dry run: snapshots that would be gone by then. */
  readonly without?: ReadonlySet<string>;
  readonly onSegment?: (segment: CleanedSegment) => void;
};

export type CleanedSegment = {
  readonly file: string;
  readonly group: string;
  readonly ageDays: number;
  /** Share of its bytes that snapshots use. */
  readonly used: number;
  readonly storedBytes: number;
};

export type CleanSummary = {
  readonly dryRun: boolean;
  readonly segments: number;
  /** Size in the store of what was given up, which is free once no snapshot names it. */
  readonly storedBytes: number;
  /**
   * Content that the last snapshots of the schemes use of it, before the filter: stored anew next
   * time, and with it the metadata that refers to it.
   */
  readonly bytesToStore: number;
  /** Metadata that they use of it. */
  readonly metadataBytesToStore: number;
  /** Segments that stay as they are. */
  readonly segmentsLeft: number;
};

/**
 * Marks what is worth it. @throws {LbsError} store-missing, localdb-missing, localdb-locked,
 * localdb-corrupt, io, no-space
 */
export async function clean(options: CleanOptions): Promise<CleanSummary> {
  const store = openStore(options.store);
  const localdb = localdbOf(options, store.place);
  const isDry = options.dryRun === true;
  const lock = isDry ? undefined : lockLocaldb(localdb);
  try {
    const open = isDry ? openScratchCopy(localdb) : openDatabase(localdb);
    try {
      const files = store.list();
      const names = new Set(files.map(({ name }) => name));
      const snapshots = snapshotsAmong(files)
        .map(({ name }) => name)
        .filter((name) => options.without?.has(name) !== true);
      const cleaning = new SegmentCleaning(open, snapshots, names);
      return run(cleaning, (file) => names.has(file), options);
    } finally {
      open.close();
    }
  } finally {
    lock?.release();
  }
}

/** @throws {LbsError} localdb-missing */
function localdbOf({ localdb }: CleanOptions, place: string): string {
  const directory = localdb ?? place;
  if (existsSync(join(directory, LOCALDB_FILE))) return directory;
  throw new LbsError('localdb-missing', `there is no local database in ${directory}`, {
    hint: 'only the local database of the machine that makes the backups knows the segments: say where it is with --localdb=DIR',
  });
}

/**
 * How much of each segment is used, those that were given up left out; the least used first.
 * @throws {LbsError} store-missing, localdb-missing, localdb-corrupt, io
 */
export function segmentUsage(options: Pick<CleanOptions, 'store' | 'localdb'>): CleanedSegment[] {
  const store = openStore(options.store);
  const open = openScratchCopy(localdbOf(options, store.place));
  try {
    const files = store.list();
    const names = new Set(files.map(({ name }) => name));
    const cleaning = new SegmentCleaning(
      open,
      snapshotsAmong(files).map(({ name }) => name),
      names,
    );
    const nowS = nowSeconds();
    return [...cleaning.segments()]
      .filter(({ file }) => names.has(file))
      .map(({ file, group, created, rawBytes, usedBytes, storedBytes }) => ({
        ...{ file, group, storedBytes },
        ageDays: Math.max(0, (nowS - created) / DAY_S),
        used: usedBytes / Math.max(1, rawBytes),
      }))
      .sort((a, b) => a.used - b.used || (a.file < b.file ? -1 : 1));
  } finally {
    open.close();
  }
}

function run(
  cleaning: SegmentCleaning,
  isThere: (file: string) => boolean,
  { minUsed = MIN_USED, dryRun = false, onSegment }: CleanOptions,
): CleanSummary {
  const nowS = nowSeconds();
  const ageOf = (created: number) => Math.max(0, (nowS - created) / DAY_S);
  const oldestDays = ageOf(cleaning.oldestS);
  const given: CleaningRow[] = [];
  let segmentsLeft = 0;
  for (const row of cleaning.segments()) {
    // Of another store that uses the same database.
    if (!isThere(row.file)) continue;
    // There is nothing to store anew. It goes with the snapshots that use it; where there are none,
    // it may be what an interrupted backup has stored, which the next one goes on from; and of what
    // other programs wrote nothing is known after the database was rebuilt.
    if (row.usedByLastBytes === 0) {
      segmentsLeft++;
      continue;
    }
    const segment = {
      ageDays: ageOf(row.created),
      used: row.usedBytes / Math.max(1, row.rawBytes),
      usedByLast: row.usedByLastBytes / Math.max(1, row.rawBytes),
      pinnedDays: row.pinnedSinceS === undefined ? 0 : ageOf(row.pinnedSinceS),
      oldestDays,
    };
    if (!isWorthCleaning(segment, minUsed)) {
      segmentsLeft++;
      continue;
    }
    given.push(row);
    const { file, group, storedBytes } = row;
    const { ageDays, used } = segment;
    onSegment?.({ file, group, storedBytes, ageDays, used });
  }
  const expired = [...cleaning.expiredBlocks(given)];
  const aged: AgedBytes[] = expired.map(({ createdS, bytes }) => ({
    ageDays: Math.round(ageOf(createdS)),
    bytes,
  }));
  const dataSegments = given.filter(({ group }) => group !== METADATA);
  const usual =
    dataSegments.reduce((sum, { rawBytes }) => sum + rawBytes, 0) /
    Math.max(1, dataSegments.length);
  const limits = ageLimits(aged, usual);
  const toStore = cleaning.bytesOfLatest(given);
  if (!dryRun) {
    cleaning.expire(given, nowS, (createdS) => groupOfAge(limits, Math.round(ageOf(createdS))));
  }
  return {
    dryRun,
    segments: given.length,
    storedBytes: given.reduce((sum, { storedBytes }) => sum + storedBytes, 0),
    bytesToStore: toStore.content,
    metadataBytesToStore: toStore.metadata,
    segmentsLeft,
  };
}
