/**
 * What takes the space of a store: by snapshot, and by path of one snapshot.
 *
 * Reads descriptors and metadata, each stretch of metadata once however many snapshots include it;
 * no data segment. Sizes of objects are known before the filter; what they take in the store is
 * their share of the segment that holds them, of which what nobody needs any more is a burden too.
 */
import { LbsError } from '../errors.ts';
import { type Entry, referencesOf } from '../format/entry.ts';
import { OBJECTS_PER_SEGMENT_MAX } from '../localdb/block-index.ts';
import { MetadataObjects } from '../metadata/metadata-objects.ts';
import { readMetadata } from '../metadata/metadata-log-reader.ts';
import { metadataDamage, type Report, silentReport } from '../report.ts';
import { layoutOf } from '../restore/file-layout.ts';
import type { ReadOptions } from '../restore/restore-options.ts';
import { SegmentSource } from '../segments/segment-source.ts';
import {
  type OpenSnapshot,
  openSnapshot,
  resolveAmong,
  snapshotsAmong,
} from '../snapshots/open-snapshot.ts';
import { openStore } from '../stores/open-store.ts';
import { ObjectUses } from './object-uses.ts';
import { UsesOfIncludes } from './used-objects.ts';

export type SnapshotUsage = {
  readonly name: string;
  readonly scheme: string | undefined;
  /** Sum of the sizes of its files. */
  readonly fileBytes: number;
  /** What its contents take in the store, each object once. */
  readonly wholeBytes: number;
  /** Of that, what no older snapshot has. */
  readonly newBytes: number;
  /** Of that, what no other snapshot has: free when this one is forgotten and collected. */
  readonly onlyHereBytes: number;
};

export type UsageSummary = {
  readonly snapshots: readonly SnapshotUsage[];
  /** What all of them need, each object once. */
  readonly neededBytes: number;
  /** All segments of the store. */
  readonly storedBytes: number;
  /** Snapshots of which something could not be read, each reported as damage. */
  readonly damaged: number;
};

/** What every snapshot takes (of `scheme`, when given; what others have is not "only here"). */
export async function usage(options: ReadOptions): Promise<UsageSummary> {
  const reader = new UsageReader(options);
  try {
    const fileBytes: number[] = [];
    for (const [at, opened] of (await reader.openAll()).entries()) {
      fileBytes.push(await reader.read(opened, at));
    }
    return reader.summary(fileBytes);
  } finally {
    reader.close();
  }
}

class UsageReader {
  readonly #options: ReadOptions;
  readonly #source: SegmentSource;
  readonly #objects: MetadataObjects;
  readonly #report: Report;
  readonly #uses = new ObjectUses();
  readonly #memory = new UsesOfIncludes();
  #snapshots: OpenSnapshot[] = [];
  #damaged = 0;

  constructor(options: ReadOptions) {
    this.#options = options;
    this.#report = options.report ?? silentReport;
    this.#source = new SegmentSource(openStore(options.store), options);
    this.#objects = new MetadataObjects(this.#source, { signal: options.signal });
  }

  /** Oldest first, of all schemes: an object that another scheme uses is not free either. */
  async openAll(): Promise<readonly OpenSnapshot[]> {
    const { store } = this.#source;
    for (const snapshot of snapshotsAmong(store.list())) {
      this.#snapshots.push(await openSnapshot(store, snapshot, this.#options));
    }
    if (this.#snapshots.length > 0) return this.#snapshots;
    throw new LbsError('snapshot-missing', `the store ${store.place} has no snapshots yet`);
  }

  /** Notes what a snapshot uses; the sum of its files' sizes. */
  async read({ name, descriptor }: OpenSnapshot, at: number): Promise<number> {
    this.#memory.begin();
    let isWhole = true;
    const entries = readMetadata(this.#source, descriptor, {
      signal: this.#options.signal,
      objects: this.#objects,
      memory: this.#memory,
      onDamage: (message) => {
        if (isWhole) {
          this.#damaged++;
          this.#report({ type: 'damage', damage: metadataDamage(name, message) });
        }
        isWhole = false;
        this.#memory.spoil();
      },
    });
    for await (const entry of entries) {
      if (entry.type !== 'f') continue;
      this.#memory.addFile(entry.sizeBytes);
      for (const [segment, object, bytes] of objectsOf(entry, descriptor.dialect)) {
        this.#memory.use(this.#uses.idOf(segment, object, bytes));
      }
    }
    for (const id of this.#memory.used.ids()) this.#uses.use(id, at);
    return this.#memory.fileBytes;
  }

  summary(fileBytes: readonly number[]): UsageSummary {
    const shareOf = (segment: string, knownBytes: number) =>
      (this.#source.fileOf(segment)?.sizeBytes ?? 0) / Math.max(1, knownBytes);
    const totals = this.#uses.totals(this.#snapshots.length, shareOf);
    const { scheme } = this.#options;
    const all = this.#snapshots.map((snapshot, at): SnapshotUsage => {
      const { whole = 0, isNew = 0, onlyHere = 0 } = totals.snapshots[at] ?? {};
      return {
        name: snapshot.name,
        scheme: snapshot.descriptor.scheme,
        fileBytes: fileBytes[at] ?? 0,
        wholeBytes: Math.round(whole),
        newBytes: Math.round(isNew),
        onlyHereBytes: Math.round(onlyHere),
      };
    });
    let storedBytes = 0;
    for (const segment of this.#source.segments()) {
      storedBytes += this.#source.fileOf(segment)?.sizeBytes ?? 0;
    }
    return {
      snapshots: all.filter((one) => scheme === undefined || (one.scheme ?? '') === scheme),
      neededBytes: Math.round(totals.needed),
      storedBytes,
      damaged: this.#damaged,
    };
  }

  close(): void {
    this.#objects.close();
  }
}

/** The objects of a file, and how many bytes of each it uses. Nothing of what makes no sense. */
function* objectsOf(
  entry: Entry,
  dialect: OpenSnapshot['descriptor']['dialect'],
): Generator<[segment: string, object: number, bytes: number]> {
  try {
    for (const placed of layoutOf(referencesOf(entry, dialect), entry.sizeBytes, entry.holes)) {
      const { reference, length } = placed;
      // A hostile number would ask for memory without end; no program makes such.
      if (reference.kind !== 'object' || reference.object >= OBJECTS_PER_SEGMENT_MAX) continue;
      yield [reference.segment, reference.object, length];
    }
  } catch (error) {
    // Verify tells of it; here it takes no room.
    if (!(error instanceof LbsError)) throw error;
  }
}

/** Which snapshot, and how deep directories are told apart. */
export type PathUsageOptions = ReadOptions & {
  readonly snapshot: string;
  /** Compare with this one. */
  readonly since?: string;
  readonly depth: number;
};

export type PathUsage = {
  /** Latin-1 text of the path's bytes; `.` is the top. */
  readonly path: string;
  readonly bytes: number;
  readonly files: number;
  /** How much more than in the older snapshot; undefined without one. */
  readonly grownBytes: number | undefined;
};

/**
 * Sizes of files by directory, the largest first. Contents count as often as they are there.
 * @throws {LbsError} snapshot-missing, snapshot-ambiguous, signature-*, interrupted
 */
export async function pathUsage(options: PathUsageOptions): Promise<PathUsage[]> {
  const { snapshot, since, depth } = options;
  const now = await sumsOf(options, snapshot, depth);
  const before = since === undefined ? undefined : await sumsOf(options, since, depth);
  const paths = new Set([...now.keys(), ...(before?.keys() ?? [])]);
  return [...paths]
    .map((path): PathUsage => {
      const { bytes, files } = now.get(path) ?? { bytes: 0, files: 0 };
      const grownBytes = before && bytes - (before.get(path)?.bytes ?? 0);
      return { path, bytes, files, grownBytes };
    })
    .sort(
      (a, b) => (b.grownBytes ?? b.bytes) - (a.grownBytes ?? a.bytes) || (a.path < b.path ? -1 : 1),
    );
}

type Sum = { bytes: number; files: number };

async function sumsOf(
  options: PathUsageOptions,
  word: string,
  depth: number,
): Promise<Map<string, Sum>> {
  const store = openStore(options.store);
  const file = resolveAmong(store, snapshotsAmong(store.list()), word, options.scheme);
  const { name, descriptor } = await openSnapshot(store, file, options);
  const source = new SegmentSource(store, options);
  const report = options.report ?? silentReport;
  const sums = new Map<string, Sum>();
  const entries = readMetadata(source, descriptor, {
    signal: options.signal,
    onDamage: (message) => report({ type: 'damage', damage: metadataDamage(name, message) }),
  });
  for await (const { type, path, sizeBytes } of entries) {
    if (type !== 'f') continue;
    for (const directory of directoriesAbove(path.toString('latin1'), depth)) {
      const sum = sums.get(directory);
      if (sum === undefined) sums.set(directory, { bytes: sizeBytes, files: 1 });
      else {
        sum.bytes += sizeBytes;
        sum.files++;
      }
    }
  }
  return sums;
}

/** The top and the directories above a path, down to `depth` components. */
function* directoriesAbove(path: string, depth: number): Generator<string> {
  yield '.';
  let end = -1;
  for (let level = 0; level < depth; level++) {
    end = path.indexOf('/', end + 1);
    if (end < 0) return;
    yield path.slice(0, end);
  }
}
