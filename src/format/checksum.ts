/**
 * Checksums as text, `algorithm=hex`. The algorithms of the family are sha1, sha224 and sha256;
 * we write sha1 where the format has one and SHA-256 beside it.
 */
import { hash } from 'node:crypto';
import { LbsError } from '../errors.ts';

export const CHECKSUM_ALGORITHMS = ['sha1', 'sha224', 'sha256'] as const;
export type ChecksumAlgorithm = (typeof CHECKSUM_ALGORITHMS)[number];

export type Checksum = { readonly algorithm: ChecksumAlgorithm; readonly hex: string };

const HEX_DIGITS: Record<ChecksumAlgorithm, number> = { sha1: 40, sha224: 56, sha256: 64 };

/** Reads `algorithm=hex`. @throws {LbsError} format-syntax for an unknown algorithm or length. */
export function parseChecksum(text: string): Checksum {
  const equals = text.indexOf('=');
  const name = text.slice(0, equals);
  const algorithm = CHECKSUM_ALGORITHMS.find((known) => known === name);
  const hex = text.slice(equals + 1).toLowerCase();
  if (algorithm === undefined) {
    throw new LbsError('format-syntax', `unknown checksum algorithm in "${text.slice(0, 80)}"`);
  }
  if (hex.length !== HEX_DIGITS[algorithm] || !/^[0-9a-f]+$/.test(hex)) {
    throw new LbsError('format-syntax', `not a ${algorithm} checksum: "${text.slice(0, 80)}"`);
  }
  return { algorithm, hex };
}

/** `algorithm=hex` of some bytes. */
export function checksumOf(algorithm: ChecksumAlgorithm, data: Uint8Array): string {
  return `${algorithm}=${hash(algorithm, data, 'hex')}`;
}
