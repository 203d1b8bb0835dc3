/**
 * `lbs heal`: damaged or missing files of a store from another store that has them.
 *
 *     descriptors                           one that is damaged: the other store's, when it is
 *                                           provably of the same snapshot
 *       -> checksums files                  as the descriptor says, here or there
 *       -> segments                         as these say; each is read once
 *       -> the other store's file           held against the checksums, in place of the damaged one
 *                                           at once, so that at no moment there is none
 *
 * Only files that a snapshot of the damaged store needs are touched, and only by bytes that have
 * the recorded checksums. A dry run goes the same way and reads the same, and writes nothing.
 */
import { LbsError, errnoName, messageOf } from '../errors.ts';
import { checksumOf, parseChecksum } from '../format/checksum.ts';
import { parseSegmentFile } from '../format/snapshot-name.ts';
import { type Report, silentReport } from '../report.ts';
import type { SnapshotFile } from '../snapshots/open-snapshot.ts';
import { openStore } from '../stores/open-store.ts';
import { refuseSamePlace } from '../stores/separate-stores.ts';
import { CopyTrouble, checkFile, copyFile, refuseInterrupted } from './copy-file.ts';
import { CopyProgress } from './copy-progress.ts';
import type { Sums } from './examine-file.ts';
import { examineFiles, type FileToExamine } from './examine-files.ts';
import type { HealOptions, HealSummary } from './heal-options.ts';
import { type Described, HealSide, namesOf } from './heal-side.ts';
import {
  addSums,
  isLocked,
  type ListOfSums,
  listsOf,
  readList,
  sumsOfList,
} from './snapshot-sums.ts';

/**
 * Heals. What cannot be healed is reported as damage.
 * @throws {LbsError} store-missing, snapshot-missing, usage (two stores that are one), signature-* and
 * format-version for a snapshot that the other store cannot help with, store-unwritable, no-space,
 * io, interrupted
 */
export async function heal(options: HealOptions): Promise<HealSummary> {
  const store = openStore(options.store);
  const other = openStore(options.from);
  refuseSamePlace(store, other);
  const [ours, theirs] = [new HealSide(store, options), new HealSide(other, options)];
  const chosen = namesOf(ours, options.scheme);
  if (chosen.length === 0) {
    throw new LbsError('snapshot-missing', `the store ${store.place} has no snapshots to heal`, {
      hint: `is the disk mounted? Whole snapshots are copied by: lbs sync ${other.place} ${store.place}`,
    });
  }
  if (options.dryRun !== true) store.clearOldLeftovers();
  const run = new HealRun(ours, theirs, options);
  for (const snapshot of chosen) await run.addSnapshot(snapshot);
  await run.healSegments();
  if (options.dryRun !== true) await store.settle();
  noteOthers(ours, theirs, options);
  return run.summary();
}

/** A snapshot whose descriptor is gone is no more; that it was one, only the other store knows. */
function noteOthers(ours: HealSide, theirs: HealSide, { scheme, report }: HealOptions): void {
  const names = namesOf(theirs, scheme).filter(({ name }) => !ours.snapshots.has(name));
  if (names.length === 0) return;
  const [are, them] = names.length === 1 ? ['is', 'it'] : ['are', 'them'];
  const message = `${names.map(({ name }) => name).join(', ')} ${are} in ${theirs.store.place} only; to copy ${them}: lbs sync ${theirs.store.place} ${ours.store.place}`;
  report?.({ type: 'note', message });
}

type Wrong = { readonly name: string; readonly trouble: string };

class HealRun {
  readonly #ours: HealSide;
  readonly #theirs: HealSide;
  readonly #options: HealOptions;
  readonly #report: Report;
  readonly #progress: CopyProgress;
  /** What files should be, by lists that are as their descriptors say. */
  readonly #expected = new Map<string, Sums>();
  /** Files of segments that snapshots need. */
  readonly #needed = new Set<string>();
  #damaged = 0;
  #healed = 0;

  constructor(ours: HealSide, theirs: HealSide, options: HealOptions) {
    this.#ours = ours;
    this.#theirs = theirs;
    this.#options = options;
    this.#report = options.report ?? silentReport;
    this.#progress = new CopyProgress(this.#report, options.signal);
  }

  summary(): HealSummary {
    const [damaged, healed] = [this.#damaged, this.#healed];
    return { dryRun: this.#options.dryRun ?? false, damaged, healed, left: damaged - healed };
  }

  /** Heals descriptor and lists of a snapshot, and notes what they say of segments. */
  async addSnapshot(snapshot: SnapshotFile): Promise<void> {
    refuseInterrupted(this.#options.signal);
    const described = await this.#descriptor(snapshot);
    if (described === undefined) return;
    const sums = new Map<string, Sums>();
    for (const list of listsOf(described.opened, this.#ours.sums)) {
      addSums(sums, await this.#list(described, list));
    }
    const listed = new Map<string, string>();
    for (const file of sums.keys()) {
      const segment = parseSegmentFile(file)?.segment;
      if (segment !== undefined) listed.set(segment, file);
    }
    for (const segment of described.opened.descriptor.segments) {
      const file =
        listed.get(segment) ??
        this.#ours.source.fileOf(segment)?.name ??
        this.#theirs.source.fileOf(segment)?.name;
      this.#needed.add(file ?? `${segment}.tar`);
    }
    addSums(this.#expected, sums);
  }

  /** The descriptor that counts: ours, or where that is damaged the other store's, put in place. */
  async #descriptor(snapshot: SnapshotFile): Promise<Described | undefined> {
    const ours = await this.#ours.describe(snapshot);
    const theirs = await this.#theirs.describe(this.#theirs.snapshots.get(snapshot.name));
    const isGood = 'opened' in ours;
    const isSound = isGood && ours.opened.seal !== 'broken';
    if (isSound) {
      if (!('opened' in theirs) || ours.stored.equals(theirs.stored)) return ours;
      // They differ, and only one can belong to the lists that lie beside ours.
      const fitting = await this.#ours.fitOfLists(ours.opened);
      if (fitting >= (await this.#ours.fitOfLists(theirs.opened))) return ours;
    }
    const name = snapshot.file.name;
    const trouble = isSound
      ? 'its checksums files are not as it says'
      : isGood
        ? 'it is not as it was written'
        : ours.trouble;
    const reason = await this.#whyNot(theirs);
    if (reason === undefined && 'opened' in theirs) {
      const { hex: sha256 } = parseChecksum(checksumOf('sha256', theirs.stored));
      if (await this.#heal({ name, trouble }, { sha256 })) return theirs;
    } else {
      if (!isGood && ours.isFinal) throw ours.error;
      this.#leave({ name, trouble }, reason ?? '');
    }
    return isGood ? ours : undefined;
  }

  /** Why the other store's descriptor is not to be taken; undefined when it is. */
  async #whyNot(theirs: Awaited<ReturnType<HealSide['describe']>>): Promise<string | undefined> {
    const { place } = this.#theirs.store;
    if (!('opened' in theirs)) return `of ${place}: ${theirs.trouble}`;
    if (theirs.opened.seal === 'broken') return `that of ${place} is not as it was written`;
    if (!(await this.#ours.isOfSame(theirs.opened))) {
      return `the snapshot of that name in ${place} is another one`;
    }
    const lists = listsOf(theirs.opened, this.#theirs.sums);
    const isVouchedFor = lists.some(({ recorded }) => recorded !== undefined);
    if (!isVouchedFor || (await this.#theirs.fitOfLists(theirs.opened)) > 0) return undefined;
    return `that of ${place} does not fit the checksums files there`;
  }

  /** What a list says, from our store or the other; nothing when it is good in neither. */
  async #list({ opened, stored }: Described, list: ListOfSums): Promise<ReadonlyMap<string, Sums>> {
    const count = opened.descriptor.segments.length;
    const none = new Map<string, Sums>();
    let trouble: string;
    try {
      return await readList(this.#ours.sums, list, count);
    } catch (error) {
      if (isLocked(list, error)) return this.#noteLocked(list, error);
      trouble = troubleOf(error);
    }
    const other = listsOf(opened, this.#theirs.sums).find(({ kind }) => kind === list.kind);
    const name = other?.file ?? list.file;
    const theirs = await this.#theirs.describe(this.#theirs.snapshots.get(opened.name));
    const isSame = 'opened' in theirs && theirs.stored.equals(stored);
    if (other === undefined || (other.recorded === undefined && !isSame)) {
      this.#leave({ name, trouble }, 'nothing says what it should be');
      return none;
    }
    try {
      const sums = await readList(this.#theirs.sums, other, count);
      return (await this.#heal({ name, trouble }, sumsOfList(other))) ? sums : none;
    } catch (error) {
      if (isLocked(other, error)) {
        await this.#heal({ name, trouble }, sumsOfList(other));
        return this.#noteLocked(other, error);
      }
      if (error instanceof LbsError && error.code === 'interrupted') throw error;
      this.#leave({ name, trouble }, `of ${this.#theirs.store.place}: ${troubleOf(error)}`);
      return none;
    }
  }

  #noteLocked({ file }: ListOfSums, error: unknown): ReadonlyMap<string, Sums> {
    const message = `${file} cannot be read here, so of its segments only those that are missing are found: ${messageOf(error)}`;
    this.#report({ type: 'note', message });
    return new Map();
  }

  /** Looks at all segments, and heals. */
  async healSegments(): Promise<void> {
    const wrong: Wrong[] = [];
    const files: FileToExamine[] = [];
    for (const fileName of [...this.#needed].sort()) {
      const sizeBytes = this.#ours.store.find(fileName)?.sizeBytes;
      const sums = this.#expected.get(fileName) ?? {};
      const inside = { segment: undefined, inside: 'nothing', insideDamaged: 'nothing' } as const;
      if (sizeBytes === undefined) wrong.push({ name: fileName, trouble: 'missing' });
      else files.push({ fileName, sizeBytes, sums, ...inside });
    }
    this.#progress.start(files.length, bytesOf(files));
    const { source } = this.#ours;
    const { signal } = this.#options;
    await examineFiles(files, {
      source,
      signal,
      done: ({ fileName, sizeBytes }, { trouble }) => {
        if (trouble !== undefined) wrong.push({ name: fileName, trouble });
        this.#progress.done();
        this.#progress.bytes(sizeBytes);
      },
    });
    this.#progress.start(
      wrong.length,
      wrong.reduce((sum, { name }) => sum + (this.#theirs.store.find(name)?.sizeBytes ?? 0), 0),
    );
    for (const one of wrong) {
      const sums = this.#expected.get(one.name) ?? (await this.#theirs.sumsOf(one.name));
      if (sums === undefined) this.#leave(one, 'no list says what it should be');
      else await this.#heal(one, sums);
    }
  }

  /** Puts the other store's file in place; true when it was good. */
  async #heal(wrong: Wrong, sums: Sums): Promise<boolean> {
    const { name } = wrong;
    const { signal, dryRun } = this.#options;
    const from = this.#theirs.store;
    const found = from.find(name);
    this.#progress.file(name);
    try {
      if (found === undefined) {
        throw new CopyTrouble('store-missing-file', `${from.place} does not have it`);
      }
      if (dryRun === true) await checkFile(from, name, sums);
      else {
        const onBytes = this.#progress.bytes;
        await copyFile(from, this.#ours.store, name, { sums, replaces: true, signal, onBytes });
      }
    } catch (error) {
      if (!(error instanceof CopyTrouble)) throw error;
      this.#leave(wrong, messageOf(error));
      return false;
    }
    this.#damaged++;
    this.#healed++;
    this.#progress.done();
    this.#report({ type: 'copied', file: name, sizeBytes: found.sizeBytes });
    return true;
  }

  #leave({ name, trouble }: Wrong, reason: string): void {
    this.#damaged++;
    const message = `${trouble}; it cannot be healed: ${reason}`;
    this.#report({ type: 'damage', damage: { what: 'store-file', name, message } });
  }
}

/** @throws {LbsError} what is no trouble of a file */
function troubleOf(error: unknown): string {
  const isOwn = error instanceof LbsError ? error.code === 'interrupted' : !errnoName(error);
  if (isOwn) throw error;
  return messageOf(error);
}

function bytesOf(files: readonly FileToExamine[]): number {
  return files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}
