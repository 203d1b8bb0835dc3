/**
 * The stores of a run, from what is remembered of them to what became of each. Which of them are
 * left out is decided in stores/store-group; this is what only a backup asks of them.
 */
import { LbsError } from '../errors.ts';
import { parseSnapshotFile } from '../format/snapshot-name.ts';
import type { OpenDatabase } from '../localdb/open-localdb.ts';
import { LocalMemory } from '../localdb/store-memory.ts';
import { ENCRYPTED } from '../segments/recipients.ts';
import { condemnedSegments } from '../snapshots/collection-lists.ts';
import type { StoreOutcome } from './backup-options.ts';
import type { Plan } from './plan-backup.ts';
import { tagSnapshot } from './tag-snapshot.ts';

export class RunStores {
  readonly #plan: Plan;
  readonly #open: OpenDatabase;

  constructor(plan: Plan, open: OpenDatabase) {
    this.#plan = plan;
    this.#open = open;
  }

  /** Nothing of a store may be looked at before. @throws {LbsError} usage, io, store-* */
  async begin(): Promise<void> {
    const { stores, dryRun, options } = this.#plan;
    const memory = new LocalMemory(this.#open);
    memory.claim(options.upload === undefined ? 'directory' : 'upload');
    await stores.each((store) => store.recall(memory));
    if (!this.#plan.isEncrypted) this.#noteEncrypted();
    if (this.#open.isNew) this.#noteNewDatabase();
    else if (stores.isSeveral) await stores.leaveOutEmpty();
    if (!dryRun) await stores.each((store) => store.begin());
  }

  /** Who leaves out an option once would have what is new since then in the store for all to read. */
  #noteEncrypted(): void {
    const { stores, report } = this.#plan;
    for (const store of stores.live) {
      const file = store.names().find((name) => ENCRYPTED.test(name));
      if (file === undefined) continue;
      const message = `${store.place} has encrypted segments (${file}), and those of this run are not: give --encrypt-to=FILE or the filter each time, best in the configuration`;
      report({ type: 'note', message });
    }
  }

  /** A store with snapshots and no memory of them: right on a second machine, else a surprise. */
  #noteNewDatabase(): void {
    const { stores, localdb, report } = this.#plan;
    const used = stores.live.find((store) => store.names().some((file) => parseSnapshotFile(file)));
    if (used === undefined) return;
    const message = `there is no local database in ${localdb}: every file is read, and stored again. If it is elsewhere, stop and say where with --localdb=DIR; if it is lost, stop and run: lbs rebuild --store=${used.place} --localdb=${localdb}`;
    report({ type: 'note', message });
  }

  /** In any store, because all get the same snapshot. @throws {LbsError} io */
  async condemned(): Promise<ReadonlySet<string>> {
    const condemned = new Set<string>();
    await this.#plan.stores.each((store) => {
      if (!store.isReadable) return;
      for (const segment of condemnedSegments(store)) condemned.add(segment);
    });
    return condemned;
  }

  /**
   * Tags, and the stores' own ends; the tags that were given.
   * @throws {LbsError} upload-failed: then the snapshot is there, but should not be counted on
   */
  async finish(snapshot: string, note: (message: string) => void): Promise<string[]> {
    const { stores, options } = this.#plan;
    try {
      const given = await tagSnapshot(stores.live, snapshot, options.tags ?? [], note);
      await stores.each((store) => store.end());
      return given;
    } catch (error) {
      if (!(error instanceof LbsError)) throw error;
      const message = `snapshot ${snapshot} is stored, but in doubt: ${error.message}`;
      throw new LbsError(error.code, message, {
        cause: error,
        hint: 'it is not counted here: run the same command again, and see what that script said',
      });
    }
  }

  /**
   * Names of all files of all stores; undefined when some may be where nobody can look now.
   * @throws {LbsError} io
   */
  allFiles(): ReadonlySet<string> | undefined {
    const { live, failures } = this.#plan.stores;
    if (failures.length > 0 || !live.every(({ isReadable }) => isReadable)) return undefined;
    return new Set(live.flatMap((store) => store.names()));
  }

  outcomes(snapshot: string | undefined): StoreOutcome[] {
    const { live, failures } = this.#plan.stores;
    const good = live.map(({ place: store, isReadable }) => ({ store, snapshot, isReadable }));
    const bad = failures.map(({ place: store, error }) => ({ store, error, isReadable: true }));
    return [
      ...good.map((outcome) => ({ ...outcome, error: undefined })),
      ...bad.map((outcome) => ({ ...outcome, snapshot: undefined })),
    ];
  }
}
