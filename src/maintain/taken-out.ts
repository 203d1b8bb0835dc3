/**
 * What a verification or a rebuild misses because "forget", "compact" or "gc" have taken it out since
 * it began: that is no damage. Asked before anything that is missing is told.
 *
 * Invariant: what a descriptor that is there names is never taken for taken out.
 */
import { LbsError } from '../errors.ts';
import { type SnapshotFile, snapshotsAmong, storedDescriptor } from '../snapshots/open-snapshot.ts';
import type { Store } from '../stores/store.ts';

const SEGMENT = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;

export class TakenOut {
  readonly #store: Store;
  readonly #files: ReadonlyMap<string, string>;
  readonly #gone = new Set<string>();
  #needed: { readonly ofGone: number; readonly segments: ReadonlySet<string> } | undefined;

  /** `all`: the snapshots that were there when it began. */
  constructor(store: Store, all: readonly SnapshotFile[]) {
    this.#store = store;
    this.#files = new Map(all.map(({ name, file }) => [name, file.name]));
  }

  /** Snapshots that were found to be gone. */
  get snapshots(): readonly string[] {
    return [...this.#gone];
  }

  /** True of a snapshot that was there, and is not any more. @throws {LbsError} io, store-missing */
  isSnapshot(name: string): boolean {
    if (this.#gone.has(name)) return true;
    const file = this.#files.get(name);
    if (file === undefined || this.#store.find(file) !== undefined) return false;
    this.#gone.add(name);
    return true;
  }

  /**
   * True of a file of a segment that is not there, when snapshots have gone and none that is there
   * needs it. @throws {LbsError} io, store-missing
   */
  isSegment(segment: string, file: string): boolean {
    if (this.#store.find(file) !== undefined) return false;
    const names = new Set(this.#store.names());
    for (const [name, descriptor] of this.#files) if (!names.has(descriptor)) this.#gone.add(name);
    if (this.#gone.size === 0) return false;
    if (this.#needed?.ofGone !== this.#gone.size) {
      this.#needed = { ofGone: this.#gone.size, segments: this.#namedByOthers() };
    }
    return !this.#needed.segments.has(segment);
  }

  /** All that looks like a segment's name in any descriptor: rather too many than too few. */
  #namedByOthers(): ReadonlySet<string> {
    const segments = new Set<string>();
    for (const snapshot of snapshotsAmong(this.#store.list())) {
      try {
        const text = storedDescriptor(this.#store, snapshot).toString('latin1');
        for (const [segment] of text.matchAll(SEGMENT)) segments.add(segment);
      } catch (error) {
        // It went in this moment; any other trouble with it was told already.
        if (!(error instanceof LbsError) || error.code === 'store-missing') throw error;
      }
    }
    return segments;
  }
}
