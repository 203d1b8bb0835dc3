/**
 * The parity sets of a store, as verify looks at them: their files against their lists, and the
 * lists against what snapshots say of segments. Called by verify at the depth `data`.
 */
import { errnoName, LbsError, messageOf } from '../errors.ts';
import { lostToCollection } from '../snapshots/collection-lists.ts';
import type { Store, StoredFile } from '../stores/store.ts';
import type { DamageLog } from './damage-log.ts';
import { digestOf } from './examine-file.ts';
import { type ParitySet, paritySets } from './parity-sets.ts';
import type { VerifyProgress } from './verify-progress.ts';

export type ParityRun = {
  readonly store: Store;
  readonly files: readonly StoredFile[];
  readonly damage: DamageLog;
  readonly progress: VerifyProgress;
  /** The SHA-256 of a segment file that snapshots record. */
  readonly recordedSha256: (file: string) => string | undefined;
};

/** Reads all files of parity. Damage to them costs nothing yet, and is told all the same. */
export async function verifyParity(run: ParityRun): Promise<void> {
  const { store, files, damage } = run;
  const { sets, damagedLists } = paritySets(store, files);
  const add = (name: string, message: string) => damage.add({ what: 'store-file', name, message });
  for (const list of damagedLists) {
    if (!isCollected(store, list))
      add(list, 'this list of parity cannot be read, or contradicts itself');
  }
  for (const set of sets) {
    if (isContradicted(set, run))
      add(set.listFile, 'it has other checksums of segments than snapshots have');
    for (const [name, sha256] of set.parity) {
      const trouble = await troubleWith(run, name, sha256);
      if (trouble !== undefined && !isCollected(store, set.listFile)) add(name, trouble);
    }
  }
}

/** "gc" removes the sets that are good for nothing any more, file by file. */
function isCollected(store: Store, list: string): boolean {
  return lostToCollection(store, [list]) !== undefined;
}

function isContradicted({ segments }: ParitySet, { recordedSha256 }: ParityRun): boolean {
  return [...segments].some(([file, hex]) => (recordedSha256(file) ?? hex) !== hex);
}

async function troubleWith(
  { store, progress }: ParityRun,
  name: string,
  sha256: string,
): Promise<string | undefined> {
  try {
    const file = store.open(name);
    try {
      if ((await digestOf(file.fd, 'sha256')) !== sha256)
        return 'its sha256 checksum does not match';
      progress.countFile(file.sizeBytes);
      return undefined;
    } finally {
      file.close();
    }
  } catch (error) {
    if (error instanceof LbsError && error.code === 'store-missing-file') return 'missing';
    if (errnoName(error) === undefined) throw error;
    return `cannot be read: ${messageOf(error)}`;
  }
}
