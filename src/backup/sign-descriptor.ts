/** Which signature a backup puts on its descriptor: a filter's, a key's, or none. */
import { signWithFilter, signWithKey } from '../snapshots/signature.ts';
import type { BackupOptions } from './backup-options.ts';

/** Turns the descriptor's text into the file that is stored. */
export function signerFor(
  options: Pick<BackupOptions, 'signKey' | 'signatureFilter' | 'signal'>,
): (text: Buffer) => Promise<Buffer> {
  const { signKey, signatureFilter, signal } = options;
  if (signKey !== undefined) return (text) => signWithKey(text, signKey);
  if (signatureFilter !== undefined) return (text) => signWithFilter(text, signatureFilter, signal);
  return (text) => Promise.resolve(text);
}

/**
 * Proves that the key can sign before hours are spent on what it is to sign. A filter is only
 * run once, on the descriptor: it may ask a person or count its uses.
 * @throws {LbsError} signature-key
 */
export async function checkSigning(
  options: Pick<BackupOptions, 'signKey' | 'dryRun'>,
): Promise<void> {
  const { signKey, dryRun } = options;
  if (signKey === undefined || dryRun === true) return;
  await signWithKey(Buffer.from('Format: test of the signing key\n'), signKey);
}
