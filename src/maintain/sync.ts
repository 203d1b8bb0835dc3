/**
 * `lbs sync`: snapshots from one store to another, with what they need that is not there yet.
 *
 *     descriptors of both stores             what is to be copied, and is there room?
 *     then for each snapshot, the oldest first:
 *       segments                             checked on arrival, durable
 *       -> checksums files
 *       -> descriptor                        from here on it is a snapshot there
 *       -> notes: holds and tags
 *
 * The order of a backup, so stopping anywhere leaves no broken snapshot, and the next run goes on.
 * What a snapshot of the destination relies on is never changed. Any store can be the source; what
 * is new in the destination lies at its top.
 */
import { setImmediate as turn } from 'node:timers/promises';
import { LbsError } from '../errors.ts';
import { checksumOf, parseChecksum } from '../format/checksum.ts';
import { parseNoteFile } from '../format/snapshot-name.ts';
import { type Report, silentReport } from '../report.ts';
import { lostToCollection } from '../snapshots/collection-lists.ts';
import {
  type OpenSnapshot,
  type SnapshotFile,
  readSmallFile,
  resolveAmong,
  snapshotsAmong,
} from '../snapshots/open-snapshot.ts';
import { writeRecoveryFiles } from '../snapshots/recovery-files.ts';
import { humanSize } from '../std/human-size.ts';
import type { DirectoryStore } from '../stores/directory-store.ts';
import { openStore } from '../stores/open-store.ts';
import { refuseSamePlace } from '../stores/separate-stores.ts';
import { SMALL_FILE_BYTES_MAX, type Store, type StoredFile } from '../stores/store.ts';
import {
  CopyTrouble,
  copyFile,
  isThereAsRecorded,
  ofSource,
  refuseInterrupted,
} from './copy-file.ts';
import { CopyProgress } from './copy-progress.ts';
import type { Sums } from './examine-file.ts';
import { SyncDestination } from './sync-destination.ts';
import type { SyncOptions, SyncSummary } from './sync-options.ts';
import { SyncSource } from './sync-source.ts';

/** Somebody else may put and remove the same file meanwhile; not for ever. */
const ATTEMPTS_MAX = 5;

/**
 * Copies snapshots. What is damaged in either store is reported, and costs only the snapshots that
 * need it.
 * @throws {LbsError} store-missing, snapshot-missing, snapshot-ambiguous, usage (two stores that are
 * one), signature-* (then nothing was copied), no-space, store-unwritable, segment-collected, io,
 * interrupted
 */
export async function sync(options: SyncOptions): Promise<SyncSummary> {
  const from = openStore(options.source);
  const to = openStore(options.destination);
  refuseSamePlace(from, to);
  const files = from.list();
  const chosen = choose(from, snapshotsAmong(files), options);
  const run = new SyncRun({
    from,
    files,
    options,
    to,
    destination: await SyncDestination.read(to, options.verifyKey),
  });
  await run.prepare(chosen);
  for (const snapshot of chosen) await run.add(snapshot);
  return run.summary();
}

function choose(
  store: Store,
  all: readonly SnapshotFile[],
  { snapshots = [], scheme }: SyncOptions,
): readonly SnapshotFile[] {
  if (snapshots.length === 0) {
    const eligible =
      scheme === undefined ? all : all.filter((one) => (one.scheme ?? '') === scheme);
    if (eligible.length > 0) return eligible;
    throw new LbsError('snapshot-missing', `the store ${store.place} has no snapshots to copy`, {
      hint: 'is the disk mounted? "lbs list" shows what there is',
    });
  }
  const wanted = new Set(snapshots.map((word) => resolveAmong(store, all, word, scheme).name));
  return all.filter(({ name }) => wanted.has(name));
}

type Parts = {
  readonly from: Store;
  readonly files: readonly StoredFile[];
  readonly to: DirectoryStore;
  readonly destination: SyncDestination;
  readonly options: SyncOptions;
};

class SyncRun {
  readonly #source: SyncSource;
  readonly #to: DirectoryStore;
  readonly #destination: SyncDestination;
  readonly #options: SyncOptions;
  readonly #files: readonly StoredFile[];
  readonly #report: Report;
  readonly #progress: CopyProgress;
  readonly #copied: string[] = [];
  readonly #known: string[] = [];
  #segments = 0;
  #bytes = 0;
  #damaged = 0;
  #hasRecovery = false;

  constructor({ from, files, to, destination, options }: Parts) {
    const { report = silentReport, verifyKey, unfilters, decryptKey, signal } = options;
    const note = (message: string) => report({ type: 'note', message });
    this.#source = new SyncSource(from, files, {
      ...{ verifyKey, unfilters, decryptKey, signal, note },
    });
    this.#to = to;
    this.#destination = destination;
    this.#options = options;
    this.#files = files;
    this.#report = report;
    this.#progress = new CopyProgress(report, signal);
  }

  get #isDryRun(): boolean {
    return this.#options.dryRun ?? false;
  }

  summary(): SyncSummary {
    return {
      dryRun: this.#isDryRun,
      copied: this.#copied,
      present: this.#known,
      segments: this.#segments,
      bytes: this.#bytes,
      damaged: this.#damaged,
    };
  }

  /** Counts what is to be copied, and looks whether that can be. Writes nothing. */
  async prepare(chosen: readonly SnapshotFile[]): Promise<void> {
    const planned = new Set<string>();
    let [bytesToCopy, bytesToRead] = [0, 0];
    const plan = (file: StoredFile): void => {
      if (planned.has(file.name)) return;
      const state = this.#destination.stateOf(file);
      if (state === 'there' || state === 'wrong') return;
      planned.add(file.name);
      if (state === 'doubtful') bytesToRead += file.sizeBytes;
      else bytesToCopy += file.sizeBytes;
    };
    for (const snapshot of chosen) {
      refuseInterrupted(this.#options.signal);
      await turn();
      try {
        const { opened } = await this.#source.open(snapshot);
        for (const segment of opened.descriptor.segments) {
          const file = this.#source.fileOf(segment);
          if (file !== undefined) plan(file);
        }
        for (const { file } of await this.#source.lists(opened)) plan(file);
        plan(snapshot.file);
      } catch (error) {
        // Told when it is its turn.
        if (!(error instanceof CopyTrouble)) throw error;
      }
    }
    this.#checkRoom(bytesToCopy);
    if (planned.size > 0 && !this.#isDryRun) {
      this.#to.checkWritable();
      this.#to.clearOldLeftovers();
    }
    this.#progress.start(planned.size, bytesToCopy + bytesToRead);
  }

  #checkRoom(needed: number): void {
    const free = this.#to.freeBytes();
    if (needed <= free) return;
    const figures = `${humanSize(needed)} (${needed} bytes) needed, ${humanSize(free)} (${free} bytes) free`;
    throw new LbsError('no-space', `${this.#to.place} has no room: ${figures}`, {
      hint: 'nothing was copied; make room, or name fewer snapshots',
    });
  }

  async add(snapshot: SnapshotFile): Promise<void> {
    const { name, file } = snapshot;
    refuseInterrupted(this.#options.signal);
    await turn();
    try {
      const { opened, stored } = await this.#source.open(snapshot);
      const isThere = await this.#isThere(file, stored);
      if (!isThere) await this.#copySnapshot(opened, stored);
      else if (!(await this.#isComplete(opened))) await this.#copyFiles(opened);
      (isThere ? this.#known : this.#copied).push(name);
      await this.#copyNotes(name);
    } catch (error) {
      if (!(error instanceof CopyTrouble)) throw error;
      this.#leaveOut(snapshot, error);
    }
  }

  /** @throws {LbsError} store-missing; snapshot-missing for one that was asked for by name */
  #leaveOut({ name, file }: SnapshotFile, { message, hint }: CopyTrouble): void {
    const from = openStore(this.#options.source);
    if (from.find(file.name) === undefined) {
      const gone = `snapshot ${name} was taken out of ${from.place} meanwhile`;
      if (this.#options.snapshots?.length) throw new LbsError('snapshot-missing', gone);
      this.#report({ type: 'note', message: `${gone}, and is not copied` });
      return;
    }
    this.#damaged++;
    const damage = {
      what: 'store-file',
      name: file.name,
      snapshot: name,
      message: `not copied: ${message}${hint === undefined ? '' : `; ${hint}`}`,
    } as const;
    this.#report({ type: 'damage', damage });
  }

  /** @throws {LbsError} CopyTrouble for another one of that name */
  async #isThere(file: StoredFile, stored: Buffer): Promise<boolean> {
    if (this.#to.find(file.name) === undefined) return false;
    const there = await ofSource(() => readSmallFile(this.#to, file.name, SMALL_FILE_BYTES_MAX));
    if (there.equals(stored)) return true;
    throw new CopyTrouble('store-exists', `${this.#to.place} has another ${file.name}`, {
      hint: 'one of the two may be damaged (lbs verify, lbs heal); if not, two different backups of the same second cannot be in one store',
    });
  }

  /** Whether a snapshot that is there has all that it needs; by names and sizes. */
  async #isComplete(opened: OpenSnapshot): Promise<boolean> {
    for (const segment of opened.descriptor.segments) {
      const file = this.#source.fileOf(segment);
      if (file !== undefined && this.#destination.stateOf(file) === 'there') continue;
      if (file !== undefined || !this.#destination.hasSegment(segment)) return false;
    }
    const lists = await this.#source.lists(opened);
    return lists.every(({ file }) => this.#destination.stateOf(file) === 'there');
  }

  /** Segments and lists; the names of all their files. */
  async #copyFiles(opened: OpenSnapshot): Promise<string[]> {
    const { segments, lists } = await this.#source.needs(opened);
    for (const { file, sums } of segments) {
      if (await this.#bring(file, sums, true)) this.#segments++;
    }
    await this.#settle();
    for (const { file, sums } of lists) await this.#bring(file, sums, false);
    await this.#settle();
    return [...segments, ...lists].map(({ file }) => file.name);
  }

  async #copySnapshot(opened: OpenSnapshot, stored: Buffer): Promise<void> {
    const needed = await this.#copyFiles(opened);
    await this.#writeRecovery();
    await this.#settle();
    this.#refuseCollected(needed);
    // These bytes were read, and their signature checked; no others may come in between.
    const { hex: sha256 } = parseChecksum(checksumOf('sha256', stored));
    await this.#bring({ ...opened.file, sizeBytes: stored.length }, { sha256 }, false);
    await this.#settle();
    // Once more, now that a collection would see what this snapshot needs.
    try {
      this.#refuseCollected(needed);
    } catch (error) {
      this.#to.remove(opened.file.name);
      await this.#settle();
      throw error;
    }
  }

  /** As in a backup: a collector in the destination may not have known of this snapshot. */
  #refuseCollected(needed: readonly string[]): void {
    if (this.#isDryRun) return;
    const lost = lostToCollection(this.#to, needed);
    if (lost === undefined) return;
    const message = `${lost} was, or is just being, taken out of ${this.#to.place} by "lbs gc"`;
    throw new LbsError('segment-collected', message, {
      hint: 'let "lbs gc" end there, and run the same command again: it copies that segment anew',
    });
  }

  /** Sees to it that a file is in the destination; true when it was copied. */
  async #bring(file: StoredFile, sums: Sums, mayReplace: boolean): Promise<boolean> {
    const { name, sizeBytes } = file;
    const to = this.#destination;
    for (let attempt = 1; ; attempt++) {
      const state = to.stateOf(file);
      if (state === 'there') return false;
      if (state === 'wrong') throw this.#isWrong(file);
      if (state === 'doubtful') {
        this.#progress.file(name);
        if (await isThereAsRecorded(this.#source.store, to.store, name, sums)) {
          to.trust(file);
          this.#progress.done();
          this.#progress.bytes(sizeBytes);
          return false;
        }
      }
      if (state !== 'missing' && !mayReplace) throw this.#isInTheWay(name);
      try {
        await this.#copy(file, sums, state !== 'missing');
        return true;
      } catch (error) {
        // Another sync was faster; what it put there is looked at like the rest.
        const isTaken = error instanceof LbsError && error.code === 'store-exists';
        if (!isTaken || attempt >= ATTEMPTS_MAX) throw error;
        to.lookAgain(name);
      }
    }
  }

  #isWrong({ name, sizeBytes }: StoredFile): CopyTrouble {
    const there = this.#to.find(name)?.sizeBytes ?? 0;
    const message = `${name} has ${there} bytes in ${this.#to.place} and ${sizeBytes} in ${this.#source.store.place}: one is damaged`;
    return new CopyTrouble('store-exists', message, {
      hint: `mend it: lbs heal --store=${this.#to.place} --from=${this.#source.store.place}`,
    });
  }

  /** A list or descriptor without the rest of its snapshot may be that of a backup at work. */
  #isInTheWay(name: string): CopyTrouble {
    const message = `${this.#to.place} has another ${name}`;
    return new CopyTrouble('store-exists', message, {
      hint: 'when no backup is at work there, it is what a stopped copy left: remove it',
    });
  }

  async #copyNotes(snapshot: string): Promise<void> {
    for (const file of this.#files) {
      if (parseNoteFile(file.name)?.name !== snapshot || this.#destination.has(file.name)) continue;
      try {
        await this.#copy(file, {}, false);
      } catch (error) {
        // Its presence is what counts; one that is gone by now is none.
        const isNone = error instanceof CopyTrouble && error.code === 'store-missing-file';
        if (!isNone && !(error instanceof LbsError && error.code === 'store-exists')) throw error;
      }
    }
    await this.#settle();
  }

  async #copy(file: StoredFile, sums: Sums, replaces: boolean): Promise<void> {
    const { name, sizeBytes } = file;
    const { signal } = this.#options;
    this.#progress.file(name);
    if (this.#isDryRun) this.#progress.bytes(sizeBytes);
    else {
      const onBytes = this.#progress.bytes;
      const { store } = this.#source;
      await copyFile(store, this.#to, name, { sums, replaces, signal, onBytes });
    }
    this.#destination.trust(file);
    this.#bytes += sizeBytes;
    this.#progress.done();
    this.#report({ type: 'copied', file: name, sizeBytes });
  }

  async #writeRecovery(): Promise<void> {
    if (this.#hasRecovery || this.#isDryRun) return;
    this.#hasRecovery = true;
    await writeRecoveryFiles(this.#to);
  }

  async #settle(): Promise<void> {
    if (!this.#isDryRun) await this.#to.settle();
  }
}
