/**
 * The stores that one run writes to, and what became of each of them.
 *
 * With one store, its failure is the run's. With several, a store that fails is told of and left
 * out from then on, and the run goes on with the rest; it fails when none is left. What a script
 * uploads to cannot be looked at afterwards, so its failure always ends the run.
 *
 * Invariant: every store that is still live has all that was published in this run.
 */
import { LbsError } from '../errors.ts';
import { isStoreFile } from '../format/snapshot-name.ts';
import { openStore } from './open-store.ts';
import { refuseSamePlace } from './separate-stores.ts';
import { SharedStaging } from './shared-staging.ts';
import type { SegmentPlace, Store } from './store.ts';

/** A store that a run could not write to, or not to its end. */
export type StoreFailure = { readonly place: string; readonly error: LbsError };

type OnFailure = (failure: StoreFailure) => void;

/** These are no trouble of a store. */
const OF_THE_RUN: ReadonlySet<string> = new Set(['interrupted', 'internal', 'usage']);

/**
 * Opens the stores at `places`, and takes `upload` with them. `onFailure` is told of each store
 * that fails, as long as another one is left.
 * @throws {LbsError} usage for the same place twice; store-missing when none of them is there
 */
export function openStoreGroup(
  places: readonly string[],
  upload: Store | undefined,
  onFailure: OnFailure,
): StoreGroup {
  const failures: StoreFailure[] = [];
  const stores = upload === undefined ? [] : [upload];
  const isSeveral = places.length + stores.length > 1;
  const opened: Store[] = [];
  for (const place of places) {
    try {
      const store = openStore(place);
      for (const other of opened) refuseSamePlace(store, other);
      opened.push(store);
    } catch (error) {
      if (!isSeveral || !(error instanceof LbsError) || OF_THE_RUN.has(error.code)) throw error;
      failures.push({ place, error });
    }
  }
  return new StoreGroup([...opened, ...stores], failures, onFailure);
}

/** A group of one. */
export function groupOf(store: Store): StoreGroup {
  return new StoreGroup([store], [], () => undefined);
}

export class StoreGroup {
  readonly #failures: StoreFailure[];
  readonly #onFailure: OnFailure;
  #live: readonly Store[];

  constructor(live: readonly Store[], failures: readonly StoreFailure[], onFailure: OnFailure) {
    this.#live = live;
    this.#failures = [...failures];
    this.#onFailure = onFailure;
    if (live.length === 0) throw this.#nothingLeft();
    for (const failure of failures) onFailure(failure);
  }

  /** Those that have not failed: at least one, in the order in which they were named. */
  get live(): readonly Store[] {
    return this.#live;
  }

  get failures(): readonly StoreFailure[] {
    return this.#failures;
  }

  /** True when there is, or was, more than one. */
  get isSeveral(): boolean {
    return this.#live.length + this.#failures.length > 1;
  }

  /** Whose local database it is when none is named. */
  get first(): Store {
    const [first] = this.#live;
    if (first === undefined) throw this.#nothingLeft();
    return first;
  }

  /**
   * Does `work` with every live store at once, and leaves out those where it fails.
   * @throws {LbsError} when none is left, or where the failure of one is that of the run
   */
  async each(work: (store: Store) => void | Promise<void>): Promise<void> {
    const stores = this.#live;
    // Other work may have found out already.
    if (stores.length === 0) throw this.#nothingLeft();
    // All are waited for: what they work on may go when this ends.
    const results = await Promise.allSettled(stores.map(async (store) => work(store)));
    for (const [at, result] of results.entries()) {
      const store = stores[at];
      if (result.status === 'rejected' && store !== undefined) this.fail(store, result.reason);
    }
    if (this.#live.length === 0) throw this.#nothingLeft();
  }

  /** Leaves a store out from now on. @throws {LbsError} as `each` does */
  fail(store: Store, reason: unknown): void {
    const isOfStore = reason instanceof LbsError && !OF_THE_RUN.has(reason.code);
    if (!this.isSeveral || !isOfStore || !store.isReadable) throw reason;
    // Several segments are on their way to it at once: it fails for each, and once for us.
    if (!this.#live.includes(store)) return;
    const failure = { place: store.place, error: reason };
    this.#live = this.#live.filter((other) => other !== store);
    this.#failures.push(failure);
    if (this.#live.length === 0) throw this.#nothingLeft();
    this.#onFailure(failure);
  }

  /** Gives up what runs in them have begun. Never throws. */
  async close(): Promise<void> {
    for (const store of this.#live) await store.close();
  }

  #nothingLeft(): LbsError {
    const errors = this.#failures.map(({ error }) => error);
    const isMissing = errors.every(({ code }) => code === 'store-missing');
    const reasons = errors.map(({ message }) => message).join('; ');
    return new LbsError(isMissing ? 'store-missing' : 'io', `no store is left: ${reasons}`, {
      hint: 'nothing that was stored before is harmed; see to one of them and run the same command again',
    });
  }

  /**
   * Why a new snapshot cannot refer to a file of that size; undefined when it can. Of stores that
   * can be copied from one to the other it is enough that one has it: the others are left behind
   * when the snapshot is published. A script must have got it.
   */
  whyLost(file: string, sizeBytes: number): string | undefined {
    let why: string | undefined;
    let hasReadable = false;
    let isReadable = false;
    for (const store of this.#live) {
      const found = store.find(file)?.sizeBytes;
      hasReadable ||= store.isReadable;
      if (found === sizeBytes) {
        isReadable ||= store.isReadable;
        continue;
      }
      why ??=
        found === undefined
          ? 'it is missing in the store'
          : `it has ${found} bytes instead of ${sizeBytes}`;
      if (!store.isReadable) return why;
    }
    return isReadable || !hasReadable ? undefined : why;
  }

  /**
   * Leaves out stores that hold nothing at all while others do: most often nothing is mounted
   * there, and what would be written would fill the disk below. @throws {LbsError} as `each` does
   */
  async leaveOutEmpty(): Promise<void> {
    const empty = new Set(
      this.#live.filter((store) => !store.names().some((name) => isStoreFile(name))),
    );
    if (empty.size === 0 || empty.size === this.#live.length) return;
    await this.each((store) => {
      if (!empty.has(store)) return;
      throw new LbsError('store-missing', `${store.place} is empty, and the other store is not`, {
        hint: 'is its disk mounted? A new one gets what there is so far by "lbs sync"',
      });
    });
  }

  /** Where segments go; `directory` of this machine keeps them while several stores get them. */
  segmentPlace(directory: string): SegmentPlace {
    return this.#live.length === 1 ? this.first : new SharedStaging(this, directory);
  }
}
