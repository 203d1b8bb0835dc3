/**
 * `lbs repair`: what a store lost that can be made again from the rest of it.
 *
 *     descriptors that can be read
 *       -> their checksums files             of the segments, where the descriptor proves the text right
 *     checksums files without a descriptor, or with a damaged one
 *       -> lost-root                         the root that needs just the segments that they list
 *       -> a descriptor, signed if asked     marked as repaired
 *     the local database                     rebuild, when it is lost
 *
 * Nothing is deleted or changed: what a file takes the place of is kept beside it (put-repaired).
 * What cannot be proved gets a name that no command reads. Segments are a matter of heal and parity.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { LbsError, errnoName, messageOf } from '../errors.ts';
import { type Checksum, checksumOf } from '../format/checksum.ts';
import { formatDescriptor, isSigned } from '../format/descriptor.ts';
import { parseSegmentFile, parseSnapshotFile, parseSnapshotName } from '../format/snapshot-name.ts';
import { parseTimestamp } from '../format/timestamp.ts';
import { LOCALDB_FILE } from '../localdb/open-localdb.ts';
import { MetadataObjects, isDamage } from '../metadata/metadata-objects.ts';
import { type Report, silentReport } from '../report.ts';
import { SegmentSource } from '../segments/segment-source.ts';
import { lostToCollection } from '../snapshots/collection-lists.ts';
import { noteForgotten } from '../snapshots/forgotten-notes.ts';
import {
  type OpenSnapshot,
  type SnapshotFile,
  openStored,
  readSmallFile,
  snapshotsAmong,
  storedDescriptor,
} from '../snapshots/open-snapshot.ts';
import { signWithFilter, signWithKey } from '../snapshots/signature.ts';
import { openStore } from '../stores/open-store.ts';
import { SMALL_FILE_BYTES_MAX, type Store, type StoredFile } from '../stores/store.ts';
import { VERSION } from '../std/version.ts';
import { refuseInterrupted } from './copy-file.ts';
import { isCorrupt, putAside } from './damaged-localdb.ts';
import type { Sums } from './examine-file.ts';
import { type FoundRoot, findRoot } from './lost-root.ts';
import { freeName, putRepaired } from './put-repaired.ts';
import { segmentListsAmong } from './read-segment-list.ts';
import { rebuild, removeLeftOfRebuild } from './rebuild.ts';
import { RebuiltSums, linesOf, type SumsKind } from './rebuilt-sums.ts';
import type { RepairOptions, RepairSummary, RepairedFile } from './repair-options.ts';
import { type ListOfSums, type SumsSource, addSums, listsOf, readList } from './snapshot-sums.ts';

const KINDS: readonly SumsKind[] = ['sha1', 'sha256'];

/**
 * Repairs. What cannot be made again is reported as damage.
 * @throws {LbsError} store-missing, snapshot-missing, signature-* (as verify), format-version,
 * filter-missing, decryption-key, store-unwritable, no-space, io, interrupted
 */
export async function repair(options: RepairOptions): Promise<RepairSummary> {
  const store = openStore(options.store);
  const files = store.list();
  const objects = new MetadataObjects(new SegmentSource(store, options, files), {
    signal: options.signal,
  });
  try {
    const run = new RepairRun(store, files, objects, options);
    await run.repairSnapshots();
    await run.repairLocaldb();
    return run.summary();
  } finally {
    objects.close();
  }
}

/** What checksums files without a good descriptor say. */
type LeftLists = {
  /** Of the segments, in the order of the lists. */
  readonly files: readonly string[];
  readonly segments: ReadonlySet<string>;
  /** What any of the lists says of a file. */
  readonly sums: ReadonlyMap<string, Sums>;
  readonly found: FoundRoot;
};

const listName = (snapshot: string, kind: SumsKind) => `snapshot-${snapshot}.${kind}sums`;

class RepairRun {
  readonly #store: Store;
  readonly #files: readonly StoredFile[];
  readonly #objects: MetadataObjects;
  readonly #options: RepairOptions;
  readonly #report: Report;
  readonly #source: SegmentSource;
  readonly #sums: RebuiltSums;
  readonly #lists: SumsSource;
  readonly #made: RepairedFile[] = [];
  /** Segments of descriptors that are sound. */
  readonly #named = new Set<string>();
  #isStoreSigned = false;
  #hasNewLocaldb = false;
  #left = 0;

  constructor(
    store: Store,
    files: readonly StoredFile[],
    objects: MetadataObjects,
    options: RepairOptions,
  ) {
    this.#store = store;
    this.#files = files;
    this.#objects = objects;
    this.#options = options;
    this.#report = options.report ?? silentReport;
    this.#source = new SegmentSource(store, options, files);
    this.#sums = new RebuiltSums(this.#source, options.signal);
    const segmentLists = segmentListsAmong(files);
    this.#lists = { source: this.#source, segmentLists, signal: options.signal };
  }

  summary(): RepairSummary {
    const dryRun = this.#options.dryRun ?? false;
    return { dryRun, made: this.#made, hasNewLocaldb: this.#hasNewLocaldb, left: this.#left };
  }

  async repairSnapshots(): Promise<void> {
    const there = snapshotsAmong(this.#files).filter(({ name }) => this.#isWanted(name));
    const sound: OpenSnapshot[] = [];
    const lost = new Map<string, string>();
    for (const snapshot of there) {
      const opened = await this.#open(snapshot);
      if (typeof opened === 'string') lost.set(snapshot.name, opened);
      else sound.push(opened);
    }
    for (const { name } of this.#files) {
      const snapshot = parseSnapshotFile(name)?.name;
      if (snapshot === undefined || there.some((one) => one.name === snapshot)) continue;
      if (this.#isWanted(snapshot)) lost.set(snapshot, 'missing');
    }
    if (sound.length + lost.size === 0) {
      throw new LbsError('snapshot-missing', `${this.#store.place} has nothing of any snapshot`, {
        hint: 'is the disk mounted?',
      });
    }
    for (const snapshot of sound) await this.#repairLists(snapshot);
    for (const name of [...lost.keys()].sort()) {
      await this.#repairDescriptor(name, lost.get(name) ?? '');
    }
  }

  #isWanted(snapshot: string): boolean {
    const { scheme } = this.#options;
    return scheme === undefined || (parseSnapshotName(snapshot)?.scheme ?? '') === scheme;
  }

  /** A descriptor that is sound, or what is wrong with it. */
  async #open(snapshot: SnapshotFile): Promise<OpenSnapshot | string> {
    refuseInterrupted(this.#options.signal);
    const { verifyKey } = this.#options;
    let opened: OpenSnapshot;
    try {
      const stored = storedDescriptor(this.#store, snapshot);
      this.#isStoreSigned ||= isSigned(stored.toString('latin1'));
      opened = await openStored(snapshot, stored, { verifyKey });
      if (opened.seal === 'broken') return 'it is not as it was written';
      if (opened.seal === 'none' && this.#isTorn(opened)) {
        return 'it does not name segments that its checksums files list';
      }
    } catch (error) {
      const isOfKey = error instanceof LbsError && error.code.startsWith('signature-');
      if (isOfKey || (!isDamage(error) && errnoName(error) === undefined)) throw error;
      return messageOf(error);
    }
    for (const segment of opened.descriptor.segments) this.#named.add(segment);
    return opened;
  }

  /** Cut off before its seal, a descriptor can still be read. */
  #isTorn(opened: OpenSnapshot): boolean {
    const named = new Set(opened.descriptor.segments);
    for (const list of listsOf(opened, this.#lists)) {
      if (list.kind === 'segments' || this.#store.find(list.file) === undefined) continue;
      const files = linesOf(list.kind, this.#textOf(list.file)).sums.keys();
      const segments = [...files].flatMap((file) => parseSegmentFile(file)?.segment ?? []);
      const text = Buffer.from(this.#textOf(list.file), 'latin1');
      const isAsSaid = list.recorded === undefined || isAsRecorded(text, list.recorded);
      if (isAsSaid && segments.some((segment) => !named.has(segment))) return true;
    }
    return false;
  }

  /** Makes those checksums files of a sound descriptor again that are not as it says. */
  async #repairLists(snapshot: OpenSnapshot): Promise<void> {
    const { segments } = snapshot.descriptor;
    const good = new Map<string, Sums>();
    const bad: { list: ListOfSums; trouble: string }[] = [];
    for (const list of listsOf(snapshot, this.#lists)) {
      try {
        addSums(good, await readList(this.#lists, list, segments.length));
      } catch (error) {
        if (!isDamage(error) && errnoName(error) === undefined) throw error;
        bad.push({ list, trouble: messageOf(error) });
      }
    }
    for (const { list, trouble } of bad) {
      const { file, kind, recorded } = list;
      if (kind === 'segments') {
        this.#leave(file, trouble, 'a list of Cumulus 0.11 cannot be made again');
        continue;
      }
      const known = new Map(
        [...good.keys()].map((name) => [parseSegmentFile(name)?.segment, name]),
      );
      const files = segments.map(
        (segment) => known.get(segment) ?? this.#source.fileOf(segment)?.name ?? `${segment}.tar`,
      );
      const said = new Map(good);
      addSums(said, linesOf(kind, this.#textOf(file)).sums);
      const texts: Buffer[] = [];
      for (const lines of [new Map<string, Sums>(), said]) {
        texts.push(Buffer.from(await this.#sums.textOf(kind, files, lines), 'latin1'));
      }
      const proved = texts.find((text) => isAsRecorded(text, recorded));
      if (proved !== undefined) await this.#put(file, proved);
      else await this.#putAside(file, texts[0] ?? Buffer.alloc(0), trouble);
    }
  }

  /** Makes a descriptor again of which the checksums files are there. */
  async #repairDescriptor(name: string, trouble: string): Promise<void> {
    refuseInterrupted(this.#options.signal);
    const file = `snapshot-${name}.lbs`;
    const leave = (reason: string) => this.#leave(file, trouble, reason);
    if (this.#store.find(`snapshot-${name}.cumulus`) !== undefined) {
      return leave('it was made by Cumulus, which other lists belong to');
    }
    const { signKey, signatureFilter } = this.#options;
    const canSign = signKey !== undefined || signatureFilter !== undefined;
    const mustSign = this.#isStoreSigned || this.#options.verifyKey !== undefined;
    if (mustSign && !canSign) {
      return leave(
        'snapshots of this store are signed, so --sign-key or --signature-filter is needed',
      );
    }
    const lists = await this.#leftLists(name);
    if (typeof lists === 'string') return leave(lists);
    const { files, segments, found } = lists;
    const checksums = new Map<SumsKind, string>();
    for (const kind of KINDS) {
      const content = await this.#listOfLost(name, kind, lists);
      if (content === undefined) return leave('some of its segments are not as listed');
      checksums.set(kind, checksumOf(kind, content));
    }
    const gone = lostToCollection(this.#store, files);
    if (gone !== undefined) return leave(`${gone} is missing`);
    const { scheme, timestamp } = parseSnapshotName(name) ?? { scheme: undefined, timestamp: '' };
    const text = formatDescriptor({
      producer: `lbs ${VERSION}`,
      date: parseTimestamp(timestamp) ?? 0,
      scheme,
      ...found,
      checksums: checksums.get('sha1') ?? '',
      checksumsSha256: checksums.get('sha256') ?? '',
      ...{ host: undefined, top: undefined, paths: undefined, isRepaired: true, name },
      segments: [...segments],
    });
    const signed = await this.#sign(Buffer.from(text));
    // It is another one than those know who have seen it, and the snapshots after it.
    const old = { name, sha256: undefined };
    if (this.#options.dryRun !== true) await noteForgotten(this.#store, [old], this.#options);
    await this.#put(file, signed);
  }

  #sign(text: Buffer): Promise<Buffer> | Buffer {
    const { signKey, signatureFilter, signal, dryRun } = this.#options;
    if (dryRun === true) return text;
    if (signKey !== undefined) return signWithKey(text, signKey);
    return signatureFilter === undefined ? text : signWithFilter(text, signatureFilter, signal);
  }

  /**
   * What the checksums files say that are left of a snapshot, and the root that fits one of them; or
   * why that is of no use.
   */
  async #leftLists(name: string): Promise<LeftLists | string> {
    const sums = new Map<string, Sums>();
    const whole = KINDS.flatMap((kind) => {
      const lines = linesOf(kind, this.#textOf(listName(name, kind)));
      addSums(sums, lines.sums);
      return lines.isWhole ? [[...lines.sums.keys()]] : [];
    });
    if (whole.length === 0) return 'no checksums file of it is whole';
    const search = { source: this.#source, objects: this.#objects, signal: this.#options.signal };
    for (const files of whole) {
      const segments = new Set(files.flatMap((file) => parseSegmentFile(file)?.segment ?? []));
      const own = new Set([...segments].filter((segment) => !this.#named.has(segment)));
      const found = await findRoot(search, segments, own);
      if (found !== undefined) return { files, segments, sums, found };
    }
    return 'no metadata is whole that needs just the segments that its checksums files list';
  }

  /**
   * A list of a snapshot without descriptor, as it has to be by its segments; put in place where it
   * is not so.
   */
  async #listOfLost(
    name: string,
    kind: SumsKind,
    { files, sums }: LeftLists,
  ): Promise<Buffer | undefined> {
    const file = listName(name, kind);
    const text = await this.#sums.textOf(kind, files, sums);
    if (linesOf(kind, text).sums.size !== files.length) return undefined;
    const content = Buffer.from(text, 'latin1');
    if (this.#textOf(file) !== text) await this.#put(file, content);
    return content;
  }

  /** The text of a small file of the store; empty where it cannot be read. */
  #textOf(file: string): string {
    try {
      return readSmallFile(this.#store, file, SMALL_FILE_BYTES_MAX).toString('latin1');
    } catch (error) {
      if (!isDamage(error) && errnoName(error) === undefined) throw error;
      return '';
    }
  }

  async #put(name: string, content: Buffer): Promise<void> {
    const isDry = this.#options.dryRun === true;
    const isThere = this.#store.find(name) !== undefined;
    const dryName = isThere ? freeName(this.#store, name, 'damaged') : undefined;
    const keptAs = isDry ? dryName : await putRepaired(this.#store, name, content);
    this.#made.push({ name, keptAs, isProved: true });
  }

  async #putAside(file: string, content: Buffer, trouble: string): Promise<void> {
    if (content.length === 0) return this.#leave(file, trouble, 'no segment of it can be read');
    const name = freeName(this.#store, file, 'rebuilt');
    if (this.#options.dryRun !== true) await putRepaired(this.#store, name, content);
    this.#made.push({ name, keptAs: undefined, isProved: false });
    this.#leave(
      file,
      trouble,
      `the descriptor does not confirm what was made again, ${name}: some segment may be damaged`,
    );
  }

  #leave(name: string, trouble: string, reason: string): void {
    this.#left++;
    const message = `${trouble}; it cannot be repaired: ${reason}`;
    this.#report({ type: 'damage', damage: { what: 'store-file', name, message } });
  }

  /** A local database that is lost is made again; a damaged one is kept aside. */
  async repairLocaldb(): Promise<void> {
    const { localdb, dryRun } = this.#options;
    if (localdb === undefined) return;
    const file = join(localdb, LOCALDB_FILE);
    const isThere = existsSync(file);
    if (isThere && !isCorrupt(localdb)) {
      if (dryRun !== true) removeLeftOfRebuild(localdb);
      return;
    }
    this.#hasNewLocaldb = true;
    if (dryRun === true) return;
    if (isThere) putAside(file);
    const { damaged } = await rebuild({ ...this.#options, localdb });
    this.#left += damaged;
  }
}

function isAsRecorded(content: Buffer, recorded: Checksum | undefined): boolean {
  if (recorded === undefined) return false;
  return checksumOf(recorded.algorithm, content) === `${recorded.algorithm}=${recorded.hex}`;
}
