/** Says which segments the store no longer has as it should, without filling a mail with them. */
import type { LostSegment } from './segment-use.ts';

/** Named one by one; of more only the number is told. */
const NAMED_MAX = 3;

export class LostSegments {
  readonly #note: (message: string) => void;
  #count = 0;

  constructor(note: (message: string) => void) {
    this.#note = note;
  }

  add({ segment, why }: LostSegment): void {
    this.#count++;
    if (this.#count > NAMED_MAX) return;
    this.#note(`${segment} cannot be used again (${why}): what it held is stored anew`);
  }

  /** The number of those that were not named, and what may be behind it. */
  summarise(): void {
    const more = this.#count - NAMED_MAX;
    if (more <= 0) return;
    this.#note(
      `and ${more} more segments; does this local database belong to another store? Give each store its own --localdb=DIR`,
    );
  }
}
