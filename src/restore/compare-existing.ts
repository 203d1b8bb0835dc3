/**
 * What is in the target already? A file that is the recorded one is left alone: not written again,
 * and only attributes that differ are corrected.
 *
 * Called by plan-restore.ts before anything is written; changes nothing.
 */
import { createHash, hash } from 'node:crypto';
import { readSync } from 'node:fs';
import { parseChecksum } from '../format/checksum.ts';
import { type FileStatus, statusOf } from '../posix/file-status.ts';
import * as libc from '../posix/libc.ts';
import { O } from '../posix/libc.ts';
import type { NewLedgerEntry } from './restore-ledger.ts';
import type { RestoreTally } from './restore-tally.ts';
import type { AttributeSetter } from './set-attributes.ts';
import type { TargetTree } from './target-tree.ts';

const CHUNK_BYTES = 1024 * 1024;
const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);

export type Existing = {
  readonly isEqual: boolean;
  /** Bytes that become free when it is replaced. */
  readonly freedBytes: number;
};

const SOMETHING_ELSE: Existing = { isEqual: false, freedBytes: 0 };

/** What is at the path of an entry that is no regular file, or not the first name of one. */
export function lookForExisting(tree: TargetTree, path: Buffer): Existing | undefined {
  return tree.look(path, () => SOMETHING_ELSE);
}

/** Compares type, size and content with what is at the entry's path; undefined for nothing. */
export async function compareExisting(
  tree: TargetTree,
  entry: NewLedgerEntry,
  attributes: AttributeSetter,
  tally: RestoreTally,
): Promise<Existing | undefined> {
  let fd = -1;
  const status = tree.look(entry.path, (spot, found) => {
    const comparable =
      found.type === 'f' && found.sizeBytes === entry.sizeBytes && entry.checksum !== undefined;
    const flags = O.RDONLY | O.NOFOLLOW | O.NONBLOCK;
    if (comparable) fd = libc.tryOpenAt(spot.dir.fd, spot.name, flags);
    return found;
  });
  if (!status) return undefined;
  const freedBytes = status.type === 'f' && status.links === 1 ? status.blocks * 512 : 0;
  if (fd < 0) return { isEqual: false, freedBytes };
  try {
    const opened = statusOf(fd);
    const isEqual =
      opened.type === 'f' &&
      mayKeepNames(fd, entry, opened, attributes) &&
      (await hasContent(fd, entry, tally));
    return { isEqual, freedBytes };
  } finally {
    libc.close(fd);
  }
}

/**
 * A file with several names may be changed only together with all of them, and some may be
 * outside of the target: then it is replaced, which touches one name only. It is replaced too
 * where the snapshot has a file of its own here.
 */
function mayKeepNames(
  fd: number,
  entry: NewLedgerEntry,
  status: FileStatus,
  attributes: AttributeSetter,
): boolean {
  if (status.links === 1) return true;
  if (entry.links === 1) return false;
  const place = { fd, pinned: false, isSymlink: false, dir: libc.AT_FDCWD, name: Buffer.alloc(1) };
  return !attributes.differs(place, entry.wish, status);
}

async function hasContent(
  fd: number,
  entry: NewLedgerEntry,
  tally: RestoreTally,
): Promise<boolean> {
  const { algorithm, hex } = parseChecksum(entry.checksum ?? '');
  if (entry.sizeBytes <= CHUNK_BYTES) {
    // Most files, and the cheap way: a hash object of its own costs more than a small file.
    const length = readSync(fd, chunk, 0, CHUNK_BYTES, 0);
    return length === entry.sizeBytes && hash(algorithm, chunk.subarray(0, length), 'hex') === hex;
  }
  const digest = createHash(algorithm);
  for (let at = 0; at < entry.sizeBytes;) {
    const length = readSync(fd, chunk, 0, CHUNK_BYTES, at);
    if (length === 0) return false;
    digest.update(chunk.subarray(0, length));
    at += length;
    await tally.rest();
  }
  return digest.digest('hex') === hex;
}
