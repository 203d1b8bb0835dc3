/**
 * One block of content: stored already, or into a segment. Blocks are known by SHA-256 and size.
 *
 * An expired block (cleaning gave its place up) is stored anew in the group for its age, so that
 * what has lived long together stays together.
 */
import { formatObjectName } from '../format/reference.ts';
import type { BlockIndex } from '../localdb/block-index.ts';
import type { BlockPlace } from '../localdb/pending-blocks.ts';
import type { SegmentWriter } from '../segments/segment-writer.ts';
import type { SegmentUse } from './segment-use.ts';

/** What happened to a block: nothing, stored for the first time, or stored anew. */
export type BlockOutcome = 'known' | 'new' | 'repack';

export type BlockStoreCounts = { dataBytes: number; metadataBytes: number };

/** What a run needs of segments; those of a dry run go nowhere. */
export type ObjectSink = Pick<SegmentWriter, 'add' | 'room'>;

export class BlockStore {
  readonly #index: BlockIndex;
  readonly #use: SegmentUse;
  readonly #segments: ObjectSink;
  /** Bytes put into segments, before the filter. */
  readonly counts: BlockStoreCounts = { dataBytes: 0, metadataBytes: 0 };

  constructor(index: BlockIndex, use: SegmentUse, segments: ObjectSink) {
    this.#index = index;
    this.#use = use;
    this.#segments = segments;
  }

  /** Undefined while a block may be stored at once, else resolves when one may. */
  room(): Promise<void> | undefined {
    return this.#segments.room();
  }

  /** The text of the block's reference; `data` may be reused afterwards. Ask for `room` before. */
  store(data: Buffer, sha256: string): { reference: string; outcome: BlockOutcome } {
    const known = this.#index.find(sha256, data.length, (segment) => this.#use.isUsable(segment));
    if (known?.kind === 'stored') {
      const { segment, object } = known.place;
      this.#use.mark(segment, object);
      return { reference: formatObjectName(segment, object), outcome: 'known' };
    }
    const group = known === undefined || known.group === 0 ? 'data' : `compacted-${known.group}`;
    const reference = this.#put(group, data, { sha256, age: known?.age });
    this.counts.dataBytes += data.length;
    return { reference, outcome: known === undefined ? 'new' : 'repack' };
  }

  /** Tells the index of a stored object whose digest nobody knew. */
  learn(place: BlockPlace, sha256: string, sizeBytes: number): void {
    this.#index.learn(place, sha256, sizeBytes);
  }

  /** Stores a metadata object, always anew. */
  storeMetadata(data: Buffer, sha256: string): string {
    this.counts.metadataBytes += data.length;
    return this.#put('metadata', data, { sha256, age: undefined });
  }

  #put(
    group: string,
    data: Buffer,
    { sha256, age }: { sha256: string; age: number | undefined },
  ): string {
    const added = this.#segments.add(group, data);
    this.#use.addNew(added.segment);
    this.#use.mark(added.segment, added.object);
    this.#index.addPending(sha256, data.length, added, age);
    return added.name;
  }
}
