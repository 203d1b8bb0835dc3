/**
 * What people note of a snapshot after it was made: that it is held, and tags. Each note is a small
 * file beside the descriptor, whose presence is what counts, so nothing in the store is ever changed
 * and a person sees it in a plain listing. Format: lbs-format(5), "NOTES".
 */
import { hostname } from 'node:os';
import { LbsError } from '../errors.ts';
import { type SnapshotNote, noteFile, parseNoteFile } from '../format/snapshot-name.ts';
import { formatDate } from '../format/timestamp.ts';
import { userName } from '../posix/accounts.ts';
import { nowSeconds } from '../std/clock.ts';
import type { Store, StoredFile } from '../stores/store.ts';
import { putFile } from './put-file.ts';

export type SnapshotNotes = { readonly isHeld: boolean; readonly tags: readonly string[] };

const NONE: SnapshotNotes = { isHeld: false, tags: [] };

/** The notes of every snapshot among `files`, a store's listing; `of` gives those of one. */
export class NotesOfStore {
  readonly #notes = new Map<string, { isHeld: boolean; tags: string[] }>();

  constructor(files: Iterable<Pick<StoredFile, 'name'>>) {
    for (const file of files) {
      const note = parseNoteFile(file.name);
      if (note === undefined) continue;
      let notes = this.#notes.get(note.name);
      if (notes === undefined) this.#notes.set(note.name, (notes = { isHeld: false, tags: [] }));
      if (note.tag === undefined) notes.isHeld = true;
      else notes.tags.push(note.tag);
    }
    for (const { tags } of this.#notes.values()) tags.sort();
  }

  of(name: string): SnapshotNotes {
    return this.#notes.get(name) ?? NONE;
  }
}

/** Who makes a note, and when: for people who look into the file. Not every user has a name. */
export function noteText(): string {
  const uid = process.geteuid?.() ?? 0;
  return `${userName(uid) ?? uid} on ${hostname()}, ${formatDate(nowSeconds())}\n`;
}

/**
 * Adds a note; false when it is there already. `text` says who and when, for people.
 * @throws {LbsError} store-unwritable, no-space, io
 */
export async function addNote(store: Store, note: SnapshotNote, text: string): Promise<boolean> {
  try {
    await putFile(store, noteFile(note), Buffer.from(text));
  } catch (error) {
    // A directory of that name, say, is no note.
    const isThere = store.find(noteFile(note)) !== undefined;
    if (isThere && error instanceof LbsError && error.code === 'store-exists') return false;
    throw error;
  }
  await store.settle();
  return true;
}

/**
 * To be asked after a note was added: somebody may have forgotten the snapshot meanwhile.
 * @throws {LbsError} snapshot-missing, when the note has been taken away again
 */
export async function refuseForgotten(store: Store, note: SnapshotNote): Promise<void> {
  const { name } = note;
  const isThere = ['lbs', 'cumulus'].some(
    (kind) => store.find(`snapshot-${name}.${kind}`) !== undefined,
  );
  if (isThere) return;
  await removeNote(store, note);
  throw new LbsError('snapshot-missing', `${name} was forgotten at this very moment`, {
    hint: 'see what there is with "lbs list", and run the same command again',
  });
}

/** Takes a note away; false when there is none. @throws {LbsError} store-unwritable, io */
export async function removeNote(store: Store, note: SnapshotNote): Promise<boolean> {
  const isRemoved = store.remove(noteFile(note));
  await store.settle();
  return isRemoved;
}
