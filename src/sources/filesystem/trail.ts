/**
 * A walk down to one path only, and what becomes of the entries on the way: how `lbs why` asks
 * the scan itself why it takes something. A backup has no trail.
 */
import type { ByteText } from '../../std/byte-text.ts';
import type { Verdict } from './select.ts';

/** Why the scan does not get further, besides what a verdict says. */
export type Barrier =
  /** The files of the backup itself. */
  | { readonly kind: 'own-file' }
  /** Contents of a directory: its name there is of no use to a backup. */
  | { readonly kind: 'one-file-system' | 'kernel-filesystem' | 'exclude-caches' }
  | { readonly kind: 'exclude-if-present'; readonly marker: ByteText }
  | { readonly kind: 'unsupported-type' }
  /** It, or its contents, cannot be read; or it vanished meanwhile. */
  | { readonly kind: 'unreadable'; readonly message: string };

export interface Trail {
  /** The names from the top down to the path; what is below it is walked as ever. */
  readonly names: readonly ByteText[];
  /** The scan has decided about an entry on the way. */
  judged(path: ByteText, verdict: Verdict): void;
  /** The scan stops here: at an entry, or at the contents of a directory. */
  stopped(path: ByteText, barrier: Barrier): void;
}
