/** `lbs restore`: options to a call of the library's `restore`, its summary to an exit code. */
import { EXIT, LbsError } from '../errors.ts';
import type { Overwrite, ReadOptions, RestoreOptions } from '../restore/restore-options.ts';
import { type BytePath, bytePath } from '../std/byte-path.ts';
import { catToOutput } from './command-cat.ts';
import type { CommandInput } from './command.ts';
import type { CommandReport } from './command-report.ts';
import type { FlagValues } from './flag-values.ts';
import { openReport } from './open-report.ts';
import { RESTORE } from './options-restore.ts';
import { snapshotPaths } from './selection-flags.ts';
import { present, readOptionsOf } from './store-flags.ts';

const OVERWRITE: readonly Overwrite[] = ['always', 'if-changed', 'if-newer', 'never'];
const STRIP_MAX = 1000;
const STANDARD_OUTPUT = '-';
/** Options that make no sense where nothing is written to a directory. */
const OF_DIRECTORIES = [
  'delete',
  'undo-dir',
  'strip-components',
  'overwrite',
  'exclude',
  'include',
  'rules',
  'numeric-owner',
  'dry-run',
  'json',
];

/** The operands, told apart. */
type Operands = {
  readonly snapshot: string;
  /** Undefined for the original place. */
  readonly target: string | undefined;
  readonly paths: readonly BytePath[];
};

/** @throws {LbsError} usage */
function operandsOf(flags: FlagValues): Operands {
  const named = flags.text('target');
  const isOriginal = flags.isOn('original-place');
  if (named !== undefined && isOriginal) {
    throw new LbsError('usage', 'give either --target or --original-place, not both');
  }
  const snapshot = flags.operandText(0, 'SNAPSHOT');
  const isOperand = named === undefined && !isOriginal;
  const target = isOperand ? flags.operandText(1, 'TARGET') : named;
  if (!snapshot || (!isOriginal && !target)) {
    throw new LbsError('usage', snapshot ? 'no target directory given' : 'no snapshot given', {
      hint: `usage: ${RESTORE.usage.map((words) => `lbs restore ${words}`).join('\n       ')}`,
    });
  }
  return { snapshot, target, paths: snapshotPaths(flags.operands.slice(isOperand ? 2 : 1)) };
}

/** @throws {LbsError} usage */
function overwriteOf(flags: FlagValues): Overwrite | undefined {
  const text = flags.text('overwrite');
  if (text === undefined) return undefined;
  const found = OVERWRITE.find((word) => word === text);
  if (found !== undefined) return found;
  throw new LbsError('usage', `--overwrite=${JSON.stringify(text)} is not known`, {
    hint: `it is one of: ${OVERWRITE.join(', ')}`,
  });
}

/** @throws {LbsError} usage */
function stripComponentsOf(flags: FlagValues): number | undefined {
  const text = flags.text('strip-components');
  if (text === undefined) return undefined;
  if (/^\d{1,4}$/.test(text) && Number(text) <= STRIP_MAX) return Number(text);
  throw new LbsError('usage', `--strip-components=${JSON.stringify(text)} is not a small number`, {
    hint: 'with 2, home/ann/letters is restored as letters',
  });
}

/** @throws {LbsError} usage */
function restoreOptionsOf(
  flags: FlagValues,
  reading: ReadOptions,
  { snapshot, target, paths }: Operands,
): RestoreOptions {
  return {
    ...reading,
    snapshot,
    paths,
    // Those of the configuration are for backups: a restore leaves out only what it is told to here.
    excludes: flags.given('exclude').map(bytePath),
    includes: flags.given('include').map(bytePath),
    ruleFiles: flags.given('rules').map(bytePath),
    backupRules: {
      excludes: flags.configured('exclude').map(bytePath),
      includes: flags.configured('include').map(bytePath),
      ruleFiles: flags.configured('rules').map(bytePath),
      dirMerges: flags.configured('dir-merge'),
      ignoreFiles: flags.configured('ignore-file'),
    },
    backupLeavesCaches: flags.isOn('exclude-caches'),
    backupMarkers: flags.configured('exclude-if-present'),
    originalPlace: target === undefined,
    numericOwner: flags.isOn('numeric-owner'),
    delete: flags.isOn('delete'),
    dryRun: flags.isOn('dry-run'),
    ownPlaces: flags.texts('localdb'),
    ...present({
      target,
      overwrite: overwriteOf(flags),
      stripComponents: stripComponentsOf(flags),
      undoDir: flags.text('undo-dir'),
    }),
  };
}

/** `--target=-`: one file to standard output. @throws {LbsError} */
async function restoreToOutput(
  flags: FlagValues,
  reading: ReadOptions,
  { snapshot, paths }: Operands,
  report: CommandReport,
): Promise<number> {
  const other = OF_DIRECTORIES.find((name) => flags.isGiven(name));
  if (other !== undefined) {
    throw new LbsError('usage', `--${other} cannot be used with --target=-`);
  }
  if (paths.length !== 1) {
    throw new LbsError('usage', '--target=- restores exactly one file', {
      hint: '"lbs cat" writes several, "lbs dump" writes directories as a tar archive',
    });
  }
  return await catToOutput({ ...reading, snapshot, paths, report: report.report });
}

/** Restores; 0, 3 when something could not be put back as recorded, 4 when the store is damaged. */
export async function runRestore(input: CommandInput): Promise<number> {
  const { flags, outputs } = input;
  const report = openReport('restore', flags, outputs);
  try {
    const reading = readOptionsOf(input, 'lbs restore --store=/mnt/backup latest /tmp/back');
    const operands = operandsOf(flags);
    if (operands.target === STANDARD_OUTPUT) {
      return await restoreToOutput(flags, reading, operands, report);
    }
    const options = restoreOptionsOf(flags, reading, operands);
    const { restore } = await import('../restore/restore.ts');
    const summary = await restore({ ...options, report: report.report });
    report.restoreDone(summary);
    if (summary.damaged > 0) return EXIT.damaged;
    return summary.warnings > 0 ? EXIT.incomplete : EXIT.done;
  } finally {
    report.close();
  }
}
