/**
 * Symlinks, fifos, sockets and devices: made under their name at once where nothing is there, and
 * aside and renamed where something else is.
 *
 * Called by build-tree.ts. Attributes are set through a descriptor that is pinned to the very
 * thing that was made (O_PATH): its name could be swapped for another thing in between.
 */
import { errnoName } from '../errors.ts';
import { FORMAT_BITS, type FileStatus, statusIfAny, statusOf } from '../posix/file-status.ts';
import * as libc from '../posix/libc.ts';
import { O } from '../posix/libc.ts';
import type { LedgerEntry } from './restore-ledger.ts';
import type { Place, Warn } from './set-attributes.ts';
import { InTheWay, type Spot } from './target-tree.ts';
import type { FileMaker } from './write-file.ts';

const PRIVATE_MODE = 0o600;

/** A special file that cannot be made here, for a reason that is not the target's. */
export class CannotMake extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'CannotMake';
  }
}

/**
 * Puts a symlink or special file in place. What is there as recorded, or differs in attributes only,
 * is not made again. @throws {CannotMake}, {InTheWay}, {CannotKeep}, {SystemError}
 */
export function makeEntry(maker: FileMaker, entry: LedgerEntry, warn: Warn): MakeOutcome {
  return maker.tree.at(entry.path, (spot) => {
    try {
      create(spot, spot.name, entry);
    } catch (error) {
      if (errnoName(error) !== 'EEXIST') {
        if (errnoName(error) === 'EIO') removeEmptyFile(spot);
        throw error;
      }
      return replace(maker, entry, spot, warn);
    }
    setNew(maker, entry, spot, warn);
    return 'made';
  });
}

export type MakeOutcome = 'made' | 'corrected' | 'unchanged';

/** exFAT in FUSE fails to make a fifo, and leaves an empty file of its name. */
function removeEmptyFile({ dir, name }: Spot): void {
  const status = statusIfAny(dir.fd, name);
  if (status?.type === 'f' && status.sizeBytes === 0) libc.unlinkAt(dir.fd, name);
}

function create({ dir }: Spot, name: Buffer, entry: LedgerEntry): void {
  const { type, target, device } = entry;
  if (type === 'l') {
    if (!target || target.length === 0) throw new CannotMake('the snapshot has no target for it');
    libc.symlinkAt(libc.cString(target), dir.fd, name);
    return;
  }
  if (type !== 'c' && type !== 'b') {
    libc.mknodAt(dir.fd, name, FORMAT_BITS[type] | PRIVATE_MODE);
    return;
  }
  if (!device) throw new CannotMake('the snapshot has no device number for it');
  try {
    libc.mknodAt(dir.fd, name, FORMAT_BITS[type] | PRIVATE_MODE, device.major, device.minor);
  } catch (error) {
    if (errnoName(error) !== 'EPERM') throw error;
    throw new CannotMake('device nodes can only be made by root');
  }
}

function open(entry: LedgerEntry, { dir, name }: Spot): Place {
  const fd = libc.openAt(dir.fd, name, O.PATH | O.NOFOLLOW);
  return { fd, pinned: true, isSymlink: entry.type === 'l', dir: dir.fd, name };
}

function setNew({ attributes }: FileMaker, entry: LedgerEntry, spot: Spot, warn: Warn): void {
  const place = open(entry, spot);
  try {
    const { type, links } = statusOf(place.fd);
    if (type !== entry.type || links > 1) throw new InTheWay('it was replaced while it was made');
    attributes.setNew(place, entry.wish, spot.dir, warn);
  } finally {
    libc.close(place.fd);
  }
}

/** True when the thing there is the recorded one, whatever its attributes are. */
export function isSame(spot: Spot, entry: LedgerEntry, status: FileStatus): boolean {
  if (status.type !== entry.type) return false;
  if (entry.type === 'l') {
    return entry.target?.equals(libc.readLinkAt(spot.dir.fd, spot.name)) ?? false;
  }
  if (entry.type !== 'c' && entry.type !== 'b') return true;
  return (
    entry.device !== undefined && status.rdev === `${entry.device.major}/${entry.device.minor}`
  );
}

/** Something has this name already: keeps it when it is the recorded thing. */
function replace(maker: FileMaker, entry: LedgerEntry, spot: Spot, warn: Warn): MakeOutcome {
  const { attributes, tree } = maker;
  tree.checkName(spot);
  const status = statusIfAny(spot.dir.fd, spot.name);
  if (status) tree.checkReplace(status, entry.wish.mtime);
  if (status && isSame(spot, entry, status)) {
    const place = open(entry, spot);
    try {
      const now = statusOf(place.fd);
      // Other names of it may be outside of the target: then it is not changed, but replaced.
      const isOurs = now.links === 1;
      if (now.type === entry.type && (isOurs || entry.links > 1)) {
        if (isOurs) {
          return attributes.correct(place, entry.wish, now, warn) ? 'corrected' : 'unchanged';
        }
        if (!attributes.differs(place, entry.wish, now)) return 'unchanged';
      }
    } finally {
      libc.close(place.fd);
    }
  }
  const temporary = tree.temporaryName(entry.id);
  try {
    create(spot, temporary, entry);
    setNew(maker, entry, { dir: spot.dir, name: temporary }, warn);
    tree.place(entry.path, spot, temporary, entry.wish.mtime);
  } catch (error) {
    tree.removeTemporary(entry.path, entry.id);
    throw error;
  }
  return 'made';
}
