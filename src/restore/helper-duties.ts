/**
 * What a helper thread does with the bytes of a piece: compares digests for verify, writes whole
 * files for restore. Used by segment-helper.ts.
 *
 * A file is written in exactly the way of the main thread (write-file.ts), through directory
 * handles of the helper's own. What is out of the ordinary is left to the main thread: a directory
 * that is missing or closed, an inherited access control list, a filesystem that keeps names or
 * attributes in a way of its own, anything there is to warn about.
 */
import { hash } from 'node:crypto';
import { LbsError, errnoName } from '../errors.ts';
import { cString, renameAt } from '../posix/libc.ts';
import type { HelperDuty } from './helper-messages.ts';
import { decodeRecord } from './ledger-record.ts';
import { TargetDirectories, openDirectory } from './safe-target.ts';
import { NameTaken, endsInDot } from './same-names.ts';
import { AttributeSetter } from './set-attributes.ts';
import { temporaryNameOf } from './target-tree.ts';
import { type WholeFileMaker, WrongContent, writeWholeFile } from './write-file.ts';

/** Does the task of one piece; false, with nothing left behind, when the main thread must do it. */
export type DoTask = (fileId: number, task: Buffer, bytes: Buffer) => boolean;

/** Fewer than in the main thread: descriptors are common to all of them. */
const HANDLES_MAX = 64;

/** Not done here, for a reason that is none of the errors below. */
class NotHere extends Error {}

export function openDuty(duty: HelperDuty): { doTask: DoTask; close: () => void } {
  if (duty.kind === 'check') return { doTask: checkDigests, close: () => undefined };
  const top = openDirectory(duty.topFd, cString('.'));
  const directories = new TargetDirectories(top, { handlesMax: HANDLES_MAX });
  const maker = makerIn(directories, duty.temporaryPrefix);
  return {
    doTask: (fileId, task, bytes) => writeFile(maker, fileId, { task, bytes }),
    close: () => directories.close(),
  };
}

function checkDigests(_fileId: number, task: Buffer, bytes: Buffer): boolean {
  const digests = task.toString('latin1');
  if (digests === '-') return true;
  return digests.split(' ').every((digest) => {
    const equals = digest.indexOf('=');
    return hash(digest.slice(0, equals), bytes, 'hex') === digest.slice(equals + 1);
  });
}

function makerIn(directories: TargetDirectories, prefix: string): WholeFileMaker {
  return {
    tree: {
      temporaryName: (id) => temporaryNameOf(prefix, id),
      at: (path, action) => {
        const { handle, name } = directories.parent(path);
        const isOrdinary = handle.folds !== true && handle.keepsExactly !== false;
        if (handle.hasDefaultAcl || !isOrdinary) throw new NotHere();
        return action({ dir: handle, name });
      },
      place: (_path, { dir, name }, temporary) => {
        directories.names.checkFree(dir, name, temporary);
        if (dir.folds === true || endsInDot(name)) throw new NotHere();
        renameAt(dir.fd, temporary, dir.fd, name);
      },
    },
    attributes: new AttributeSetter(true),
  };
}

function refuseWarning(): never {
  throw new NotHere();
}

function writeFile(
  maker: WholeFileMaker,
  id: number,
  { task, bytes }: { task: Buffer; bytes: Buffer },
): boolean {
  const entry = { id, ...decodeRecord(task) };
  try {
    writeWholeFile(maker, entry, bytes, refuseWarning);
    return true;
  } catch (error) {
    const isKnown =
      error instanceof NotHere ||
      error instanceof NameTaken ||
      error instanceof WrongContent ||
      error instanceof LbsError ||
      errnoName(error) !== undefined;
    if (!isKnown) throw error;
    return false;
  }
}
