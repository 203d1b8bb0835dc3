/**
 * A run as JSON lines on standard output, with the message and field names that wrappers of
 * restic already read: `status`, `verbose_status`, `error`, `summary`; main adds `exit_error`.
 * What a run does not know is null, never a guess. A name that is not UTF-8 has its bytes in a
 * twin field that ends in `_escaped`. Field names: lbs(1), "JSON".
 */
import type { BackupSummary } from '../backup/backup-options.ts';
import type { VerifySummary } from '../maintain/verify-options.ts';
import { uriEscape } from '../format/uri-escape.ts';
import type { Progress, ReportEvent } from '../report.ts';
import type { RestoreSummary } from '../restore/restore-options.ts';
import { utf8Of } from '../std/byte-path.ts';
import type { CommandReport, Verbosity } from './command-report.ts';
import type { CommandName } from './options.ts';
import type { Output } from './output.ts';

/** A status line a second is what a bar needs, and a log can bear. */
const STATUS_INTERVAL_MS = 1000;

/** What restic calls the activity, in `during`. */
const DURING: Readonly<Record<CommandName, string>> = {
  backup: 'archival',
  restore: 'restore',
  verify: 'check',
  clean: 'clean',
  compact: 'compact',
  compare: 'compare',
  diff: 'diff',
  find: 'find',
  forget: 'forget',
  gc: 'prune',
  history: 'history',
  hold: 'hold',
  parity: 'parity',
  prune: 'prune',
  rebuild: 'rebuild',
  release: 'release',
  repair: 'repair',
  tag: 'tag',
  usage: 'stats',
  list: 'list',
  ls: 'ls',
  cat: 'cat',
  dump: 'dump',
  stanza: 'stanza',
  why: 'why',
  sync: 'copy',
  heal: 'repair',
};

/** `{KEY: text}`, and `KEY_escaped` with the exact bytes where they are not UTF-8. */
export function jsonPath(key: string, path: Buffer): Record<string, string> {
  const text = utf8Of(path);
  if (text !== undefined) return { [key]: text };
  return { [key]: path.toString(), [`${key}_escaped`]: uriEscape(path) };
}

export class JsonReport implements CommandReport {
  readonly #command: CommandName;
  readonly #out: Output;
  readonly #verbosity: Verbosity;
  readonly #hasStatus: boolean;
  readonly #startMs = performance.now();
  #statusMs = -Infinity;

  constructor(options: {
    command: CommandName;
    out: Output;
    verbosity: Verbosity;
    hasStatus: boolean;
  }) {
    this.#command = options.command;
    this.#out = options.out;
    this.#verbosity = options.verbosity;
    this.#hasStatus = options.hasStatus;
  }

  readonly report = (event: ReportEvent): void => {
    switch (event.type) {
      case 'warning':
        this.#error(event.warning.message, jsonPath('item', event.warning.path), {
          code: event.warning.code,
        });
        break;
      case 'damage': {
        const { what, name, path, snapshot, message } = event.damage;
        const item = path === undefined ? { item: name } : jsonPath('item', path);
        this.#error(message, item, { damaged: what, snapshot_id: snapshot });
        break;
      }
      case 'stored':
        this.#verbose(event.known ? 'modified' : 'new', event.path, {
          data_size: event.sizeBytes,
          status: event.status,
        });
        break;
      case 'restored':
        this.#verbose('restored', event.path, { size: event.sizeBytes });
        break;
      case 'deleted':
        this.#verbose('deleted', event.path, {});
        break;
      case 'to-fetch':
        this.#verbose('to_fetch', Buffer.from(event.file), { size: event.sizeBytes });
        break;
      case 'copied':
        this.#verbose('copied', Buffer.from(event.file), { size: event.sizeBytes });
        break;
      case 'store-failed':
        this.#error(
          event.message,
          { item: event.store },
          { code: 'store-failed', hint: event.hint },
        );
        break;
      case 'progress':
        this.#status(event.progress);
        break;
      case 'note':
        if (this.#verbosity !== 'quiet') this.#line('note', { message: event.message });
        break;
    }
  };

  backupDone(summary: BackupSummary): void {
    const endMs = Date.now();
    this.#line('summary', {
      files_new: summary.filesNew,
      files_changed: summary.filesChanged,
      files_unmodified: summary.filesUnchanged,
      // A run does not tell new directories from old ones.
      dirs_new: null,
      dirs_changed: null,
      dirs_unmodified: null,
      data_added: summary.bytesAdded,
      data_added_packed: summary.bytesStored,
      total_files_processed: summary.files,
      total_bytes_processed: summary.bytes,
      total_duration: summary.durationS,
      backup_start: new Date(endMs - summary.durationS * 1000).toISOString(),
      backup_end: new Date(endMs).toISOString(),
      snapshot_id: summary.snapshot,
      dry_run: summary.dryRun,
      stores: summary.stores.map(({ store, snapshot, error }) => ({
        store,
        snapshot_id: snapshot ?? null,
        error: error?.message ?? null,
      })),
      tags: summary.tags,
      entries: summary.entries,
      directories: summary.directories,
      bytes_read: summary.bytesRead,
      content_added: summary.dataBytesAdded,
      segments_stored: summary.segmentsStored,
      warnings: summary.warnings,
      tampered: summary.tampered,
    });
  }

  restoreDone(summary: RestoreSummary): void {
    this.#line('summary', {
      seconds_elapsed: Math.floor(summary.durationS),
      total_files: summary.files,
      files_restored: summary.filesRestored,
      files_skipped: summary.filesUnchanged,
      files_deleted: summary.deleted,
      kept: summary.kept,
      bytes_restored: summary.bytesWritten,
      leftovers_removed: summary.leftoversRemoved,
      total_duration: summary.durationS,
      snapshot_id: summary.snapshot,
      target: summary.target,
      entries: summary.entries,
      segments_read: summary.segmentsRead,
      dry_run: summary.dryRun,
      ...(summary.bytesToFetch !== undefined && { bytes_to_fetch: summary.bytesToFetch }),
      changed: summary.changed,
      warnings: summary.warnings,
      damaged: summary.damaged,
    });
  }

  verifyDone(summary: VerifySummary): void {
    const files = summary.damage.filter(({ what }) => what === 'store-file');
    this.#line('summary', {
      num_errors: summary.damage.length,
      broken_packs: files.map(({ name }) => name),
      suggest_repair_index: false,
      suggest_prune: false,
      depth: summary.depth,
      snapshots: summary.snapshots,
      store_files: summary.storeFiles,
      bytes_read: summary.bytesRead,
      objects: summary.objects,
      total_files: summary.files,
      unneeded_files: summary.unneeded?.files ?? null,
      unneeded_bytes: summary.unneeded?.bytes ?? null,
      unfinished_files: summary.unneeded?.unfinished ?? null,
      unfinished_bytes: summary.unneeded?.unfinishedBytes ?? null,
      total_duration: summary.durationS,
    });
  }

  close(): void {
    // Nothing is held back.
  }

  #status({ files, bytes, totalFiles, totalBytes, path }: Progress): void {
    const now = performance.now();
    if (!this.#hasStatus || now - this.#statusMs < STATUS_INTERVAL_MS) return;
    this.#statusMs = now;
    const fraction = totalBytes ? Math.min(1, bytes / totalBytes) : 0;
    const elapsedS = (now - this.#startMs) / 1000;
    const isRestore = this.#command === 'restore';
    this.#line('status', {
      seconds_elapsed: Math.floor(elapsedS),
      ...(fraction > 0 && {
        seconds_remaining: Math.round((elapsedS / fraction) * (1 - fraction)),
      }),
      percent_done: fraction,
      total_files: totalFiles,
      [isRestore ? 'files_restored' : 'files_done']: files,
      total_bytes: totalBytes,
      [isRestore ? 'bytes_restored' : 'bytes_done']: bytes,
      current_files: path === undefined ? [] : [path.toString()],
    });
  }

  #verbose(action: string, path: Buffer, fields: Record<string, unknown>): void {
    if (this.#verbosity !== 'verbose') return;
    this.#line('verbose_status', { action, ...jsonPath('item', path), ...fields });
  }

  #error(message: string, item: Record<string, string>, fields: Record<string, unknown>): void {
    this.#line('error', { error: { message }, during: DURING[this.#command], ...item, ...fields });
  }

  #line(type: string, fields: Record<string, unknown>): void {
    this.#out.line(JSON.stringify({ message_type: type, ...fields }));
  }
}
