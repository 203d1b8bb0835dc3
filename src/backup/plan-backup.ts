/**
 * What is decided before anything is written: options are checked, stores opened, rules read, paths
 * looked up. The first stage of run-backup.
 */
import { LbsError } from '../errors.ts';
import { parseIntent } from '../format/descriptor.ts';
import { checkScheme, checkTag } from '../format/snapshot-name.ts';
import { type Report, silentReport } from '../report.ts';
import { type Filter, chooseFilter } from '../segments/filter.ts';
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
  readonly named: NamedPaths;
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
  const report = options.report ?? silentReport;
  const stores = await storesOf(options, report);
  const named = resolveNamedPaths(options.paths);
  const selector = new Selector({
    named,
    excludes: options.excludes ?? [],
    includes: options.includes ?? [],
    rules: readRules(options.ruleFiles ?? {}),
  });
  return {
    options,
    report,
    stores,
    localdb: options.localdb ?? stores.first.place,
    filter,
    named,
    selector,
    segmentSizeBytes,
    dryRun: options.dryRun ?? false,
  };
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
