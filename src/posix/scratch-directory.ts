/**
 * A directory for files that are of use to this process only, in the place for temporary files. What
 * a process left that was killed goes when the next one asks for a directory.
 *
 * Who makes one locks it, with flock(2), which ends with the process: one that can be locked has
 * nobody. The place is often /tmp, where everybody may have made anything; so only directories of
 * our own user are touched, which nobody else can exchange there.
 */
import { constants, fstatSync, mkdtempSync, openSync, readdirSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { LbsError, isOutOfSpace, messageOf } from '../errors.ts';
import { closeAnyway } from '../std/close-file.ts';
import { rememberStaging, removeStaging } from '../std/staging-directories.ts';
import { tryLock } from './libc.ts';

const { O_RDONLY, O_DIRECTORY, O_NOFOLLOW } = constants;

export type ScratchKind = 'parity' | 'heal' | 'dry-run';

/** mkdtemp(3) puts other characters in place of six X. */
const SCRATCH_NAME = /^lbs-(parity|heal|dry-run)-.{6}$/;

/** `taken`: it is somebody's, or has gone. `unknown`: a filesystem without locks. */
type Lock = { readonly fd: number } | 'taken' | 'unknown';

function lockOf(path: string): Lock {
  let fd: number;
  try {
    fd = openSync(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
  } catch {
    return 'taken';
  }
  let lock: Lock = 'taken';
  try {
    const { uid, ino } = fstatSync(fd);
    const isFree = uid === process.geteuid?.() && tryLock(fd);
    // Whoever had it may have removed it before it could be locked.
    if (isFree && statSync(path, { throwIfNoEntry: false })?.ino === ino) lock = { fd };
  } catch {
    lock = 'unknown';
  }
  if (typeof lock === 'string') closeAnyway(fd);
  return lock;
}

/** Removes what killed processes left. Never throws. */
export function removeScratchLeftovers(): void {
  const base = tmpdir();
  let names: string[];
  try {
    names = readdirSync(base);
  } catch {
    // One may write to a directory that one may not list.
    return;
  }
  for (const name of names) {
    if (!SCRATCH_NAME.test(name)) continue;
    const path = join(base, name);
    const lock = lockOf(path);
    if (typeof lock === 'string') continue;
    removeStaging(path);
    closeAnyway(lock.fd);
  }
}

function cannotMake(base: string, cause: unknown): LbsError {
  const code = isOutOfSpace(cause) ? 'no-space' : 'io';
  const message = `cannot make a directory for temporary files in ${base}: ${messageOf(cause)}`;
  return new LbsError(code, message, { cause, hint: 'TMPDIR=DIR names another place' });
}

export class ScratchDirectory {
  readonly path: string;
  readonly #lock: Lock;

  /** @throws {LbsError} no-space, io */
  constructor(kind: ScratchKind) {
    const base = tmpdir();
    removeScratchLeftovers();
    let path: string;
    let lock: Lock;
    do {
      try {
        path = mkdtempSync(join(base, `lbs-${kind}-`));
      } catch (error) {
        throw cannotMake(base, error);
      }
      // Somebody may be about to remove it, who saw that nobody had it.
      lock = lockOf(path);
    } while (lock === 'taken');
    rememberStaging(path);
    this.path = path;
    this.#lock = lock;
  }

  /** Removes it with what is in it. Never throws. */
  close(): void {
    removeStaging(this.path);
    if (typeof this.#lock !== 'string') closeAnyway(this.#lock.fd);
  }
}
