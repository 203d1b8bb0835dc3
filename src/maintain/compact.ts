/**
 * Compacting: what is still used of little-used segments is copied into new ones, from the store
 * itself, and every snapshot that needs such a segment is replaced by one that does not.
 *
 *     descriptors, local database                        choose-victims: which segments, which snapshots
 *       -> their metadata                                log-survey: what do they use of them?
 *       -> contents, checked, into new segments          move-objects
 *       -> metadata with the new names                   metadata/rewrite-log
 *       -> segments closed: durable, and remembered      the old ones are given up in the database
 *     and for each snapshot:
 *       -> its new metadata read back                    log-survey: it says what the old one says
 *       -> new descriptor, then the old one removed      replace-snapshot
 *
 * Nothing in the store is changed. The old segments stay until collect.ts finds that no snapshot needs
 * them. Stopping anywhere leaves each snapshot whole, once or twice; the next run goes on: it finds
 * what was copied by its content, and removes what has been replaced.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { LbsError } from '../errors.ts';
import { BlockIndex } from '../localdb/block-index.ts';
import { CompactedTable } from '../localdb/compacted-table.ts';
import { lockLocaldb } from '../localdb/lock.ts';
import { LOCALDB_FILE, openDatabase, openScratchCopy } from '../localdb/open-localdb.ts';
import { SegmentCleaning } from '../localdb/segment-cleaning.ts';
import { SegmentObjects } from '../localdb/segment-objects.ts';
import { SnapshotTable } from '../localdb/snapshot-table.ts';
import { MetadataObjects } from '../metadata/metadata-objects.ts';
import { silentReport } from '../report.ts';
import { chooseFilter } from '../segments/filter.ts';
import { ENCRYPTED, checkEncryption, openRecipients } from '../segments/recipients.ts';
import { SegmentSource } from '../segments/segment-source.ts';
import { segmentSizeOf } from '../segments/segment-writer.ts';
import { snapshotsAmong } from '../snapshots/open-snapshot.ts';
import { checkSigning, signerFor } from '../snapshots/sign-descriptor.ts';
import { nowSeconds } from '../std/clock.ts';
import { openStore } from '../stores/open-store.ts';
import { CompactionRun, type CompactionTools } from './carry-out-compaction.ts';
import type { CompactOptions, CompactSummary, RenamedSnapshot } from './compact-options.ts';
import { LogSurvey } from './log-survey.ts';
import { openDescriptor } from './choose-victims.ts';
import { CompactionPlan } from './plan-compaction.ts';
import { SnapshotReplacer } from './replace-snapshot.ts';

/**
 * Compacts. Damage is reported, and costs only the segments that it keeps from being compacted.
 * @throws {LbsError} store-missing, localdb-*, format-*, signature-*, snapshot-*, filter-*,
 * decryption-key, segment-collected, store-unwritable, no-space, io, usage, interrupted
 */
export async function compact(options: CompactOptions): Promise<CompactSummary> {
  const filter = chooseFilter(options.filter, options.filterExtension);
  const targetBytes = segmentSizeOf(options.segmentSizeBytes);
  checkEncryption(options.encryptTo, filter, targetBytes);
  const encrypt = await openRecipients(options.encryptTo);
  const store = openStore(options.store);
  const localdb = options.localdb ?? store.place;
  if (!existsSync(join(localdb, LOCALDB_FILE))) {
    throw new LbsError('localdb-missing', `there is no local database in ${localdb}`, {
      hint: `it knows how much of the segments is used: say where it is with --localdb=DIR, or make one: lbs rebuild --store=${store.place} --localdb=${localdb}`,
    });
  }
  await checkSigning(options);
  const isDry = options.dryRun === true;
  if (!isDry) store.checkWritable();
  const lock = isDry ? undefined : lockLocaldb(localdb);
  try {
    const open = isDry ? openScratchCopy(localdb) : openDatabase(localdb);
    try {
      const [index, table] = [new BlockIndex(open), new SnapshotTable(open)];
      const compacted = new CompactedTable(open);
      const sign = signerFor(options);
      const tools: CompactionTools = {
        ...{ store, open, options, filter, encrypt, targetBytes, index, table, compacted },
        report: options.report ?? silentReport,
        known: new SegmentObjects(open),
        replacer: new SnapshotReplacer({
          ...{ store, index, table, compacted, sign, signing: options },
        }),
      };
      return await new Compaction(tools).run();
    } finally {
      open.close();
    }
  } finally {
    lock?.release();
  }
}

class Compaction {
  readonly #tools: CompactionTools;

  constructor(tools: CompactionTools) {
    this.#tools = tools;
  }

  async run(): Promise<CompactSummary> {
    const { store, open, options, report, targetBytes } = this.#tools;
    const { index, table, known, compacted, filter, encrypt } = this.#tools;
    const { dryRun = false, signal } = options;
    const finished: RenamedSnapshot[] = [];
    if (!dryRun) {
      store.recall(open);
      store.begin();
      finished.push(...(await this.#finishEarlier()));
    }
    const files = store.list();
    const source = new SegmentSource(store, options, files);
    const snapshots = snapshotsAmong(files).filter(
      ({ name }) => options.without?.has(name) !== true,
    );
    const cleaning = new SegmentCleaning(
      open,
      snapshots.map(({ name }) => name),
      new Set(files.map(({ name }) => name)),
    );
    if (dryRun) giveUp(cleaning, options.givenUp ?? new Set());
    const objects = new MetadataObjects(source, { signal });
    try {
      const plan = new CompactionPlan({
        ...{ source, snapshots, cleaning, objects, options, report, targetBytes },
        ...{ index, table, known },
        encrypts: encrypt !== undefined || ENCRYPTED.test(filter.extension),
        hasBegun: (name) => compacted.has(name),
      });
      await plan.make();
      const run = new CompactionRun(this.#tools, plan, { source, cleaning, objects });
      const summary = await run.run();
      for (const [why, count] of plan.left) {
        const segments = count === 1 ? '1 segment is' : `${count} segments are`;
        report({ type: 'note', message: `${segments} left: ${why}` });
      }
      return { ...summary, snapshots: [...finished, ...summary.snapshots] };
    } finally {
      objects.close();
    }
  }

  /** What a run that was stopped has left to do. */
  async #finishEarlier(): Promise<RenamedSnapshot[]> {
    const { store, options, replacer, known } = this.#tools;
    const unfinished = replacer.unfinished(snapshotsAmong(store.list()));
    const finished: RenamedSnapshot[] = [];
    if (unfinished.length === 0) return finished;
    const { signal } = options;
    const source = new SegmentSource(store, options);
    const objects = new MetadataObjects(source, { signal });
    try {
      const digestOf = (segment: string, object: number) => known.digestOf(segment, object);
      const survey = new LogSurvey(source, objects, { signal, digestOf });
      for (const { snapshot, old } of unfinished) {
        const { descriptor } = await openDescriptor(store, snapshot, options);
        const { used } = await survey.read(descriptor);
        if (!(await replacer.finish(old.name, snapshot.name, used))) continue;
        const renamed = { oldName: old.name, name: snapshot.name };
        options.onSnapshot?.(renamed);
        finished.push(renamed);
      }
    } finally {
      objects.close();
    }
    return finished;
  }
}

/** In the copy of the database that a dry run has. */
function giveUp(cleaning: SegmentCleaning, files: ReadonlySet<string>): void {
  if (files.size === 0) return;
  const rows = [...cleaning.segments()].filter(({ file }) => files.has(file));
  cleaning.expire(rows, nowSeconds(), () => 0);
}
