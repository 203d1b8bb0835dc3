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
import { isKeptBy } from './overwrite-rule.ts';
import type { NewLedgerEntry } from './restore-ledger.ts';
import type { Overwrite } from './restore-options.ts';
import type { RestoreTally } from './restore-tally.ts';
import type { AttributeSetter } from './set-attributes.ts';
import type { TargetTree } from './target-tree.ts';

const CHUNK_BYTES = 1024 * 1024;
const chunk = Buffer.allocUnsafeSlow(CHUNK_BYTES);

export type Existing = {
  /** A regular file that is not written again. */
  readonly isEqual: boolean;
  /** It stays, because `--overwrite` says so. */
  readonly isKept: boolean;
  readonly isDirectory: boolean;
  /** Bytes that become free when it is replaced. */
  readonly freedBytes: number;
};

/**
 * Looks at what is at the entry's path, and compares type, size and content where the entry is a
 * regular file that `isContent` says would be written; undefined for nothing.
 */
export async function compareExisting(
  stages: {
    readonly tree: TargetTree;
    readonly attributes: AttributeSetter;
    readonly tally: RestoreTally;
  },
  entry: NewLedgerEntry,
  overwrite: Overwrite,
  isContent: boolean,
): Promise<Existing | undefined> {
  const { tree, attributes, tally } = stages;
  let fd = -1;
  const mayBeEqual = isContent && overwrite !== 'always' && entry.checksum !== undefined;
  const { mtime } = entry.wish;
  if (entry.path.length === 0) {
    const isKept = isKeptBy(overwrite, mtime, statusOf(tree.topFd));
    return { isEqual: false, isKept, isDirectory: true, freedBytes: 0 };
  }
  const status = tree.look(entry.path, (spot, found) => {
    const isKept = isKeptBy(overwrite, mtime, found);
    if (mayBeEqual && !isKept && found.type === 'f' && found.sizeBytes === entry.sizeBytes) {
      fd = libc.tryOpenAt(spot.dir.fd, spot.name, O.RDONLY | O.NOFOLLOW | O.NONBLOCK);
    }
    return found;
  });
  if (!status) return undefined;
  const isKept = isKeptBy(overwrite, mtime, status);
  const isDirectory = status.type === 'd';
  const freedBytes = status.type === 'f' && status.links === 1 ? status.blocks * 512 : 0;
  if (fd < 0) return { isEqual: false, isKept, isDirectory, freedBytes };
  try {
    const opened = statusOf(fd);
    const isEqual =
      opened.type === 'f' &&
      mayKeepNames(fd, entry, opened, attributes) &&
      (await hasContent(fd, entry, tally));
    return { isEqual, isKept, isDirectory, freedBytes };
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
