/**
 * Gives the memory of `bytes`, and of everything that shares its buffer, back at once; they are
 * empty from then on.
 *
 * For large buffers whose last use is known: the collector lets tens of MiB outside of its heap pile
 * up in each thread before it looks (reading 490 MB took 75 MB less). Small ones are left to it,
 * because they may lie in the pool that the runtime cuts small buffers from; so is shared memory.
 */
export function freeMemory({ buffer }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength > Buffer.poolSize) buffer.transfer(0);
}
