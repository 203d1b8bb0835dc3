/**
 * Makes a lost local database again, from a store's descriptors, checksums files and metadata.
 *
 *     descriptors, checksums files          which segments there are
 *       -> metadata of every snapshot       which objects hold what, and who uses them
 *       -> a new database, aside            then put in its place at once
 *
 * Data segments are not read, with one exception: other programs recorded no SHA-256 of their
 * segment files, which every new snapshot has to name, so those files are hashed once. The stat cache
 * cannot be made again (inodes are not recorded): the next backup reads every file, finds its
 * blocks, and stores none of them.
 */
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { LbsError, messageOf } from '../errors.ts';
import { type Entry, referencesOf } from '../format/entry.ts';
import { parseTimestamp } from '../format/timestamp.ts';
import { lockLocaldb } from '../localdb/lock.ts';
import { LOCALDB_FILE, openDatabase } from '../localdb/open-localdb.ts';
import { RebuildTables } from '../localdb/rebuild-tables.ts';
import { MetadataObjects } from '../metadata/metadata-objects.ts';
import { type IncludeMemory, readMetadata } from '../metadata/metadata-log-reader.ts';
import { metadataDamage, type Report, silentReport } from '../report.ts';
import { layoutOf } from '../restore/file-layout.ts';
import type { ReadOptions } from '../restore/restore-options.ts';
import { SegmentSource } from '../segments/segment-source.ts';
import { type OpenSnapshot, openSnapshot, snapshotsAmong } from '../snapshots/open-snapshot.ts';
import { openStore } from '../stores/open-store.ts';
import type { Store } from '../stores/store.ts';
import { type Sums, digestOf } from './examine-file.ts';
import { segmentListsAmong } from './read-segment-list.ts';
import { type SumsSource, sumsOfSnapshot } from './snapshot-sums.ts';

const ASIDE = 'lbs-localdb.rebuild';

export type RebuildOptions = Omit<ReadOptions, 'scheme'> & {
  /** Directory of the local database; default: the store. */
  readonly localdb?: string;
};

export type RebuildSummary = {
  readonly snapshots: number;
  readonly segments: number;
  /** Objects that can be found by content. */
  readonly blocks: number;
  /** Segments of other programs, whose files were read to know their SHA-256. */
  readonly hashed: number;
  /** Snapshots of which something could not be read, each reported as damage. */
  readonly damaged: number;
};

/**
 * @throws {LbsError} store-missing, snapshot-missing, usage when there is a database already,
 * localdb-locked, signature-*, filter-missing, decryption-key, no-space, io, interrupted
 */
export async function rebuild(options: RebuildOptions): Promise<RebuildSummary> {
  const store = openStore(options.store);
  const localdb = options.localdb ?? store.place;
  const file = join(localdb, LOCALDB_FILE);
  if (existsSync(file)) {
    throw new LbsError('usage', `there is a local database already: ${file}`, {
      hint: `move it away first, if it is really lost or damaged: mv ${file} ${file}.old`,
    });
  }
  const lock = lockLocaldb(localdb);
  const aside = join(localdb, ASIDE);
  try {
    // What a run left that was killed.
    rmSync(aside, { recursive: true, force: true });
    mkdirSync(aside, { mode: 0o700 });
    const summary = await build(store, aside, options);
    renameSync(join(aside, LOCALDB_FILE), file);
    return summary;
  } finally {
    rmSync(aside, { recursive: true, force: true });
    lock.release();
  }
}

async function build(
  store: Store,
  aside: string,
  options: RebuildOptions,
): Promise<RebuildSummary> {
  const files = store.list();
  const snapshots = snapshotsAmong(files);
  if (snapshots.length === 0) {
    throw new LbsError('snapshot-missing', `the store ${store.place} has no snapshots yet`, {
      hint: 'is the disk mounted? Without snapshots there is nothing to make a database from',
    });
  }
  const open = openDatabase(aside);
  const source = new SegmentSource(store, options.unfilters, files);
  const objects = new MetadataObjects(source, { signal: options.signal });
  try {
    const lists = { source, segmentLists: segmentListsAmong(files), signal: options.signal };
    const run = new Rebuild({ tables: new RebuildTables(open), source, objects, lists, options });
    for (const snapshot of snapshots) {
      try {
        await run.add(await openSnapshot(store, snapshot, options), snapshot.timestamp);
      } catch (error) {
        run.lose(snapshot.name, error);
      }
    }
    return run.finish();
  } finally {
    objects.close();
    open.close();
  }
}

type Parts = {
  readonly tables: RebuildTables;
  readonly source: SegmentSource;
  readonly objects: MetadataObjects;
  readonly lists: SumsSource;
  readonly options: RebuildOptions;
};

class Rebuild {
  readonly #parts: Parts;
  readonly #report: Report;
  readonly #uses = new UsesOfIncludes();
  #snapshots = 0;
  #segments = 0;
  #hashed = 0;
  #damaged = 0;
  readonly #blocks = new Set<number>();

  constructor(parts: Parts) {
    this.#parts = parts;
    this.#report = parts.options.report ?? silentReport;
  }

  /** @throws {LbsError} for what is no damage of this snapshot */
  lose(snapshot: string, error: unknown): void {
    const isOther =
      error instanceof LbsError &&
      !['interrupted', 'no-space', 'io', 'filter-missing', 'decryption-key'].includes(error.code) &&
      !error.code.startsWith('signature-');
    if (!isOther) throw error;
    this.#damage(snapshot, messageOf(error));
  }

  #damage(snapshot: string, message: string): void {
    this.#damaged++;
    this.#report({ type: 'damage', damage: metadataDamage(snapshot, message) });
  }

  async add(snapshot: OpenSnapshot, timestamp: string): Promise<void> {
    const { name, descriptor } = snapshot;
    const created = parseTimestamp(timestamp) ?? 0;
    await this.#addSegments(snapshot, created);
    const { source, objects, options } = this.#parts;
    let isWhole = true;
    const entries = readMetadata(source, descriptor, {
      signal: options.signal,
      objects,
      memory: this.#uses,
      onDamage: (message) => {
        if (isWhole) this.#damage(name, message);
        isWhole = false;
        this.#uses.spoil();
      },
    });
    this.#uses.begin();
    const counts = { entries: 0, files: 0, bytes: 0 };
    for await (const entry of entries) {
      counts.entries++;
      if (entry.type !== 'f') continue;
      counts.files++;
      counts.bytes += entry.sizeBytes;
      this.#addFile(entry, snapshot);
    }
    // What was left out as known is not counted again; the descriptor says how many there are.
    const scheme = descriptor.scheme ?? '';
    const used = this.#uses.used;
    const known = descriptor.counts ?? counts;
    const { entries: count, files, bytes } = known;
    this.#parts.tables.addSnapshot({ name, scheme, created, entries: count, files, bytes, used });
    this.#snapshots++;
  }

  /** Rows for the segments that have none; those that cannot be vouched for get none. */
  async #addSegments(snapshot: OpenSnapshot, created: number): Promise<void> {
    const { tables, source, lists } = this.#parts;
    const { segments: sums } = await sumsOfSnapshot(snapshot, lists);
    for (const segment of snapshot.descriptor.segments) {
      const file = source.fileOf(segment);
      if (file === undefined || tables.has(segment)) continue;
      const digests = await this.#digestsOf(file.name, sums.get(file.name) ?? {});
      if (digests === undefined) continue;
      const { name, sizeBytes: storedBytes } = file;
      tables.addSegment({ name: segment, file: name, ...digests, storedBytes, created });
      this.#segments++;
    }
  }

  async #digestsOf(
    file: string,
    sums: Sums,
  ): Promise<{ sha1: Buffer; sha256: Buffer } | undefined> {
    let { sha1, sha256 } = sums;
    if (sha1 === undefined || sha256 === undefined) {
      const opened = this.#parts.source.store.open(file);
      try {
        const found = await digestOf(opened.fd, 'sha1');
        if (sha1 !== undefined && found !== sha1) return undefined;
        if (sums.sha224 !== undefined && (await digestOf(opened.fd, 'sha224')) !== sums.sha224) {
          return undefined;
        }
        sha1 = found;
        sha256 = await digestOf(opened.fd, 'sha256');
        this.#hashed++;
      } finally {
        opened.close();
      }
    }
    return { sha1: Buffer.from(sha1, 'hex'), sha256: Buffer.from(sha256, 'hex') };
  }

  #addFile(entry: Entry, { descriptor }: OpenSnapshot): void {
    const { tables } = this.#parts;
    const references = referencesOf(entry, descriptor.dialect);
    const isOurs = descriptor.checksumsSha256 !== undefined;
    const placed = isOurs ? layoutOf(references, entry.sizeBytes, entry.holes) : undefined;
    for (const [at, reference] of references.entries()) {
      if (reference.kind === 'zero') continue;
      const id = tables.objectId(reference.segment, reference.object);
      if (id === undefined) continue;
      this.#uses.use(id);
      const sha256 = entry.blockSha256[at];
      const length = placed?.[at]?.length;
      // A digest is of a whole object only where we cut the file: others refer to parts of objects.
      if (sha256 === undefined || length === undefined || (reference.slice?.start ?? 0) !== 0) {
        continue;
      }
      if (this.#blocks.has(id)) continue;
      this.#blocks.add(id);
      tables.addBlock(id, Buffer.from(sha256, 'hex'), length);
    }
  }

  finish(): RebuildSummary {
    this.#parts.tables.finish();
    return {
      snapshots: this.#snapshots,
      segments: this.#segments,
      blocks: this.#blocks.size,
      hashed: this.#hashed,
      damaged: this.#damaged,
    };
  }
}

/**
 * What each stretch of metadata uses: it is the same in every snapshot that includes it, so it is
 * read once, however many do.
 */
class UsesOfIncludes implements IncludeMemory {
  readonly #known = new Map<string, Float64Array>();
  readonly #open: { readonly reference: string; readonly ids: Set<number>; isSpoilt: boolean }[] =
    [];
  used = new Set<number>();

  begin(): void {
    this.used = new Set();
    this.#open.length = 0;
  }

  use(id: number): void {
    this.used.add(id);
    for (const { ids } of this.#open) ids.add(id);
  }

  isKnown(reference: string): boolean {
    const known = this.#known.get(reference);
    if (known === undefined) return false;
    for (const id of known) this.use(id);
    return true;
  }

  /** Something of what is being read could not be: it is not remembered. */
  spoil(): void {
    for (const open of this.#open) open.isSpoilt = true;
  }

  enter(reference: string): void {
    this.#open.push({ reference, ids: new Set(), isSpoilt: false });
  }

  leave(reference: string): void {
    const open = this.#open.pop();
    if (open?.reference === reference && !open.isSpoilt)
      this.#known.set(reference, Float64Array.from(open.ids));
  }
}
