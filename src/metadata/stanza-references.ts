/**
 * The references in a stanza's text, to look at or to replace; everything else in it stays as it is,
 * byte for byte, also what we do not know. For compacting, which is about metadata that we wrote.
 */
import { LbsError } from '../errors.ts';
import { parseReference } from '../format/reference.ts';

/** The key and every line that goes on with its value. A second one counts in place of the first. */
const DATA = /^data:[^\n]*\n(?:[ \t][^\n]*\n)*/gm;
/** Behind the key, or behind white space. */
const WORD = /(?<=^data:|\s)[^\s]+/g;
const NAME_END = /[([]/;

/**
 * `stanza` (Latin-1, with its final empty line) with other names of objects: `newNameOf` gives the
 * one for an object of file data, or undefined for one that stays.
 * @throws {LbsError} format-syntax for what we do not write
 */
export function withNames(
  stanza: string,
  newNameOf: (segment: string, object: number) => string | undefined,
): string {
  if (!stanza.includes('data:')) return stanza;
  return stanza.replaceAll(DATA, (field) =>
    field.replaceAll(WORD, (word) => {
      if (word.startsWith('@')) {
        throw new LbsError('format-syntax', 'a list of blocks is an object of its own');
      }
      const reference = parseReference(word, 'prefix');
      if (reference.kind === 'zero') return word;
      const name = newNameOf(reference.segment, reference.object);
      if (name === undefined) return word;
      const end = word.search(NAME_END);
      return end < 0 ? name : name + word.slice(end);
    }),
  );
}

/** A piece of a metadata object: a stanza with its final empty line, or a line without its `@`. */
export type LogPiece = {
  readonly kind: 'stanza' | 'include';
  readonly text: string;
  /** Where in the object (or the stretch of it) it begins. */
  readonly start: number;
};

/**
 * What a metadata object that we wrote consists of, in order; empty lines between are left out.
 * @throws {LbsError} format-syntax for anything else
 */
export function* piecesOf(text: string): Generator<LogPiece> {
  for (let start = 0; start < text.length;) {
    if (text[start] === '\n') {
      start++;
    } else if (text[start] === '@') {
      const end = text.indexOf('\n', start);
      if (end < 0) throw strange();
      yield { kind: 'include', text: text.slice(start + 1, end), start };
      start = end + 1;
    } else {
      const end = stanzaEnd(text, start);
      if (end === undefined) throw strange();
      yield { kind: 'stanza', text: text.slice(start, end), start };
      start = end;
    }
  }
}

/** Where the stanza that begins at `start` ends; undefined when none that we wrote begins there. */
export function stanzaEnd(text: string, start: number): number | undefined {
  if (text[start] === '\n' || text[start] === '@') return undefined;
  const end = text.indexOf('\n\n', start);
  return end < 0 ? undefined : end + 2;
}

function strange(): LbsError {
  return new LbsError('format-syntax', 'metadata that is not as this program writes it');
}
