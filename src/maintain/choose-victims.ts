/**
 * Which segments are worth compacting, and which snapshots must be written anew for that: all that
 * name one of them, or nothing would be gained. Called by compact.
 *
 * Nothing of the store is read but its list of files and the descriptors. How much of a segment is
 * used the local database knows; one that a snapshot names which it does not know is left alone.
 */
import { LbsError } from '../errors.ts';
import type { Descriptor } from '../format/descriptor.ts';
import type { CleaningRow, SegmentCleaning } from '../localdb/segment-cleaning.ts';
import type { SnapshotTable } from '../localdb/snapshot-table.ts';
import { type SnapshotFile, openStored, storedDescriptor } from '../snapshots/open-snapshot.ts';
import { showText } from '../std/byte-path.ts';
import type { Store } from '../stores/store.ts';

/** Below this share a segment is compacted. Measured, see ARCHITECTURE.md. */
export const COMPACT_BELOW = 0.8;
/** What is smaller than this share of a segment is small. */
const SMALL_SHARE = 1 / 16;
/** That many small ones are put together; with fewer each run would store the same ones again. */
const MERGED_MIN = 16;

/** A segment that is to be compacted. */
export type Victim = CleaningRow & { readonly used: number };

/** A snapshot that names victims. */
export type Affected = { readonly snapshot: SnapshotFile; readonly victims: readonly string[] };

export type Choice = {
  /** By name, the oldest first. */
  readonly victims: Map<string, Victim>;
  /** Oldest first. */
  readonly affected: readonly Affected[];
  /** How many were left, by why. */
  readonly left: ReadonlyMap<string, number>;
};

export type ChoiceParts = {
  readonly store: Store;
  /** All of the store, oldest first. */
  readonly snapshots: readonly SnapshotFile[];
  readonly cleaning: SegmentCleaning;
  readonly table: SnapshotTable;
  /** True for a segment that the database knows and the store has as it should be. */
  readonly isSound: (segment: string) => boolean;
};

export type ChoiceOptions = {
  readonly verifyKey?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly minUsed: number;
  /** Of a segment in the store. */
  readonly targetBytes: number;
  /** Also what the last snapshots use. */
  readonly all: boolean;
  /** Only what these need; undefined for all. */
  readonly only: ReadonlySet<string> | undefined;
};

type Candidate = Victim & {
  /** Share of its bytes that would have to be copied: what is used and stored nowhere else. */
  readonly sole: number;
  /** True when a snapshot names it. */
  isNamed: boolean;
  isAsked: boolean;
  /** Why it must stay. */
  obstacle: string | undefined;
};

const UNKNOWN = 'the local database does not know all snapshots that need them: lbs rebuild';
const FOREIGN = 'snapshots of other programs need them';
const GONE = 'snapshots that need them lack other segments, or the local database does';

/** @throws {LbsError} format-*, signature-*, io when a descriptor cannot be read; interrupted */
export async function chooseVictims(parts: ChoiceParts, options: ChoiceOptions): Promise<Choice> {
  const candidates = candidatesOf(parts, options);
  const descriptors = async (take: (snapshot: SnapshotFile, descriptor: Descriptor) => void) => {
    for (const snapshot of parts.snapshots) {
      if (options.signal?.aborted === true) throw new LbsError('interrupted', 'interrupted');
      const opened = await openForChoice(parts.store, snapshot, options.verifyKey);
      take(snapshot, opened.descriptor);
    }
  };
  await descriptors((snapshot, descriptor) =>
    countNames(candidates, { snapshot, descriptor }, parts, options),
  );
  const left = new Map<string, number>();
  const victims = new Map<string, Victim>();
  const small: Candidate[] = [];
  for (const candidate of candidates.values()) {
    const { isNamed, isAsked, obstacle, sole, storedBytes } = candidate;
    if (!isNamed || !isAsked) continue;
    const isMostlyDead = sole < options.minUsed;
    if (!isMostlyDead && storedBytes >= options.targetBytes * SMALL_SHARE) continue;
    if (!isMostlyDead) small.push(candidate);
    else if (obstacle === undefined) victims.set(candidate.name, candidate);
    else left.set(obstacle, (left.get(obstacle) ?? 0) + 1);
  }
  const merged = small.filter(({ obstacle }) => obstacle === undefined);
  if (merged.length >= MERGED_MIN) for (const one of merged) victims.set(one.name, one);
  const affected: Affected[] = [];
  // Once more, since the names of all segments of all snapshots at once can be too many.
  await descriptors((snapshot, { segments }) => {
    const named = segments.flatMap((segment) => victims.get(segment)?.name ?? []);
    if (named.length > 0) affected.push({ snapshot, victims: named });
  });
  return { victims, affected, left };
}

/** Of those that name some segments those that name one of `victims`. */
export function affectedBy(
  victims: ReadonlyMap<string, Victim>,
  naming: readonly Affected[],
): Affected[] {
  return naming.flatMap(({ snapshot, victims: named }) => {
    const still = named.filter((name) => victims.has(name));
    return still.length > 0 ? [{ snapshot, victims: still }] : [];
  });
}

/** What could be worth it, as far as the database knows; of those that the store has as they should be. */
function candidatesOf(
  { cleaning, isSound }: ChoiceParts,
  { all, only }: ChoiceOptions,
): Map<string, Candidate> {
  const candidates = new Map<string, Candidate>();
  cleaning.findCopies();
  for (const row of cleaning.segments('all')) {
    if (!isSound(row.name)) continue;
    // What the last snapshots use is left to cleaning, which has the source.
    if (row.usedByLastBytes > 0 && !all && only === undefined) continue;
    const { used, sole } = cleaning.sharesOf(row);
    candidates.set(row.name, {
      ...row,
      ...{ used, sole, isNamed: false, isAsked: only === undefined, obstacle: undefined },
    });
  }
  return candidates;
}

/** Tells the candidates that a snapshot names of it, and of what stands in their way. */
function countNames(
  candidates: ReadonlyMap<string, Candidate>,
  { snapshot, descriptor }: { snapshot: SnapshotFile; descriptor: Descriptor },
  { table, isSound }: ChoiceParts,
  { only }: ChoiceOptions,
): void {
  const { segments, checksumsSha256 } = descriptor;
  let obstacle: string | undefined;
  if (checksumsSha256 === undefined) obstacle = FOREIGN;
  else if (!table.has(snapshot.name)) obstacle = UNKNOWN;
  else if (!segments.every(isSound)) obstacle = GONE;
  for (const segment of segments) {
    const candidate = candidates.get(segment);
    if (candidate === undefined) continue;
    candidate.isNamed = true;
    candidate.obstacle ??= obstacle;
    if (only?.has(snapshot.name) === true) candidate.isAsked = true;
  }
}

/** A descriptor as it is stored, checked, and what it says. */
export type OpenedDescriptor = {
  readonly stored: Buffer;
  readonly descriptor: Descriptor;
  readonly isSigned: boolean;
};

/**
 * One that is damaged would be sealed anew, and nobody could see it any more.
 * @throws {LbsError} checksum-mismatch, signature-*, format-*, store-missing-file, io
 */
export async function openDescriptor(
  store: Store,
  snapshot: SnapshotFile,
  options: { readonly verifyKey?: string | undefined },
): Promise<OpenedDescriptor> {
  const stored = presentDescriptor(store, snapshot);
  const { descriptor, isSigned, seal } = await openStored(snapshot, stored, options);
  if (seal === 'broken') {
    throw new LbsError('checksum-mismatch', `${snapshot.file.name} is not as it was written`);
  }
  return { stored, descriptor, isSigned };
}

/** @throws {LbsError} io when it was forgotten since the files were listed, by another machine */
function presentDescriptor(store: Store, snapshot: SnapshotFile): Buffer {
  try {
    return storedDescriptor(store, snapshot);
  } catch (error) {
    if (store.find(snapshot.file.name) !== undefined) throw error;
    const message = `snapshot ${snapshot.name} was taken out of the store meanwhile`;
    throw new LbsError('io', message, { cause: error, hint: 'run the same command again' });
  }
}

async function openForChoice(
  store: Store,
  snapshot: SnapshotFile,
  verifyKey: string | undefined,
): Promise<OpenedDescriptor> {
  try {
    return await openDescriptor(store, snapshot, { verifyKey });
  } catch (error) {
    if (!(error instanceof LbsError)) throw error;
    if (store.find(snapshot.file.name) === undefined) throw error;
    throw new LbsError(error.code, `nothing was compacted: ${error.message}`, {
      cause: error,
      hint: `${showText(snapshot.name)} may need any segment; repair it, or move its descriptor away if it is to be given up`,
    });
  }
}
