/**
 * One run at a time per local database: flock(2) on a file beside it, which the kernel lets go
 * when its holder dies, however it dies. The file names the holder for the one who must wait.
 */
import { closeSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { LbsError, errnoName, messageOf } from '../errors.ts';
import { tryLock } from '../posix/libc.ts';
import { nowSeconds } from '../std/clock.ts';
import { closeAnyway } from '../std/close-file.ts';
import { makeDirectories } from '../std/make-directories.ts';
import { showText } from '../std/byte-path.ts';
import { formatDate } from '../format/timestamp.ts';

const LOCK_FILE = 'lbs-localdb.lock';
const HOLDER_BYTES_MAX = 512;

export type Lock = { release(): void };

function holder(fd: number): string {
  const text = Buffer.alloc(HOLDER_BYTES_MAX);
  const size = readSync(fd, text, 0, text.length, 0);
  return showText(text.toString('utf8', 0, size).trim()) || 'an unknown process';
}

/** For whoever must wait. A courtesy: the lock is held even where the disk is full. */
function leaveName(fd: number, name: string): void {
  try {
    ftruncateSync(fd);
    writeSync(fd, name);
  } catch {
    // They will read "an unknown process".
  }
}

function take(fd: number, directory: string): void {
  try {
    if (tryLock(fd)) return;
  } catch (error) {
    closeSync(fd);
    throw new LbsError(
      'io',
      `cannot lock the local database in ${directory}: ${messageOf(error)}`,
      {
        cause: error,
        hint: 'some network filesystems have no locks: give a local directory with --localdb=DIR',
      },
    );
  }
  const who = holder(fd);
  closeSync(fd);
  throw new LbsError('localdb-locked', `the local database in ${directory} is in use by ${who}`, {
    hint: 'wait for it to end, or give each job its own --localdb=DIR',
  });
}

/** @throws {LbsError} localdb-locked naming the holder */
export function lockLocaldb(directory: string): Lock {
  let fd: number;
  try {
    makeDirectories(directory, 0o700);
    fd = openSync(join(directory, LOCK_FILE), 'a+', 0o600);
  } catch (error) {
    throw new LbsError(
      'io',
      `cannot use ${directory} for the local database: ${messageOf(error)}`,
      {
        cause: error,
        hint: 'give a directory that you may write to with --localdb=DIR',
      },
    );
  }
  take(fd, directory);
  leaveName(
    fd,
    `lbs, process ${process.pid} on ${hostname()}, since ${formatDate(nowSeconds())}\n`,
  );
  return {
    release: () => {
      // Emptied, not removed: somebody may be waiting on this very file.
      leaveName(fd, '');
      closeAnyway(fd);
    },
  };
}

/** For a run that changes nothing: refuses while somebody writes, leaves no trace itself. */
export function checkUnlocked(directory: string): Lock {
  try {
    const fd = openSync(join(directory, LOCK_FILE), 'r');
    take(fd, directory);
    return { release: () => closeAnyway(fd) };
  } catch (error) {
    if (error instanceof LbsError || errnoName(error) !== 'ENOENT') throw error;
    return { release: () => undefined };
  }
}
