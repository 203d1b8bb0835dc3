/**
 * Makes a snapshot of stored segments: checksums files first, the descriptor last.
 *
 * Each file is written aside, made durable and then given its name, and the names are made
 * durable before the next one is begun, so a descriptor is only ever seen complete and with
 * everything it speaks of in place. Signing comes before all of it: when it fails, nothing
 * appears in the store. Formats: lbs-format(5), "DESCRIPTOR", "CHECKSUMS FILES".
 */
import { LbsError, messageOf } from '../errors.ts';
import { checksumOf } from '../format/checksum.ts';
import { type NewDescriptor, formatDescriptor } from '../format/descriptor.ts';
import {
  formatSnapshotName,
  parseSnapshotFile,
  parseSnapshotName,
} from '../format/snapshot-name.ts';
import { formatSumsLine } from '../format/sums-file.ts';
import { formatTimestamp, parseTimestamp } from '../format/timestamp.ts';
import { type StoreGroup, groupOf } from '../stores/store-group.ts';
import type { Store } from '../stores/store.ts';
import { lostToCollection } from './collection-lists.ts';
import { tryToPut } from './put-file.ts';
import { writeRecoveryFiles } from './recovery-files.ts';
import { StoredDescriptors, digestOf } from './snapshot-history.ts';

/** One stored segment, for the checksums files; rows of the local database are such. */
export type SegmentSums = {
  readonly file: string;
  readonly sha1: Buffer;
  readonly sha256: Buffer;
  /** Size of the file. */
  readonly stored_bytes: number;
};

export type NewSnapshotFiles = {
  readonly scheme: string | undefined;
  /** Seconds since 1970: when the run began. */
  readonly date: number;
  /** In the order of the descriptor's segment list. */
  readonly segments: Iterable<SegmentSums>;
  readonly descriptor: Omit<
    NewDescriptor,
    'checksums' | 'checksumsSha256' | 'date' | 'scheme' | 'name' | 'previous'
  >;
  /** Turns the descriptor's text into what is stored. */
  readonly sign: (text: Buffer) => Promise<Buffer>;
  /** SHA-256 of a descriptor that the store may not let us read, where this machine remembers it. */
  readonly knownDigest?: (name: string) => string | undefined;
};

export type PublishedSnapshot = {
  readonly name: string;
  /** Bytes that were added to the store. */
  readonly storedBytes: number;
  /** SHA-256 of the descriptor as stored. */
  readonly sha256: string;
};

/** Endings of the checksums files. */
export const SUMS_KINDS = ['sha1sums', 'sha256sums'];
/** How often a name that somebody took meanwhile is replaced by the next one. */
const NAME_ATTEMPTS = 60;
const SECONDS_PER_DAY = 86400;
/** 9999-12-31T23:59:59Z: names have four digits for the year. */
const LAST_NAMEABLE_S = 253402300799;

/** When the scheme's newest snapshot in a store was made, by its name; 0 without one. */
function newestIn(store: Store, scheme: string | undefined): number {
  let newest = 0;
  for (const file of store.names()) {
    const name = parseSnapshotFile(file)?.name;
    const parsed = name === undefined ? undefined : parseSnapshotName(name);
    if (parsed === undefined || parsed.scheme !== scheme) continue;
    newest = Math.max(newest, parseTimestamp(parsed.timestamp) ?? 0);
  }
  return newest;
}

/**
 * Seconds since 1970 that name the next snapshot: now, or a second after the scheme's newest
 * snapshot when the clock is not past that, so that names never collide and always sort right.
 */
async function nextTime(
  stores: StoreGroup,
  scheme: string | undefined,
  now: number,
  note: (message: string) => void,
): Promise<number> {
  let newest = 0;
  await stores.each((store) => {
    newest = Math.max(newest, newestIn(store, scheme));
  });
  if (newest > now + SECONDS_PER_DAY) {
    note(
      `the newest snapshot in the store is from the future (${formatTimestamp(newest)}): is this clock right? The new one is named to sort behind it`,
    );
  }
  const next = Math.max(now, newest + 1);
  if (next + NAME_ATTEMPTS > LAST_NAMEABLE_S) {
    throw new LbsError(
      'store-exists',
      `no name can sort behind snapshot ${formatTimestamp(newest)} in ${stores.first.place}`,
      {
        hint: 'a clock was badly wrong once: move the files of that snapshot away',
      },
    );
  }
  return next;
}

/** From here on the snapshot is there; what may be in doubt is that it survives a power cut. */
async function settleVisible(store: Store, name: string): Promise<void> {
  try {
    await store.settle();
  } catch (error) {
    if (error instanceof LbsError && error.code === 'store-missing') {
      throw new LbsError('store-missing', `snapshot ${name} is made, but ${error.message}`, {
        cause: error,
        hint: 'the snapshot is where that store is now. Bring it back, or run the same command again',
      });
    }
    throw new LbsError(
      'io',
      `snapshot ${name} is in ${store.place}, but its disk does not confirm it: ${messageOf(error)}`,
      {
        cause: error,
        hint: 'check that disk; "lbs verify" tells whether the snapshot is sound',
      },
    );
  }
}

/** To be asked before anything is published. @throws {LbsError} segment-collected */
export function refuseCollected(store: Store, needed: readonly string[]): void {
  const lost = lostToCollection(store, needed);
  if (lost === undefined) return;
  throw new LbsError('segment-collected', `${lost} was taken out of the store meanwhile`, {
    hint: 'there is no new snapshot; run the same command again, which stores anew what that segment held. "lbs gc" must have a grace period that is longer than a backup takes',
  });
}

/** @throws {LbsError} segment-collected, store-unwritable, io */
async function withdrawIfCollected(
  store: Store,
  name: string,
  needed: readonly string[],
): Promise<void> {
  const sums = SUMS_KINDS.map((kind) => `snapshot-${name}.${kind}`);
  try {
    refuseCollected(store, [...needed, ...sums]);
  } catch (error) {
    // The collector would find it, too; but that one may have died.
    store.remove(`snapshot-${name}.lbs`);
    await store.settle();
    for (const file of sums) store.remove(file);
    throw error;
  }
}

/** Checksums files of segments, and their names in the store. */
export type SegmentLists = {
  readonly sha1sums: Buffer;
  readonly sha256sums: Buffer;
  readonly needed: readonly string[];
};

/** Goes through `segments` once, and never holds them: a large store has 100,000 of them. */
export function listSegments(segments: Iterable<SegmentSums>): SegmentLists {
  let sha1text = '';
  let sha256text = '';
  const needed: string[] = [];
  for (const { file, sha1, sha256 } of segments) {
    needed.push(file);
    sha1text += formatSumsLine(file, sha1.toString('hex'));
    sha256text += formatSumsLine(file, sha256.toString('hex'));
  }
  return { sha1sums: Buffer.from(sha1text), sha256sums: Buffer.from(sha256text), needed };
}

/** A store that was not there in an earlier run lacks what that one stored. @throws {LbsError} */
function refuseBehind(store: Store, segments: Iterable<SegmentSums>): void {
  let lacking = 0;
  let all = 0;
  for (const segment of segments) {
    all++;
    if (store.find(segment.file)?.sizeBytes !== segment.stored_bytes) lacking++;
  }
  if (lacking === 0) return;
  const message = `${store.place} lacks ${lacking} of the ${all} segments that the snapshot needs`;
  throw new LbsError('store-behind', message, {
    hint: 'they were stored while it was not there; what is new was stored in it',
  });
}

/**
 * Stores them under that name; false when somebody else has made a snapshot of it meanwhile, and
 * another name is to be tried.
 */
async function publishAs(
  stores: StoreGroup,
  name: string,
  { sha1sums, sha256sums, needed }: SegmentLists,
  descriptor: Buffer,
): Promise<boolean> {
  const file = `snapshot-${name}`;
  if (stores.live.some((store) => store.find(`${file}.lbs`) !== undefined)) return false;
  let isTaken = false;
  await stores.each(async (store) => {
    const isOurs =
      (await tryToPut(store, `${file}.sha1sums`, sha1sums)) &&
      (await tryToPut(store, `${file}.sha256sums`, sha256sums));
    if (isOurs) await store.settle();
    else isTaken = true;
  });
  if (isTaken) return false;
  const taken: Store[] = [];
  await stores.each(async (store) => {
    if (await tryToPut(store, `${file}.lbs`, descriptor)) await settleVisible(store, name);
    else taken.push(store);
  });
  if (taken.length === stores.live.length) return false;
  // Hardly possible behind sums files of that name; but then it is that store's snapshot.
  for (const store of taken) {
    const message = `another snapshot ${name} was made in ${store.place} meanwhile`;
    stores.fail(store, new LbsError('store-exists', message));
  }
  // Once more, now that a collection would see what this snapshot needs.
  await stores.each((store) => withdrawIfCollected(store, name, needed));
  return true;
}

/**
 * Makes `descriptor`, as it is to be stored, a snapshot of that name.
 * @throws {LbsError} store-exists when the name is taken; no-space, io, segment-collected: then there
 * is no snapshot
 */
export async function putSnapshot(
  store: Store,
  name: string,
  lists: SegmentLists,
  descriptor: Buffer,
): Promise<void> {
  if (await publishAs(groupOf(store), name, lists, descriptor)) return;
  throw new LbsError('store-exists', `another snapshot ${name} is in the store ${store.place}`);
}

/**
 * The newest snapshot of the scheme in the store, as listed and not as remembered: several machines may
 * add to one scheme. It is named without a digest when it cannot be read.
 */
function previousOf(store: Store, { scheme, knownDigest }: NewSnapshotFiles) {
  const stored = new StoredDescriptors(store, store.names());
  const name = stored.ofScheme(scheme).at(-1);
  if (name === undefined) return undefined;
  return { name, sha256: stored.digestOf(name) ?? knownDigest?.(name) };
}

/**
 * Publishes the snapshot, under one name in all stores, and returns that and the bytes it added to
 * each.
 * @throws {LbsError} filter-failed, signature-*, no-space, io, segment-collected: then there is no
 * snapshot
 */
export async function publishSnapshot(
  stores: StoreGroup,
  files: NewSnapshotFiles,
  note: (message: string) => void,
): Promise<PublishedSnapshot> {
  const { scheme, date, segments, descriptor, sign } = files;
  // Held only where several stores are to be asked for each of them.
  const rows = stores.isSeveral ? [...segments] : segments;
  const lists = listSegments(rows);
  const { sha1sums, sha256sums } = lists;
  const sums = {
    checksums: checksumOf('sha1', sha1sums),
    checksumsSha256: checksumOf('sha256', sha256sums),
  };
  const first = await nextTime(stores, scheme, date, note);
  for (let attempt = 0; attempt < NAME_ATTEMPTS; attempt++) {
    const name = formatSnapshotName(scheme, formatTimestamp(first + attempt));
    // Signed under each name that is tried: a signature is to hold under one only.
    const previous = previousOf(stores.first, files);
    const text = formatDescriptor({ ...descriptor, ...sums, scheme, date, name, previous });
    const signed = await sign(Buffer.from(text));
    await stores.each(async (store) => {
      if (stores.isSeveral) refuseBehind(store, rows);
      refuseCollected(store, lists.needed);
      await writeRecoveryFiles(store);
    });
    if (!(await publishAs(stores, name, lists, signed))) continue;
    const storedBytes = sha1sums.length + sha256sums.length + signed.length;
    return { name, storedBytes, sha256: digestOf(signed) };
  }
  const where = stores.first.place;
  throw new LbsError('store-exists', `cannot find a free name for the snapshot in ${where}`);
}
