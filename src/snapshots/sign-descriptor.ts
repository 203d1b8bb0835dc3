/**
 * Which signature goes on a descriptor, and on a note of what was forgotten: a filter's, a key's, or
 * none. Called by whoever makes such files.
 */
import { LbsError } from '../errors.ts';
import { signWithFilter, signWithKey, verifySigned } from './signature.ts';

export type SigningOptions = {
  /** File with an OpenPGP secret key. Not both of these. */
  readonly signKey?: string | undefined;
  /** Shell command that signs its standard input. */
  readonly signatureFilter?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly dryRun?: boolean | undefined;
};

const TEST_TEXT = Buffer.from('Format: test of the signing key\n');

/** Turns a text into the file that is stored. */
export function signerFor(
  options: Omit<SigningOptions, 'dryRun'>,
): (text: Buffer) => Promise<Buffer> {
  const { signKey, signatureFilter, signal } = options;
  if (signKey !== undefined) return (text) => signWithKey(text, signKey);
  if (signatureFilter !== undefined) return (text) => signWithFilter(text, signatureFilter, signal);
  return (text) => Promise.resolve(text);
}

/**
 * The same for a machine that believes only what a key in `verifyKey` has signed: it publishes nothing
 * that it would not believe itself.
 */
export function believedSignerFor(
  options: SigningOptions & { readonly verifyKey?: string | undefined },
): (text: Buffer) => Promise<Buffer> {
  const sign = signerFor(options);
  const { verifyKey } = options;
  if (verifyKey === undefined) return sign;
  return async (text) => {
    const signed = await sign(text);
    await verifySigned(signed, verifyKey);
    return signed;
  };
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
  await signWithKey(TEST_TEXT, signKey);
}

/**
 * The same where `believedSignerFor` is to sign.
 * @throws {LbsError} signature-key; signature-missing, signature-bad for what would not be believed
 */
export async function checkBelievedSigning(
  options: SigningOptions & { readonly verifyKey?: string | undefined },
): Promise<void> {
  const { signKey, signatureFilter, verifyKey, dryRun } = options;
  await checkSigning(options);
  if (verifyKey === undefined || dryRun === true) return;
  if (signKey === undefined && signatureFilter === undefined) {
    throw new LbsError(
      'signature-missing',
      'this machine believes only signed snapshots (--verify-key), and the new one would not be',
      { hint: 'sign it with --sign-key or --signature-filter, or leave out --verify-key' },
    );
  }
  if (signKey !== undefined) await believedSignerFor(options)(TEST_TEXT);
}
