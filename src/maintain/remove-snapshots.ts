/**
 * Takes snapshots out of a store, one by one: the descriptor first, and that made durable, so that
 * from then on it is no snapshot; then its checksums files and notes, which nobody asks for any more.
 * Stopping anywhere leaves files that nobody names. Called by forget.
 *
 * Somebody may hold the snapshot meanwhile, on whatever machine. We remove the descriptor and then look
 * for the note; they write the note and then look for the descriptor. So at least one of us sees the
 * other: either the descriptor is put back, or they are told that there is nothing to hold any more.
 */
import { readFileSync } from 'node:fs';
import {
  noteFile,
  parseNoteFile,
  parseSegmentListFile,
  parseSnapshotFile,
} from '../format/snapshot-name.ts';
import { putFile } from '../snapshots/put-file.ts';
import type { OpenFile, Store, StoredFile } from '../stores/store.ts';

const DESCRIPTORS = ['lbs', 'cumulus'];

/** The snapshot that a file belongs to; undefined for segments and everything else. */
function snapshotOf(file: string): string | undefined {
  return (parseSnapshotFile(file) ?? parseNoteFile(file) ?? parseSegmentListFile(file))?.name;
}

export class SnapshotRemover {
  readonly #store: Store;
  /** Files of each snapshot that are to go, as listed once: a store may have 100,000 files. */
  readonly #files = new Map<string, string[]>();

  constructor(
    store: Store,
    files: Iterable<Pick<StoredFile, 'name'>>,
    snapshots: Iterable<string>,
  ) {
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
    const isHeld = () => store.find(noteFile({ name: snapshot, tag: undefined })) !== undefined;
    if (isHeld()) return false;
    const descriptors = DESCRIPTORS.map((kind) => `snapshot-${snapshot}.${kind}`)
      .filter((name) => store.find(name) !== undefined)
      .map((name) => ({ name, file: store.open(name) }));
    try {
      for (const { name } of descriptors) store.remove(name);
      await store.settle();
      if (isHeld()) {
        for (const descriptor of descriptors) await this.#putBack(descriptor);
        return false;
      }
    } finally {
      for (const { file } of descriptors) file.close();
    }
    for (const file of this.#files.get(snapshot) ?? []) store.remove(file);
    await store.settle();
    return true;
  }

  /** From the file that is still open: what has no name any more is there until it is closed. */
  async #putBack({ name, file }: { name: string; file: OpenFile }): Promise<void> {
    await putFile(this.#store, name, readFileSync(file.fd));
    await this.#store.settle();
  }
}
