/**
 * Which entries of a snapshot a restore takes, and under which names: the paths asked for, the rules
 * of `--exclude`, `--include` and `--rules`, and `--strip-components`.
 *
 * Called by plan-restore.ts once per entry, and by extra-entries.ts for what a rule protects.
 * Rules mean what they mean to a backup: they are on paths within the snapshot, and the paths asked
 * for are the named ones.
 */
import type { RuleDirectory, RuleScope } from '../sources/filesystem/rule-scope.ts';
import { Selector, type Verdict } from '../sources/filesystem/select.ts';
import { type BytePath, TOP, bytePath } from '../std/byte-path.ts';
import { type ByteText, asByteText, byteText } from '../std/byte-text.ts';
import { PathSelection, type Role, normalisePath } from './select-paths.ts';

export type Rules = {
  readonly excludes: readonly BytePath[];
  readonly includes: readonly BytePath[];
  /** Those of files, as `readRules` gives them. */
  readonly rules: RuleScope | undefined;
};

export type SelectionOptions = Rules & {
  readonly paths: readonly Buffer[];
  /** Rules of the backup: what they leave out is in no snapshot, so it is never deleted. */
  readonly backupRules: Rules;
  readonly stripComponents: number;
};

/** Shows a directory of the target; undefined where there is none. `path` is that in the snapshot. */
export type RuleTree = (
  path: ByteText,
  use: (directory: RuleDirectory) => Verdict,
) => Verdict | undefined;

const SLASH = 0x2f;
const TOP_TEXT = asByteText('.');
/** Directories whose verdict is remembered; entries come directory by directory. */
const VERDICTS_MAX = 1000;

export class EntrySelection {
  readonly #paths: PathSelection;
  readonly #rules: RuleVerdicts | undefined;
  readonly #backupRules: RuleVerdicts | undefined;
  readonly #strip: number;

  /** @throws {LbsError} usage for an unusable rule */
  constructor(options: SelectionOptions) {
    const { paths, backupRules } = options;
    this.#paths = new PathSelection(paths);
    this.#strip = options.stripComponents;
    this.#rules = RuleVerdicts.of(options, paths.length === 0 ? [TOP] : paths.map(bytePath));
    this.#backupRules = RuleVerdicts.of(backupRules, [TOP]);
  }

  /** The part that an entry plays; undefined when it is left alone. `path` is `''` for the top. */
  roleOf(path: Buffer, isDirectory: boolean): Role | undefined {
    const role = this.#paths.roleOf(path);
    if (this.#rules === undefined || role !== 'selected') return role;
    const { selected, search } = this.#rules.on(path, isDirectory);
    if (selected) return 'selected';
    return search && isDirectory ? 'parent' : undefined;
  }

  /** True for a path that a rule, of a backup too, leaves out, whether the snapshot has it or not. */
  isExcluded(path: Buffer, isDirectory: boolean): boolean {
    return [this.#rules, this.#backupRules].some(
      (rules) => rules !== undefined && !rules.on(path, isDirectory).selected,
    );
  }

  /** From now on files of rules in a target count, where the rules of the backup say so. */
  askTree(tree: RuleTree): void {
    this.#backupRules?.askTree(tree);
  }

  /** Where a path comes to below the target, `''` for the target itself; undefined for nowhere. */
  placeOf(path: Buffer): Buffer | undefined {
    let rest = path;
    for (let left = this.#strip; left > 0; left--) {
      if (rest.length === 0) return undefined;
      const slash = rest.indexOf(SLASH);
      rest = slash < 0 ? rest.subarray(rest.length) : rest.subarray(slash + 1);
    }
    return rest;
  }

  /** Paths asked for at or below which `roleOf` has met nothing. */
  unmatched(): BytePath[] {
    return this.#paths.unmatched();
  }
}

/** What rules say of paths, with the directories above remembered. */
class RuleVerdicts {
  readonly #rules: Selector;
  readonly #verdicts = new Map<string, Verdict>();
  #tree: RuleTree | undefined;

  private constructor(rules: Selector) {
    this.#rules = rules;
  }

  /** Undefined without rules. @throws {LbsError} usage */
  static of(given: Rules, named: readonly BytePath[]): RuleVerdicts | undefined {
    const { excludes, includes, rules } = given;
    const isNone = excludes.length === 0 && includes.length === 0 && rules === undefined;
    if (isNone) return undefined;
    const relocate = (path: BytePath) => byteText(normalisePath(path));
    const roots = named.map(relocate);
    return new RuleVerdicts(
      new Selector({ named: { roots, relocate }, excludes, includes, rules }),
    );
  }

  askTree(tree: RuleTree): void {
    if (!this.#rules.readsRules) return;
    this.#tree = tree;
    this.#verdicts.clear();
  }

  on(path: Buffer, isDirectory: boolean): Verdict {
    if (path.length === 0) return this.#rules.top();
    return this.#child(byteText(path), isDirectory);
  }

  /** With what files in it say of its contents. */
  #directory(path: ByteText): Verdict {
    let verdict = this.#verdicts.get(path);
    if (verdict === undefined) {
      const outer = path === TOP_TEXT ? this.#rules.top() : this.#child(path, true);
      const entered = this.#tree?.(path, (directory) => this.#rules.entered(outer, directory));
      verdict = entered ?? outer;
      if (this.#verdicts.size >= VERDICTS_MAX) this.#verdicts.clear();
      this.#verdicts.set(path, verdict);
    }
    return verdict;
  }

  #child(path: ByteText, isDirectory: boolean): Verdict {
    const slash = path.lastIndexOf('/');
    const directory = slash < 0 ? TOP_TEXT : asByteText(path.slice(0, slash));
    const name = asByteText(path.slice(slash + 1));
    return this.#rules.child(this.#directory(directory), directory, name, isDirectory);
  }
}
