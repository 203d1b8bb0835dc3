/**
 * Gives a new snapshot its tags, right after its descriptor. The snapshot exists by then, so what
 * fails here is a note and no failed run.
 */
import { LbsError } from '../errors.ts';
import { addNote, noteText } from '../snapshots/snapshot-notes.ts';
import type { Store } from '../stores/store.ts';

/** The tags that `snapshot` has got; of others `note` is told. */
export async function tagSnapshot(
  store: Store,
  snapshot: string,
  tags: readonly string[],
  note: (message: string) => void,
): Promise<string[]> {
  const given: string[] = [];
  for (const tag of new Set(tags)) {
    try {
      await addNote(store, { name: snapshot, tag }, noteText());
      given.push(tag);
    } catch (error) {
      if (!(error instanceof LbsError)) throw error;
      note(`the snapshot is made, but without the tag ${tag}: ${error.message}; see lbs-tag(1)`);
    }
  }
  return given;
}
