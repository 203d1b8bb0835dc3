/**
 * The text of a rule file or an ignore file to rules. Pure: `rule-files` reads the files.
 *
 * A rule file's lines are `+ PATTERN`, `- PATTERN`, `: NAME` (rule files of that name found in the
 * tree count here) and `. FILE` (the rules of FILE count here); the first that matches decides.
 * Languages: lbs-rules(5).
 *
 * Invariant: no line is passed over without a word: it is a rule, empty, a comment, or a problem.
 */
import { type BytePath, bytePath } from '../../std/byte-path.ts';
import { type ByteText, asByteText, byteText } from '../../std/byte-text.ts';
import { DIRECTORIES, Glob, plainGlobSteps } from './glob.ts';
import { UnusableLine, parseIgnoreLine } from './ignore-pattern.ts';
import { decoded } from './name-text.ts';

/** `rules`: first match wins, `+` and `-`; `ignore`: as gitignore(5). */
export type RuleLanguage = 'rules' | 'ignore';

/** Where a rule stands. */
export type RulePlace = {
  /** As the command line or the snapshot has it. */
  readonly file: BytePath;
  /** From 1. */
  readonly line: number;
};

/** What is asked of an entry, and what a name of rule files is asked of it. */
export type NamePattern = {
  readonly onlyDirectories: boolean;
  /** It is asked of the last component only, else of the path below the rule's directory. */
  readonly isOfName: boolean;
  readonly glob: Glob;
};

export type Rule = NamePattern &
  RulePlace & {
    /** True for a rule that keeps what it matches. */
    readonly keeps: boolean;
    /** The line as written. */
    readonly text: BytePath;
  };

/** Rules of one file that stand together. */
export type RuleBlock = {
  readonly kind: 'block';
  /** Length of the text of the file's directory with its slash: rules match what is behind it. */
  readonly base: number;
  readonly rules: readonly Rule[];
  /** The last match decides, not the first. */
  readonly lastWins: boolean;
  /** What they take of the room for rules of files in the tree. */
  readonly sizeBytes: number;
};

/** The place among the rules where those of files in the tree go. */
export type RuleSlot = {
  readonly kind: 'slot';
  readonly base: number;
  readonly language: RuleLanguage;
  readonly name: NamePattern;
  /** As of a block. */
  readonly sizeBytes: number;
};

export type RuleItem = RuleBlock | RuleSlot;

export type RuleProblem = RulePlace & { readonly message: string };

export type ParsedRules = {
  readonly items: readonly RuleItem[];
  readonly problems: readonly RuleProblem[];
};

export type RuleText = {
  readonly file: BytePath;
  readonly raw: Buffer;
  readonly base: number;
  /** The rules of the file of a `. FILE` line. @throws {UnusableLine} */
  readonly merge: (file: BytePath) => ParsedRules;
};

const LINE_END = 0x0a;
const RETURN = 0x0d;
const BYTE_ORDER_MARK = Buffer.from('\ufeff');

/** Lines without their ends, whether these are LF or CR LF. */
function* linesOf(raw: Buffer): Generator<Buffer> {
  const isMarked = raw.subarray(0, BYTE_ORDER_MARK.length).equals(BYTE_ORDER_MARK);
  for (let start = isMarked ? BYTE_ORDER_MARK.length : 0; start < raw.length;) {
    const found = raw.indexOf(LINE_END, start);
    const end = found < 0 ? raw.length : found;
    yield raw.subarray(start, end > start && raw[end - 1] === RETURN ? end - 1 : end);
    start = end + 1;
  }
}

/** The top itself: rules of the old programs keep it so, and here it needs no keeping. */
const TOP_ITSELF = /^\/?(?:\.\/?)?$/;

/**
 * A pattern of the family: a leading slash anchors, a trailing one means directories, `*`, `**` and `?` are
 * special, nothing else. @throws {UnusableLine} when it can match nothing
 */
export function parsePattern(bytes: ByteText): NamePattern {
  const onlyDirectories = bytes.endsWith('/');
  const isAnchored = bytes.startsWith('/');
  const plain = bytes.slice(isAnchored ? 1 : 0, onlyDirectories ? -1 : undefined);
  if (!TOP_ITSELF.test(bytes)) {
    const odd = plain.split('/').find((part) => part === '' || part === '.' || part === '..');
    if (odd !== undefined) {
      const what = odd === '' ? 'two slashes in a row' : `"${odd}"`;
      throw new UnusableLine(`has ${what}, which no path in a snapshot has`);
    }
  }
  const steps = plainGlobSteps(decoded(asByteText(plain)));
  const isDeep = steps.some(({ kind }) => kind === 'deep');
  const isOfName = !isAnchored && !isDeep && !plain.includes('/');
  const isFree = !isAnchored && !isOfName;
  const glob = new Glob(isFree ? [...DIRECTORIES, ...steps] : steps, isOfName);
  return { onlyDirectories, isOfName, glob };
}

/** Gathers the items of one file; rules in a row become one block. */
class Gatherer {
  readonly #text: RuleText;
  readonly #language: RuleLanguage;
  readonly #items: RuleItem[] = [];
  readonly #problems: RuleProblem[] = [];
  #rules: Rule[] = [];

  constructor(text: RuleText, language: RuleLanguage) {
    this.#text = text;
    this.#language = language;
  }

  gather(): ParsedRules {
    const { file, raw } = this.#text;
    let line = 0;
    for (const bytes of linesOf(raw)) {
      const place = { file, line: ++line };
      try {
        if (bytes.includes(0)) throw new UnusableLine('has a NUL byte: is this a text file?');
        if (this.#language === 'ignore') this.#ignoreLine(bytes, place);
        else this.#ruleLine(bytes, place);
      } catch (error) {
        if (!(error instanceof UnusableLine)) throw error;
        this.#problems.push({ ...place, message: error.message });
      }
    }
    this.#endBlock();
    return { items: this.#items, problems: this.#problems };
  }

  #endBlock(): void {
    if (this.#rules.length === 0) return;
    const rules = this.#rules;
    this.#rules = [];
    this.#items.push({
      kind: 'block',
      base: this.#text.base,
      rules,
      lastWins: this.#language === 'ignore',
      sizeBytes: rules.reduce((sum, { text }) => sum + text.length + 1, 0),
    });
  }

  #ignoreLine(bytes: Buffer, place: RulePlace): void {
    const parsed = parseIgnoreLine(decoded(byteText(bytes)));
    if (parsed === undefined) return;
    const { steps, isOfName, ...rest } = parsed;
    const glob = new Glob(steps, isOfName);
    this.#rules.push({ ...rest, isOfName, glob, ...place, text: bytePath(bytes) });
  }

  #ruleLine(bytes: Buffer, place: RulePlace): void {
    const line = byteText(bytes);
    if (/^(?:#|[ \t]*$)/.test(line)) return;
    const type = /^([-+:.])[ \t]/.exec(line)?.[1];
    if (type === undefined) {
      throw new UnusableLine(
        'is not a rule: it begins with none of "+ ", "- ", ": ", ". " and "#"',
      );
    }
    const rest = bytes.subarray(2);
    if (rest.length === 0) throw new UnusableLine('has no pattern');
    if (type === '.') {
      const merged = this.#text.merge(bytePath(rest));
      this.#endBlock();
      // Not spread: there may be more of them than a call takes arguments.
      for (const item of merged.items) this.#items.push(item);
      for (const problem of merged.problems) this.#problems.push(problem);
      return;
    }
    const pattern = parsePattern(byteText(rest));
    if (type === ':') {
      if (pattern.onlyDirectories) throw new UnusableLine('names directories, not files of rules');
      this.#endBlock();
      this.#items.push({
        kind: 'slot',
        base: this.#text.base,
        language: 'rules',
        name: pattern,
        sizeBytes: bytes.length + 1,
      });
      return;
    }
    this.#rules.push({ ...pattern, keeps: type === '+', ...place, text: bytePath(bytes) });
  }
}

/** Reads the text of one file. Problems do not end the reading: what they cost is for the caller to say. */
export function parseRules(text: RuleText, language: RuleLanguage): ParsedRules {
  return new Gatherer(text, language).gather();
}

/**
 * What is left of rules that were not all understood, so that nothing is left out because of
 * them: what they keep stays kept.
 */
export function onlyKept(items: readonly RuleItem[]): RuleItem[] {
  return items.flatMap((item) =>
    item.kind === 'slot' ? [] : [{ ...item, rules: item.rules.filter(({ keeps }) => keeps) }],
  );
}
