/** Segments of a dry run: every object gets a place, and nothing is stored. */
import { formatObjectName } from '../format/reference.ts';
import { newUuid, nowSeconds } from '../std/clock.ts';
import type { AddedObject, SegmentWriter, StoredSegment } from './segment-writer.ts';

/** What a run needs of a segment writer. */
export type SegmentSink = Pick<SegmentWriter, 'add' | 'room' | 'close' | 'abandon'>;

/** Objects of one segment: what is still in memory of them then goes to the local database. */
const OBJECTS_MAX = 65_536;
const NO_DIGEST = Buffer.alloc(0);

export class DryRunSegments implements SegmentSink {
  readonly #onFull: ((segment: StoredSegment) => void) | undefined;
  #name = newUuid();
  #objects = 0;

  /**
   * `onFull`: called with each segment that takes no more objects, once all of these have been told of
   * to whoever remembers them; without it there is only one.
   */
  constructor(onFull?: (segment: StoredSegment) => void) {
    this.#onFull = onFull;
  }

  add(group: string): AddedObject {
    if (this.#objects === OBJECTS_MAX && this.#onFull !== undefined) {
      this.#onFull({
        ...{ name: this.#name, group, file: `${this.#name}.tar`, created: nowSeconds() },
        ...{ sha1: NO_DIGEST, sha256: NO_DIGEST, storedBytes: 0, objects: this.#objects },
      });
      this.#name = newUuid();
      this.#objects = 0;
    }
    const object = this.#objects++;
    return { segment: this.#name, object, name: formatObjectName(this.#name, object) };
  }

  room(): undefined {
    return undefined;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  abandon(): Promise<void> {
    return Promise.resolve();
  }
}
