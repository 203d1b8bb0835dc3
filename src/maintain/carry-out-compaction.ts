/**
 * Carries out what was planned: objects, metadata, then one snapshot after the other. In a dry run all
 * of it is gone through, and nothing read of contents nor stored. Called by compact.
 */
import { hash } from 'node:crypto';
import { LbsError } from '../errors.ts';
import { formatObjectName, parseReference } from '../format/reference.ts';
import type { BlockIndex } from '../localdb/block-index.ts';
import type { CompactedTable } from '../localdb/compacted-table.ts';
import type { OpenDatabase } from '../localdb/open-localdb.ts';
import { METADATA, type SegmentCleaning } from '../localdb/segment-cleaning.ts';
import type { SegmentObjects } from '../localdb/segment-objects.ts';
import type { SnapshotTable } from '../localdb/snapshot-table.ts';
import { MetadataObjects } from '../metadata/metadata-objects.ts';
import { LogRewriter } from '../metadata/rewrite-log.ts';
import type { Report } from '../report.ts';
import { DryRunSegments, type SegmentSink } from '../segments/dry-run-segments.ts';
import type { Filter } from '../segments/filter.ts';
import type { BeginMessage } from '../segments/recipients.ts';
import { SegmentSource } from '../segments/segment-source.ts';
import { SegmentWriter } from '../segments/segment-writer.ts';
import { ThreadFiles } from '../segments/thread-file.ts';
import { condemnedSegments } from '../snapshots/collection-lists.ts';
import { showText } from '../std/byte-path.ts';
import { nowSeconds } from '../std/clock.ts';
import type { DirectoryStore } from '../stores/directory-store.ts';
import { type AgedBytes, ageLimits, groupOfAge } from './age-groups.ts';
import { type Victim, openDescriptor } from './choose-victims.ts';
import type { CompactOptions, CompactSummary, RenamedSnapshot } from './compact-options.ts';
import { LogSurvey } from './log-survey.ts';
import { ObjectMover } from './move-objects.ts';
import type { CompactionPlan, Replaced } from './plan-compaction.ts';
import type { SnapshotReplacer } from './replace-snapshot.ts';
import { UsableSegments } from './usable-segments.ts';

const DAY_S = 86400;
/** Of a segment: less than this is not worth a group of its own. */
const GROUP_SHARE_MIN = 1 / 16;

export type CompactionTools = {
  readonly store: DirectoryStore;
  readonly open: OpenDatabase;
  readonly options: CompactOptions;
  readonly report: Report;
  readonly filter: Filter;
  /** Undefined when segments are not encrypted behind the filter. */
  readonly encrypt: BeginMessage | undefined;
  readonly targetBytes: number;
  readonly index: BlockIndex;
  readonly table: SnapshotTable;
  readonly known: SegmentObjects;
  readonly compacted: CompactedTable;
  readonly replacer: SnapshotReplacer;
};

/** What was read of the store. */
type Reading = {
  readonly source: SegmentSource;
  readonly cleaning: SegmentCleaning;
  readonly objects: MetadataObjects;
};

export class CompactionRun {
  readonly #tools: CompactionTools;
  readonly #plan: CompactionPlan;
  readonly #reading: Reading;
  readonly #isDry: boolean;
  readonly #segments: SegmentSink;
  readonly #mover: ObjectMover;
  readonly #usable: UsableSegments;
  readonly #renamed: RenamedSnapshot[] = [];
  readonly #nowS = nowSeconds();
  /** Older metadata that the new snapshots need. */
  readonly #needed = new Set<string>();
  #ageLimits: readonly number[] = [];
  #metadataBytes = 0;
  #addedBytes = 0;
  #damaged = 0;

  constructor(tools: CompactionTools, plan: CompactionPlan, reading: Reading) {
    this.#tools = tools;
    this.#plan = plan;
    this.#reading = reading;
    const { store, index, options, report } = tools;
    const { signal, dryRun = false } = options;
    const { source } = reading;
    this.#isDry = dryRun;
    this.#usable = new UsableSegments({
      ...{ source, index, dryRun, report, signal, condemned: condemnedSegments(store) },
      isVictim: (segment) => plan.victims.has(segment),
    });
    this.#segments = this.#isDry ? new DryRunSegments() : this.#segmentWriter();
    this.#mover = new ObjectMover({
      ...{ source, index, segments: this.#segments, dryRun, signal },
      usable: this.#usable,
      groupOf: (createdS) => this.#groupOf(createdS),
    });
  }

  async run(): Promise<CompactSummary> {
    const { cleaning } = this.#reading;
    try {
      const roots = await this.#store();
      if (!this.#isDry && this.#plan.victims.size > 0) {
        // From now on no backup refers to them.
        cleaning.expire([...this.#plan.victims.values()], this.#nowS, (createdS) =>
          groupOfAge(this.#ageLimits, this.#ageDays(createdS)),
        );
      }
      await this.#replace(roots);
    } finally {
      this.#mover.close();
    }
    return this.#summary();
  }

  /** Objects and metadata; the new root of each snapshot that is to be replaced, by its name. */
  async #store(): Promise<Map<string, string>> {
    try {
      await this.#moveObjects();
      const roots = await this.#rewriteMetadata();
      await this.#segments.close();
      return roots;
    } catch (error) {
      try {
        // What was copied is found by the next run.
        if (!(error instanceof LbsError && error.code === 'interrupted')) throw error;
        await this.#segments.close();
      } catch (failure) {
        await this.#segments.abandon();
        throw failure;
      }
      throw error;
    }
  }

  #segmentWriter(): SegmentWriter {
    const { store, filter, encrypt, targetBytes, options, index, report } = this.#tools;
    const files = new ThreadFiles();
    return new SegmentWriter({
      ...{ store, filter, encrypt, targetBytes },
      reading: options,
      onStored: (segment) => {
        index.addSegment(segment);
        this.#addedBytes += segment.storedBytes;
      },
      // No thread: reading and writing take turns here, and the filter works beside both.
      askThread: (task) => files.do(task),
      note: (message) => report({ type: 'note', message }),
    });
  }

  #checkInterrupted(): void {
    if (this.#tools.options.signal?.aborted !== true) return;
    throw new LbsError('interrupted', 'interrupted', {
      hint: 'all snapshots are whole; the same command goes on from here',
    });
  }

  #ageDays(createdS: number): number {
    return Math.round(Math.max(0, this.#nowS - createdS) / DAY_S);
  }

  #groupOf(createdS: number): string {
    const group = groupOfAge(this.#ageLimits, this.#ageDays(createdS));
    return group === 0 ? 'data' : `compacted-${group}`;
  }

  async #moveObjects(): Promise<void> {
    const { report, options } = this.#tools;
    const victims = [...this.#plan.victims.values()];
    this.#chooseGroups(victims);
    const totalBytes = victims.reduce((sum, { storedBytes }) => sum + storedBytes, 0);
    let bytes = 0;
    for (const [files, victim] of victims.entries()) {
      this.#checkInterrupted();
      const total = { totalFiles: victims.length, totalBytes };
      report({ type: 'progress', progress: { files, bytes, ...total, path: undefined } });
      bytes += victim.storedBytes;
      const { file, group, created, used, storedBytes } = victim;
      const objects = this.#plan.dataOf(victim) ?? [];
      const trouble = await this.#mover.move({ ...victim, objects });
      if (trouble !== undefined) {
        this.#damaged++;
        const damage = { what: 'store-file', name: file, message: trouble } as const;
        report({ type: 'damage', damage });
        this.#plan.leave([victim.name], 'damaged');
        continue;
      }
      const ageDays = Math.max(0, this.#nowS - created) / DAY_S;
      options.onSegment?.({ file, group, ageDays, used, storedBytes });
    }
  }

  /** What has lived long together will live on together; see age-groups. */
  #chooseGroups(victims: readonly Victim[]): void {
    const { targetBytes } = this.#tools;
    const data = victims.filter(({ group }) => group !== METADATA);
    const bytesOfAge = new Map<number, number>();
    for (const victim of data) {
      for (const [, { age, sizeBytes }] of this.#plan.dataOf(victim) ?? []) {
        const days = this.#ageDays(age ?? victim.created);
        bytesOfAge.set(days, (bytesOfAge.get(days) ?? 0) + sizeBytes);
      }
    }
    const aged = [...bytesOfAge].map(([ageDays, bytes]): AgedBytes => ({ ageDays, bytes }));
    const rawBytes = data.reduce((sum, victim) => sum + victim.rawBytes, 0);
    // Small ones are put together, too, so they are no measure.
    const usualBytes = Math.max(rawBytes / Math.max(1, data.length), targetBytes * GROUP_SHARE_MIN);
    this.#ageLimits = ageLimits(aged, usualBytes);
  }

  async #rewriteMetadata(): Promise<Map<string, string>> {
    const { store, options } = this.#tools;
    const { objects } = this.#reading;
    const roots = new Map<string, string>();
    const rewriter = new LogRewriter({
      objects,
      isMoved: (segment) => this.#plan.victims.has(segment),
      newNameOf: (segment, object) => this.#mover.newNameOf(segment, object),
      store: (text) => this.#storeMetadata(text),
    });
    try {
      for (const { snapshot } of this.#plan.replaced()) {
        this.#checkInterrupted();
        const { descriptor } = await openDescriptor(store, snapshot, options);
        roots.set(snapshot.name, await rewriter.rewrite(descriptor.root));
      }
      for (const segment of rewriter.kept) this.#needed.add(segment);
    } finally {
      rewriter.close();
    }
    return roots;
  }

  async #storeMetadata(text: Buffer): Promise<string> {
    const { index } = this.#tools;
    await this.#segments.room();
    const sha256 = hash('sha256', text, 'hex');
    const checksum = `(sha1=${hash('sha1', text, 'hex')})`;
    const known = await this.#usable.find(sha256, text.length);
    if (known !== undefined) return formatObjectName(known.segment, known.object) + checksum;
    const added = this.#segments.add(METADATA, text);
    index.addPending(sha256, text.length, added);
    this.#metadataBytes += text.length;
    return added.name + checksum;
  }

  /** One after the other, the oldest first. */
  async #replace(roots: ReadonlyMap<string, string>): Promise<void> {
    const { store, options, known } = this.#tools;
    const { source, objects } = this.#reading;
    const { signal, onSnapshot } = options;
    const stored = new SegmentSource(store, options);
    const written = new MetadataObjects(stored, { signal });
    const digestOf = (segment: string, object: number) => known.digestOf(segment, object);
    const before = new LogSurvey(source, objects, {
      ...{ signal, digestOf },
      newNameOf: (segment, object) => this.#mover.newNameOf(segment, object),
    });
    const after = new LogSurvey(stored, written, { signal, digestOf });
    try {
      for (const replaced of this.#plan.replaced()) {
        this.#checkInterrupted();
        const root = roots.get(replaced.snapshot.name) ?? '';
        if (!this.#isDry) await this.#replaceOne(replaced, root, { before, after });
        const renamed = { oldName: replaced.snapshot.name, name: replaced.name };
        onSnapshot?.(renamed);
        this.#renamed.push(renamed);
      }
    } finally {
      written.close();
    }
  }

  async #replaceOne(
    { snapshot, name }: Replaced,
    root: string,
    { before, after }: { before: LogSurvey; after: LogSurvey },
  ): Promise<void> {
    const { store, options, replacer } = this.#tools;
    const opened = await openDescriptor(store, snapshot, options);
    const reference = parseReference(root, opened.descriptor.dialect);
    if (reference.kind !== 'object') throw new LbsError('internal', `unusable root ${root}`);
    // What was written is read back: nothing is removed because of metadata that says something else.
    const { fingerprint } = await before.read(opened.descriptor);
    const found = await after.read({ ...opened.descriptor, root: reference });
    const isSame = found.fingerprint === fingerprint;
    const isFree = [...found.used.keys()].every((segment) => !this.#plan.victims.has(segment));
    if (!isSame || !isFree) {
      const message = `the new metadata of ${showText(snapshot.name)} is not that of the old`;
      throw new LbsError('internal', message);
    }
    await replacer.replace({ ...opened, snapshot, name, root, used: found.used });
  }

  #summary(): CompactSummary {
    const { victims, left, damaged } = this.#plan;
    const { readBytes, contentBytes } = this.#mover.counts;
    return {
      dryRun: this.#isDry,
      segments: victims.size,
      storedBytes: [...victims.values()].reduce((sum, { storedBytes }) => sum + storedBytes, 0),
      snapshots: this.#renamed,
      readBytes: readBytes + this.#usable.readBytes,
      ...{ contentBytes, metadataBytes: this.#metadataBytes },
      addedBytes: this.#addedBytes,
      segmentsLeft: [...left.values()].reduce((sum, count) => sum + count, 0),
      damaged: damaged + this.#damaged + this.#usable.damaged,
      needed: this.#neededSegments(),
    };
  }

  /** Of those that were there before: what the new snapshots need, or would need. */
  #neededSegments(): Set<string> {
    const { victims, dataSegments } = this.#plan;
    const all = [...this.#needed, ...dataSegments, ...this.#mover.targets];
    return new Set(all.filter((segment) => !victims.has(segment)));
  }
}
