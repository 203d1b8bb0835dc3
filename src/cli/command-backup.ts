/** `lbs [backup]`: options to a call of the library's `backup`, its summary to an exit code. */
import { lstatSync } from 'node:fs';
import type { BackupOptions } from '../backup/backup-options.ts';
import { EXIT, LbsError } from '../errors.ts';
import { parseIntent } from '../format/descriptor.ts';
import { checkTag } from '../format/snapshot-name.ts';
import { type BytePath, showPath } from '../std/byte-path.ts';
import { UPLOAD_PROTOCOLS, type UploadOptions } from '../stores/upload-options.ts';
import type { CommandInput } from './command.ts';
import type { FlagValues } from './flag-values.ts';
import { nearestName } from './nearest-name.ts';
import { openReport } from './open-report.ts';
import { COMMANDS } from './options.ts';
import { percentOf } from './percent.ts';
import { encryptToOf, segmentSizeOf, signingOf } from './storing-flags.ts';
import { markerNamesOf, namedPathsOf, rulesOf } from './selection-flags.ts';
import { decryptKeyOf, present, schemeOf, storesOf, unfiltersOf } from './store-flags.ts';

const EXAMPLE = 'lbs --dest=/mnt/backup /home';
const SLASH = 0x2f;
const QUIETLY = { throwIfNoEntry: false } as const;

/**
 * `lbs restor latest` is a typing error, and so is a command that is not the first word; neither
 * should be told that there is no such file. @throws {LbsError} usage
 */
function refuseMistypedCommand(first: BytePath | undefined): void {
  if (first === undefined || first.includes(SLASH) || lstatSync(first, QUIETLY)) return;
  const word = showPath(first);
  const command = nearestName(
    word,
    COMMANDS.map(({ name }) => name),
  );
  if (command === undefined) return;
  throw new LbsError('usage', `"${word}" is neither a file nor, as the first word, a command`, {
    hint: `did you mean: lbs ${command} ...?`,
  });
}

/** @throws {LbsError} usage */
function pathsOf(flags: FlagValues): BytePath[] {
  const paths = namedPathsOf(flags, flags.operands);
  if (paths.length > 0) return paths;
  throw new LbsError('usage', 'no paths given: nothing to back up', {
    hint: `for example: ${EXAMPLE}`,
  });
}

const TIME = /^(?:(\d{1,6})h)?(?:(\d{1,6})min)?(?:(\d{1,9})s)?$/;

/** @throws {LbsError} usage */
function maxDurationOf(flags: FlagValues): number | undefined {
  const text = flags.text('max-duration');
  if (text === undefined) return undefined;
  const [, hours = 0, minutes = 0, seconds = 0] = TIME.exec(text) ?? [];
  const durationS = Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds);
  if (durationS > 0) return durationS;
  throw new LbsError('usage', `--max-duration=${JSON.stringify(text)} is not a time`, {
    hint: 'write hours, minutes and seconds, as in 6h, 1h30min or 90s',
  });
}

/** @throws {LbsError} usage */
function intentOf(flags: FlagValues): number | undefined {
  const text = flags.text('intent');
  if (text === undefined) return undefined;
  const intent = parseIntent(text);
  if (intent !== undefined) return intent;
  throw new LbsError('usage', `--intent=${JSON.stringify(text)} is not a number above 0`, {
    hint: 'write something like 1 for a daily and 7 for a weekly snapshot',
  });
}

/** @throws {LbsError} usage */
function uploadOf(flags: FlagValues): UploadOptions | undefined {
  const command = flags.text('upload-script');
  const isStoreOnly = flags.isGiven('store') && !flags.isGiven('upload-script');
  if (command === undefined || isStoreOnly) {
    const other = ['upload-protocol', 'tmpdir'].find((name) => flags.isGiven(name));
    if (other === undefined) return undefined;
    throw new LbsError('usage', `--${other} is for an upload script, and there is none`, {
      hint: 'give --upload-script=COMMAND, or leave it out',
    });
  }
  const word = flags.text('upload-protocol');
  const protocol = UPLOAD_PROTOCOLS.find((known) => known === word);
  if (word !== undefined && protocol === undefined) {
    throw new LbsError('usage', `--upload-protocol=${JSON.stringify(word)} is not known`, {
      hint: `choose one of: ${UPLOAD_PROTOCOLS.join(', ')}`,
    });
  }
  return { command, ...present({ protocol, tmpdir: flags.text('tmpdir') }) };
}

/**
 * Where to. Both a store and a script only when the command line has both: beside a script of the
 * configuration, a store is where that script's files can be read. @throws {LbsError} usage
 */
function destinationsOf(flags: FlagValues): Pick<BackupOptions, 'store' | 'upload'> {
  const upload = uploadOf(flags);
  if (upload === undefined) return { store: storesOf(flags, EXAMPLE) };
  return { store: flags.isGiven('store') ? storesOf(flags, EXAMPLE) : [], upload };
}

/** @throws {LbsError} usage */
function backupOptionsOf(flags: FlagValues): BackupOptions {
  refuseMistypedCommand(flags.operands[0]);
  const destinations = destinationsOf(flags);
  return {
    ...destinations,
    paths: pathsOf(flags),
    ...rulesOf(flags),
    excludeIfPresent: markerNamesOf(flags),
    tags: flags.texts('tag').map(checkTag),
    ...signingOf(flags),
    ...encryptToOf(flags),
    ...present({
      localdb: flags.text('localdb'),
      scheme: schemeOf(flags),
      filter: flags.text('filter'),
      filterExtension: flags.text('filter-extension'),
      unfilters: unfiltersOf(flags),
      decryptKey: decryptKeyOf(flags),
      fullMetadata: flags.switch('full-metadata'),
      rebuildStatcache: flags.switch('rebuild-statcache'),
      rereadPercent: percentOf(flags, 'reread'),
      oneFileSystem: flags.switch('one-file-system'),
      excludeCaches: flags.switch('exclude-caches'),
      segmentSizeBytes: segmentSizeOf(flags),
      intent: intentOf(flags),
      maxDurationS: maxDurationOf(flags),
      dryRun: flags.switch('dry-run'),
      verifyKey: flags.text('verify-key'),
    }),
  };
}

/** Makes a snapshot; 0, or 3 when something of the source or one of several stores failed, or is gone. */
export async function runBackup({ flags, outputs, signal }: CommandInput): Promise<number> {
  const report = openReport('backup', flags, outputs);
  try {
    const options = backupOptionsOf(flags);
    const { backup } = await import('../backup/run-backup.ts');
    const summary = await backup({ ...options, report: report.report, signal });
    report.backupDone(summary);
    const isWhole = summary.stores.every(({ error }) => error === undefined);
    return summary.warnings + summary.tampered > 0 || !isWhole ? EXIT.incomplete : EXIT.done;
  } finally {
    report.close();
  }
}
