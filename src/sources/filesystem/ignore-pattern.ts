/**
 * One line of an ignore file in the manner of gitignore(5), as steps of a pattern.
 *
 * Unlike there, a line that can match nothing is told of instead of passed over.
 */
import { DIRECTORIES, type Step, literalSteps } from './glob.ts';

const SLASH = 0x2f;

/** Character classes, as in `[[:digit:]]`; ASCII only, as in the C locale. */
const CLASSES: ReadonlyMap<string, RegExp> = new Map([
  ['alnum', /[A-Za-z0-9]/],
  ['alpha', /[A-Za-z]/],
  ['blank', /[ \t]/],
  ['cntrl', /[\0-\x1f\x7f]/],
  ['digit', /[0-9]/],
  ['graph', /[!-~]/],
  ['lower', /[a-z]/],
  ['print', /[ -~]/],
  ['punct', /[!-/:-@[-`{-~]/],
  ['space', /[ \t\n\v\f\r]/],
  ['upper', /[A-Z]/],
  ['xdigit', /[A-Fa-f0-9]/],
]);

/** What is wrong with a line, in a few words. */
export class UnusableLine extends Error {}

/** A line without what is around its pattern. */
export type IgnoreLine = {
  /** Begins with `!`: brings back. */
  readonly keeps: boolean;
  readonly onlyDirectories: boolean;
  /** Matches a last component at any depth. */
  readonly isOfName: boolean;
  readonly steps: readonly Step[];
};

type Item = (code: number) => boolean;

/** Reads one `[...]`; `at` is after the bracket. */
class SetReader {
  readonly #text: readonly string[];
  at: number;

  constructor(text: readonly string[], at: number) {
    this.#text = text;
    this.at = at;
  }

  read(): Step {
    const first = this.#text[this.at];
    const isNegated = first === '!' || first === '^';
    if (isNegated) this.at++;
    const items: Item[] = [];
    // A bracket that comes first stands for itself.
    do items.push(this.#item());
    while (this.#text[this.at] !== ']');
    this.at++;
    const has: Item = (code) => code !== SLASH && items.some((item) => item(code)) !== isNegated;
    return { kind: 'set', has };
  }

  #item(): Item {
    if (this.#text[this.at] === '[' && this.#text[this.at + 1] === ':') return this.#class();
    const low = this.#code();
    const next = this.#text[this.at + 1];
    if (this.#text[this.at] !== '-' || next === ']' || next === undefined) {
      return (code) => code === low;
    }
    this.at++;
    const high = this.#code();
    return (code) => low <= code && code <= high;
  }

  #class(): Item {
    const rest = this.#text.slice(this.at + 2, this.at + 11).join('');
    const name = /^([a-z]+):\]/.exec(rest)?.[1] ?? '';
    const members = CLASSES.get(name);
    if (members === undefined) throw new UnusableLine('has an unknown class of characters in []');
    this.at += name.length + 4;
    return (code) => members.test(String.fromCodePoint(code));
  }

  #code(): number {
    let char = this.#text[this.at++];
    if (char === '\\') char = this.#text[this.at++];
    if (char === undefined) throw new UnusableLine('has a [ without its ]');
    return char.codePointAt(0) ?? 0;
  }
}

function starSteps(text: readonly string[], at: number, count: number): readonly Step[] {
  const before = at === 0 || text[at - 1] === '/';
  const after = text[at + count];
  if (count < 2 || !before || (after !== undefined && after !== '/')) return [{ kind: 'star' }];
  return after === '/' ? DIRECTORIES : [{ kind: 'deep' }];
}

function stepsOf(pattern: string): Step[] {
  const text = Array.from(pattern);
  const steps: Step[] = [];
  for (let at = 0; at < text.length; at++) {
    const char = text[at] ?? '';
    if (char === '*') {
      let count = 1;
      while (text[at + count] === '*') count++;
      const added = starSteps(text, at, count);
      steps.push(...added);
      // Directories come with the slash after them.
      at += added.length > 1 ? count : count - 1;
    } else if (char === '?') {
      steps.push({ kind: 'any' });
    } else if (char === '[') {
      const reader = new SetReader(text, at + 1);
      steps.push(reader.read());
      at = reader.at - 1;
    } else if (char === '\\') {
      const next = text[++at];
      if (next === undefined) throw new UnusableLine('ends in a backslash');
      steps.push(...literalSteps(next));
    } else steps.push(...literalSteps(char));
  }
  return steps;
}

/** Blanks at the end do not count, unless a backslash stands before them. */
function withoutBlanks(line: string): string {
  let end = line.length;
  while (end > 0 && line[end - 1] === ' ') end--;
  let slashes = 0;
  while (line[end - 1 - slashes] === '\\') slashes++;
  return end < line.length && slashes % 2 === 1 ? line.slice(0, end + 1) : line.slice(0, end);
}

/** Reads a line; undefined for an empty one and a comment. @throws {UnusableLine} */
export function parseIgnoreLine(line: string): IgnoreLine | undefined {
  let pattern = withoutBlanks(line);
  if (pattern === '' || pattern.startsWith('#')) return undefined;
  const keeps = pattern.startsWith('!');
  if (keeps) pattern = pattern.slice(1);
  const onlyDirectories = pattern.endsWith('/');
  if (onlyDirectories) pattern = pattern.slice(0, -1);
  const isOfName = !pattern.includes('/');
  if (pattern.startsWith('/')) pattern = pattern.slice(1);
  if (pattern === '') throw new UnusableLine('has no pattern');
  return { keeps, onlyDirectories, isOfName, steps: stepsOf(pattern) };
}
