/**
 * Patterns of rule and ignore files, matched in time that grows with the product of their lengths.
 *
 * Such files lie in the tree, so anybody may have written them: a regular expression made of
 * `*a*a*a*b` would try for hours. Here all ways through a pattern are followed side by side,
 * character by character.
 */

/** One step through a pattern. */
export type Step =
  /** One character, by its code point. */
  | { readonly kind: 'character'; readonly code: number }
  /** Any one character but a slash. */
  | { readonly kind: 'any' }
  /** One character that is in a set. */
  | { readonly kind: 'set'; readonly has: (code: number) => boolean }
  /** Any number of characters but slashes. */
  | { readonly kind: 'star' }
  /** Any number of characters. */
  | { readonly kind: 'deep' }
  /** The next two steps, which end in a character, may be left out together. */
  | { readonly kind: 'optional' };

const SLASH = 0x2f;
const ANY: Step = { kind: 'any' };
const STAR: Step = { kind: 'star' };
const DEEP: Step = { kind: 'deep' };

/** Any number of directories, each with its slash, or none. */
export const DIRECTORIES: readonly Step[] = [
  { kind: 'optional' },
  DEEP,
  { kind: 'character', code: SLASH },
];

/** One object for each common character, since a file may have many patterns. */
const ASCII: readonly Step[] = Array.from({ length: 128 }, (_, code) => ({
  kind: 'character',
  code,
}));

/** Steps for each character of `text`. */
export function literalSteps(text: string): Step[] {
  return Array.from(text, (char) => {
    const code = char.codePointAt(0) ?? 0;
    return ASCII[code] ?? { kind: 'character', code };
  });
}

/** `*`, `**` and `?` as their steps; other characters stand for themselves. */
export function plainGlobSteps(pattern: string): Step[] {
  return (pattern.match(/\*+|[^*]/gu) ?? []).flatMap((part) => {
    if (part === '*') return [STAR];
    if (part.startsWith('*')) return [DEEP];
    return part === '?' ? [ANY] : literalSteps(part);
  });
}

/** Marks the places in a pattern that are reached; shared, since matching is synchronous. */
let marks = new Float64Array(64);
let round = 0;

export class Glob {
  readonly #steps: readonly Step[];
  /** What it matches when nothing in it is special. */
  readonly #literal: string | undefined;
  /** What every match begins and ends with: nearly all names are told apart by these. */
  readonly #beginning: string;
  readonly #ending: string;
  /** A `*` and an ending, asked about texts without slashes: then the ending is enough. */
  readonly #isEnding: boolean;

  /** `isOfName`: it is asked about single components only. */
  constructor(steps: readonly Step[], isOfName: boolean) {
    const first = steps.findIndex(({ kind }) => kind !== 'character');
    const last = steps.findLastIndex(({ kind }) => kind !== 'character');
    this.#literal = first < 0 ? textOf(steps) : undefined;
    this.#beginning = textOf(steps.slice(0, Math.max(0, first)));
    // The slash behind directories may be left out with them.
    const isOptional = steps[last - 1]?.kind === 'optional';
    this.#ending = textOf(steps.slice(last + (isOptional ? 2 : 1)));
    this.#isEnding = isOfName && last === 0 && steps[0]?.kind === 'star';
    this.#steps = this.#literal !== undefined || this.#isEnding ? [] : steps;
  }

  /** What it matches, when that is one text only. */
  get literal(): string | undefined {
    return this.#literal;
  }

  /** True when the whole of `text` matches. */
  matches(text: string): boolean {
    if (this.#literal !== undefined) return text === this.#literal;
    if (!text.endsWith(this.#ending) || !text.startsWith(this.#beginning)) return false;
    return this.#isEnding || this.#follow(text);
  }

  #follow(text: string): boolean {
    const steps = this.#steps;
    if (marks.length <= steps.length) marks = new Float64Array(2 * steps.length);
    let reached: number[] = [];
    let next: number[] = [];
    round++;
    this.#reach(reached, 0);
    for (let at = 0; at < text.length && reached.length > 0;) {
      const code = text.codePointAt(at) ?? 0;
      at += code > 0xffff ? 2 : 1;
      round++;
      for (const place of reached) {
        const step = steps[place];
        if (step !== undefined && takes(step, code)) {
          this.#reach(next, step.kind === 'star' || step.kind === 'deep' ? place : place + 1);
        }
      }
      reached.length = 0;
      [reached, next] = [next, reached];
    }
    return reached.includes(steps.length);
  }

  /** Adds a place in the pattern, and those that need no character to come to from there. */
  #reach(places: number[], from: number): void {
    for (let place = from; marks[place] !== round;) {
      marks[place] = round;
      places.push(place);
      const kind = this.#steps[place]?.kind;
      if (kind === 'optional') {
        // Never deeper than this: what may be left out ends in a character.
        this.#reach(places, place + 1);
        place += 3;
      } else if (kind === 'star' || kind === 'deep') place++;
      else return;
    }
  }
}

function takes(step: Step, code: number): boolean {
  switch (step.kind) {
    case 'character':
      return step.code === code;
    case 'any':
    case 'star':
      return code !== SLASH;
    case 'deep':
      return true;
    case 'set':
      return step.has(code);
    case 'optional':
      return false;
  }
}

/** The text of steps that are characters. */
function textOf(steps: readonly Step[]): string {
  return steps
    .map((step) => (step.kind === 'character' ? String.fromCodePoint(step.code) : ''))
    .join('');
}
