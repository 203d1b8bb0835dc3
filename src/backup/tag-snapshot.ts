/**
 * Gives a new snapshot its tags, right after its descriptor. The snapshot exists by then, so what
 * fails here is a note and no failed run.
 */
import { LbsError } from '../errors.ts';
import { addNote, noteText } from '../snapshots/snapshot-notes.ts';
import type { Store } from '../stores/store.ts';

/** The tags that `snapshot` has got in every store; of others `note` is told. */
export async function tagSnapshot(
  stores: readonly Store[],
  snapshot: string,
  tags: readonly string[],
  note: (message: string) => void,
): Promise<string[]> {
  const given: string[] = [];
  // One text with its time for all stores: they stay equal, byte for byte.
  const text = noteText();
  const isSeveral = stores.length > 1;
  for (const tag of new Set(tags)) {
    let isGiven = true;
    for (const store of stores) {
      try {
        await addNote(store, { name: snapshot, tag }, text);
      } catch (error) {
        // What is handed to a script is in its hands: its failure is the run's.
        if (!(error instanceof LbsError) || error.code === 'upload-failed') throw error;
        isGiven = false;
        const where = isSeveral ? ` in ${store.place}` : '';
        note(
          `the snapshot is made, but${where} without the tag ${tag}: ${error.message}; see lbs-tag(1)`,
        );
      }
    }
    if (isGiven) given.push(tag);
  }
  return given;
}
