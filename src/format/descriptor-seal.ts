/**
 * The seal of a descriptor: a line with the SHA-256 of all its other lines, so that damage to any of
 * it is found where nobody signs. It is no signature: whoever can write can make another one.
 *
 * The line stands before `Segments:`. Descriptors of other programs and of older releases have none.
 * Format: lbs-format(5), "DESCRIPTOR".
 */
import { createHash } from 'node:crypto';
import { LbsError } from '../errors.ts';
import { hasTooManyLines, parseClearSigned, withoutTrailingBlanks } from './clear-sign.ts';

const SEAL = /^Descriptor_sha256: (sha256=[0-9a-f]{64})$/;
/** The other lines that may speak of SHA-256; more than these is a seal that is damaged itself. */
const OTHERS = /^(?:Checksums_sha256: sha256=[0-9a-f]{64}$|Previous_sha256: [0-9a-f]{64}$|Root: )/;
/** Of a line that can be a seal that is damaged; a pattern takes the square of its length. */
const SEAL_CHARACTERS_MAX = 1000;
const SEGMENTS = 'Segments:';
const CLEAR_SIGNED = '-----BEGIN PGP';

export type Seal = 'none' | 'whole' | 'broken';

/** Blanks at the ends of lines do not count: signing takes them away. */
function sumOf(lines: readonly string[]): string {
  const digest = createHash('sha256');
  for (const line of lines) digest.update(`${withoutTrailingBlanks(line)}\n`, 'latin1');
  return `sha256=${digest.digest('hex')}`;
}

/** The lines of a text that ends as it should; undefined for one that does not. */
function linesOf(stored: string): readonly string[] | undefined {
  if (!stored.includes(CLEAR_SIGNED)) {
    return stored.endsWith('\n') ? stored.slice(0, -1).split('\n') : undefined;
  }
  if (!/-----END PGP SIGNATURE-----\r?\n$/.test(stored)) return undefined;
  try {
    return parseClearSigned(Buffer.from(stored, 'latin1')).lines;
  } catch (error) {
    if (error instanceof LbsError) return undefined;
    throw error;
  }
}

/** A descriptor's text (Latin-1 of its bytes) with its seal. */
export function sealed(text: string): string {
  const lines = (linesOf(text) ?? []).filter((line) => !SEAL.test(line));
  const at = lines.indexOf(SEGMENTS);
  const seal = `Descriptor_sha256: ${sumOf(lines)}`;
  return `${lines.toSpliced(at < 0 ? lines.length : at, 0, seal).join('\n')}\n`;
}

/** Whether a descriptor, as it is stored (Latin-1 of its bytes), is as it was written. */
export function sealOf(stored: string): Seal {
  // Of a hostile store: millions of empty lines would be gigabytes of pieces.
  if (hasTooManyLines(stored)) return 'broken';
  const lines = linesOf(stored);
  const seals = lines?.filter((line) => SEAL.test(line)) ?? [];
  const [seal] = seals;
  if (lines === undefined || seal === undefined) {
    const isBrokenSeal = (line: string) =>
      line.length < SEAL_CHARACTERS_MAX && /sha256.*[0-9a-f]{32}/i.test(line) && !OTHERS.test(line);
    const speaks = stored.split('\n').some(isBrokenSeal);
    return speaks || /[\0-\x08\x0b\x0c\x0e-\x1f]/.test(stored) ? 'broken' : 'none';
  }
  const expected = sumOf(lines.filter((line) => line !== seal));
  return seals.length === 1 && SEAL.exec(seal)?.[1] === expected ? 'whole' : 'broken';
}
