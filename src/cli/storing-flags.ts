/** Options of commands that store something: how large segments are, who can read them, and who signs. */
import { LbsError } from '../errors.ts';
import { parseSize } from '../std/human-size.ts';
import type { FlagValues } from './flag-values.ts';
import { present } from './store-flags.ts';

/** @throws {LbsError} usage */
export function segmentSizeOf(flags: FlagValues): number | undefined {
  const text = flags.text('segment-size');
  if (text === undefined) return undefined;
  const size = parseSize(text);
  if (size !== undefined && size > 0) return size;
  throw new LbsError('usage', `--segment-size=${JSON.stringify(text)} is not a size`, {
    hint: 'write bytes, or a number with k, M or G: --segment-size=16M',
  });
}

/** Whom to encrypt to: keys of the configuration do not add to those of the command line. */
export function encryptToOf(flags: FlagValues): { encryptTo?: string[] } {
  const encryptTo = flags.choices('encrypt-to');
  return encryptTo.length === 0 ? {} : { encryptTo };
}

/** How to sign: what the command line says wins over the configuration. @throws {LbsError} usage */
export function signingOf(flags: FlagValues): { signatureFilter?: string; signKey?: string } {
  const signatureFilter = flags.text('signature-filter');
  const signKey = flags.text('sign-key');
  if (signatureFilter === undefined || signKey === undefined) {
    return present({ signatureFilter, signKey });
  }
  const isFilterGiven = flags.isGiven('signature-filter');
  if (isFilterGiven !== flags.isGiven('sign-key')) {
    return isFilterGiven ? { signatureFilter } : { signKey };
  }
  throw new LbsError('usage', 'give either --signature-filter or --sign-key, not both');
}
