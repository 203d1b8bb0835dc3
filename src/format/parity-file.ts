/**
 * Names of the files of a parity set, and its list.
 *
 *     parity-ID.par2, parity-ID.vol00+80.par2    what par2(1) wrote, and reads without our help
 *     parity-ID.sums                             SHA-256 of these and of the segments of the set
 *
 * ID is the MD5 of the sorted names of the segment files, one after the other, so that a list in which a
 * name is damaged contradicts its own. `sha256sum -c` checks a list. Format: lbs-format(5), "PARITY".
 */
import { hash } from 'node:crypto';
import { parseSegmentFile } from './snapshot-name.ts';

const PARITY_FILE = /^parity-([0-9a-f]{32})\.(par2|vol\d{1,6}\+\d{1,6}\.par2|sums)$/;
const LINE = /^([0-9a-f]{64}) \*([A-Za-z0-9.+_-]{1,128})$/;

/** A file of a parity set; undefined for any other. */
export function parseParityFile(file: string): { id: string; isList: boolean } | undefined {
  const match = PARITY_FILE.exec(file);
  return match ? { id: match[1] ?? '', isList: match[2] === 'sums' } : undefined;
}

/** SHA-256 in hex by file name. */
export type ParityList = {
  readonly id: string;
  readonly segments: ReadonlyMap<string, string>;
  readonly parity: ReadonlyMap<string, string>;
};

/** What a set of these segment files is called. */
export function parityId(files: Iterable<string>): string {
  return hash('md5', [...files].sort().join(''), 'hex');
}

export function formatParityList({ segments, parity }: Omit<ParityList, 'id'>): string {
  const lines = [...parity, ...segments].map(([file, hex]) => `${hex} *${file}\n`);
  return lines.join('');
}

/** Reads the list of the set `id`; undefined for one that is damaged. */
export function parseParityList(id: string, text: string): ParityList | undefined {
  const segments = new Map<string, string>();
  const parity = new Map<string, string>();
  if (!text.endsWith('\n')) return undefined;
  for (const line of text.slice(0, -1).split('\n')) {
    const [, hex = '', file = ''] = LINE.exec(line) ?? [];
    if (parseSegmentFile(file) !== undefined) segments.set(file, hex);
    else if (parseParityFile(file)?.id === id) parity.set(file, hex);
    else return undefined;
  }
  const isWhole = parity.size > 0 && segments.size > 0 && parityId(segments.keys()) === id;
  return isWhole ? { id, segments, parity } : undefined;
}
