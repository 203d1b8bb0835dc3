/**
 * `.sha1sums` and `.sha256sums`: `<hex> *<file>` lines that `sha1sum -c` and `sha256sum -c`
 * check from within the store. Format: lbs-format(5), "CHECKSUMS FILES".
 */
import { LbsError } from '../errors.ts';
import { textLines } from '../std/text-lines.ts';

/** The line of one file. */
export function formatSumsLine(file: string, hex: string): string {
  return `${hex} *${file}\n`;
}

/** Text for files and their digests, in the order given. */
export function formatSums(sums: Iterable<readonly [file: string, hex: string]>): string {
  let text = '';
  for (const [file, hex] of sums) text += formatSumsLine(file, hex);
  return text;
}

/** Four times what a line takes, and some room beside. */
const LINE_BYTES_MAX = 640;
const FREE_BYTES = 64 * 1024;

/**
 * How large the checksums file of a snapshot of so many segments can be: a larger one says
 * something of files that it does not need, and each would have to be looked for.
 */
export function sumsBytesMax(segmentCount: number): number {
  return FREE_BYTES + segmentCount * LINE_BYTES_MAX;
}

/** Digests by file name. @throws {LbsError} format-syntax */
export function parseSums(text: string, source: string): Map<string, string> {
  const sums = new Map<string, string>();
  for (const line of textLines(text)) {
    if (line === '') continue;
    const match = /^([0-9a-f]{40,64}) [ *](.+)$/.exec(line);
    // A name with a slash would reach out of the store.
    if (!match || match[2]?.includes('/')) {
      throw new LbsError(
        'format-syntax',
        `${source}: not a checksums line: "${line.slice(0, 80)}"`,
      );
    }
    sums.set(match[2] ?? '', match[1] ?? '');
  }
  return sums;
}
