/** Segments of a dry run: every object gets a place, and nothing is stored. */
import { formatObjectName } from '../format/reference.ts';
import type { AddedObject, SegmentWriter } from './segment-writer.ts';

/** What a run needs of a segment writer. */
export type SegmentSink = Pick<SegmentWriter, 'add' | 'room' | 'close' | 'abandon'>;

const NO_SEGMENT = '00000000-0000-0000-0000-000000000000';

export class DryRunSegments implements SegmentSink {
  #objects = 0;

  add(): AddedObject {
    const object = this.#objects++;
    return { segment: NO_SEGMENT, object, name: formatObjectName(NO_SEGMENT, object) };
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
