/**
 * What a backup does about the history of its scheme: it tells, before it writes, of snapshots that
 * this machine has seen in the store and that nobody has forgotten, and remembers the new one.
 *
 * A store that was rolled back is told of in every run, and is backed up to all the same: no backup
 * would be worse. What is wrong here is in the report and in the exit code, and never ends a run.
 * Of several stores the first is looked at, if it is there, and none that cannot be read. Called by run-backup; the
 * rules are in snapshots/snapshot-history.
 */
import { LbsError } from '../errors.ts';
import { parseSnapshotName } from '../format/snapshot-name.ts';
import { SeenSnapshots } from '../localdb/seen-snapshots.ts';
import { type Report, silentReport } from '../report.ts';
import { readForgotten } from '../snapshots/forgotten-notes.ts';
import type { PublishedSnapshot } from '../snapshots/publish-snapshot.ts';
import {
  StoredDescriptors,
  historyTrouble,
  missedSnapshots,
} from '../snapshots/snapshot-history.ts';
import type { StoreGroup } from '../stores/store-group.ts';
import type { Store } from '../stores/store.ts';
import type { BackupOptions } from './backup-options.ts';

/** Named one by one; of more only the number is told. */
const NAMED_MAX = 3;

export class BackupHistory {
  readonly #stores: StoreGroup;
  readonly #localdb: string;
  readonly #options: Pick<BackupOptions, 'scheme' | 'store' | 'verifyKey'>;
  readonly #report: Report;
  #seen: SeenSnapshots | undefined;
  /** The one that was looked at; it may fail on the way, and another be the first. */
  #store: Store | undefined;
  /** Snapshots that are gone or replaced. */
  troubles = 0;

  constructor(stores: StoreGroup, localdb: string, options: BackupOptions) {
    this.#stores = stores;
    this.#localdb = localdb;
    this.#options = options;
    this.#report = options.report ?? silentReport;
  }

  /**
   * Tells of what is missed, and notes what is there. Of descriptors only the newest is read, and
   * notes only when something is missed.
   * @throws {LbsError} signature-key, and what the listing of the store throws
   */
  async check(): Promise<void> {
    if (this.#isFirstAway()) return;
    const { scheme, verifyKey } = this.#options;
    const seen = (this.#seen = this.#open());
    const note = (message: string) => this.#report({ type: 'note', message });
    const store = (this.#store = this.#stores.first);
    if (!store.isReadable) return;
    const stored = new StoredDescriptors(store, store.names());
    const names = stored.ofScheme(scheme);
    const newest = names.at(-1);
    const ofScheme = [...seen.snapshots]
      .filter(([name]) => parseSnapshotName(name)?.scheme === scheme)
      // The rest is for verify: a thousand descriptors would have to be read.
      .map(([name, sha256]) => [name, name === newest ? sha256 : undefined] as const);
    const missed = await missedSnapshots(stored, ofScheme, () =>
      readForgotten(store, { verifyKey, note }),
    );
    for (const name of missed.forgotten) seen.delete(name);
    for (const name of names) seen.add(name);
    if (newest !== undefined && seen.snapshots.get(newest) === undefined) {
      seen.add(newest, stored.digestOf(newest));
    }
    this.troubles += missed.troubles.length;
    for (const damage of missed.troubles.slice(0, NAMED_MAX)) {
      this.#report({ type: 'damage', damage });
    }
    if (missed.troubles.length === 0) return;
    const more = missed.troubles.length - NAMED_MAX;
    const rest = more > 0 ? `and ${more} more snapshots are gone or replaced. ` : '';
    note(
      `${rest}Look at the store before it is trusted again. If all this was done on purpose, or it is another store now: rm ${seen.file}`,
    );
  }

  /** Then nothing is told or remembered: the file is of one store, and would become that of another. */
  #isFirstAway(): boolean {
    const { store } = this.#options;
    const named = typeof store === 'string' ? store : store?.[0];
    return this.#stores.failures.some(({ place }) => place === named);
  }

  /** A file that cannot be used is told of once, and then begun anew. */
  #open(): SeenSnapshots {
    try {
      return SeenSnapshots.open(this.#localdb, this.#stores.first.place);
    } catch (error) {
      if (!(error instanceof LbsError)) throw error;
      this.troubles++;
      const damage = historyTrouble('', `what was seen of the store is lost: ${error.message}`);
      this.#report({ type: 'damage', damage: { ...damage, name: 'lbs-seen' } });
      return SeenSnapshots.anew(this.#localdb, this.#stores.first.place);
    }
  }

  /** SHA-256 of a descriptor as this machine remembers it. */
  digestOf(name: string): string | undefined {
    return this.#seen?.snapshots.get(name);
  }

  /** After the descriptor. @throws {LbsError} io, no-space */
  remember({ name, sha256 }: PublishedSnapshot): void {
    if (this.#store !== this.#stores.first) return;
    this.#seen?.add(name, sha256);
    this.#seen?.save();
  }
}
