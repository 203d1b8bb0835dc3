/** From options to what belongs to a backup: paths, rules and marks, for `backup` and `why`. */
import { LbsError } from '../errors.ts';
import type { RuleOptions } from '../sources/filesystem/rule-files.ts';
import { type BytePath, bytePath, showPath } from '../std/byte-path.ts';
import type { FlagValues } from './flag-values.ts';
import { readPathList } from './path-list.ts';

const LINE_END = 0x0a;
const NUL = 0;
const SLASH = 0x2f;

/** The paths of a backup: those given, then those in files; may be none. @throws {LbsError} usage */
export function namedPathsOf(flags: FlagValues, given: readonly BytePath[]): BytePath[] {
  const paths = [
    ...given,
    ...flags.list('files-from').flatMap((file) => readPathList(file, LINE_END)),
    ...flags.list('files-from0').flatMap((file) => readPathList(file, NUL)),
  ];
  refuseEmptyPaths(paths, 'the current directory is written as "."');
  return paths;
}

/** `hint` says what may have been meant. @throws {LbsError} usage */
export function refuseEmptyPaths(paths: readonly BytePath[], hint: string): void {
  if (paths.every((path) => path.length > 0)) return;
  throw new LbsError('usage', 'one of the paths is empty', {
    hint: `${hint}; or is a variable in a script not set?`,
  });
}

/** Paths within a snapshot, none for all of it. @throws {LbsError} usage */
export function snapshotPaths(given: readonly BytePath[]): readonly BytePath[] {
  refuseEmptyPaths(given, 'the whole snapshot is written as "/"');
  return given;
}

/** @throws {LbsError} usage */
export function markerNamesOf(flags: FlagValues): Buffer[] {
  const names = flags.list('exclude-if-present');
  const bad = names.find((name) => name.length === 0 || name.includes(SLASH));
  if (bad === undefined) return names;
  throw new LbsError('usage', `--exclude-if-present="${showPath(bad)}" is not the name of a file`, {
    hint: 'give a name without slashes, such as .nobackup',
  });
}

/** Rules of the command line and of files, as every command that asks them takes them. */
export function rulesOf(flags: FlagValues): {
  excludes: BytePath[];
  includes: BytePath[];
  ruleFiles: RuleOptions;
} {
  return {
    excludes: flags.list('exclude').map(bytePath),
    includes: flags.list('include').map(bytePath),
    ruleFiles: {
      rules: flags.list('rules').map(bytePath),
      dirMerges: flags.list('dir-merge'),
      ignoreFiles: flags.list('ignore-file'),
    },
  };
}
