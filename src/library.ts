/**
 * `import { backup, restore, verify, list, ... } from 'lbs'`: what the commands do, for programs.
 * Each loads its part of the program when first called. Nothing here prints: events go to the
 * `report` option, and errors are `LbsError`s with a `code`.
 */
import type { BackupOptions, BackupSummary } from './backup/backup-options.ts';
import type { Entry } from './format/entry.ts';
import type { Diff, DiffOptions } from './inspect/diff.ts';
import type { FindOptions } from './inspect/find.ts';
import type { HistoryOptions, Period } from './inspect/history.ts';
import type { LiveDiff, LiveDiffOptions } from './inspect/live-diff.ts';
import type { Version } from './inspect/version-table.ts';
import type { CatOptions } from './maintain/cat.ts';
import type { DumpOptions, DumpSummary } from './maintain/dump.ts';
import type { ListEntriesOptions } from './maintain/list-entries.ts';
import type { RawStanza } from './maintain/raw-stanza.ts';
import type { SnapshotOptions } from './maintain/snapshot-metadata.ts';
import type { ForgetOptions, ForgetSummary } from './maintain/forget-options.ts';
import type { HealOptions, HealSummary } from './maintain/heal-options.ts';
import type { SyncOptions, SyncSummary } from './maintain/sync-options.ts';
import type { HealParityOptions } from './maintain/heal-parity.ts';
import type { ParityOptions, ParitySummary } from './maintain/parity-options.ts';
import type { RepairOptions, RepairSummary } from './maintain/repair-options.ts';
import type { RebuildOptions, RebuildSummary } from './maintain/rebuild-options.ts';
import type { CleanOptions, CleanSummary } from './maintain/clean.ts';
import type { CompactOptions, CompactSummary } from './maintain/compact-options.ts';
import type { CollectOptions, CollectSummary } from './maintain/collect.ts';
import type { SnapshotInfo, VerifyOptions, VerifySummary } from './maintain/verify-options.ts';
import type { ReadOptions, RestoreOptions, RestoreSummary } from './restore/restore-options.ts';
import type { BytePath } from './std/byte-path.ts';

export type { BackupOptions, BackupSummary, StoreOutcome } from './backup/backup-options.ts';
export { EXIT, type ErrorCode, LbsError, exitCodeOf } from './errors.ts';
export type { SnapshotCounts } from './format/descriptor.ts';
export type { Entry } from './format/entry.ts';
export type { Change } from './inspect/change-table.ts';
export type { Diff, DiffOptions } from './inspect/diff.ts';
export type { Criteria, FindOptions } from './inspect/find.ts';
export type { HistoryOptions, Period } from './inspect/history.ts';
export type { LiveDiff } from './inspect/live-diff.ts';
export type { Version } from './inspect/version-table.ts';
export type { CatOptions } from './maintain/cat.ts';
export type { ArchiveFormat, DumpOptions, DumpSummary } from './maintain/dump.ts';
export type { RawStanza } from './maintain/raw-stanza.ts';
export type { ForgetDecision, ForgetOptions, ForgetSummary } from './maintain/forget-options.ts';
export type {
  Decision,
  Duration,
  Period as RetentionPeriod,
  RetentionRules,
} from './maintain/retention.ts';
export type { HealOptions, HealSummary } from './maintain/heal-options.ts';
export type { HealParityOptions } from './maintain/heal-parity.ts';
export type { ParityOptions, ParitySummary } from './maintain/parity-options.ts';
export type { RepairedFile, RepairOptions, RepairSummary } from './maintain/repair-options.ts';
export type { SyncOptions, SyncSummary } from './maintain/sync-options.ts';
export type { RebuildOptions, RebuildSummary } from './maintain/rebuild-options.ts';
export type { CleanOptions, CleanSummary, CleanedSegment } from './maintain/clean.ts';
export type {
  CompactOptions,
  CompactSummary,
  RenamedSnapshot,
} from './maintain/compact-options.ts';
export type { CollectOptions, CollectSummary, CollectedFile } from './maintain/collect.ts';
export type {
  SnapshotInfo,
  VerifyDepth,
  VerifyOptions,
  UnneededFiles,
  VerifySummary,
} from './maintain/verify-options.ts';
export type {
  Damage,
  FileStatusWord,
  Progress,
  Report,
  ReportEvent,
  RestoreWarning,
  SourceWarning,
} from './report.ts';
export type { ReadOptions, RestoreOptions, RestoreSummary } from './restore/restore-options.ts';
export { DecryptKey } from './segments/decrypt-key.ts';
export type { UploadOptions, UploadProtocol } from './stores/upload-options.ts';
export { type BytePath, bytePath, showPath, utf8Of } from './std/byte-path.ts';

/** What `ls` is asked: everything in a snapshot, or `path` and what is below it, or lies in it. */
export type LsOptions = ListEntriesOptions;

/** Whose metadata `stanza` is asked for. */
export type StanzaOptions = SnapshotOptions & { readonly path: BytePath };

/** What `diffLive` is asked; without rules and without `readAll` unless they are given. */
export type DiffLiveOptions = Omit<LiveDiffOptions, 'readAll' | 'excludes' | 'includes'> &
  Partial<Pick<LiveDiffOptions, 'readAll' | 'excludes' | 'includes'>>;

/** A version that `find` found, and the names of the snapshots that hold it, oldest first. */
export type FoundVersion = Version & { readonly snapshots: readonly string[] };

/** Makes a snapshot. @throws {LbsError} */
export async function backup(options: BackupOptions): Promise<BackupSummary> {
  const run = await import('./backup/run-backup.ts');
  return await run.backup(options);
}

/** Puts a snapshot, or parts of it, into a directory. @throws {LbsError} */
export async function restore(options: RestoreOptions): Promise<RestoreSummary> {
  const run = await import('./restore/restore.ts');
  return await run.restore(options);
}

/** Checks snapshots; damage is in the summary, not an error. @throws {LbsError} */
export async function verify(options: VerifyOptions): Promise<VerifySummary> {
  const run = await import('./maintain/verify.ts');
  return await run.verify(options);
}

/**
 * Copies snapshots to another store: only what is missing there, and checked. What is damaged is
 * reported, counted in the summary, and costs only the snapshots that need it. @throws {LbsError}
 */
export async function sync(options: SyncOptions): Promise<SyncSummary> {
  const run = await import('./maintain/sync.ts');
  return await run.sync(options);
}

/**
 * Replaces damaged or missing files of a store by good ones from another. What cannot be healed is
 * reported, and counted in the summary. @throws {LbsError}
 */
export async function heal(options: HealOptions): Promise<HealSummary> {
  const run = await import('./maintain/heal.ts');
  return await run.heal(options);
}

/**
 * Makes parity of the segments that have none yet. What is damaged is left out, reported, and
 * counted in the summary. @throws {LbsError}
 */
export async function makeParity(options: ParityOptions): Promise<ParitySummary> {
  const run = await import('./maintain/parity.ts');
  return await run.makeParity(options);
}

/** As `heal`, from the store's own parity. @throws {LbsError} */
export async function healFromParity(options: HealParityOptions): Promise<HealSummary> {
  const run = await import('./maintain/heal-parity.ts');
  return await run.healFromParity(options);
}

/**
 * Makes descriptors and checksums files again that a store has lost. What cannot be made is
 * reported, and counted in the summary. @throws {LbsError}
 */
export async function repair(options: RepairOptions): Promise<RepairSummary> {
  const run = await import('./maintain/repair.ts');
  return await run.repair(options);
}

/** The snapshots of a store, oldest first. @throws {LbsError} */
export async function list(options: ReadOptions): Promise<SnapshotInfo[]> {
  const run = await import('./maintain/list-snapshots.ts');
  return await run.list(options);
}

/**
 * Takes snapshots out of a store that no rule keeps, or that are named; with `dryRun` it only
 * decides. Each decision comes with its reasons. Segments stay. @throws {LbsError}
 */
export async function forget(options: ForgetOptions): Promise<ForgetSummary> {
  const run = await import('./maintain/forget.ts');
  return await run.forget(options);
}

/**
 * Makes a lost local database again, from a store; the next backup then stores nothing again. Damage
 * is reported as events, and counted in the summary. @throws {LbsError} usage when there is one
 */
export async function rebuild(options: RebuildOptions): Promise<RebuildSummary> {
  const run = await import('./maintain/rebuild.ts');
  return await run.rebuild(options);
}

/** Gives up segments that are little used, in the local database. @throws {LbsError} */
export async function clean(options: CleanOptions): Promise<CleanSummary> {
  const run = await import('./maintain/clean.ts');
  return await run.clean(options);
}

/**
 * Copies what is used of segments of which little is used into new ones, and replaces the snapshots
 * that need them. Damage is reported, and counted in the summary. @throws {LbsError}
 */
export async function compact(options: CompactOptions): Promise<CompactSummary> {
  const run = await import('./maintain/compact.ts');
  return await run.compact(options);
}

/** Removes what no snapshot needs, in two steps. @throws {LbsError} */
export async function collect(options: CollectOptions): Promise<CollectSummary> {
  const run = await import('./maintain/collect.ts');
  return await run.collect(options);
}

/** The entries of a snapshot in path order, one at a time. @throws {LbsError} */
export async function* ls(options: LsOptions): AsyncGenerator<Entry> {
  const run = await import('./maintain/list-entries.ts');
  yield* run.entries(options);
}

/**
 * Gives the content of regular files of a snapshot to `write`, in the order of `paths`, each block
 * checked before. False when some metadata is damaged, which was reported; these files are right.
 * @throws {LbsError} also when content is damaged: what was given of it is right, but cut off
 */
export async function cat(options: CatOptions): Promise<boolean> {
  const run = await import('./maintain/cat.ts');
  return !(await run.cat(options));
}

/** Gives a snapshot, or parts of it, to `write` as a tar or zip archive. @throws {LbsError} */
export async function dump(options: DumpOptions): Promise<DumpSummary> {
  const run = await import('./maintain/dump.ts');
  return await run.dump(options);
}

/** The metadata of one path as it is stored, and where in the store it stands. @throws {LbsError} */
export async function stanza(options: StanzaOptions): Promise<RawStanza> {
  const run = await import('./maintain/raw-stanza.ts');
  return await run.rawStanza(options);
}

/** Compares two snapshots. The caller closes the result, which can be read once. @throws {LbsError} */
export async function diff(options: DiffOptions): Promise<Diff> {
  const run = await import('./inspect/diff.ts');
  return await run.diff(options);
}

/**
 * Compares a snapshot with the disk. What cannot be read there is a warning to `report`. The caller
 * closes the result, which can be read once. @throws {LbsError}
 */
export async function diffLive(options: DiffLiveOptions): Promise<LiveDiff> {
  const run = await import('./inspect/live-diff.ts');
  return await run.diffLive({ readAll: false, excludes: [], includes: [], ...options });
}

/**
 * Versions of entries of all snapshots that fit, in path order, older times first. Snapshots that
 * are damaged are reported, and what can be read of them is searched. @throws {LbsError}
 */
export async function* find(options: FindOptions): AsyncGenerator<FoundVersion> {
  const run = await import('./inspect/find.ts');
  const { snapshots, versions } = await run.find(options);
  try {
    for (const version of versions.versions()) {
      const names = version.snapshots.flatMap((at) => snapshots[at]?.name ?? []);
      yield { ...version, snapshots: names };
    }
  } finally {
    versions.close();
  }
}

/** The versions of one path through all snapshots, and when it was gone. @throws {LbsError} */
export async function history(options: HistoryOptions): Promise<Period[]> {
  const run = await import('./inspect/history.ts');
  return await run.history(options);
}
