/**
 * Snapshots whose descriptor is gone though nobody forgot them, while their checksums files are
 * there: "repair" can make them again as long as their segments are. Asked by collect, which keeps these.
 *
 * A backup that was killed just before its end leaves checksums files, too. So it takes somebody who
 * has seen the snapshot: this machine, or a descriptor that names it as its predecessor.
 */
import { parseSnapshotFile } from '../format/snapshot-name.ts';
import type { SeenSnapshots } from '../localdb/seen-snapshots.ts';
import { readForgotten } from '../snapshots/forgotten-notes.ts';
import { SUMS_KINDS } from '../snapshots/publish-snapshot.ts';
import type { Store, StoredFile } from '../stores/store.ts';

export type LostOptions = {
  readonly verifyKey?: string | undefined;
  readonly note: (message: string) => void;
  /** What this machine has seen in the store. */
  readonly seen: SeenSnapshots;
  /** Names of snapshots, and SHA-256 of their descriptors, that others were made after. */
  readonly predecessors: ReadonlyMap<string, string | undefined>;
};

/** Their names, among `files`, a listing. @throws {LbsError} signature-key, io */
export async function lostSnapshots(
  store: Store,
  files: readonly StoredFile[],
  { seen, predecessors, ...options }: LostOptions,
): Promise<string[]> {
  const [described, listed] = [new Set<string>(), new Set<string>()];
  for (const file of files) {
    const { name = '', kind = '' } = parseSnapshotFile(file.name) ?? {};
    if (SUMS_KINDS.includes(kind)) listed.add(name);
    else described.add(name);
  }
  const missed = [...listed].filter(
    (name) => !described.has(name) && (seen.snapshots.has(name) || predecessors.has(name)),
  );
  if (missed.length === 0) return [];
  // After the listing: whoever forgets leaves the note before the descriptor goes.
  const forgotten = await readForgotten(store, options);
  return missed
    .filter((name) => {
      const sha256 = seen.snapshots.get(name) ?? predecessors.get(name);
      return !forgotten.has({ name, sha256 });
    })
    .sort();
}
