/**
 * One snapshot as a side of a comparison, and what two snapshots share.
 *
 * Called by diff. Snapshots of one store name the same stored parts of metadata: what both name is
 * equal without being looked at, so that the difference of two large snapshots costs what differs.
 */
import type { Descriptor } from '../format/descriptor.ts';
import type { Entry } from '../format/entry.ts';
import { type IncludeMemory, readMetadata } from '../metadata/metadata-log-reader.ts';
import type { MetadataObjects } from '../metadata/metadata-objects.ts';
import { normalisePath } from '../restore/select-paths.ts';
import { metadataDamage, type Report } from '../report.ts';
import type { SegmentSource } from '../segments/segment-source.ts';
import type { OpenSnapshot } from '../snapshots/open-snapshot.ts';
import { type BytePath, isWithin } from '../std/byte-path.ts';
import { inOrder, type PathFacts, sorted } from './sorted-entries.ts';

/** What reading the metadata of a store needs. */
export type MetadataReading = {
  readonly source: SegmentSource;
  /** Shared by all snapshots, so that what they have in common is fetched once. */
  readonly objects: MetadataObjects;
  readonly signal: AbortSignal | undefined;
  readonly report: Report | undefined;
};

export class SnapshotSide {
  readonly name: string;
  /** Written by this program: in the order of paths, with all attributes. */
  readonly isOurs: boolean;
  readonly date: number | undefined;
  readonly #descriptor: Descriptor;
  readonly #reading: MetadataReading;
  /** Only this path, what is below it and what is above. */
  readonly #only: BytePath | undefined;
  /** Damage that was told of: a log may be read again. */
  readonly #told = new Set<string>();

  constructor(snapshot: OpenSnapshot, reading: MetadataReading, only?: BytePath) {
    this.name = snapshot.name;
    this.#descriptor = snapshot.descriptor;
    this.#reading = reading;
    this.#only = only;
    this.isOurs = snapshot.descriptor.checksumsSha256 !== undefined;
    this.date = snapshot.descriptor.date;
  }

  /** True when some of the metadata could not be read. */
  get isDamaged(): boolean {
    return this.#told.size > 0;
  }

  /** The names of the parts that the root of the log consists of. */
  async parts(): Promise<Set<string>> {
    const { source, objects, signal } = this.#reading;
    const parts = new Set<string>();
    let root: string | undefined;
    let isReading = false;
    const memory: IncludeMemory = {
      isKnown: (reference) => {
        root ??= reference;
        if (reference === root) return false;
        // What is asked before are objects to fetch, and lists of blocks among them.
        if (isReading) parts.add(reference);
        return true;
      },
      enter: () => void (isReading = true),
      leave: () => undefined,
    };
    const log = readMetadata(source, this.#descriptor, { objects, signal, memory });
    for await (const entry of log) void entry;
    return parts;
  }

  /**
   * Its entries in order, without those in `shared` parts. `isSpooled`: the log need not be in order.
   * @throws {OutOfOrder} when it is not, and must be
   */
  async *entries(shared: ReadonlySet<string>, isSpooled: boolean): AsyncGenerator<PathFacts> {
    const log = this.#log(shared);
    yield* isSpooled ? sorted(log) : inOrder(log);
  }

  async *#log(shared: ReadonlySet<string>): AsyncGenerator<Entry> {
    const { source, objects, signal } = this.#reading;
    const only = this.#only;
    const log = readMetadata(source, this.#descriptor, {
      objects,
      signal,
      memory: {
        isKnown: (reference) => shared.has(reference),
        enter: () => undefined,
        leave: () => undefined,
      },
      only: only === undefined || !this.isOurs ? undefined : [only],
      onDamage: (message, { path }) => this.#damaged(message, path),
    });
    for await (const entry of log) {
      if (only === undefined || isWithin(normalisePath(entry.path), only)) yield entry;
    }
  }

  #damaged(message: string, path: BytePath | undefined): void {
    if (this.#told.has(message)) return;
    this.#told.add(message);
    const damage = metadataDamage(this.name, message, path);
    this.#reading.report?.({ type: 'damage', damage });
  }
}

/** The parts that both have. */
export async function sharedParts(a: SnapshotSide, b: SnapshotSide): Promise<Set<string>> {
  // Where paths may come twice, a part alone does not say what the state of its paths is.
  if (!a.isOurs || !b.isOurs) return new Set();
  const [partsOfA, partsOfB] = [await a.parts(), await b.parts()];
  return new Set([...partsOfA].filter((part) => partsOfB.has(part)));
}
