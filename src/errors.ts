/**
 * The one error class, its closed list of codes, and the exit code each of them means.
 *
 * One rule divides trouble: reading a *source entry* may become a `SourceWarning` (a value, the
 * run goes on, exit 3 at the end); everything else is an `LbsError` and ends the run. Programs
 * branch on `code`; the message is for people and says what failed, on what, and why.
 */

export type ErrorCode =
  | 'usage'
  | 'config'
  | 'source-missing'
  | 'store-missing'
  | 'store-unwritable'
  | 'store-missing-file'
  | 'store-exists'
  | 'store-behind'
  | 'localdb-missing'
  | 'localdb-corrupt'
  | 'localdb-version'
  | 'localdb-locked'
  | 'filter-failed'
  | 'filter-missing'
  | 'upload-failed'
  | 'segment-corrupt'
  | 'segment-collected'
  | 'checksum-mismatch'
  | 'format-version'
  | 'format-syntax'
  | 'signature-bad'
  | 'signature-missing'
  | 'signature-key'
  | 'encryption-key'
  | 'decryption-key'
  | 'snapshot-missing'
  | 'snapshot-ambiguous'
  | 'target-unusable'
  | 'unsafe-path'
  | 'no-space'
  | 'io'
  | 'interrupted'
  | 'time-limit'
  | 'internal';

/** Exit codes, as in lbs(1): the same numbers that scripts around restic already know. */
export const EXIT = {
  done: 0,
  failed: 1,
  usage: 2,
  incomplete: 3,
  damaged: 4,
  missing: 10,
  locked: 11,
  signature: 12,
  interrupted: 130,
} as const;

const EXIT_OF_CODE: Partial<Record<ErrorCode, number>> = {
  usage: EXIT.usage,
  config: EXIT.usage,
  'segment-corrupt': EXIT.damaged,
  'checksum-mismatch': EXIT.damaged,
  'store-missing-file': EXIT.damaged,
  'format-syntax': EXIT.damaged,
  'store-missing': EXIT.missing,
  'snapshot-missing': EXIT.missing,
  'snapshot-ambiguous': EXIT.usage,
  'localdb-missing': EXIT.missing,
  'localdb-locked': EXIT.locked,
  'signature-bad': EXIT.signature,
  'signature-missing': EXIT.signature,
  'signature-key': EXIT.signature,
  'encryption-key': EXIT.signature,
  'decryption-key': EXIT.signature,
  interrupted: EXIT.interrupted,
};

/** An error that ends the run. `hint` says what to do about it, when that is known. */
export class LbsError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;

  constructor(code: ErrorCode, message: string, options: { cause?: unknown; hint?: string } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'LbsError';
    this.code = code;
    this.hint = options.hint;
  }
}

/** The exit code that an error means; anything that is not an `LbsError` is a failure. */
export function exitCodeOf(error: unknown): number {
  if (!(error instanceof LbsError)) return EXIT.failed;
  return EXIT_OF_CODE[error.code] ?? EXIT.failed;
}

/** The system's error name (`ENOENT`, ...) of a Node or libc error, if it has one. */
export function errnoName(error: unknown): string | undefined {
  if (error instanceof Error && 'code' in error && typeof error.code === 'string') {
    return error.code;
  }
  return undefined;
}

/** The message of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** True when the disk, quota or a file size limit is what stopped a write. */
export function isOutOfSpace(error: unknown): boolean {
  const name = errnoName(error);
  return name === 'ENOSPC' || name === 'EDQUOT' || name === 'EFBIG';
}
