/**
 * How a command tells what it did: as text for people or as JSON lines for programs. Commands
 * see only this contract. Everything that a person or a program reads of a run passes here.
 */
import type { BackupSummary } from '../backup/backup-options.ts';
import type { VerifySummary } from '../maintain/verify-options.ts';
import type { Report } from '../report.ts';
import type { RestoreSummary } from '../restore/restore-options.ts';
import type { Output } from './output.ts';

/** `quiet`: only what is wrong. `verbose`: a line for every file too. */
export type Verbosity = 'quiet' | 'normal' | 'verbose';

/** Standard output and standard error of the command. */
export type Outputs = { readonly out: Output; readonly err: Output };

export interface CommandReport {
  /** Takes the events of the run. */
  readonly report: Report;
  backupDone(summary: BackupSummary): void;
  restoreDone(summary: RestoreSummary): void;
  verifyDone(summary: VerifySummary): void;
  /** Takes the progress away and says what was held back; also after a failure. */
  close(): void;
}
