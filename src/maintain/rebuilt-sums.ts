/**
 * Makes the text of a checksums file again, of the segments as they lie in the store. Called by
 * repair, which knows what the text has to be like.
 *
 * A segment that is not as one of the lists says would bring a wrong line: then what the damaged list itself
 * has of it is taken, which may be right.
 */
import { parseSegmentFile } from '../format/snapshot-name.ts';
import { formatSums } from '../format/sums-file.ts';
import type { SegmentSource } from '../segments/segment-source.ts';
import { refuseInterrupted } from './copy-file.ts';
import { digestOf, type Sums } from './examine-file.ts';

export type SumsKind = 'sha1' | 'sha256';

const HEX_LENGTH: Readonly<Record<SumsKind, number>> = { sha1: 40, sha256: 64 };

/** What can still be read of a list that may be damaged, and whether there is nothing else in it. */
export function linesOf(
  kind: SumsKind,
  text: string,
): { readonly sums: ReadonlyMap<string, Sums>; readonly isWhole: boolean } {
  const sums = new Map<string, Sums>();
  let length = 0;
  for (const line of text.split('\n')) {
    const [, hex = '', file = ''] = /^([0-9a-f]{40,64}) [ *]([^/]+)$/.exec(line) ?? [];
    if (hex.length !== HEX_LENGTH[kind] || parseSegmentFile(file) === undefined) continue;
    sums.set(file, { [kind]: hex });
    length += line.length + 1;
  }
  return { sums, isWhole: sums.size > 0 && length === text.length };
}

export class RebuiltSums {
  readonly #source: SegmentSource;
  readonly #signal: AbortSignal | undefined;
  /** By file name; a segment is read once for all snapshots. */
  readonly #known = new Map<string, Required<Pick<Sums, SumsKind>> | undefined>();

  constructor(source: SegmentSource, signal: AbortSignal | undefined) {
    this.#source = source;
    this.#signal = signal;
  }

  /**
   * The text of the list of `kind` for segment files in that order; `said` is what all lists that
   * are left say of them. What no list has right is a segment that is damaged.
   * @throws {LbsError} interrupted
   */
  async textOf(
    kind: SumsKind,
    files: readonly string[],
    said: ReadonlyMap<string, Sums>,
  ): Promise<string> {
    const sums: [string, string][] = [];
    for (const file of files) {
      const found = await this.#sumsOf(file);
      const { sha1, sha256 } = said.get(file) ?? {};
      const isAsSaid =
        found !== undefined &&
        (sha1 === found.sha1 || sha256 === found.sha256 || (sha1 ?? sha256) === undefined);
      const hex = isAsSaid ? found[kind] : said.get(file)?.[kind];
      if (hex !== undefined) sums.push([file, hex]);
    }
    return formatSums(sums);
  }

  async #sumsOf(file: string): Promise<Required<Pick<Sums, SumsKind>> | undefined> {
    refuseInterrupted(this.#signal);
    if (this.#known.has(file)) return this.#known.get(file);
    const { store } = this.#source;
    let sums: Required<Pick<Sums, SumsKind>> | undefined;
    if (store.find(file) !== undefined) {
      const open = store.open(file);
      try {
        sums = { sha1: await digestOf(open.fd, 'sha1'), sha256: await digestOf(open.fd, 'sha256') };
      } finally {
        open.close();
      }
    }
    this.#known.set(file, sums);
    return sums;
  }
}
