/**
 * Puts a file that was made again into a store. What has its name is kept beside it, so a repair
 * that was mistaken has destroyed nothing. Called by repair.
 */
import { writeSync } from 'node:fs';
import { readSmallFile } from '../snapshots/open-snapshot.ts';
import { putFile } from '../snapshots/put-file.ts';
import { storeError } from '../stores/store-error.ts';
import { SMALL_FILE_BYTES_MAX, type Store } from '../stores/store.ts';

/** The first name of `NAME.ENDING`, `NAME.ENDING-2` and so on that nothing has. */
export function freeName(store: Store, name: string, ending: string): string {
  for (let number = 1; ; number++) {
    const free = `${name}.${ending}${number === 1 ? '' : `-${number}`}`;
    if (store.find(free) === undefined) return free;
  }
}

/**
 * Gives `name` the content, durably; the name under which the old content is kept.
 * @throws {LbsError} store-exists, store-unwritable, no-space, io
 */
export async function putRepaired(
  store: Store,
  name: string,
  content: Buffer,
): Promise<string | undefined> {
  if (store.find(name) === undefined) {
    await putFile(store, name, content);
    await store.settle();
    return undefined;
  }
  const keptAs = freeName(store, name, 'damaged');
  await putFile(store, keptAs, readSmallFile(store, name, SMALL_FILE_BYTES_MAX));
  await store.settle();
  const staged = store.stage(name);
  try {
    for (let at = 0; at < content.length;) at += writeSync(staged.fd, content, at);
  } catch (error) {
    staged.discard();
    throw storeError(store.place, `write ${name}`, error);
  }
  await staged.publishOver(name);
  await store.settle();
  return keptAs;
}
