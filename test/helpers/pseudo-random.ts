/** Bytes that do not compress and are the same in every run. */
import { createCipheriv, createHash } from 'node:crypto';

/** `length` bytes that only `seed` decides. */
export function pseudoRandom(seed: string, length: number): Buffer {
  const key = createHash('sha256').update(seed).digest().subarray(0, 16);
  const cipher = createCipheriv('aes-128-ctr', key, Buffer.alloc(16));
  return cipher.update(Buffer.alloc(length));
}
