/**
 * Further names of a hard-linked thing, made when its first name is in place.
 *
 * Called by restore.ts after all content is written. Where the filesystem has no hard links the
 * name gets a copy, and a warning.
 */
import { readSync } from 'node:fs';
import { errnoName, messageOf } from '../errors.ts';
import { statusAt, statusIfAny, statusOf } from '../posix/file-status.ts';
import * as libc from '../posix/libc.ts';
import { O } from '../posix/libc.ts';
import { makeEntry } from './make-entry.ts';
import type { LedgerEntry } from './restore-ledger.ts';
import type { Warn } from './set-attributes.ts';
import type { Spot, TargetTree } from './target-tree.ts';
import { AsideFile, drain, type FileMaker } from './write-file.ts';

export const FIRST_NAME_REFUSED = 'its first name could not be put in place';
const CHUNK_BYTES = 1024 * 1024;
/** No hard links here (FAT), none across this border (a mount point), or no more of them. */
const CANNOT_LINK = new Set([
  'EPERM',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOSYS',
  'EXDEV',
  'EMLINK',
  'EACCES',
]);

export type LinkOutcome = 'linked' | 'unchanged' | 'copied';

/** @throws {InTheWay}, {NameTaken}, {SystemError} */
export function linkName(
  maker: FileMaker,
  first: LedgerEntry,
  entry: LedgerEntry,
  warn: Warn,
): LinkOutcome {
  const { tree } = maker;
  const from = pin(tree, first);
  try {
    return tree.at(entry.path, (spot) => {
      const source = statusAt(from.dir, from.name);
      const present = statusIfAny(spot.dir.fd, spot.name);
      if (present !== undefined) tree.checkName(spot);
      if (present?.inode === source.inode && present.device === source.device) return 'unchanged';
      const aside = present === undefined ? spot.name : tree.temporaryName(entry.id);
      try {
        libc.linkAt(from.dir, from.name, spot.dir.fd, aside);
      } catch (error) {
        if (!CANNOT_LINK.has(errnoName(error) ?? '')) throw error;
        warn('hard-link', `it is a copy, not a hard link: ${messageOf(error)}`);
        if (entry.type === 'f' && isCopied(maker, from, { entry, spot, warn })) return 'unchanged';
        return copy(maker, from, { ...entry, holes: first.holes }, warn);
      }
      if (present === undefined) return 'linked';
      try {
        tree.place(entry.path, spot, aside, entry.wish.mtime);
      } catch (error) {
        libc.unlinkAt(spot.dir.fd, aside);
        throw error;
      }
      return 'linked';
    });
  } finally {
    libc.close(from.dir);
  }
}

type Pinned = { readonly dir: number; readonly name: Buffer };

/** The first name, with a directory descriptor that no other use of the tree closes. */
function pin(tree: TargetTree, first: LedgerEntry): Pinned {
  return tree.at(first.path, ({ dir, name }) => ({
    dir: libc.openAt(dir.fd, libc.cString('.'), O.PATH | O.DIRECTORY),
    name,
  }));
}

/** True when an earlier restore made the copy; its attributes are put right. */
function isCopied(
  { attributes }: FileMaker,
  from: Pinned,
  { entry, spot, warn }: { entry: LedgerEntry; spot: Spot; warn: Warn },
): boolean {
  const flags = O.RDONLY | O.NOFOLLOW | O.NONBLOCK;
  const own = libc.tryOpenAt(spot.dir.fd, spot.name, flags);
  if (own < 0) return false;
  const first = libc.openAt(from.dir, from.name, flags);
  try {
    const status = statusOf(own);
    const isSingle = status.type === 'f' && status.links === 1;
    if (!isSingle || !hasSameBytes(own, first)) return false;
    const place = { fd: own, pinned: false, isSymlink: false, dir: spot.dir.fd, name: spot.name };
    attributes.correct(place, entry.wish, status, warn);
    return true;
  } finally {
    libc.close(first);
    libc.close(own);
  }
}

function hasSameBytes(one: number, other: number): boolean {
  const [ones, others] = [Buffer.allocUnsafe(CHUNK_BYTES), Buffer.allocUnsafe(CHUNK_BYTES)];
  for (let at = 0; ;) {
    const length = readSync(one, ones, 0, CHUNK_BYTES, at);
    const otherLength = readSync(other, others, 0, CHUNK_BYTES, at);
    if (!ones.subarray(0, length).equals(others.subarray(0, otherLength))) return false;
    if (length === 0) return true;
    at += length;
  }
}

function copy(maker: FileMaker, from: Pinned, entry: LedgerEntry, warn: Warn): LinkOutcome {
  if (entry.type !== 'f') {
    makeEntry(maker, entry, warn);
    return 'copied';
  }
  const fd = libc.openAt(from.dir, from.name, O.RDONLY | O.NOFOLLOW | O.NONBLOCK);
  try {
    const file = AsideFile.create(maker, entry);
    try {
      const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
      for (let at = 0; at < entry.sizeBytes;) {
        const length = readSync(fd, buffer, 0, CHUNK_BYTES, at);
        if (length === 0) break;
        file.write(at, buffer.subarray(0, length));
        at += length;
      }
      drain(file.check());
    } catch (error) {
      file.discard();
      throw error;
    }
    file.place(warn);
    return 'copied';
  } finally {
    libc.close(fd);
  }
}
