/**
 * What two states of a path are compared by, and in which ways they differ.
 *
 * Called by diff for each path that both sides have. Facts are plain values, so that they can wait
 * in a database (sorted-entries, change-table). What a side did not record is never a difference.
 */
import { type Entry, xattrsField } from '../format/entry.ts';
import type { EntryType, Timespec } from '../posix/file-status.ts';

export type Facts = {
  readonly type: EntryType;
  readonly mode?: number | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
  readonly user?: string | undefined;
  readonly group?: string | undefined;
  readonly mtime?: Timespec | undefined;
  /** Of a regular file; 0 of everything else. */
  readonly sizeBytes: number;
  readonly sha256?: string | undefined;
  /** `algorithm=hex`. */
  readonly checksum?: string | undefined;
  /** Where the content is in the store; undefined for files on disk. */
  readonly data?: string | undefined;
  /** Of a symbolic link, as bytes in Latin-1 text. */
  readonly target?: string | undefined;
  /** `major/minor` of a device node. */
  readonly device?: string | undefined;
  readonly xattrs?: string | undefined;
};

/** How precisely two sides can be compared: what programs before ours did not record. */
export type Precision = {
  /** Times have nanoseconds on both sides. */
  readonly hasNanoseconds: boolean;
  /** Extended attributes are recorded on both sides. */
  readonly hasXattrs: boolean;
};

/** Ways in which the state of a path can differ, in the order in which they are written. */
export const ATTRIBUTE_LETTERS = ['C', 'O', 'P', 'T', 'X'] as const;

/** Whether two regular files of one size have one content; undefined when that cannot be told. */
export function isSameContent(before: Facts, after: Facts): boolean | undefined {
  if (before.sizeBytes !== after.sizeBytes) return false;
  if (before.sizeBytes === 0) return true;
  if (before.sha256 !== undefined && after.sha256 !== undefined) {
    return before.sha256 === after.sha256;
  }
  const [algorithm] = (before.checksum ?? '').split('=', 1);
  if (algorithm !== '' && after.checksum?.startsWith(`${algorithm}=`) === true) {
    return before.checksum === after.checksum;
  }
  // The same pieces of the store; other pieces may still hold the same bytes.
  return before.data !== undefined && before.data === after.data ? true : undefined;
}

export function factsOf(entry: Entry): Facts {
  const { type, mode, uid, gid, user, group, mtime, sizeBytes, sha256, checksum } = entry;
  const { data, target, device, xattrs } = entry;
  return {
    type,
    mode,
    uid,
    gid,
    user,
    group,
    mtime,
    sizeBytes,
    sha256,
    checksum,
    data: data.join(' '),
    target: target?.toString('latin1'),
    device: device && `${device.major}/${device.minor}`,
    xattrs: xattrs.length === 0 ? '' : xattrsField(xattrs),
  };
}

/** True when both are known and not equal. */
function differ<T>(before: T | undefined, after: T | undefined): boolean {
  return before !== undefined && after !== undefined && before !== after;
}

/** True when both times are known and not the same, as far as both sides record them. */
export function differInTime(before: Facts, after: Facts, { hasNanoseconds }: Precision): boolean {
  if (before.mtime === undefined || after.mtime === undefined) return false;
  if (before.mtime.s !== after.mtime.s) return true;
  return hasNanoseconds && before.mtime.ns !== after.mtime.ns;
}

function differInContent(before: Facts, after: Facts, precision: Precision): boolean {
  if (before.type !== 'f') {
    return differ(before.target, after.target) || differ(before.device, after.device);
  }
  // Where it cannot be told, a change without a change of time is not what happened.
  return !(isSameContent(before, after) ?? !differInTime(before, after, precision));
}

/**
 * The letters of the ways in which two states of one type differ, without content: `O` owner or
 * group, `P` permissions, `T` time, `X` extended attributes.
 */
export function attributeLetters(before: Facts, after: Facts, precision: Precision): string {
  const isOwner =
    differ(before.uid, after.uid) ||
    differ(before.gid, after.gid) ||
    differ(before.user, after.user) ||
    differ(before.group, after.group);
  return [
    isOwner ? 'O' : '',
    differ(before.mode, after.mode) ? 'P' : '',
    differInTime(before, after, precision) ? 'T' : '',
    precision.hasXattrs && differ(before.xattrs, after.xattrs) ? 'X' : '',
  ].join('');
}

/** All letters of the ways in which two states of one type differ; empty when they are equal. */
export function changeLetters(before: Facts, after: Facts, precision: Precision): string {
  const content = differInContent(before, after, precision) ? 'C' : '';
  return content + attributeLetters(before, after, precision);
}
