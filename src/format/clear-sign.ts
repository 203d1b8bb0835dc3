/**
 * The clear-signed form of a text: what was signed stays readable, the signature stands below.
 *
 * Only the one shape that gpg and openpgp write is accepted, with nothing but blanks around it:
 * a line before or after the signed part would be read as part of the descriptor by a careless
 * reader, although nobody signed it. Lines are bytes (Latin-1 text here). RFC 9580, section 7.
 */
import { LbsError } from '../errors.ts';

const BEGIN_MESSAGE = '-----BEGIN PGP SIGNED MESSAGE-----';
const BEGIN_SIGNATURE = '-----BEGIN PGP SIGNATURE-----';
const END_SIGNATURE = '-----END PGP SIGNATURE-----';
/** The only header that the form allows; any other could be mistaken for a field. */
const HASH_HEADER = /^Hash: [A-Za-z0-9-]+(?:, ?[A-Za-z0-9-]+)*$/;

export type ClearSigned = {
  /** The signed lines, dash escapes undone, each without its end and without trailing blanks. */
  readonly lines: readonly string[];
  /** The armored signature. */
  readonly signature: string;
};

const BLANKS = new Set([' ', '\t', '\r']);

/** By hand: a pattern takes the square of the time for a million blanks with something behind. */
export function withoutTrailingBlanks(line: string): string {
  let end = line.length;
  while (BLANKS.has(line.charAt(end - 1))) end--;
  return line.slice(0, end);
}

/** Lines as they are signed: trailing blanks do not count, nor does the last line's end. */
export function signedLines(text: Buffer): string[] {
  const lines = text.toString('latin1').split(/\r?\n/).map(withoutTrailingBlanks);
  if (lines.at(-1) === '') lines.pop();
  return lines;
}

/** The bytes that the signature covers: lines divided by CR LF. */
export function signedBytes(lines: readonly string[]): Buffer {
  return Buffer.from(lines.join('\r\n'), 'latin1');
}

/** A million segments, and then some. */
const LINES_MAX = 1_500_000;

/** True for more lines than a descriptor has; to be asked before a text is divided into them. */
export function hasTooManyLines(text: string | Buffer): boolean {
  let lines = 0;
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1)) {
    if (++lines > LINES_MAX) return true;
  }
  return false;
}

function bad(message: string): never {
  throw new LbsError('signature-bad', message);
}

function undoDash(line: string): string {
  if (!line.startsWith('-')) return line;
  return line.startsWith('- ') ? line.slice(2) : bad('a line of the signed text is not escaped');
}

/**
 * Takes a clear-signed text apart; checks its shape, not its signature.
 * @throws {LbsError} signature-missing when there is no signed part, signature-bad when there is
 * anything else beside it
 */
export function parseClearSigned(text: Buffer): ClearSigned {
  if (hasTooManyLines(text)) bad('it has more lines than any descriptor');
  const lines = signedLines(text);
  const begin = lines.indexOf(BEGIN_MESSAGE);
  if (begin < 0) throw new LbsError('signature-missing', 'it is not signed');
  if (lines.slice(0, begin).some((line) => line !== '')) bad('text stands before the signed part');
  const blank = lines.indexOf('', begin);
  const headers = lines.slice(begin + 1, Math.max(blank, begin + 1));
  if (blank < 0 || headers.some((line) => !HASH_HEADER.test(line))) {
    bad('the signed part has an unusable header');
  }
  const signature = lines.indexOf(BEGIN_SIGNATURE, blank);
  const end = lines.indexOf(END_SIGNATURE, blank);
  if (signature < 0 || end < signature) bad('the signature is cut off');
  if (lines.slice(end + 1).some((line) => line !== '')) bad('text stands after the signed part');
  return {
    lines: lines.slice(blank + 1, signature).map(undoDash),
    signature: `${lines.slice(signature, end + 1).join('\n')}\n`,
  };
}
