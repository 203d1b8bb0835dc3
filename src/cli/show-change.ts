/** Differences between two trees as `diff` and `compare` show them: lines, JSON, and sums. */
import type { Change } from '../inspect/change-table.ts';
import type { Diff } from '../inspect/diff.ts';
import { showPath } from '../std/byte-path.ts';
import { humanCount, humanSize } from '../std/human-size.ts';
import { jsonPath } from './json-report.ts';
import type { Output } from './output.ts';
import { WORD_OF_TYPE } from './show-entry.ts';

const WORDS_OF_LETTER: ReadonlyMap<string, string> = new Map([
  ['+', 'added'],
  ['-', 'removed'],
  ['M', 'moved'],
  ['C', 'content'],
  ['O', 'owner or group'],
  ['P', 'permissions'],
  ['T', 'time'],
  ['X', 'extended attributes'],
]);

/** `CT home/ann/letter`, `M home/old -> home/new`. */
export function changeLine({ letters, path, from }: Change): string {
  const place = from === undefined ? '' : `${showPath(from)} -> `;
  return `${letters} ${place}${showPath(path)}`;
}

/** One JSON object, without a line end; words as restic has them, where it has them. */
export function changeJson({ letters, path, from, type, sizeBytes }: Change): string {
  return JSON.stringify({
    message_type: 'change',
    modifier: letters,
    ...jsonPath('path', path),
    ...(from && jsonPath('source_path', from)),
    type: WORD_OF_TYPE[type],
    size: type === 'f' ? sizeBytes : undefined,
  });
}

/** Counts differences by their letters. */
export class ChangeSums {
  readonly #sums = new Map<string, { count: number; bytes: number }>();
  changes = 0;

  add({ letters, sizeBytes }: Change): void {
    this.changes++;
    for (const letter of letters) {
      const sum = this.#sums.get(letter) ?? { count: 0, bytes: 0 };
      sum.count++;
      sum.bytes += sizeBytes;
      this.#sums.set(letter, sum);
    }
  }

  /** A line for each letter that there was. */
  lines(): string[] {
    return [...WORDS_OF_LETTER].flatMap(([letter, words]) => {
      const sum = this.#sums.get(letter);
      if (sum === undefined) return [];
      const numbers = [humanCount(sum.count), humanSize(sum.bytes)];
      return [`${letter} ${numbers.map((text) => text.padStart(11)).join(' ')}  ${words}`];
    });
  }

  /** Every letter, those that there were not too. */
  json(): Record<string, { count: number; bytes: number }> {
    return Object.fromEntries(
      [...WORDS_OF_LETTER.keys()].map((letter) => [
        letter,
        this.#sums.get(letter) ?? { count: 0, bytes: 0 },
      ]),
    );
  }
}

/** Writes a comparison as the options ask for; what it sums up to. */
export async function writeChanges(
  found: Diff,
  out: Output,
  how: { readonly isJson: boolean; readonly isStat: boolean; readonly signal: AbortSignal },
): Promise<ChangeSums> {
  const sums = new ChangeSums();
  const lineOf = how.isJson ? changeJson : changeLine;
  for (const change of found.changes()) {
    sums.add(change);
    if (!how.isStat) out.line(lineOf(change));
    await out.room(how.signal);
    // The reader has seen enough (`lbs diff | head`).
    if (out.isClosed) break;
  }
  if (how.isJson) {
    const statistics = {
      message_type: 'statistics',
      source_snapshot: found.before,
      target_snapshot: found.after ?? null,
      changes: sums.changes,
      letters: sums.json(),
    };
    out.line(JSON.stringify(statistics));
  } else if (how.isStat) {
    for (const line of sums.lines()) out.line(line);
  }
  return sums;
}
