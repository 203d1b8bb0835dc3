/**
 * Puts a snapshot in place of another one that says the same, for compacting: remembered first, then
 * notes, checksums files and descriptor of the new one; then the local database; then the old one is
 * removed, as forget does it, with a note so that nobody misses it.
 *
 * Stopped anywhere, the store has one of them or both, each whole. Where it has both, the next run
 * goes on, if the local database knows that it was this machine that made the new one: what a
 * descriptor says of itself never makes another snapshot go.
 */
import { hash } from 'node:crypto';
import { LbsError } from '../errors.ts';
import { checksumOf } from '../format/checksum.ts';
import { type Descriptor, formatMovedDescriptor } from '../format/descriptor.ts';
import {
  formatSnapshotName,
  noteFile,
  parseSnapshotFile,
  parseSnapshotName,
} from '../format/snapshot-name.ts';
import { formatTimestamp, parseTimestamp } from '../format/timestamp.ts';
import type { BlockIndex } from '../localdb/block-index.ts';
import type { CompactedSnapshot, CompactedTable } from '../localdb/compacted-table.ts';
import type { SnapshotTable } from '../localdb/snapshot-table.ts';
import { type NoteSigning, noteForgotten } from '../snapshots/forgotten-notes.ts';
import { type SnapshotFile, readSmallFile, storedDescriptor } from '../snapshots/open-snapshot.ts';
import {
  SUMS_KINDS,
  listSegments,
  putSnapshot,
  refuseCollected,
} from '../snapshots/publish-snapshot.ts';
import { addNote, NotesOfStore, removeNote } from '../snapshots/snapshot-notes.ts';
import { SMALL_FILE_BYTES_MAX, type Store } from '../stores/store.ts';
import { SnapshotRemover } from './remove-snapshots.ts';

/** The names that snapshots of a store have, to find one for a snapshot that keeps its place. */
export class FreeNames {
  /** Seconds since 1970, by scheme. */
  readonly #times = new Map<string | undefined, Set<number>>();

  /**
   * `files` are the names of the store's files. What a run of ours has left of a snapshot that it did
   * not publish takes no name: `hasBegun` says of a name that it is one of these.
   */
  constructor(files: readonly string[], hasBegun: (name: string) => boolean) {
    for (const file of files) {
      const parsed = parseSnapshotFile(file);
      const parts = parsed && parseSnapshotName(parsed.name);
      if (parsed === undefined || parts === undefined) continue;
      if (SUMS_KINDS.includes(parsed.kind) && hasBegun(parsed.name)) continue;
      this.#of(parts.scheme).add(timeOf(parts.timestamp));
    }
  }

  #of(scheme: string | undefined): Set<number> {
    let times = this.#times.get(scheme);
    if (times === undefined) this.#times.set(scheme, (times = new Set()));
    return times;
  }

  /**
   * The next free second after that of `snapshot`, or else the last one before, if the order of the
   * scheme's snapshots stays; it is taken then. Undefined where there is none.
   */
  take({ scheme, timestamp }: SnapshotFile): string | undefined {
    const times = this.#of(scheme);
    const time = timeOf(timestamp);
    // No other snapshot lies between a second and the one beside it.
    const free = [time + 1, time - 1].find((second) => !times.has(second));
    if (free === undefined) return undefined;
    times.add(free);
    return formatSnapshotName(scheme, formatTimestamp(free));
  }
}

function timeOf(timestamp: string): number {
  return parseTimestamp(timestamp) ?? 0;
}

export type ReplacerParts = {
  readonly store: Store;
  readonly index: BlockIndex;
  readonly table: SnapshotTable;
  readonly compacted: CompactedTable;
  /** For those that were signed. */
  readonly sign: (text: Buffer) => Promise<Buffer>;
  /** Of the notes that nobody is to miss the old ones. */
  readonly signing: NoteSigning;
};

/** What takes the place of a snapshot. */
export type Replacement = {
  readonly snapshot: SnapshotFile;
  /** Its descriptor as it is stored, and what that says. */
  readonly stored: Buffer;
  readonly descriptor: Descriptor;
  readonly isSigned: boolean;
  readonly name: string;
  readonly root: string;
  /** By segment, a bit for each object that it uses. */
  readonly used: ReadonlyMap<string, Buffer>;
};

export class SnapshotReplacer {
  readonly #parts: ReplacerParts;

  constructor(parts: ReplacerParts) {
    this.#parts = parts;
  }

  /**
   * Publishes the new one and removes the old one.
   * @throws {LbsError} segment-collected, store-exists, signature-*, no-space, io: then there is the
   * old one
   */
  async replace(replacement: Replacement): Promise<void> {
    const { store, compacted, sign } = this.#parts;
    const { snapshot, stored, descriptor, name, used, isSigned } = replacement;
    const lists = listSegments(this.#rowsOf(used));
    const text = formatMovedDescriptor(descriptor.fields, {
      name,
      root: replacement.root,
      checksums: checksumOf('sha1', lists.sha1sums),
      checksumsSha256: checksumOf('sha256', lists.sha256sums),
      segments: [...used.keys()],
      compactedFrom: snapshot.name,
    });
    const bytes = Buffer.from(text, 'latin1');
    const published = isSigned ? await sign(bytes) : bytes;
    refuseCollected(store, lists.needed);
    const oldDescriptor = digestOf(stored);
    this.#clearLeftovers(name);
    compacted.add({
      descriptor: digestOf(published),
      name,
      oldName: snapshot.name,
      oldDescriptor,
      arrivedS: compacted.arrivalOf(oldDescriptor) ?? snapshot.file.arrivedS,
    });
    await this.#copyNotes(snapshot.name, name);
    await putSnapshot(store, name, lists, published);
    await this.finish(snapshot.name, name, used);
  }

  /** What a run of ours has left that was stopped before it published that very name. */
  #clearLeftovers(name: string): void {
    const { store, compacted } = this.#parts;
    if (!compacted.has(name) || store.find(`snapshot-${name}.lbs`) !== undefined) return;
    for (const kind of SUMS_KINDS) store.remove(`snapshot-${name}.${kind}`);
  }

  *#rowsOf(used: ReadonlyMap<string, Buffer>) {
    for (const name of [...used.keys()].sort()) {
      const row = this.#parts.index.segment(name);
      if (row === undefined) {
        throw new LbsError('internal', `segment ${name} is unknown to the local database`);
      }
      yield row;
    }
  }

  /** What is left to do once there are both; false when the old one stays, since it was held again. */
  async finish(oldName: string, name: string, used: ReadonlyMap<string, Buffer>): Promise<boolean> {
    const { store, table, compacted, signing } = this.#parts;
    const isHeld = await this.#copyNotes(oldName, name);
    table.replace(oldName, name, this.#usesOf(used));
    // Not one that came since: who holds it now would be told so, and nothing be held.
    if (isHeld) await removeNote(store, { name: oldName, tag: undefined });
    const files = store.names().map((file) => ({ name: file }));
    const digest = compacted.all().find((row) => row.oldName === oldName)?.oldDescriptor;
    await noteForgotten(store, [{ name: oldName, sha256: digest?.toString('hex') }], signing);
    const isRemoved = await new SnapshotRemover(store, files, [oldName]).remove(oldName);
    if (isRemoved) compacted.remove(oldName);
    return isRemoved;
  }

  *#usesOf(used: ReadonlyMap<string, Buffer>): Generator<[segmentId: number, objects: Buffer]> {
    for (const [segment, objects] of used) {
      const id = this.#parts.index.segment(segment)?.id;
      if (id !== undefined) yield [id, objects];
    }
  }

  /** Those that an interrupted run has published, while what they take the place of is still there. */
  unfinished(snapshots: readonly SnapshotFile[]): { snapshot: SnapshotFile; old: SnapshotFile }[] {
    const byName = new Map(snapshots.map((snapshot) => [snapshot.name, snapshot]));
    return this.#parts.compacted.all().flatMap((row) => {
      const [snapshot, old] = [byName.get(row.name), byName.get(row.oldName)];
      if (snapshot === undefined || old === undefined) return [];
      return this.#isAsRecorded(row, snapshot, old) ? [{ snapshot, old }] : [];
    });
  }

  /** Both are what they were: anybody may have put another one in the place of one that is gone. */
  #isAsRecorded(row: CompactedSnapshot, snapshot: SnapshotFile, old: SnapshotFile): boolean {
    const { store } = this.#parts;
    return (
      digestOf(storedDescriptor(store, snapshot)).equals(row.descriptor) &&
      digestOf(storedDescriptor(store, old)).equals(row.oldDescriptor)
    );
  }

  /** True where the snapshot is held. */
  async #copyNotes(from: string, to: string): Promise<boolean> {
    const { store } = this.#parts;
    const names = store.names().map((name) => ({ name }));
    const { isHeld, tags } = new NotesOfStore(names).of(from);
    const notes = [...(isHeld ? [undefined] : []), ...tags];
    for (const tag of notes) {
      const text = readSmallFile(store, noteFile({ name: from, tag }), SMALL_FILE_BYTES_MAX);
      await addNote(store, { name: to, tag }, text.toString());
    }
    return isHeld;
  }
}

function digestOf(bytes: Buffer): Buffer {
  return hash('sha256', bytes, 'buffer');
}
