/**
 * What a filesystem made of the attributes that it took: FAT keeps times of 1980 and later to two
 * seconds, and of a mode hardly more than whether all may write; some network filesystems take an
 * owner and forget it. None of them says so, so what was set is read back.
 *
 * Used by set-attributes.ts. Reading back costs a call for each entry, so it is left out where a
 * first file shows that the filesystem keeps everything.
 */
import { formatDate } from '../format/timestamp.ts';
import { type FileStatus, type Timespec, statusOf, toNs } from '../posix/file-status.ts';
import * as libc from '../posix/libc.ts';
import type { RestoreWarning } from '../report.ts';
import type { Warn, Wish } from './set-attributes.ts';

export const TOO_FAR_AWAY = 'this filesystem cannot hold a time so far away';

/** A mode and a time that only a filesystem that keeps all of them keeps. Lets nobody read. */
const ODD_MODE = 0o610;
const ODD_TIME_NS = 1_000_000_001_987_654_321n;

/** Tries out an open file of ours, and leaves it as it was. */
export function keepsOddities(fd: number): boolean {
  try {
    const before = statusOf(fd);
    libc.fchmod(fd, ODD_MODE);
    libc.setTime(fd, ODD_TIME_NS);
    const { mode, mtime } = statusOf(fd);
    libc.setTime(fd, toNs(before.mtime));
    libc.fchmod(fd, before.mode);
    return mode === ODD_MODE && toNs(mtime) === ODD_TIME_NS;
  } catch {
    // Whatever that was: it is said of the entries that it keeps from being as they should.
    return false;
  }
}

/** Compares what was set on one entry with what is there now. */
export class KeptAttributes {
  readonly #told = new Set<RestoreWarning['code']>();
  readonly #warn: Warn;

  constructor(warn: Warn) {
    this.#warn = warn;
  }

  /** To be used while attributes are set: what was told then is not told again. */
  readonly warn: Warn = (code, message) => {
    this.#told.add(code);
    this.#warn(code, message);
  };

  /** Tells of what the filesystem took and did not keep. `wish` is what it was given. */
  compare(wish: Wish, now: FileStatus, isSymlink: boolean): void {
    const { uid = now.uid, gid = now.gid, mode = now.mode, mtime = now.mtime } = wish;
    if (uid !== now.uid || gid !== now.gid) {
      this.#tell('owner', `this filesystem keeps no owners: it is ${now.uid}:${now.gid} here`);
    }
    if (mode !== now.mode && !isSymlink) {
      this.#tell(
        'mode',
        `this filesystem keeps it as ${octal(now.mode)} instead of ${octal(mode)}`,
      );
    }
    if (toNs(mtime) !== toNs(now.mtime)) {
      this.#tell('time', `this filesystem keeps it as ${timeText(now.mtime)}`);
    }
  }

  #tell(code: 'owner' | 'mode' | 'time', message: string): void {
    if (!this.#told.has(code)) this.#warn(code, message);
  }
}

/** True when something was changed between two looks at an entry. */
export function wasChanged(before: FileStatus, after: FileStatus): boolean {
  const isSame =
    before.mode === after.mode &&
    before.uid === after.uid &&
    before.gid === after.gid &&
    toNs(before.mtime) === toNs(after.mtime) &&
    toNs(before.ctime) === toNs(after.ctime);
  return !isSame;
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, '0');
}

function timeText({ s, ns }: Timespec): string {
  return formatDate(s) + (ns === 0 ? '' : ` and ${ns} ns`);
}
