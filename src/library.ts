/**
 * `import { backup, restore, verify, list, ls } from 'lbs'`: what the commands do, for programs.
 * Each loads its part of the program when first called. Nothing here prints: events go to the
 * `report` option, and errors are `LbsError`s with a `code`.
 */
import type { BackupOptions, BackupSummary } from './backup/backup-options.ts';
import type { Entry } from './format/entry.ts';
import type { SnapshotInfo, VerifyOptions, VerifySummary } from './maintain/verify-options.ts';
import type { ReadOptions, RestoreOptions, RestoreSummary } from './restore/restore-options.ts';
import type { BytePath } from './std/byte-path.ts';

export type { BackupOptions, BackupSummary } from './backup/backup-options.ts';
export { EXIT, type ErrorCode, LbsError, exitCodeOf } from './errors.ts';
export type { SnapshotCounts } from './format/descriptor.ts';
export type { Entry } from './format/entry.ts';
export type {
  SnapshotInfo,
  VerifyDepth,
  VerifyOptions,
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
export { type BytePath, bytePath, showPath, utf8Of } from './std/byte-path.ts';

/** What `ls` is asked: everything in a snapshot, or `path` and what is below it. */
export type LsOptions = ReadOptions & { readonly snapshot: string; readonly path?: BytePath };

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

/** The snapshots of a store, oldest first. @throws {LbsError} */
export async function list(options: ReadOptions): Promise<SnapshotInfo[]> {
  const run = await import('./maintain/list-snapshots.ts');
  return await run.list(options);
}

/** The entries of a snapshot in path order, one at a time. @throws {LbsError} */
export async function* ls(options: LsOptions): AsyncGenerator<Entry> {
  const run = await import('./maintain/list-entries.ts');
  yield* run.entries(options);
}
