/**
 * Puts a file that was made again into a store. What has its name is kept beside it, so a repair
 * that was mistaken has destroyed nothing. Called by repair.
 */
import { writeSync } from 'node:fs';
import { readSmallFile } from '../snapshots/open-snapshot.ts';
import { putFile } from '../snapshots/put-file.ts';
import { storeError } from '../stores/store-error.ts';
import { SMALL_FILE_BYTES_MAX, type Store } from '../stores/store.ts';

function numbered(name: string, ending: string, number: number): string {
  return `${name}.${ending}${number === 1 ? '' : `-${number}`}`;
}

/** The first name of `NAME.ENDING`, `NAME.ENDING-2` and so on that nothing has. */
export function freeName(store: Store, name: string, ending: string): string {
  for (let number = 1; ; number++) {
    const free = numbered(name, ending, number);
    if (store.find(free) === undefined) return free;
  }
}

/** Where to keep what has the name; a repair that was killed may have done that already. */
function nameToKeep(store: Store, name: string, content: Buffer): string {
  for (let number = 1; ; number++) {
    const kept = numbered(name, 'damaged', number);
    const file = store.find(kept);
    if (file === undefined) return kept;
    const isAsLong = file.sizeBytes === content.length;
    if (isAsLong && readSmallFile(store, kept, SMALL_FILE_BYTES_MAX).equals(content)) return kept;
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
  const old = readSmallFile(store, name, SMALL_FILE_BYTES_MAX);
  const keptAs = nameToKeep(store, name, old);
  if (store.find(keptAs) === undefined) await putFile(store, keptAs, old);
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
