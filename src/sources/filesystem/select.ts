/**
 * Which entries belong to a backup: named paths, exclude and include rules.
 *
 * A flag is inherited from the directory above: a named path sets it, an exclude rule clears it,
 * an include rule (below a named path) sets it again; on one entry include beats exclude, and
 * exclude beats naming. Plain paths match exactly, as they always did in this family; a rule with
 * `*`, `?` or `[` is a pattern in the manner of rsync: without a slash it matches a last
 * component, with a leading slash it is anchored at the top, with a slash inside it matches
 * trailing components, with a trailing slash only directories.
 *
 * Rules of files (`rule-scope`) are asked last, about what is still in and was neither named nor
 * included itself. Each verdict says what decided it, so that `lbs why` needs no rules of its own.
 */
import { createRequire } from 'node:module';
import type { Minimatch } from 'minimatch';
import { LbsError, messageOf } from '../../errors.ts';
import { type BytePath, showPath } from '../../std/byte-path.ts';
import { type ByteText, asByteText, byteText, joinText, toBytePath } from '../../std/byte-text.ts';
import { decoded } from './name-text.ts';
import type { NamedPaths } from './named-paths.ts';
import type { Rule } from './rule-lines.ts';
import { type RuleDirectory, type RuleScope, decidingRule, enterScope } from './rule-scope.ts';

export type SelectionRules = {
  readonly named: Pick<NamedPaths, 'roots' | 'relocate'>;
  readonly excludes: readonly BytePath[];
  readonly includes: readonly BytePath[];
  /** Rules of files, as `readRules` gives them. */
  readonly rules?: RuleScope | undefined;
};

/** What made an entry come in or stay out. */
export type Decision =
  | { readonly kind: 'named' }
  /** `rule` is the value of the option, the same object that the selector was given. */
  | { readonly kind: 'exclude' | 'include'; readonly rule: BytePath }
  | { readonly kind: 'rule'; readonly rule: Rule };

const NAMED: Decision = { kind: 'named' };

/** What the rules say of one entry, and what its children need to know. */
export type Verdict = {
  readonly selected: boolean;
  /** Look into it although it is not selected: something below may be. */
  readonly search: boolean;
  /** At or below a named path: include rules apply. */
  readonly inNamed: boolean;
  /** A named path itself. */
  readonly isNamed: boolean;
  readonly node: PathNode | undefined;
  /** What decided about this entry itself; undefined where it is as the directory above it. */
  readonly decision: Decision | undefined;
  /** Rules of files that hold for what is in it; undefined when there are none at all. */
  readonly scope: RuleScope | undefined;
};

/** Plain paths of all rules, as a tree of components. */
type PathNode = {
  named: boolean;
  excluded: Decision | undefined;
  included: Decision | undefined;
  /** A named or included path lies below. */
  holdsMore: boolean;
  children: Map<string, PathNode>;
};

type Pattern = {
  readonly onlyDirectories: boolean;
  readonly matcher: Minimatch;
  readonly decision: Decision;
};

const WILDCARD = /[*?[]/;

function newNode(): PathNode {
  const plain = { named: false, excluded: undefined, included: undefined, holdsMore: false };
  return { ...plain, children: new Map() };
}

function escaped(text: string): string {
  return text.replace(/[*?[\]\\]/g, '\\$&');
}

/**
 * The pattern relative to the top. Only a leading slash anchors; `./x` is how a person anchors at
 * the working directory. The plain directories a rule begins with are relocated as paths are.
 */
function patternText(rule: ByteText, named: SelectionRules['named']): string {
  if (!/^(?:\/|\.\.?\/)/.test(rule)) return `**/${decoded(rule)}`;
  const parts = rule.split('/');
  const first = parts.findIndex((part) => WILDCARD.test(part));
  const plain = parts.slice(0, first).join('/') || (rule.startsWith('/') ? '/' : '.');
  const place = named.relocate(toBytePath(asByteText(plain)));
  const rest = decoded(asByteText(parts.slice(first).join('/')));
  return place === '.' ? rest : `${escaped(decoded(place))}/${rest}`;
}

/** Loaded with the first pattern: most runs have none, and it takes 12 ms, as long as their work. */
const loadNow = createRequire(import.meta.url);

function newMatcher(pattern: string): Minimatch {
  const minimatch: typeof import('minimatch') = loadNow('minimatch');
  const options = { dot: true, nocomment: true, nonegate: true, noext: true, nobrace: true };
  return new minimatch.Minimatch(pattern, { ...options, platform: 'linux' });
}

function compile(rule: BytePath, named: SelectionRules['named'], decision: Decision): Pattern {
  const onlyDirectories = rule.at(-1) === 0x2f;
  const text = patternText(asByteText(byteText(rule).replace(/\/+$/, '')), named);
  try {
    return { onlyDirectories, matcher: newMatcher(text), decision };
  } catch (error) {
    throw new LbsError(
      'usage',
      `"${showPath(rule.subarray(0, 80))}" is not a usable pattern: ${messageOf(error)}`,
      {
        cause: error,
      },
    );
  }
}

export class Selector {
  readonly #tree = newNode();
  readonly #excludes: Pattern[] = [];
  readonly #includes: Pattern[] = [];
  readonly #scope: RuleScope | undefined;

  /** @throws {LbsError} usage for an unusable rule */
  constructor({ named, excludes, includes, rules }: SelectionRules) {
    this.#scope = rules;
    for (const root of named.roots) this.#add(root).named = true;
    for (const rule of excludes) {
      const decision: Decision = { kind: 'exclude', rule };
      if (this.#isPattern(rule)) this.#excludes.push(compile(rule, named, decision));
      this.#add(named.relocate(rule)).excluded ??= decision;
    }
    for (const rule of includes) {
      const decision: Decision = { kind: 'include', rule };
      if (this.#isPattern(rule)) {
        this.#includes.push(compile(rule, named, decision));
        continue;
      }
      const place = named.relocate(rule);
      const inside = named.roots.some(
        (root) => root === '.' || place === root || place.startsWith(`${root}/`),
      );
      if (!inside) {
        throw new LbsError(
          'usage',
          `--include=${showPath(rule)} lies outside of the paths to back up`,
          {
            hint: '--include brings back what --exclude removed; name the path itself to back it up',
          },
        );
      }
      this.#add(place).included ??= decision;
    }
    this.#markAbove(this.#tree);
  }

  #isPattern(rule: BytePath): boolean {
    if (rule.length === 0) throw new LbsError('usage', 'an empty --exclude or --include was given');
    return WILDCARD.test(byteText(rule));
  }

  #add(path: ByteText): PathNode {
    let node = this.#tree;
    if (path === '.') return node;
    for (const component of path.split('/')) {
      let child = node.children.get(component);
      if (child === undefined) node.children.set(component, (child = newNode()));
      node = child;
    }
    return node;
  }

  #markAbove(node: PathNode): boolean {
    for (const child of node.children.values()) {
      if (this.#markAbove(child)) node.holdsMore = true;
    }
    return node.holdsMore || node.named || node.included !== undefined;
  }

  /** True when files in the tree may have rules: then `entered` must be asked. */
  get readsRules(): boolean {
    return this.#scope?.some(({ kind }) => kind === 'slot') ?? false;
  }

  /** True when what an entry is may decide about it, although no name below it is searched for. */
  get judgesTypes(): boolean {
    return this.#scope !== undefined;
  }

  /** The verdict on the top directory itself. */
  top(): Verdict {
    const above: Verdict = {
      selected: false,
      search: true,
      inNamed: false,
      isNamed: false,
      node: undefined,
      decision: undefined,
      scope: this.#scope,
    };
    return this.#judge(above, this.#tree, asByteText('.'), true);
  }

  /** The verdict on `name` in a directory that got `above`. */
  child(above: Verdict, directory: ByteText, name: ByteText, isDirectory: boolean): Verdict {
    const node = above.node?.children.get(name);
    // The common case, everything below a selected place without patterns: nothing to decide.
    if (
      node === undefined &&
      this.#scope === undefined &&
      this.#excludes.length === 0 &&
      (above.selected || !above.inNamed)
    ) {
      const inherits = above.node === undefined && above.decision === undefined && !above.search;
      if (inherits) return above;
      return { ...above, node, isNamed: false, search: false, decision: undefined };
    }
    return this.#judge(above, node, joinText(directory, name), isDirectory);
  }

  /**
   * The names that lead on to named paths, in byte order, in a directory above all of these; undefined
   * where any name may matter.
   */
  leadingOn({ inNamed, node }: Verdict): readonly ByteText[] | undefined {
    if (inNamed) return undefined;
    const names: ByteText[] = [];
    for (const [name, { named, holdsMore }] of node?.children ?? []) {
      if (named || holdsMore) names.push(asByteText(name));
    }
    return names.sort();
  }

  /**
   * The verdict on a directory for what is in it: rule files that lie there hold from there on. Only
   * of a selected one, since what is left out has nothing to say.
   */
  entered(verdict: Verdict, directory: RuleDirectory): Verdict {
    if (!verdict.selected || verdict.scope === undefined) return verdict;
    const scope = enterScope(verdict.scope, directory);
    return scope === verdict.scope ? verdict : { ...verdict, scope };
  }

  #judge(
    above: Verdict,
    node: PathNode | undefined,
    path: ByteText,
    isDirectory: boolean,
  ): Verdict {
    const isNamed = node?.named ?? false;
    const inNamed = above.inNamed || isNamed;
    const decision = inNamed ? this.#decide(above, node, path, isDirectory) : undefined;
    // A pattern may match anywhere below, so an excluded directory must be searched for it.
    const search = (node?.holdsMore ?? false) || (inNamed && this.#includes.length > 0);
    const selected = decision === undefined ? above.selected : isTaking(decision);
    return { selected, search, inNamed, isNamed, node, decision, scope: above.scope };
  }

  /** What decides about an entry at or below a named path; undefined: it is as the one above. */
  #decide(
    above: Verdict,
    node: PathNode | undefined,
    path: ByteText,
    isDirectory: boolean,
  ): Decision | undefined {
    const named = node?.named === true ? NAMED : undefined;
    const excluded = node?.excluded ?? this.#matching(this.#excludes, path, isDirectory);
    const isIn = excluded === undefined && (above.selected || named !== undefined);
    // Nothing is left that could decide otherwise.
    if (isIn && (named !== undefined || above.scope === undefined)) return named;
    const included = node?.included ?? this.#matching(this.#includes, path, isDirectory);
    if (!isIn || included !== undefined || above.scope === undefined) return included ?? excluded;
    const rule = decidingRule(above.scope, path, isDirectory);
    return rule === undefined ? undefined : { kind: 'rule', rule };
  }

  #matching(
    patterns: readonly Pattern[],
    path: ByteText,
    isDirectory: boolean,
  ): Decision | undefined {
    if (patterns.length === 0) return undefined;
    const text = decoded(path);
    return patterns.find(
      ({ onlyDirectories, matcher }) => (!onlyDirectories || isDirectory) && matcher.match(text),
    )?.decision;
  }
}

function isTaking(decision: Decision): boolean {
  switch (decision.kind) {
    case 'named':
    case 'include':
      return true;
    case 'exclude':
      return false;
    case 'rule':
      return decision.rule.keeps;
  }
}
