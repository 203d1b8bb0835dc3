/**
 * Owner, extended attributes, mode and time of one entry, in the only order that works: a change
 * of owner clears set-id bits and capabilities, an access control list changes the mode, and
 * every one of them could be refused once the mode says so.
 *
 * Always through a descriptor of the entry itself, so that nobody can put something else under
 * its name in between. What cannot be set is a warning, and only where it really differs.
 *
 * Invariant: an entry that is already as recorded is not touched (its ctime stays).
 */
import { LbsError, errnoName, isOutOfSpace, messageOf } from '../errors.ts';
import type { Entry, Xattr } from '../format/entry.ts';
import { groupId, userId } from '../posix/accounts.ts';
import { type FileStatus, type Timespec, statusOf, toNs } from '../posix/file-status.ts';
import * as libc from '../posix/libc.ts';
import type { RestoreWarning } from '../report.ts';
import { showPath } from '../std/byte-path.ts';
import { OWNER_ALL } from './closed-directory.ts';
import { KeptAttributes, TOO_FAR_AWAY, keepsOddities, wasChanged } from './kept-attributes.ts';
import type { DirectoryHandle } from './safe-target.ts';

/** The attributes that an entry should have. Undefined ones are not recorded: left as they are. */
export type Wish = {
  readonly mode: number | undefined;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  readonly mtime: Timespec | undefined;
  readonly xattrs: readonly Xattr[] | undefined;
};

/** One entry, open. */
export type Place = {
  readonly fd: number;
  /** Opened with O_PATH, as symlinks and special files have to be. */
  readonly pinned: boolean;
  readonly isSymlink: boolean;
  /** The directory that holds it, and its NUL-terminated name there. */
  readonly dir: number;
  readonly name: Buffer;
};

export type Warn = (code: RestoreWarning['code'], message: string) => void;

const CAPABILITY = Buffer.from('security.capability');
const KEEP_ID = 0xffffffff;
const SETUID = 0o4000;
const SETGID = 0o2000;
const OWNER_WRITE = 0o200;
/** Seconds that every filesystem can hold; others are read back after setting them. */
const TIME_SAFE_S = 0x7fffffff;
/** Attributes that are taken off when the snapshot has none of that name. Others are kept by the
 *  system or by other software (SELinux labels, overlay marks), and are not ours to remove. */
const REMOVABLE = /^(?:user\.|system\.posix_acl_|security\.capability$)/;

/** The owner and group that an entry should get here: by name where the name is known. */
export function ownerOf(entry: Entry, numeric: boolean): { uid?: number; gid?: number } {
  const named = !numeric;
  const uid = (named && entry.user !== undefined ? userId(entry.user) : undefined) ?? entry.uid;
  const gid = (named && entry.group !== undefined ? groupId(entry.group) : undefined) ?? entry.gid;
  return { ...(uid === undefined ? {} : { uid }), ...(gid === undefined ? {} : { gid }) };
}

/** No room is the one thing that ends the run here. */
function notFatal(error: unknown): unknown {
  if (error instanceof LbsError || isOutOfSpace(error)) throw error;
  return error;
}

export class AttributeSetter {
  readonly #isRoot = process.geteuid?.() === 0;
  readonly #groups = new Set(process.getgroups?.() ?? []);
  /** False for snapshots of other programs, which recorded whole seconds only. */
  readonly #exactTimes: boolean;
  readonly #exactDevices = new Map<string, boolean>();

  constructor(exactTimes: boolean) {
    this.#exactTimes = exactTimes;
  }

  /** Sets everything on an entry that was just made by us, without looking first. */
  setNew(place: Place, wish: Wish, dir: DirectoryHandle, warn: Warn): void {
    if (this.#keepsExactly(place, dir)) this.#setAll(place, wish, dir, warn);
    else {
      const kept = new KeptAttributes(warn);
      const mode = this.#setAll(place, wish, dir, kept.warn);
      kept.compare({ ...wish, mode }, statusOf(place.fd), place.isSymlink);
    }
  }

  /** Returns the mode that it set. */
  #setAll(place: Place, wish: Wish, dir: DirectoryHandle, warn: Warn): number | undefined {
    let mode = wish.mode;
    if (this.#isRoot) {
      if (!this.#give(place, wish.uid ?? KEEP_ID, wish.gid ?? KEEP_ID, warn)) {
        mode = this.#withoutSetId(place, wish, statusOf(place.fd), warn);
      }
    } else {
      const status = this.#setOwner(place, wish, statusOf(place.fd), warn);
      mode = this.#withoutSetId(place, wish, status, warn);
    }
    if (dir.hasDefaultAcl && !place.isSymlink) this.#setXattrs(place, wish.xattrs ?? [], warn);
    else for (const xattr of wish.xattrs ?? []) this.#setXattr(place, xattr, warn);
    if (mode !== undefined && !place.isSymlink) this.#setMode(place, mode, warn);
    if (wish.mtime !== undefined) this.#setTime(place, wish.mtime, warn);
    return mode;
  }

  /** Sets what differs from `status`. True when something was changed. */
  correct(place: Place, wish: Wish, status: FileStatus, callerWarn: Warn): boolean {
    const kept = new KeptAttributes(callerWarn);
    const { warn } = kept;
    let now = this.#setOwner(place, wish, this.#narrowed(place, wish, status), warn);
    let isTried = now !== status;
    let mtime: Wish['mtime'];
    if (wish.xattrs !== undefined && this.#xattrsDiffer(place, wish.xattrs)) {
      this.#writable(place, now, warn, () => this.#setXattrs(place, wish.xattrs ?? [], warn));
      now = statusOf(place.fd);
      isTried = true;
    }
    const mode = this.#withoutSetId(place, wish, now, warn);
    if (mode !== undefined && !place.isSymlink && mode !== now.mode) {
      this.#setMode(place, mode, warn);
      isTried = true;
    }
    if (wish.mtime !== undefined && this.#timeDiffers(wish.mtime, now.mtime)) {
      this.#setTime(place, wish.mtime, warn);
      isTried = true;
      mtime = wish.mtime;
    }
    if (!isTried) return false;
    const after = statusOf(place.fd);
    kept.compare({ ...wish, mode, mtime }, after, place.isSymlink);
    return wasChanged(status, after);
  }

  /** True when `correct` would have something to change that it may change. */
  differs(place: Place, wish: Wish, status: FileStatus): boolean {
    const owner = this.#reachableOwner(wish, status);
    if (owner.uid !== status.uid || owner.gid !== status.gid) return true;
    if (wish.mode !== undefined && !place.isSymlink && wish.mode !== status.mode) return true;
    if (wish.mtime !== undefined && this.#timeDiffers(wish.mtime, status.mtime)) return true;
    return wish.xattrs !== undefined && this.#xattrsDiffer(place, wish.xattrs);
  }

  /** True where everything is kept as it is set, so that nothing has to be read back. */
  #keepsExactly(place: Place, dir: DirectoryHandle): boolean {
    // Only an open file can be tried out; the next one will be.
    if (dir.keepsExactly !== undefined || place.pinned) return dir.keepsExactly === true;
    const { device } = statusOf(dir.fd);
    let keeps = this.#exactDevices.get(device);
    if (keeps === undefined) {
      keeps = keepsOddities(place.fd);
      this.#exactDevices.set(device, keeps);
    }
    return (dir.keepsExactly = keeps);
  }

  #timeDiffers(wish: Timespec, actual: Timespec): boolean {
    return wish.s !== actual.s || (this.#exactTimes && wish.ns !== actual.ns);
  }

  /** The owner that this user can give: everything for root, else only groups he is in. */
  #reachableOwner(wish: Wish, status: FileStatus): { uid: number; gid: number } {
    const uid = wish.uid ?? status.uid;
    const gid = wish.gid ?? status.gid;
    if (this.#isRoot) return { uid, gid };
    const own = status.uid === process.geteuid?.();
    return { uid: status.uid, gid: own && this.#groups.has(gid) ? gid : status.gid };
  }

  /** Sets what owner it can; the status afterwards (the same object when nothing was done). */
  #setOwner(place: Place, wish: Wish, status: FileStatus, warn: Warn): FileStatus {
    let now = status;
    const owner = this.#reachableOwner(wish, status);
    if (owner.uid !== status.uid || owner.gid !== status.gid) {
      const uid = owner.uid === status.uid ? KEEP_ID : owner.uid;
      const gid = owner.gid === status.gid ? KEEP_ID : owner.gid;
      if (!this.#give(place, uid, gid, warn)) return now;
      now = statusOf(place.fd);
    }
    const wrong = [];
    if (wish.uid !== undefined && wish.uid !== now.uid) wrong.push(`owner ${wish.uid}`);
    if (wish.gid !== undefined && wish.gid !== now.gid) wrong.push(`group ${wish.gid}`);
    if (wrong.length > 0 && !this.#isRoot) {
      warn('owner', `${wrong.join(' and ')} can only be set by root`);
    }
    return now;
  }

  /**
   * Takes away first what others may and are not to: what its mode lets the old group do the new group
   * could do for a moment, and who an access control list keeps out when that is removed.
   * Returns the status afterwards (the same object when nothing was done).
   */
  #narrowed(place: Place, wish: Wish, status: FileStatus): FileStatus {
    if (place.isSymlink || wish.mode === undefined) return status;
    const mode = status.mode & (wish.mode | OWNER_ALL);
    if (mode === status.mode) return status;
    // What is in the way is told when the mode itself is set.
    this.#setMode(place, mode, () => undefined);
    return statusOf(place.fd);
  }

  #give(place: Place, uid: number, gid: number, warn: Warn): boolean {
    if (uid === KEEP_ID && gid === KEEP_ID) return true;
    try {
      if (place.pinned) libc.chownPinned(place.fd, uid, gid);
      else libc.fchown(place.fd, uid, gid);
      return true;
    } catch (error) {
      warn('owner', `the owner cannot be set: ${messageOf(notFatal(error))}`);
      return false;
    }
  }

  /**
   * The mode to set. A set-id bit is left out where its owner could not be given: it would hand
   * the rights of whoever restores to everybody, which nobody ever granted.
   */
  #withoutSetId(place: Place, wish: Wish, now: FileStatus, warn: Warn): number | undefined {
    if (wish.mode === undefined || place.isSymlink || now.type === 'd') return wish.mode;
    let mode = wish.mode;
    if (wish.uid !== undefined && wish.uid !== now.uid) mode &= ~SETUID;
    if (wish.gid !== undefined && wish.gid !== now.gid) mode &= ~SETGID;
    if (mode !== wish.mode) {
      warn('mode', 'the set-id bit is left out, because the owner could not be set');
    }
    return mode;
  }

  #setMode(place: Place, mode: number, warn: Warn): void {
    try {
      if (place.pinned) {
        libc.chmodAt(libc.AT_FDCWD, libc.cString(`/proc/self/fd/${place.fd}`), mode);
      } else libc.fchmod(place.fd, mode);
      // The system drops this bit without a word where the user is not in the group.
      const dropped =
        !this.#isRoot && (mode & SETGID) !== 0 && (statusOf(place.fd).mode & SETGID) === 0;
      if (dropped) warn('mode', 'the set-group-id bit is refused: you are not in the group');
    } catch (error) {
      warn('mode', `the mode cannot be set: ${messageOf(notFatal(error))}`);
    }
  }

  #setTime(place: Place, mtime: Timespec, warn: Warn): void {
    try {
      if (place.pinned) this.#setTimePinned(place, toNs(mtime));
      else libc.setTime(place.fd, toNs(mtime));
      if (mtime.s >= 0 && mtime.s <= TIME_SAFE_S) return;
      if (statusOf(place.fd).mtime.s !== mtime.s) warn('time', TOO_FAR_AWAY);
    } catch (error) {
      warn('time', `the time cannot be set: ${messageOf(notFatal(error))}`);
    }
  }

  #setTimePinned(place: Place, mtimeNs: bigint): void {
    try {
      libc.setTimePinned(place.fd, mtimeNs);
    } catch (error) {
      if (errnoName(error) !== 'EINVAL') throw error;
      // Linux before 5.8. By name, never following a link.
      libc.setTimeAt(place.dir, place.name, mtimeNs);
    }
  }

  /** Runs `action` while an owner who may not write to the entry may do so. */
  #writable(place: Place, now: FileStatus, warn: Warn, action: () => void): void {
    const locked = !this.#isRoot && !place.isSymlink && (now.mode & OWNER_WRITE) === 0;
    if (locked) this.#setMode(place, now.mode | OWNER_WRITE, warn);
    action();
    if (locked) this.#setMode(place, now.mode, warn);
  }

  #xattrsDiffer(place: Place, wished: readonly Xattr[]): boolean {
    try {
      const at = xattrPlace(place);
      const present = listRemovable(place);
      for (const { name, value } of wished) {
        if (!libc.getXattr(at, name)?.equals(value)) return true;
      }
      return present.some((name) => !wished.some((wish) => wish.name.equals(name)));
    } catch (error) {
      notFatal(error);
      // Cannot be read: then setting says what is wrong, if anything was wished at all.
      return wished.length > 0;
    }
  }

  /** Makes the attributes those of `wished`: sets what differs, removes what is not among them. */
  #setXattrs(place: Place, wished: readonly Xattr[], warn: Warn): void {
    for (const name of listRemovable(place)) {
      if (wished.some((wish) => wish.name.equals(name))) continue;
      try {
        libc.removeXattr(xattrPlace(place), name);
      } catch (error) {
        warn('xattr', `${showPath(name)} cannot be removed: ${messageOf(notFatal(error))}`);
      }
    }
    for (const xattr of wished) this.#setXattr(place, xattr, warn);
  }

  #setXattr(place: Place, { name, value }: Xattr, warn: Warn): void {
    // Set by name, and for programs only: whoever puts one in the place of a link would gain by it.
    if (place.pinned && name.equals(CAPABILITY)) {
      warn('xattr', `${showPath(name)} is for regular files only`);
      return;
    }
    try {
      libc.setXattr(xattrPlace(place), name, value);
    } catch (error) {
      // "No space" here often means that this attribute is too large for this filesystem.
      warn('xattr', `${showPath(name)} cannot be set: ${messageOf(error)}`);
    }
  }
}

function xattrPlace(place: Place): libc.XattrPlace {
  return place.pinned ? libc.xattrPathAt(place.dir, place.name.subarray(0, -1)) : place.fd;
}

function listRemovable(place: Place): Buffer[] {
  return libc
    .listXattrs(xattrPlace(place))
    .filter((name) => REMOVABLE.test(name.toString('latin1')));
}
