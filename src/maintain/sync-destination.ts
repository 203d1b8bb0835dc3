/**
 * What the destination of a sync has already, and how far that is to be trusted.
 *
 * A file that a snapshot there needs came with that snapshot, checked, and is not read again. One
 * that no snapshot there needs may be what a stopped copy left, by lbs or by any other program: it is
 * read before it is relied on. Called by sync.
 */
import { LbsError } from '../errors.ts';
import {
  parseSegmentFile,
  parseSnapshotFile,
  parseSegmentListFile,
} from '../format/snapshot-name.ts';
import { openSnapshot, snapshotsAmong } from '../snapshots/open-snapshot.ts';
import type { Store, StoredFile } from '../stores/store.ts';

/**
 * `there`: nothing is to be done. `doubtful`: there, and as large, but no snapshot vouches for it.
 * `wreck`: as little vouched for, and of another size. `wrong`: a snapshot there needs it, and it
 * has another size.
 */
export type StateThere = 'missing' | 'there' | 'doubtful' | 'wreck' | 'wrong';

export class SyncDestination {
  readonly store: Store;
  readonly #sizes = new Map<string, number>();
  /** Names of snapshots that are there, and of all segments that they name. */
  readonly #snapshots = new Set<string>();
  readonly #segments = new Set<string>();
  /** Segments that have a file there; found out at first use. */
  #stored: Set<string> | undefined;
  /** Files that this run brought or looked at. */
  readonly #trusted = new Set<string>();

  private constructor(store: Store) {
    this.store = store;
  }

  /**
   * Lists the store and reads its descriptors; with `verifyKey` only signed ones vouch for anything.
   * @throws {LbsError} io, signature-key
   */
  static async read(store: Store, verifyKey?: string): Promise<SyncDestination> {
    const destination = new SyncDestination(store);
    const files = store.list();
    for (const { name, sizeBytes } of files) destination.#sizes.set(name, sizeBytes);
    for (const snapshot of snapshotsAmong(files)) {
      try {
        const { descriptor } = await openSnapshot(store, snapshot, { verifyKey });
        destination.#snapshots.add(snapshot.name);
        for (const segment of descriptor.segments) destination.#segments.add(segment);
      } catch (error) {
        // It vouches for nothing, then; what it needs is looked at.
        if (!(error instanceof LbsError) || error.code === 'signature-key') throw error;
      }
    }
    return destination;
  }

  has(name: string): boolean {
    return this.#sizes.has(name);
  }

  /** True when some file there held the segment at the beginning. */
  hasSegment(segment: string): boolean {
    this.#stored ??= new Set(
      [...this.#sizes.keys()].flatMap((name) => parseSegmentFile(name)?.segment ?? []),
    );
    return this.#stored.has(segment);
  }

  stateOf({ name, sizeBytes }: Pick<StoredFile, 'name' | 'sizeBytes'>): StateThere {
    const there = this.#sizes.get(name);
    if (there === undefined) return 'missing';
    if (this.#isVouchedFor(name)) return there === sizeBytes ? 'there' : 'wrong';
    return there === sizeBytes ? 'doubtful' : 'wreck';
  }

  #isVouchedFor(name: string): boolean {
    if (this.#trusted.has(name)) return true;
    const segment = parseSegmentFile(name)?.segment;
    if (segment !== undefined) return this.#segments.has(segment);
    const of = parseSnapshotFile(name)?.name ?? parseSegmentListFile(name)?.name;
    return of !== undefined && this.#snapshots.has(of);
  }

  /** The file is there now, as it is to be. */
  trust({ name, sizeBytes }: Pick<StoredFile, 'name' | 'sizeBytes'>): void {
    this.#sizes.set(name, sizeBytes);
    this.#trusted.add(name);
  }

  /** Looks again for a file that somebody else put there, or took away. @throws {LbsError} io */
  lookAgain(name: string): void {
    const sizeBytes = this.store.find(name)?.sizeBytes;
    if (sizeBytes === undefined) this.#sizes.delete(name);
    else this.#sizes.set(name, sizeBytes);
  }
}
