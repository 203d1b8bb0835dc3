/**
 * The target before anything is written: is there a directory to restore into, and room in it?
 */
import { accessSync, constants, statfsSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { LbsError, errnoName, messageOf } from '../errors.ts';
import * as libc from '../posix/libc.ts';
import { O } from '../posix/libc.ts';
import { humanCount, humanSize } from '../std/human-size.ts';

export type TargetState = {
  /** The target, or its parent where the target is to be made. */
  readonly existing: string;
  readonly isThere: boolean;
};

function unusable(message: string, hint: string, cause?: unknown): LbsError {
  return new LbsError('target-unusable', message, {
    hint,
    ...(cause === undefined ? {} : { cause }),
  });
}

function isOwn(uid: number): boolean {
  return process.geteuid?.() === uid;
}

/**
 * Looks whether `target` can be restored into; changes nothing.
 * @throws {LbsError} target-unusable
 */
export function checkTarget(target: string): TargetState {
  const found = directoryAt(target, `the target ${target}`);
  if (found === undefined) {
    const parent = dirname(target.replace(/\/+$/, '') || '/');
    const above = directoryAt(parent, `the parent ${parent} of the target`);
    if (above === undefined) {
      throw unusable(
        `the target ${target} cannot be made: its parent ${parent} does not exist`,
        `make it first: mkdir -p ${parent}`,
      );
    }
    checkWritable(parent, `the target ${target} cannot be made: ${parent}`);
    return { existing: parent, isThere: false };
  }
  // A read-only directory of our own is opened up while we work in it.
  if (!isOwn(found.uid) || isOnReadOnly(target)) checkWritable(target, `the target ${target}`);
  return { existing: target, isThere: true };
}

function directoryAt(path: string, what: string): { uid: number } | undefined {
  try {
    const status = statSync(path);
    if (status.isDirectory()) return { uid: status.uid };
  } catch (error) {
    if (errnoName(error) === 'ENOENT') return undefined;
    if (errnoName(error) !== 'ENOTDIR') {
      throw unusable(`${what} cannot be used: ${messageOf(error)}`, 'name another target', error);
    }
  }
  throw unusable(`${what} is not a directory`, 'restore into a directory, or a name in one');
}

function isOnReadOnly(path: string): boolean {
  try {
    accessSync(path, constants.W_OK);
    return false;
  } catch (error) {
    return errnoName(error) === 'EROFS';
  }
}

function checkWritable(path: string, what: string): void {
  try {
    accessSync(path, constants.W_OK | constants.X_OK);
  } catch (error) {
    throw unusable(
      `${what} is not writable: ${messageOf(error)}`,
      'nothing was written; name another target, or run as a user who may write there',
      error,
    );
  }
}

/** Opens the target, making it first where it is missing. @throws {LbsError} target-unusable */
export function openTarget(target: string, state: TargetState, mode: number): number {
  const path = libc.cString(target);
  try {
    if (!state.isThere) libc.mkdirAt(libc.AT_FDCWD, path, mode);
    const fd = libc.tryOpenAt(libc.AT_FDCWD, path, O.RDONLY | O.DIRECTORY);
    return fd >= 0 ? fd : libc.openAt(libc.AT_FDCWD, path, O.PATH | O.DIRECTORY);
  } catch (error) {
    // Not gone on with: it may be a link that somebody else of this machine has put there.
    if (!state.isThere && errnoName(error) === 'EEXIST') {
      throw unusable(
        `the target ${target} was made by somebody else just now`,
        'see what it is, and run the same command again when no other restore is at work there',
        error,
      );
    }
    throw unusable(
      `cannot use the target ${target}: ${messageOf(error)}`,
      'check the target',
      error,
    );
  }
}

/** Refuses when what is to be written does not fit. @throws {LbsError} no-space */
export function checkRoom(
  state: TargetState,
  need: { readonly bytes: number; readonly freedBytes: number; readonly entries: number },
): void {
  const { bavail, bfree, bsize, files, ffree } = statfsSync(state.existing);
  const free = (process.geteuid?.() === 0 ? bfree : bavail) * bsize;
  // What is replaced makes room as it goes, so it counts as free.
  if (need.bytes > free + need.freedBytes) {
    throw new LbsError(
      'no-space',
      `the target ${state.existing} has no room: ${humanSize(need.bytes)} (${need.bytes} bytes) needed, ` +
        `${humanSize(free)} (${free} bytes) free`,
      { hint: 'nothing was written; make room, restore less (name paths), or name another target' },
    );
  }
  if (files > 0 && need.entries > ffree) {
    throw new LbsError(
      'no-space',
      `the target ${state.existing} has no room for ${humanCount(need.entries)} new entries: ` +
        `${humanCount(ffree)} inodes free`,
      { hint: 'nothing was written; name another target' },
    );
  }
}
