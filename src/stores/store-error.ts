/** Trouble with writing to a store, as an error that says what to do. */
import { LbsError, isOutOfSpace, messageOf } from '../errors.ts';

/** Turns a failed write to the store into an error that says what to do. */
export function storeError(place: string, doing: string, cause: unknown): LbsError {
  return stagingError(`the store ${place}`, doing, cause);
}

/** The same for a place that is named in words, such as `the store /mnt/backup`. */
export function stagingError(where: string, doing: string, cause: unknown): LbsError {
  if (cause instanceof LbsError) return cause;
  if (isOutOfSpace(cause)) {
    return new LbsError('no-space', `no space left in ${where} (${doing})`, {
      cause,
      hint: 'nothing that was stored before is harmed: make room and run the same command again',
    });
  }
  return new LbsError('io', `cannot ${doing} in ${where}: ${messageOf(cause)}`, { cause });
}
