/**
 * Verify's look at the history of a store: every descriptor that is opened against its name and its
 * predecessor, and the whole of the store against what this machine has seen there.
 *
 * A predecessor that is not there is a remark: the store may be a copy of some snapshots. It is
 * trouble when this machine has seen it in this very store. Rules: snapshots/snapshot-history.
 */
import { parseSnapshotName } from '../format/snapshot-name.ts';
import { SeenSnapshots } from '../localdb/seen-snapshots.ts';
import { type ForgottenSnapshots, readForgotten } from '../snapshots/forgotten-notes.ts';
import type { OpenSnapshot } from '../snapshots/open-snapshot.ts';
import {
  StoredDescriptors,
  brokenLinks,
  digestOf,
  missedSnapshots,
} from '../snapshots/snapshot-history.ts';
import type { Store, StoredFile } from '../stores/store.ts';
import type { VerifyOptions } from './verify-options.ts';
import { type Damage, silentReport } from '../report.ts';

export class HistoryVerifier {
  readonly #store: Store;
  readonly #stored: StoredDescriptors;
  readonly #options: VerifyOptions;
  readonly #forgotten: ForgottenSnapshots;
  readonly #absent = new Set<string>();
  /** A snapshot can be missed by several. */
  readonly #told = new Set<string>();

  private constructor(
    store: Store,
    stored: StoredDescriptors,
    forgotten: ForgottenSnapshots,
    options: VerifyOptions,
  ) {
    this.#store = store;
    this.#stored = stored;
    this.#forgotten = forgotten;
    this.#options = options;
  }

  /** `files`: the listing of the store. @throws {LbsError} signature-key, io */
  static async begin(
    store: Store,
    files: readonly StoredFile[],
    options: VerifyOptions,
  ): Promise<HistoryVerifier> {
    const stored = new StoredDescriptors(
      store,
      files.map(({ name }) => name),
    );
    const { verifyKey, report = silentReport } = options;
    const note = (message: string) => report({ type: 'note', message });
    const forgotten = await readForgotten(store, { verifyKey, note });
    return new HistoryVerifier(store, stored, forgotten, options);
  }

  /** What is wrong with the links of a snapshot, whose descriptor was stored as these bytes. */
  links(snapshot: OpenSnapshot, bytes: Buffer): readonly Damage[] {
    if (snapshot.seal === 'broken') {
      this.setDamaged(snapshot.name);
      return [];
    }
    this.#stored.set(snapshot.name, digestOf(bytes));
    const { troubles, absent } = brokenLinks(this.#stored, snapshot, this.#forgotten);
    if (absent !== undefined) this.#absent.add(absent);
    return this.#new(troubles);
  }

  /** A descriptor that is damaged is told of as such, and by nobody called replaced. */
  setDamaged(name: string): void {
    this.#stored.set(name, undefined);
  }

  /**
   * At the end, when the whole of the store was to be verified: what is missed of all that the local
   * database has seen in this store (of a scheme, when one was asked for), and a remark on
   * predecessors that it lacks, which may be as it should. @throws {LbsError} io, localdb-corrupt
   */
  async finish(): Promise<readonly Damage[]> {
    const { snapshots: named = [], scheme, localdb = this.#store.place } = this.#options;
    if (named.length > 0) return [];
    const { snapshots, file } = SeenSnapshots.open(localdb, this.#store.place);
    const asked = [...snapshots].filter(
      ([name]) => scheme === undefined || (parseSnapshotName(name)?.scheme ?? '') === scheme,
    );
    const { troubles } = await missedSnapshots(this.#stored, asked, () =>
      Promise.resolve(this.#forgotten),
    );
    for (const { snapshot = '' } of troubles) this.#absent.delete(snapshot);
    if (troubles.length > 0) this.#note(`if all this was done on purpose: rm ${file}`);
    this.#tellAbsent();
    return this.#new(troubles);
  }

  #new(troubles: readonly Damage[]): Damage[] {
    return troubles.filter(({ name }) => {
      const isNew = !this.#told.has(name);
      this.#told.add(name);
      return isNew;
    });
  }

  #note(message: string): void {
    this.#options.report?.({ type: 'note', message });
  }

  #tellAbsent(): void {
    const [first] = [...this.#absent].sort();
    if (first === undefined) return;
    const more = this.#absent.size - 1;
    const others = more === 0 ? '' : `, and ${more} more`;
    this.#note(
      `the store lacks ${first}${others}, which newer snapshots name as their predecessors, and no note says that they were forgotten here: right for a copy of some snapshots, else they were removed`,
    );
  }
}
