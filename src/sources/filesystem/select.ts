/**
 * Which entries belong to a backup: named paths, exclude and include rules.
 *
 * A flag is inherited from the directory above: a named path sets it, an exclude rule clears it,
 * an include rule (below a named path) sets it again; on one entry include beats exclude, and
 * exclude beats naming. Plain paths match exactly, as they always did in this family; a rule with
 * `*`, `?` or `[` is a pattern in the manner of rsync: without a slash it matches a last
 * component, with a leading slash it is anchored at the top, with a slash inside it matches
 * trailing components, with a trailing slash only directories.
 */
import { Minimatch } from 'minimatch';
import { LbsError, messageOf } from '../../errors.ts';
import { type BytePath, showPath, utf8Of } from '../../std/byte-path.ts';
import { type ByteText, asByteText, byteText, joinText, toBytePath } from '../../std/byte-text.ts';
import type { NamedPaths } from './named-paths.ts';

export type SelectionRules = {
  readonly named: Pick<NamedPaths, 'roots' | 'relocate'>;
  readonly excludes: readonly BytePath[];
  readonly includes: readonly BytePath[];
};

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
};

/** Plain paths of all rules, as a tree of components. */
type PathNode = {
  named: boolean;
  excluded: boolean;
  included: boolean;
  /** A named or included path lies below. */
  holdsMore: boolean;
  children: Map<string, PathNode>;
};

type Pattern = { readonly onlyDirectories: boolean; readonly matcher: Minimatch };

const WILDCARD = /[*?[]/;

function newNode(): PathNode {
  return { named: false, excluded: false, included: false, holdsMore: false, children: new Map() };
}

/** Bytes that are no UTF-8 become lone surrogates, which no text contains, one for each byte. */
const LONE_SURROGATES_AT = 0xdc00;

function decodedComponent(bytes: Buffer): string {
  const text = utf8Of(bytes);
  if (text !== undefined) return text;
  return Array.from(bytes, (byte) =>
    String.fromCharCode(byte < 0x80 ? byte : LONE_SURROGATES_AT + byte),
  ).join('');
}

/** A path as text for matching only; each component by itself, so one cannot spoil the others. */
function decoded(path: ByteText): string {
  return path
    .split('/')
    .map((component) => decodedComponent(Buffer.from(component, 'latin1')))
    .join('/');
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

function compile(rule: BytePath, named: SelectionRules['named']): Pattern {
  const onlyDirectories = rule.at(-1) === 0x2f;
  const text = patternText(asByteText(byteText(rule).replace(/\/+$/, '')), named);
  const options = { dot: true, nocomment: true, nonegate: true, noext: true, nobrace: true };
  try {
    return { onlyDirectories, matcher: new Minimatch(text, { ...options, platform: 'linux' }) };
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

  /** @throws {LbsError} usage for an unusable rule */
  constructor({ named, excludes, includes }: SelectionRules) {
    for (const root of named.roots) this.#add(root).named = true;
    for (const rule of excludes) {
      if (this.#isPattern(rule)) this.#excludes.push(compile(rule, named));
      this.#add(named.relocate(rule)).excluded = true;
    }
    for (const rule of includes) {
      if (this.#isPattern(rule)) {
        this.#includes.push(compile(rule, named));
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
      this.#add(place).included = true;
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
    return node.holdsMore || node.named || node.included;
  }

  /** The verdict on the top directory itself. */
  top(): Verdict {
    const above: Verdict = {
      selected: false,
      search: true,
      inNamed: false,
      isNamed: false,
      node: undefined,
    };
    return this.#judge(above, this.#tree, asByteText('.'), true);
  }

  /** The verdict on `name` in a directory that got `above`. */
  child(above: Verdict, directory: ByteText, name: ByteText, isDirectory: boolean): Verdict {
    const node = above.node?.children.get(name);
    // The common case, everything below a selected place without patterns: nothing to decide.
    if (node === undefined && this.#excludes.length === 0 && (above.selected || !above.inNamed)) {
      const inherits = above.node === undefined && !above.isNamed && !above.search;
      return inherits ? above : { ...above, node, isNamed: false, search: false };
    }
    return this.#judge(above, node, joinText(directory, name), isDirectory);
  }

  #judge(
    above: Verdict,
    node: PathNode | undefined,
    path: ByteText,
    isDirectory: boolean,
  ): Verdict {
    const isNamed = node?.named ?? false;
    const inNamed = above.inNamed || isNamed;
    let selected = above.selected || isNamed;
    if (inNamed && (node?.excluded === true || this.#matches(this.#excludes, path, isDirectory))) {
      selected = false;
    }
    if (inNamed && !selected) {
      selected = node?.included === true || this.#matches(this.#includes, path, isDirectory);
    }
    // A pattern may match anywhere below, so an excluded directory must be searched for it.
    const search = (node?.holdsMore ?? false) || (inNamed && this.#includes.length > 0);
    return { selected, search, inNamed, isNamed, node };
  }

  #matches(patterns: readonly Pattern[], path: ByteText, isDirectory: boolean): boolean {
    if (patterns.length === 0) return false;
    const text = decoded(path);
    return patterns.some(
      ({ onlyDirectories, matcher }) => (!onlyDirectories || isDirectory) && matcher.match(text),
    );
  }
}
