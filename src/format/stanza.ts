/**
 * Stanzas: `key: value` lines ended by an empty line, the text form of metadata, descriptors and
 * companion files. A line that starts with white space continues the value before it.
 *
 * Keys we add consist of letters, digits and `_`, so that the oldest parsers skip them quietly.
 * Values are kept as Latin-1 text of the bytes on disk; continuation lines are joined with `\n`
 * and lose their leading blanks. Format: lbs-format(5), "STANZAS".
 */

/** Keys and values of one stanza. A repeated key keeps its last value. */
export type Stanza = Map<string, string>;

const KEY = /^[-\w]+$/;
const SPACE = 0x20;
const TAB = 0x09;

/** Keys that were met and are keys indeed: the same few in every stanza, so few are tested. */
const knownKeys = new Set<string>();
/** Against a store that makes them up. */
const KNOWN_KEYS_MAX = 200;

function isKey(text: string): boolean {
  if (knownKeys.has(text)) return true;
  if (!KEY.test(text)) return false;
  if (knownKeys.size < KNOWN_KEYS_MAX) knownKeys.add(text);
  return true;
}

/**
 * Lines of a value that are put together at once: one by one, 23 MiB of short ones took 900 MB.
 */
const JOINED_LINES = 1024;

/** More than any program has ever had in one stanza; lines of further ones are junk. */
const KEYS_MAX = 1000;

/** Result of feeding one line to a `StanzaParser`. */
export type LineResult =
  | { kind: 'more' }
  | { kind: 'stanza'; stanza: Stanza }
  | { kind: 'include'; reference: string }
  | { kind: 'junk'; line: string };

const MORE: LineResult = { kind: 'more' };

/** Reads lines (without their newline) and gives stanzas; holds at most one stanza. */
export class StanzaParser {
  #stanza: Stanza = new Map();
  #lastKey: string | undefined;
  /** Lines that go on with the value of the last key. */
  #more: string[] = [];

  /** Takes one line. An `@reference` line in column 0 is an include. */
  line(line: string): LineResult {
    if (line === '') return this.#end();
    const first = line.charCodeAt(0);
    if (first === 0x40) return { kind: 'include', reference: line.slice(1) };
    if (first === SPACE || first === TAB) {
      if (this.#lastKey === undefined) return { kind: 'junk', line };
      if (this.#more.push(line.trimStart()) >= JOINED_LINES) this.#join();
      return MORE;
    }
    this.#join();
    const colon = line.indexOf(':');
    const key = colon < 0 ? '' : line.slice(0, colon);
    const isTooMany = this.#stanza.size >= KEYS_MAX && !this.#stanza.has(key);
    if (isTooMany || !isKey(key)) {
      this.#lastKey = undefined;
      return { kind: 'junk', line };
    }
    let start = colon + 1;
    while (line.charCodeAt(start) === SPACE || line.charCodeAt(start) === TAB) start++;
    this.#lastKey = key;
    this.#stanza.set(key, line.slice(start));
    return MORE;
  }

  /** Ends the text: the last stanza if it was not closed by an empty line. */
  end(): Stanza | undefined {
    const result = this.#end();
    return result.kind === 'stanza' ? result.stanza : undefined;
  }

  /** Adds to the value of the last key what came after it; empty lines before it do not count. */
  #join(): void {
    if (this.#more.length === 0 || this.#lastKey === undefined) return;
    const before = this.#stanza.get(this.#lastKey) ?? '';
    const lines = this.#more;
    this.#more = [];
    const first = before === '' ? lines.findIndex((line) => line !== '') : 0;
    if (first < 0) return;
    const more = lines.slice(first).join('\n');
    this.#stanza.set(this.#lastKey, before === '' ? more : `${before}\n${more}`);
  }

  #end(): LineResult {
    this.#join();
    this.#lastKey = undefined;
    if (this.#stanza.size === 0) return MORE;
    const stanza = this.#stanza;
    this.#stanza = new Map();
    return { kind: 'stanza', stanza };
  }
}

/** One `key: value` line or lines; further lines of a value are indented by four blanks. */
export function formatField(key: string, value: string): string {
  return `${key}: ${value.includes('\n') ? value.replaceAll('\n', '\n    ') : value}\n`;
}
