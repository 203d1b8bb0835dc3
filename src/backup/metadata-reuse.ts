/**
 * Which older metadata a snapshot may refer to.
 *
 * Every run that changes something leaves a small metadata segment. If all of them were referred
 * to for ever, a snapshot would need one more with each day. So when the last snapshot used more
 * than a few small ones, none of them is referred to any more: what they hold is written anew,
 * into one, as in a log-structured merge. Each stanza is rewritten a few times in its life.
 */
import type { SnapshotTable } from '../localdb/snapshot-table.ts';
import type { MetadataReuse } from '../metadata/metadata-log-writer.ts';
import type { SegmentUse } from './segment-use.ts';

/** Small ones that a snapshot may use before they are merged. */
const SMALL_SEGMENTS_MAX = 16;
/** Less than this, before the filter, is small: some 700 stanzas. */
const SMALL_BYTES = 256 * 1024;

const SEGMENT_NAME_CHARS = 36;
const OBJECT_CHARS = 8;

/** Segment and number of `segment/object(sha1=..)`. */
function partsOf(object: string): [segment: string, object: number] {
  const start = SEGMENT_NAME_CHARS + 1;
  return [
    object.slice(0, SEGMENT_NAME_CHARS),
    Number.parseInt(object.slice(start, start + OBJECT_CHARS), 16),
  ];
}

export function metadataReuse(
  use: SegmentUse,
  snapshots: SnapshotTable,
  scheme: string,
): MetadataReuse {
  const small = snapshots.smallMetadataSegments(scheme, SMALL_BYTES);
  const merged = new Set(small.length > SMALL_SEGMENTS_MAX ? small : []);
  // Asked for every entry, and one object has some two hundred of them.
  let asked: { readonly object: string; readonly isUsable: boolean } | undefined;
  let marked = '';
  return {
    canUse: (object) => {
      if (asked?.object !== object) {
        const [segment, number] = partsOf(object);
        const isUsable = !merged.has(segment) && use.isObjectUsable(segment, number);
        asked = { object, isUsable };
      }
      return asked.isUsable;
    },
    use: (object) => {
      if (marked !== object) use.mark(...partsOf(object));
      marked = object;
    },
  };
}
