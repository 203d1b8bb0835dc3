/** Which signature a new descriptor gets: a filter's, a key's, or none. */
import { LbsError } from '../errors.ts';
import { signWithFilter, signWithKey } from './signature.ts';

export type SigningOptions = {
  /** File with an OpenPGP secret key. */
  readonly signKey?: string | undefined;
  /** Shell command. */
  readonly signatureFilter?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly dryRun?: boolean | undefined;
};

/** Turns the descriptor's text into the file that is stored. */
export function signerFor(
  options: Omit<SigningOptions, 'dryRun'>,
): (text: Buffer) => Promise<Buffer> {
  const { signKey, signatureFilter, signal } = options;
  if (signKey !== undefined) return (text) => signWithKey(text, signKey);
  if (signatureFilter !== undefined) return (text) => signWithFilter(text, signatureFilter, signal);
  return (text) => Promise.resolve(text);
}

/**
 * Proves that the key can sign before hours are spent on what it is to sign. A filter is only
 * run once, on the descriptor: it may ask a person or count its uses.
 * @throws {LbsError} usage, signature-key
 */
export async function checkSigning(options: SigningOptions): Promise<void> {
  const { signKey, signatureFilter, dryRun } = options;
  if (signKey !== undefined && signatureFilter !== undefined) {
    throw new LbsError('usage', 'a signature filter and a signing key exclude each other');
  }
  if (signKey === undefined || dryRun === true) return;
  await signWithKey(Buffer.from('Format: test of the signing key\n'), signKey);
}
