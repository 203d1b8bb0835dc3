/** What `forget` is asked, and what it answers: the library's and the CLI's contract. */
import type { ReadOptions } from '../restore/restore-options.ts';
import type { SigningOptions } from '../snapshots/sign-descriptor.ts';
import type { Decision, RetentionRules } from './retention.ts';

/** `signKey` or `signatureFilter` sign the note that says what was forgotten. */
export type ForgetOptions = ReadOptions &
  Pick<SigningOptions, 'signKey' | 'signatureFilter'> & {
    /** Names, prefixes, `latest~3`: these are forgotten. Either this or `rules`. */
    readonly snapshots?: readonly string[];
    /** What stays; what is left out keeps nothing, but they may not all keep nothing. */
    readonly rules?: Partial<RetentionRules>;
    /** Directory of the local database; default: the store. */
    readonly localdb?: string;
    /** Decide, and change nothing. */
    readonly dryRun?: boolean;
  };

export type ForgetDecision = Decision & { readonly scheme: string | undefined };

export type ForgetSummary = {
  readonly dryRun: boolean;
  /** By scheme, oldest first; of named snapshots only these. */
  readonly decisions: readonly ForgetDecision[];
  readonly kept: number;
  readonly forgotten: number;
};
