/**
 * What a store holds for the day when there is no lbs: `restore.sh`, which restores a snapshot with
 * a shell, awk and tar, and `README.txt`, which says how. See lbs-recovery(7).
 *
 * Called when a snapshot is about to be published. Files of a store are never changed, so what a
 * newer release has instead gets a new name: `restore-2.sh`, where no `restore*.sh` there has
 * that content.
 */
import { readFileSync } from 'node:fs';
import { LbsError, messageOf } from '../errors.ts';
import { storeError } from '../stores/store-error.ts';
import type { Store } from '../stores/store.ts';
import { tryToPut } from './put-file.ts';

/** Where they lie in this package; name and extension in a store are the same. */
const SOURCES = new URL('../../recovery/', import.meta.url);
const FILES: readonly (readonly [base: string, extension: string])[] = [
  ['restore', '.sh'],
  ['README', '.txt'],
];
/** More versions of a script than releases will ever bring: a store that has them is odd. */
const VERSIONS_MAX = 1000;

function contentOf(name: string): Buffer {
  try {
    return readFileSync(new URL(name, SOURCES));
  } catch (error) {
    throw new LbsError('io', `cannot read ${name} of this program: ${messageOf(error)}`, {
      cause: error,
      hint: 'a part of the program is missing: install it again',
    });
  }
}

/**
 * One that is no file is somebody else's: not what we would write. One of our size that we may not read
 * is ours: whoever may only add files would add another one with each backup.
 */
function hasContent(store: Store, name: string, content: Buffer): boolean {
  if (store.find(name)?.sizeBytes !== content.length) return false;
  // What was handed over is believed.
  if (!store.isReadable) return true;
  try {
    const file = store.open(name);
    try {
      return readFileSync(file.fd).equals(content);
    } finally {
      file.close();
    }
  } catch (error) {
    if (error instanceof LbsError) return error.code !== 'store-missing-file';
    throw storeError(store.place, `read ${name}`, error);
  }
}

/**
 * Writes the files that the store lacks, and nothing otherwise. Their names are durable when the
 * snapshot's are.
 * @throws {LbsError} store-unwritable, no-space, io
 */
export async function writeRecoveryFiles(store: Store): Promise<void> {
  for (const [base, extension] of FILES) {
    const content = contentOf(`${base}${extension}`);
    for (let version = 1; version <= VERSIONS_MAX; version++) {
      const name = version === 1 ? `${base}${extension}` : `${base}-${version}${extension}`;
      // Two machines may write here at once; whoever was first has made what we would.
      if (store.find(name) === undefined && (await tryToPut(store, name, content))) break;
      if (hasContent(store, name, content)) break;
    }
  }
}
