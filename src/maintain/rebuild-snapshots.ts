/**
 * What each snapshot of a store says of segments and objects, into the tables of a new local
 * database. Called by rebuild.
 *
 * Invariant: an object gets a row only if its segment is in the store and what is said of it is the
 * SHA-256 of all of it. What is contradicted gets none. Whoever can write to the store can still
 * say what is not so, as to every reader; with a verify key only what was signed is believed.
 */
import { hash } from 'node:crypto';
import { LbsError, type ErrorCode, messageOf } from '../errors.ts';
import { type Entry, referencesOf } from '../format/entry.ts';
import { type ObjectReference, formatObjectName } from '../format/reference.ts';
import { parseSnapshotName } from '../format/snapshot-name.ts';
import { parseTimestamp } from '../format/timestamp.ts';
import type { RebuildTables } from '../localdb/rebuild-tables.ts';
import { readMetadata } from '../metadata/metadata-log-reader.ts';
import type { MetadataObjects } from '../metadata/metadata-objects.ts';
import { type Damage, type Report, metadataDamage, silentReport } from '../report.ts';
import { layoutOf } from '../restore/file-layout.ts';
import type { SegmentSource } from '../segments/segment-source.ts';
import type { OpenSnapshot } from '../snapshots/open-snapshot.ts';
import { showPath } from '../std/byte-path.ts';
import type { StoredFile } from '../stores/store.ts';
import { type Sums, digestOf } from './examine-file.ts';
import type { RebuildOptions, RebuildSummary } from './rebuild-options.ts';
import { type SumsSource, sumsOfSnapshot } from './snapshot-sums.ts';
import type { TakenOut } from './taken-out.ts';
import { UsesOfIncludes } from './used-objects.ts';

/** Errors that say nothing of one snapshot: the run cannot go on after them. */
const NOT_DAMAGE: ReadonlySet<ErrorCode> = new Set([
  'interrupted',
  'no-space',
  'io',
  'filter-missing',
  'decryption-key',
  'format-version',
  'signature-key',
  'store-missing',
  'internal',
]);
/** Of one snapshot, when only what was signed is to be believed. */
const NOT_SIGNED: ReadonlySet<ErrorCode> = new Set(['signature-bad', 'signature-missing']);
const SHA256 = /^[0-9a-f]{64}$/;

export type RebuildParts = {
  readonly tables: RebuildTables;
  readonly source: SegmentSource;
  readonly objects: MetadataObjects;
  readonly lists: SumsSource;
  readonly takenOut: TakenOut;
  readonly options: RebuildOptions;
};

type Digests = { readonly sha1: Buffer; readonly sha256: Buffer };

export class RebuildSnapshots {
  readonly #parts: RebuildParts;
  readonly #report: Report;
  readonly #uses = new UsesOfIncludes();
  /** Segments that were looked at and got no row; told of once. */
  readonly #refused = new Set<string>();
  /** Metadata objects that have a row: one for each 64 KiB of stanzas. */
  readonly #metadata = new Set<number>();
  readonly #last = new Map<string, OpenSnapshot>();
  #snapshots = 0;
  #segments = 0;
  #hashed = 0;
  #damaged = 0;
  #unsigned = 0;
  #firstUnsigned: LbsError | undefined;

  constructor(parts: RebuildParts) {
    this.#parts = parts;
    this.#report = parts.options.report ?? silentReport;
  }

  /** @throws {LbsError} for what is no damage of this snapshot */
  lose(snapshot: string, error: unknown): void {
    if (!(error instanceof LbsError) || NOT_DAMAGE.has(error.code)) throw error;
    if (!NOT_SIGNED.has(error.code)) {
      this.#damage(metadataDamage(snapshot, messageOf(error)));
      return;
    }
    this.#unsigned++;
    this.#firstUnsigned ??= error;
    const message = `is not believed, and left out: ${messageOf(error)}`;
    this.#report({ type: 'damage', damage: metadataDamage(snapshot, message) });
  }

  /** But of a snapshot that was forgotten meanwhile. */
  #damage(damage: Damage): void {
    if (this.#parts.takenOut.isSnapshot(damage.snapshot ?? '')) return;
    this.#damaged++;
    this.#report({ type: 'damage', damage });
  }

  async add(snapshot: OpenSnapshot, timestamp: string): Promise<void> {
    const { name, descriptor } = snapshot;
    const created = parseTimestamp(timestamp) ?? 0;
    await this.#addSegments(snapshot, created);
    const { source, objects, options } = this.#parts;
    let isWhole = true;
    const onDamage = (message: string) => {
      if (isWhole) this.#damage(metadataDamage(name, message));
      isWhole = false;
      this.#uses.spoil();
    };
    const entries = readMetadata(source, descriptor, {
      signal: options.signal,
      objects,
      memory: this.#uses,
      onObject: (reference) => this.#addMetadata(reference),
      onDamage,
    });
    this.#uses.begin();
    const counts = { entries: 0, files: 0, bytes: 0 };
    for await (const entry of entries) {
      counts.entries++;
      if (entry.type !== 'f') continue;
      counts.files++;
      counts.bytes += entry.sizeBytes;
      try {
        this.#addFile(entry, snapshot);
      } catch (error) {
        if (!(error instanceof LbsError) || NOT_DAMAGE.has(error.code)) throw error;
        onDamage(`${showPath(entry.path)}: ${error.message}`);
      }
    }
    // Not what the descriptor says of it: it becomes the name of a file.
    const scheme = parseSnapshotName(name)?.scheme ?? '';
    const used = this.#uses.used.segments();
    // What was left out as known is not counted again; the descriptor says how many there are.
    const { entries: count, files, bytes } = descriptor.counts ?? counts;
    this.#parts.tables.addSnapshot({ name, scheme, created, entries: count, files, bytes, used });
    this.#last.set(scheme, snapshot);
    this.#snapshots++;
  }

  /** The last snapshot of each scheme. */
  lastOfSchemes(): Iterable<[scheme: string, snapshot: OpenSnapshot]> {
    return this.#last;
  }

  /** Rows for the segments that have none; those that cannot be vouched for get none. */
  async #addSegments(snapshot: OpenSnapshot, created: number): Promise<void> {
    const { tables, source, lists, options } = this.#parts;
    const { segments: sums } = await sumsOfSnapshot(snapshot, lists);
    for (const segment of snapshot.descriptor.segments) {
      if (tables.has(segment) || this.#refused.has(segment)) continue;
      if (options.signal?.aborted === true) {
        throw new LbsError('interrupted', 'interrupted while reading segments');
      }
      const file = source.fileOf(segment);
      const found = file && (await this.#digestsOf(file, sums.get(file.name) ?? {}));
      if (file === undefined || found === undefined) {
        const message =
          file === undefined ? 'is missing in the store' : 'is not as its checksums say';
        const what = { what: 'store-file', snapshot: snapshot.name, message } as const;
        this.#damage({ ...what, name: file?.name ?? segment });
        this.#refused.add(segment);
        continue;
      }
      const { name, sizeBytes: storedBytes } = file;
      tables.addSegment({ name: segment, file: name, ...found, storedBytes, created });
      this.#segments++;
    }
  }

  /** Undefined when it is not as its checksums say, as far as that is looked at. */
  async #digestsOf(file: StoredFile, sums: Sums): Promise<Digests | undefined> {
    // Filters write something for anything; what is empty was cut off.
    if (file.sizeBytes === 0) return undefined;
    let { sha1, sha256 } = sums;
    const isToRead = this.#parts.options.check === true || sha1 === undefined;
    if (isToRead || sha256 === undefined) {
      const opened = this.#parts.source.store.open(file.name);
      try {
        sha1 = await digestOf(opened.fd, 'sha1');
        sha256 = await digestOf(opened.fd, 'sha256');
        const sha224 = sums.sha224 && (await digestOf(opened.fd, 'sha224'));
        const found: Sums = { sha1, sha256, ...(sha224 === undefined ? {} : { sha224 }) };
        this.#hashed++;
        for (const algorithm of ['sha1', 'sha224', 'sha256'] as const) {
          const recorded = sums[algorithm];
          if (recorded !== undefined && recorded !== found[algorithm]) return undefined;
        }
      } finally {
        opened.close();
      }
    }
    if (sha1 === undefined) return undefined;
    return { sha1: Buffer.from(sha1, 'hex'), sha256: Buffer.from(sha256, 'hex') };
  }

  /** An object of the log itself, whose content is here. */
  #addMetadata({ segment, object, checksum }: ObjectReference): void {
    const { tables, objects } = this.#parts;
    const id = tables.objectId(segment, object);
    if (id === undefined) return;
    this.#uses.use(id);
    if (this.#metadata.has(id)) return;
    this.#metadata.add(id);
    const whole = { kind: 'object', segment, object, checksum } as const;
    objects.use({ ...whole, slice: undefined, exactSize: undefined }, (bytes) => {
      tables.addMetadata(id, hash('sha256', bytes, 'buffer'), bytes.length);
    });
  }

  #addFile(entry: Entry, { descriptor, name }: OpenSnapshot): void {
    const { tables } = this.#parts;
    const references = referencesOf(entry, descriptor.dialect);
    const isOurs = descriptor.checksumsSha256 !== undefined;
    const placed = isOurs ? layoutOf(references, entry.sizeBytes, entry.holes) : undefined;
    const isOne = references.length === 1;
    for (const [at, reference] of references.entries()) {
      if (reference.kind === 'zero') continue;
      const { segment, object, slice } = reference;
      const id = tables.objectId(segment, object);
      if (id === undefined) continue;
      this.#uses.use(id);
      const sha256 = entry.blockSha256[at];
      const length = placed?.[at]?.length;
      if (sha256 === undefined || length === undefined || !SHA256.test(sha256)) continue;
      // The digest of a file is that of an object only where all of the object is meant.
      if (slice !== undefined && (slice.start !== 0 || isOne)) continue;
      if (tables.addBlock(id, Buffer.from(sha256, 'hex'), length)) continue;
      const message = `two digests of one object are recorded, here for ${showPath(entry.path)}; it is not used again`;
      this.#damage({ what: 'metadata', name: formatObjectName(segment, object), snapshot: name, message }); // prettier-ignore
    }
  }

  /** @throws {LbsError} signature-* when none could be believed */
  finish(): RebuildSummary {
    if (this.#snapshots === 0 && this.#firstUnsigned !== undefined) throw this.#firstUnsigned;
    const blocks = this.#parts.tables.finish();
    return {
      snapshots: this.#snapshots,
      segments: this.#segments,
      blocks,
      hashed: this.#hashed,
      damaged: this.#damaged,
      unsigned: this.#unsigned,
    };
  }
}
