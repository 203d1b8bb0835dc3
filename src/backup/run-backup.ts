/**
 * A backup, from the named paths to the published snapshot.
 *
 *     sources/filesystem/scan -> select -> open-content          what, and which bytes
 *       -> localdb/stat-cache-reader, backup/unchanged           is it as before?
 *       -> backup/store-content -> store-block                   which blocks are new?
 *       -> segments/segment-writer -> codec-sink | command-sink  into tar, through the filter
 *       -> stores/directory-store                                durable under its name
 *       -> metadata/metadata-log-writer                          name every entry
 *       -> snapshots/publish-snapshot                            and make it a snapshot
 *
 * Order of durability, never changed: segments stored and synced, then committed to the local
 * database (one transaction each, as they become durable); checksums files; descriptor; the stat
 * cache renamed last. Stopping anywhere leaves files that nobody names, never a broken snapshot.
 */
import { hash } from 'node:crypto';
import { hostname } from 'node:os';
import { parseIntent } from '../format/descriptor.ts';
import { checkScheme, checkTag, parseSnapshotFile } from '../format/snapshot-name.ts';
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
import { type Report, silentReport } from '../report.ts';
import { DryRunSegments, type SegmentSink } from '../segments/dry-run-segments.ts';
import { type Filter, chooseFilter } from '../segments/filter.ts';
import { SegmentWriter, segmentSizeOf } from '../segments/segment-writer.ts';
import { condemnedSegments } from '../snapshots/collection-lists.ts';
import { publishSnapshot } from '../snapshots/publish-snapshot.ts';
import { checkSigning, signerFor } from '../snapshots/sign-descriptor.ts';
import { type NamedPaths, resolveNamedPaths } from '../sources/filesystem/named-paths.ts';
import { withoutOwnFiles } from '../sources/filesystem/own-files.ts';
import { readRules } from '../sources/filesystem/rule-files.ts';
import { FilesystemSource } from '../sources/filesystem/scan.ts';
import { Selector } from '../sources/filesystem/select.ts';
import { byteText } from '../std/byte-text.ts';
import { nowNs, nowSeconds } from '../std/clock.ts';
import type { DirectoryStore } from '../stores/directory-store.ts';
import { openStore } from '../stores/open-store.ts';
import { VERSION } from '../std/version.ts';
import type { BackupOptions, BackupSummary } from './backup-options.ts';
import { Breather, isTidyStop } from './breather.ts';
import { Checkpoints, goOnFromLast } from './checkpoints.ts';
import { LostSegments } from './lost-segments.ts';
import { metadataReuse } from './metadata-reuse.ts';
import { SegmentUse } from './segment-use.ts';
import { SideThread } from './side-thread.ts';
import { BlockStore } from './store-block.ts';
import { EntryStore } from './store-entry.ts';
import { tagSnapshot } from './tag-snapshot.ts';
import { RecordedAccounts } from './unchanged.ts';

/** Everything that is decided before anything is written. */
type Plan = {
  readonly options: BackupOptions;
  readonly report: Report;
  readonly store: DirectoryStore;
  readonly localdb: string;
  readonly filter: Filter;
  readonly named: NamedPaths;
  readonly selector: Selector;
  readonly segmentSizeBytes: number;
  readonly dryRun: boolean;
};

/**
 * Makes a snapshot. Trouble with entries is reported and counted in `warnings`; anything else
 * throws, and then there is no new snapshot.
 * @throws {LbsError}
 */
export async function backup(options: BackupOptions): Promise<BackupSummary> {
  const startedNs = nowNs();
  const plan = makePlan(options);
  await checkSigning(options);
  if (!plan.dryRun) plan.store.checkWritable();
  for (const note of plan.named.notes) plan.report({ type: 'note', message: note });
  const lock = plan.dryRun ? checkUnlocked(plan.localdb) : lockLocaldb(plan.localdb);
  try {
    const open = plan.dryRun ? openScratchCopy(plan.localdb) : openDatabase(plan.localdb);
    try {
      const summary = await new Run(plan, open).run();
      return { ...summary, durationS: Number(nowNs() - startedNs) / 1e9 };
    } finally {
      open.close();
    }
  } finally {
    lock.release();
  }
}

function makePlan(options: BackupOptions): Plan {
  if (options.scheme !== undefined) checkScheme(options.scheme);
  for (const tag of options.tags ?? []) checkTag(tag);
  if (options.intent !== undefined && parseIntent(String(options.intent)) === undefined) {
    throw new LbsError('usage', `an intent of ${options.intent} is not possible`, {
      hint: 'choose a number above 0',
    });
  }
  const filter = chooseFilter(options.filter, options.filterExtension);
  const segmentSizeBytes = segmentSizeOf(options.segmentSizeBytes);
  const store = openStore(options.store);
  const named = resolveNamedPaths(options.paths);
  const selector = new Selector({
    named,
    excludes: options.excludes ?? [],
    includes: options.includes ?? [],
    rules: readRules(options.ruleFiles ?? {}),
  });
  return {
    options,
    report: options.report ?? silentReport,
    store,
    localdb: options.localdb ?? store.place,
    filter,
    named,
    selector,
    segmentSizeBytes,
    dryRun: options.dryRun ?? false,
  };
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

  constructor(plan: Plan, open: OpenDatabase) {
    this.#plan = plan;
    this.#open = open;
    this.#index = new BlockIndex(open);
    this.#snapshots = new SnapshotTable(open);
    this.#scheme = plan.options.scheme ?? '';
  }

  async run(): Promise<Omit<BackupSummary, 'durationS'>> {
    const { store, dryRun, localdb, options } = this.#plan;
    if (!dryRun) store.ownLeftovers(this.#open.owner);
    this.#noteNewDatabase();
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

  /** A store with snapshots and no memory of them: right on a second machine, else a surprise. */
  #noteNewDatabase(): void {
    const { store, localdb, report } = this.#plan;
    if (!this.#open.isNew || !store.names().some((file) => parseSnapshotFile(file))) return;
    const message = `there is no local database in ${localdb}: every file is read, and stored again. If it is elsewhere, stop and say where with --localdb=DIR; if it is lost, stop and run: lbs rebuild --store=${store.place} --localdb=${localdb}`;
    report({ type: 'note', message });
  }

  async #store(
    accounts: RecordedAccounts,
    old: StatCacheReader | undefined,
    cache: StatCacheWriter | undefined,
  ) {
    const { report, options, store } = this.#plan;
    const note = (message: string) => report({ type: 'note', message });
    const lost = new LostSegments(note);
    const use = new SegmentUse(this.#index, store, condemnedSegments(store), (segment) =>
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
      this.#afterwards('progress is shown without totals', () =>
        this.#remember(published?.name, entries, use),
      );
      const { tags = [] } = options;
      const given = published ? await tagSnapshot(store, published.name, tags, note) : [];
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
    const { named, selector, options, report, store, localdb } = this.#plan;
    const source = new FilesystemSource({
      top: named.top,
      selector,
      oneFileSystem: options.oneFileSystem ?? false,
      excludeIfPresent: (options.excludeIfPresent ?? []).map((name) => byteText(name)),
      excludeCaches: options.excludeCaches ?? false,
      withoutOwnFiles: withoutOwnFiles([store.place, localdb]),
      warn: (warning) => entries.warn(warning),
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
    const { dryRun, store, filter, options, segmentSizeBytes } = this.#plan;
    if (dryRun) return new DryRunSegments();
    return new SegmentWriter({
      store,
      filter,
      unfilters: options.unfilters ?? new Map(),
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
  ): Promise<{ name: string; storedBytes: number } | undefined> {
    const { dryRun, store, options } = this.#plan;
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
      intent: options.intent,
      segments: names,
    };
    const files = {
      scheme: options.scheme,
      date: this.#startedS,
      segments: this.#rowsOf(names),
      descriptor,
      sign: signerFor(options),
    };
    return publishSnapshot(store, files, note);
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

  /** After the descriptor: a row for a snapshot that does not exist would count as use of it. */
  #remember(name: string | undefined, entries: EntryStore, use: SegmentUse): void {
    if (name === undefined) return;
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
    forgetGone(this.#open, this.#index, new Set(this.#plan.store.names()));
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
      tags: published.tags,
      ...entries.counts,
      dataBytesAdded: dataBytes,
      bytesAdded: dataBytes + metadataBytes,
      bytesStored: this.#stored.bytes + (published.storedBytes ?? 0),
      segmentsStored: this.#stored.segments,
    };
  }
}
