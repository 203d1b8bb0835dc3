/**
 * A backup, from the named paths to the published snapshot.
 *
 *     sources/filesystem/scan -> select -> open-content          what, and which bytes
 *       -> localdb/stat-cache-reader, backup/unchanged           is it as before?
 *       -> backup/store-content -> store-block                   which blocks are new?
 *       -> segments/segment-writer -> codec-sink | command-sink  into tar, through the filter
 *       -> stores/store-group -> directory-store | upload-store  durable under its name
 *       -> metadata/metadata-log-writer                          name every entry
 *       -> snapshots/publish-snapshot                            and make it a snapshot
 *
 * Order of durability, never changed: segments stored and synced, then committed to the local
 * database (one transaction each, as they become durable); checksums files; descriptor; the stat
 * cache renamed last. Stopping anywhere leaves files that nobody names, never a broken snapshot.
 */
import { hash } from 'node:crypto';
import { hostname } from 'node:os';
import { LbsError } from '../errors.ts';
import { BlockIndex, type SegmentRow } from '../localdb/block-index.ts';
import { forgetGone } from '../localdb/gone-segments.ts';
import { checkUnlocked, lockLocaldb } from '../localdb/lock.ts';
import { type OpenDatabase, openDatabase, openScratchCopy } from '../localdb/open-localdb.ts';
import { SnapshotTable } from '../localdb/snapshot-table.ts';
import { statCacheFile } from '../localdb/stat-cache-place.ts';
import { StatCacheReader } from '../localdb/stat-cache-reader.ts';
import { StatCacheWriter } from '../localdb/stat-cache-writer.ts';
import { MetadataLogWriter } from '../metadata/metadata-log-writer.ts';
import { DryRunSegments, type SegmentSink } from '../segments/dry-run-segments.ts';
import { SegmentWriter } from '../segments/segment-writer.ts';
import { type PublishedSnapshot, publishSnapshot } from '../snapshots/publish-snapshot.ts';
import { believedSignerFor, checkBelievedSigning } from '../snapshots/sign-descriptor.ts';
import { withoutOwnFiles } from '../sources/filesystem/own-files.ts';
import { FilesystemSource } from '../sources/filesystem/scan.ts';
import { byteText } from '../std/byte-text.ts';
import { nowNs, nowSeconds } from '../std/clock.ts';
import { VERSION } from '../std/version.ts';
import type { BackupOptions, BackupSummary } from './backup-options.ts';
import { BackupHistory } from './backup-history.ts';
import { Breather, isTidyStop } from './breather.ts';
import { Checkpoints, goOnFromLast } from './checkpoints.ts';
import { LostSegments } from './lost-segments.ts';
import { metadataReuse } from './metadata-reuse.ts';
import { type Plan, makePlan } from './plan-backup.ts';
import { RunStores } from './run-stores.ts';
import { SegmentUse } from './segment-use.ts';
import { SideThread } from './side-thread.ts';
import { BlockStore } from './store-block.ts';
import { EntryStore } from './store-entry.ts';
import { RecordedAccounts } from './unchanged.ts';

/**
 * Makes a snapshot. Trouble with entries is reported and counted in `warnings`; anything else
 * throws, and then there is no new snapshot.
 * @throws {LbsError}
 */
export async function backup(options: BackupOptions): Promise<BackupSummary> {
  const startedNs = nowNs();
  const plan = await makePlan(options);
  await checkBelievedSigning(options);
  if (!plan.dryRun) await plan.stores.each((store) => store.checkWritable());
  for (const note of plan.notes) plan.report({ type: 'note', message: note });
  const lock = plan.dryRun ? checkUnlocked(plan.localdb) : lockLocaldb(plan.localdb);
  try {
    const open = plan.dryRun ? openScratchCopy(plan.localdb) : openDatabase(plan.localdb);
    try {
      const summary = await new Run(plan, open).run();
      return { ...summary, durationS: Number(nowNs() - startedNs) / 1e9 };
    } finally {
      if (!plan.dryRun) await plan.stores.close();
      open.close();
    }
  } finally {
    lock.release();
  }
}

class Run {
  readonly #plan: Plan;
  readonly #open: OpenDatabase;
  readonly #index: BlockIndex;
  readonly #snapshots: SnapshotTable;
  readonly #scheme: string;
  readonly #startedS = nowSeconds();
  readonly #stored = { segments: 0, bytes: 0 };
  readonly #side = new SideThread();
  readonly #checkpoints = new Checkpoints();
  readonly #stores: RunStores;
  readonly #history: BackupHistory;

  constructor(plan: Plan, open: OpenDatabase) {
    this.#plan = plan;
    this.#open = open;
    this.#index = new BlockIndex(open);
    this.#snapshots = new SnapshotTable(open);
    this.#scheme = plan.options.scheme ?? '';
    this.#stores = new RunStores(plan, open);
    this.#history = new BackupHistory(plan.stores, plan.localdb, plan.options);
  }

  async run(): Promise<Omit<BackupSummary, 'durationS'>> {
    const { dryRun, localdb, options } = this.#plan;
    await this.#stores.begin();
    await this.#history.check();
    const cacheFile = statCacheFile(localdb, options.scheme);
    if (!dryRun) goOnFromLast(cacheFile, this.#plan.report);
    const old = StatCacheReader.open(cacheFile);
    const accounts = new RecordedAccounts(old?.accounts);
    const cache = dryRun ? undefined : new StatCacheWriter(cacheFile, old, () => accounts.common());
    try {
      const summary = await this.#store(accounts, old, cache);
      this.#afterwards('what this one read is read again', () => cache?.commit());
      return summary;
    } finally {
      old?.close();
      // What was read before a failure is kept for the next run; after a commit nothing is left.
      cache?.leave();
    }
  }

  async #store(
    accounts: RecordedAccounts,
    old: StatCacheReader | undefined,
    cache: StatCacheWriter | undefined,
  ) {
    const { report, options, stores } = this.#plan;
    const note = (message: string) => report({ type: 'note', message });
    const lost = new LostSegments(note);
    const use = new SegmentUse(this.#index, stores, await this.#stores.condemned(), (segment) =>
      lost.add(segment),
    );
    const segments = this.#segmentWriter(note);
    const blocks = new BlockStore(this.#index, use, segments);
    const reuse = metadataReuse(use, this.#snapshots, this.#scheme);
    const metadata = new MetadataLogWriter(
      async (text) => {
        await blocks.room();
        const reference = blocks.storeMetadata(text, hash('sha256', text, 'hex'));
        return `${reference}(sha1=${hash('sha1', text, 'hex')})`;
      },
      reuse,
      cache,
    );
    const breather = new Breather(options, this.#snapshots.lastTotals(this.#scheme));
    this.#checkpoints.begin(() => metadata.checkpoint());
    const fullMetadata = options.fullMetadata ?? false;
    const entries = new EntryStore({
      blocks,
      use,
      metadata,
      find: (directory, name) => old?.find(directory, name),
      rules: { use, accounts, fullMetadata, canUseMetadata: (object) => reuse.canUse(object) },
      rereadPercent: options.rebuildStatcache === true ? 100 : (options.rereadPercent ?? 0),
      report,
      breathe: () => breather.breathe(),
      side: this.#side,
    });
    breather.watch(entries.counts);
    try {
      await this.#scan(entries, breather);
      const previous =
        old?.isConsumed() === true ? { root: old.root, objects: old.groupsSeen } : undefined;
      lost.summarise();
      const root = await metadata.finish(accounts.present(), fullMetadata ? undefined : previous);
      await segments.close();
      breather.checkInterrupted();
      const published = await this.#publish(entries, use, root, note);
      const given = published ? await this.#stores.finish(published.name, note) : [];
      this.#remember(published, entries, use);
      return this.#summary(entries, blocks, { ...published, tags: given });
    } catch (error) {
      // What was read before an interruption is kept for the next run, complete. Where store or
      // filter failed, the last checkpoint is what there is.
      try {
        if (!isTidyStop(error)) throw error;
        await metadata.finishEarly(accounts.common(), old?.rest() ?? []);
        await segments.close();
        cache?.commit();
      } catch (failure) {
        await segments.abandon();
        throw failure;
      }
      throw error;
    } finally {
      await this.#side.close();
    }
  }

  async #scan(entries: EntryStore, breather: Breather): Promise<void> {
    const { named, selector, options, report, stores, localdb } = this.#plan;
    const source = new FilesystemSource({
      top: named.top,
      selector,
      oneFileSystem: options.oneFileSystem ?? false,
      excludeIfPresent: (options.excludeIfPresent ?? []).map((name) => byteText(name)),
      excludeCaches: options.excludeCaches ?? false,
      withoutOwnFiles: withoutOwnFiles([
        ...stores.live.flatMap((store) => store.ownPlaces),
        localdb,
      ]),
      warn: (warning) => entries.leftOut(warning),
      note: (message) => report({ type: 'note', message }),
    });
    for (const entry of source.entries()) {
      const work = entries.add(entry);
      if (work !== undefined) await work;
      this.#checkpoints.afterReading(entries.counts.bytesRead);
      if (breather.isDue(entry)) await breather.breathe();
    }
    breather.checkInterrupted();
  }

  #segmentWriter(note: (message: string) => void): SegmentSink {
    const { dryRun, stores, localdb, filter, options, segmentSizeBytes } = this.#plan;
    // What it remembers of them goes to a copy of the database.
    if (dryRun) return new DryRunSegments((segment) => this.#index.addSegment(segment));
    return new SegmentWriter({
      store: stores.segmentPlace(localdb),
      filter,
      encrypt: this.#plan.encrypt,
      reading: options,
      targetBytes: segmentSizeBytes,
      onStored: (segment) => {
        this.#index.addSegment(segment);
        this.#stored.segments++;
        this.#stored.bytes += segment.storedBytes;
        this.#checkpoints.afterSegment();
      },
      askThread: (task) => this.#side.segments(task),
      note,
    });
  }

  async #publish(
    entries: EntryStore,
    use: SegmentUse,
    root: string,
    note: (message: string) => void,
  ): Promise<PublishedSnapshot | undefined> {
    const { dryRun, stores, options } = this.#plan;
    if (dryRun) return undefined;
    const names = use.usedSegments();
    const { counts } = entries;
    const descriptor = {
      producer: `lbs ${VERSION}`,
      root,
      host: hostname(),
      top: this.#plan.named.top,
      paths: this.#plan.named.roots.map((root) => Buffer.from(root, 'latin1')),
      counts: {
        entries: counts.entries,
        files: counts.files,
        bytes: counts.bytes,
        stored: this.#stored.bytes,
        warnings: counts.warnings,
      },
      unread: entries.unread.paths,
      intent: options.intent,
      segments: names,
    };
    const files = {
      scheme: options.scheme,
      date: this.#startedS,
      segments: this.#rowsOf(names),
      descriptor,
      sign: believedSignerFor(options),
      knownDigest: (name: string) => this.#history.digestOf(name),
    };
    return publishSnapshot(stores, files, note);
  }

  *#rowsOf(segments: Iterable<string>): Generator<SegmentRow> {
    for (const name of segments) {
      const row = this.#index.segment(name);
      if (row === undefined) {
        throw new LbsError('internal', `segment ${name} is unknown to the local database`);
      }
      yield row;
    }
  }

  *#usedObjects(use: SegmentUse): Generator<[segmentId: number, objects: Buffer]> {
    for (const row of this.#rowsOf(use.usedSegments())) yield [row.id, use.usedObjects(row.name)];
  }

  /**
   * For what is only remembered: the snapshot exists by now, and saying that the run failed would
   * be a lie.
   */
  #afterwards(consequence: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      if (!(error instanceof LbsError)) throw error;
      const message = `the snapshot is made, but ${error.message}; in the next run ${consequence}`;
      this.#plan.report({ type: 'note', message });
    }
  }

  #remember(published: PublishedSnapshot | undefined, entries: EntryStore, use: SegmentUse): void {
    if (published === undefined) return;
    this.#afterwards('it is not missed if it goes', () => this.#history.remember(published));
    const words = 'progress is shown without totals';
    this.#afterwards(words, () => this.#addRow(published.name, entries, use));
  }

  /** After the descriptor: a row for a snapshot that does not exist would count as use of it. */
  #addRow(name: string, entries: EntryStore, use: SegmentUse): void {
    const { counts } = entries;
    this.#snapshots.add({
      name,
      scheme: this.#scheme,
      created: this.#startedS,
      entries: counts.entries,
      files: counts.files,
      bytes: counts.bytes,
      used: this.#usedObjects(use),
    });
    const files = this.#stores.allFiles();
    if (files !== undefined) forgetGone(this.#open, this.#index, files);
  }

  #summary(
    entries: EntryStore,
    blocks: BlockStore,
    published: { name?: string; storedBytes?: number; tags: readonly string[] },
  ): Omit<BackupSummary, 'durationS'> {
    const { dataBytes, metadataBytes } = blocks.counts;
    return {
      snapshot: published.name,
      dryRun: this.#plan.dryRun,
      stores: this.#stores.outcomes(published.name),
      tags: published.tags,
      tampered: this.#history.troubles,
      ...entries.counts,
      dataBytesAdded: dataBytes,
      bytesAdded: dataBytes + metadataBytes,
      bytesStored: this.#stored.bytes + (published.storedBytes ?? 0),
      segmentsStored: this.#stored.segments,
    };
  }
}
