/** Puts a small file into a store: the whole of it under its name, or nothing. */
import { writeSync } from 'node:fs';
import { LbsError } from '../errors.ts';
import { stagingError } from '../stores/store-error.ts';
import type { StagedFile, Store } from '../stores/store.ts';

/** @throws {LbsError} store-exists when the name is taken, store-unwritable, no-space, io */
export async function putFile(store: Store, name: string, content: Buffer): Promise<void> {
  const staged: StagedFile = store.stage();
  try {
    let at = 0;
    while (at < content.length) at += writeSync(staged.fd, content, at);
  } catch (error) {
    staged.discard();
    throw stagingError(store.stagedIn, `write ${name}`, error);
  }
  await staged.publish(name);
}

/** False when somebody else has taken the name. @throws {LbsError} store-unwritable, no-space, io */
export async function tryToPut(store: Store, name: string, content: Buffer): Promise<boolean> {
  try {
    await putFile(store, name, content);
    return true;
  } catch (error) {
    if (error instanceof LbsError && error.code === 'store-exists') return false;
    throw error;
  }
}
