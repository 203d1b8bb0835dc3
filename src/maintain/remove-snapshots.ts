/**
 * Takes snapshots out of a store, one by one: the descriptor first, and that made durable, so that
 * from then on it is no snapshot; then its checksums files and notes, which nobody asks for any more.
 * Stopping anywhere leaves files that nobody names. Called by forget.
 */
import {
  noteFile,
  parseNoteFile,
  parseSegmentListFile,
  parseSnapshotFile,
} from '../format/snapshot-name.ts';
import type { Store, StoredFile } from '../stores/store.ts';

const DESCRIPTORS = ['lbs', 'cumulus'];

/** The snapshot that a file belongs to; undefined for segments and everything else. */
function snapshotOf(file: string): string | undefined {
  return (parseSnapshotFile(file) ?? parseNoteFile(file) ?? parseSegmentListFile(file))?.name;
}

export class SnapshotRemover {
  readonly #store: Store;
  /** Files of each snapshot that are to go, as listed once: a store may have 100,000 files. */
  readonly #files = new Map<string, string[]>();

  constructor(store: Store, files: readonly StoredFile[], snapshots: Iterable<string>) {
    this.#store = store;
    for (const name of snapshots) this.#files.set(name, []);
    for (const { name } of files) this.#files.get(snapshotOf(name) ?? '')?.push(name);
  }

  /**
   * Removes a snapshot; false, and nothing is done, when somebody has held it since it was listed.
   * @throws {LbsError} store-unwritable, io
   */
  async remove(snapshot: string): Promise<boolean> {
    const store = this.#store;
    if (store.find(noteFile({ name: snapshot, tag: undefined })) !== undefined) return false;
    for (const kind of DESCRIPTORS) store.remove(`snapshot-${snapshot}.${kind}`);
    await store.settle();
    for (const file of this.#files.get(snapshot) ?? []) store.remove(file);
    await store.settle();
    return true;
  }
}
