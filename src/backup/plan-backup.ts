/**
 * What is decided before anything is written: options are checked, stores opened, rules read, paths
 * looked up. The first stage of run-backup.
 */
import { realpathSync } from 'node:fs';
import { relative } from 'node:path';
import { LbsError } from '../errors.ts';
import { parseIntent } from '../format/descriptor.ts';
import { checkScheme, checkTag } from '../format/snapshot-name.ts';
import { type Report, silentReport } from '../report.ts';
import { type Filter, chooseFilter } from '../segments/filter.ts';
import {
  ENCRYPTED,
  type BeginMessage,
  checkEncryption,
  openRecipients,
} from '../segments/recipients.ts';
import { segmentSizeOf } from '../segments/segment-writer.ts';
import { type NamedPaths, resolveNamedPaths } from '../sources/filesystem/named-paths.ts';
import { readRules } from '../sources/filesystem/rule-files.ts';
import { Selector } from '../sources/filesystem/select.ts';
import { type StoreGroup, openStoreGroup } from '../stores/store-group.ts';
import type { BackupOptions } from './backup-options.ts';

/** Everything that is decided before anything is written. */
export type Plan = {
  readonly options: BackupOptions;
  readonly report: Report;
  readonly stores: StoreGroup;
  readonly localdb: string;
  readonly filter: Filter;
  /** Undefined when segments are not encrypted behind the filter. */
  readonly encrypt: BeginMessage | undefined;
  /** That way, or by the filter. */
  readonly isEncrypted: boolean;
  readonly named: NamedPaths;
  /** To be told before anything is done. */
  readonly notes: readonly string[];
  readonly selector: Selector;
  readonly segmentSizeBytes: number;
  readonly dryRun: boolean;
};

/** Checks the options and opens the stores. @throws {LbsError} usage, store-missing, source-missing */
export async function makePlan(options: BackupOptions): Promise<Plan> {
  if (options.scheme !== undefined) checkScheme(options.scheme);
  for (const tag of options.tags ?? []) checkTag(tag);
  if (options.intent !== undefined && parseIntent(String(options.intent)) === undefined) {
    throw new LbsError('usage', `an intent of ${options.intent} is not possible`, {
      hint: 'choose a number above 0',
    });
  }
  const filter = chooseFilter(options.filter, options.filterExtension);
  const segmentSizeBytes = segmentSizeOf(options.segmentSizeBytes);
  checkEncryption(options.encryptTo, filter, segmentSizeBytes);
  const report = options.report ?? silentReport;
  const stores = await storesOf(options, report);
  const named = resolveNamedPaths(options.paths);
  const selector = new Selector({
    named,
    excludes: options.excludes ?? [],
    includes: options.includes ?? [],
    rules: readRules(options.ruleFiles ?? {}),
  });
  const localdb = options.localdb ?? stores.first.place;
  const encrypt = await openRecipients(options.encryptTo);
  const isEncrypted = encrypt !== undefined || ENCRYPTED.test(filter.extension);
  return {
    options,
    report,
    stores,
    localdb,
    filter,
    encrypt,
    named,
    isEncrypted,
    notes: [...named.notes, ...(isEncrypted ? clearTextNotes(stores, localdb) : [])],
    selector,
    segmentSizeBytes,
    dryRun: options.dryRun ?? false,
  };
}

/** The local database has names and checksums of all files. */
function clearTextNotes({ live }: StoreGroup, localdb: string): string[] {
  if (!live.some(({ place }) => isIn(place, localdb))) return [];
  return [
    `segments are encrypted, but the local database in ${localdb} is not, and lies with them: it has the names of all files. Keep it elsewhere, with --localdb=DIR`,
  ];
}

/** False for what does not exist, as the command of an upload script. */
function isIn(place: string, directory: string): boolean {
  try {
    const way = relative(realpathSync(place), realpathSync(directory));
    return way !== '..' && !way.startsWith('../');
  } catch {
    return false;
  }
}

/** @throws {LbsError} usage, store-missing */
async function storesOf(
  { store = [], upload, localdb }: BackupOptions,
  report: Report,
): Promise<StoreGroup> {
  const places = typeof store === 'string' ? [store] : store;
  if (places.length === 0 && upload === undefined) {
    throw new LbsError('usage', 'no store given: there is nowhere to back up to');
  }
  if (localdb === undefined && (places.length > 1 || upload !== undefined)) {
    const what = upload === undefined ? 'several stores need' : 'an upload script needs';
    throw new LbsError('usage', `${what} a local database with a place of its own`, {
      hint: 'give it a directory of this machine with --localdb=DIR',
    });
  }
  const script = upload && (await import('../stores/upload-store.ts')).openUploadStore(upload);
  return openStoreGroup(places, script, ({ place, error: { message, hint } }) =>
    report({ type: 'store-failed', store: place, message, hint }),
  );
}
