/**
 * What of a failed system call is trouble with an entry, and what is trouble of this process.
 *
 * Running out of file descriptors or memory says nothing about the entry: leaving it out with a
 * warning would publish a snapshot that lacks it. Neither does a mistake in our own code.
 */
import { LbsError, errnoName, messageOf } from '../../errors.ts';

const OWN_TROUBLE = new Map([
  ['EMFILE', 'raise the limit on open files: ulimit -n'],
  ['ENFILE', 'the whole system is out of open files'],
  ['ENOMEM', 'the system is out of memory'],
]);

/** Returns for trouble with the entry. @throws {LbsError} io, or the error itself, for all else */
export function passOwnTrouble(error: unknown, path: string): void {
  const name = errnoName(error);
  if (error instanceof LbsError || name === undefined || !/^E[A-Z0-9]+$/.test(name)) throw error;
  const hint = OWN_TROUBLE.get(name);
  if (hint === undefined) return;
  throw new LbsError('io', `cannot go on reading at ${path}: ${messageOf(error)}`, {
    cause: error,
    hint,
  });
}
