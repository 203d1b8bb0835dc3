/**
 * The rules of files that hold in one directory, and how they change on the way down.
 *
 * A list of blocks of rules, asked in order, with slots among them. What files in the tree say
 * goes right behind their slot, before what the same slot took from directories above: so the
 * nearer file wins. Used by `select`; the list of a directory is never changed, so its parent's
 * still holds on the way back up.
 */
import { type ByteText, joinText } from '../../std/byte-text.ts';
import { decoded } from './name-text.ts';
import type {
  NamePattern,
  Rule,
  RuleBlock,
  RuleItem,
  RuleLanguage,
  RuleSlot,
} from './rule-lines.ts';

export type RuleScope = readonly RuleItem[];

/** A directory that is entered, as far as rule files are concerned. */
export type RuleDirectory = {
  readonly path: ByteText;
  /** All that is in it, sorted. */
  readonly names: readonly ByteText[];
  /** The rules of a file in it; none when it cannot be used, after a warning. */
  readonly read: (file: RuleFileThere) => readonly RuleItem[];
};

export type RuleFileThere = {
  readonly name: ByteText;
  readonly language: RuleLanguage;
  /** Of its rules, as in `RuleBlock`. */
  readonly base: number;
  /** How large it may be, with what it merges. */
  readonly roomBytes: number;
};

/**
 * For all rules of files in the tree that hold in one directory. People write some kilobytes; more
 * would let whoever owns a directory fill our memory.
 */
export const TREE_RULES_BYTES_MAX = 256 * 1024;

/** A name that is asked of patterns, once as a whole and once by its last component. */
class AskedPath {
  readonly #path: string;
  readonly #name: string;
  readonly #isDirectory: boolean;

  constructor(path: ByteText, isDirectory: boolean) {
    this.#path = decoded(path);
    this.#name = this.#path.slice(this.#path.lastIndexOf('/') + 1);
    this.#isDirectory = isDirectory;
  }

  matches({ onlyDirectories, isOfName, glob }: NamePattern, base: number): boolean {
    if (onlyDirectories && !this.#isDirectory) return false;
    return glob.matches(isOfName ? this.#name : this.#path.slice(base));
  }
}

/** The rule that decides about an entry; undefined when none says anything. */
export function decidingRule(
  scope: RuleScope,
  path: ByteText,
  isDirectory: boolean,
): Rule | undefined {
  const asked = new AskedPath(path, isDirectory);
  for (const item of scope) {
    if (item.kind === 'slot') continue;
    const rule = decidingInBlock(item, asked);
    if (rule !== undefined) return rule;
  }
  return undefined;
}

function decidingInBlock({ rules, base, lastWins }: RuleBlock, asked: AskedPath): Rule | undefined {
  return lastWins
    ? rules.findLast((rule) => asked.matches(rule, base))
    : rules.find((rule) => asked.matches(rule, base));
}

/** The names in a directory that a slot asks for. */
function namesFor({ name, base }: RuleSlot, { path, names }: RuleDirectory): readonly ByteText[] {
  const { literal } = name.glob;
  if (name.isOfName && literal !== undefined) {
    // By far the most common question, once in each directory: no decoding of all its names.
    return names.filter((each) => each.length >= literal.length && decoded(each) === literal);
  }
  return names.filter((each) => new AskedPath(joinText(path, each), false).matches(name, base));
}

function sizeOf(items: readonly RuleItem[]): number {
  return items.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

/** The rules that hold in a directory, from those that hold in the one above it. */
export function enterScope(above: RuleScope, directory: RuleDirectory): RuleScope {
  const base = directory.path === '.' ? 0 : decoded(directory.path).length + 1;
  const scope: RuleItem[] = [];
  // A second reading of a file further down the list could decide nothing that the first does
  // not, and a file that asks for its own name would never end.
  const taken = new Set<string>();
  const waiting = [...above].reverse();
  let roomBytes = TREE_RULES_BYTES_MAX - sizeOf(above);
  for (let item = waiting.pop(); item !== undefined; item = waiting.pop()) {
    scope.push(item);
    if (item.kind === 'block') continue;
    const { language } = item;
    const found: (readonly RuleItem[])[] = [];
    for (const name of namesFor(item, directory)) {
      const key = `${language}/${name}`;
      if (taken.has(key)) continue;
      taken.add(key);
      const items = directory.read({ name, language, base, roomBytes });
      roomBytes -= sizeOf(items);
      found.push(items);
    }
    // Not spread: there may be more of them than a call takes arguments.
    for (const items of found.reverse()) for (const next of items.toReversed()) waiting.push(next);
  }
  return taken.size === 0 ? above : scope;
}
