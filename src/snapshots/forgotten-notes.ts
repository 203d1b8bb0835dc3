/**
 * Notes of a store that say which snapshots were taken out of it on purpose, so that one which is gone
 * without such a note is an alarm. Whoever removes a descriptor leaves a note first, and that is all
 * there is to it: `noteForgotten` for those who remove, `readForgotten` for those who miss one.
 *
 * A note is a file `forgotten-UUID.note`, signed where descriptors are. It is of this store: a copy
 * may keep what was forgotten here, so `sync` leaves it behind; gc never removes it. When there are
 * many, the next one takes up what they say, and they go.
 * Invariant: with a verify key no note is believed, nor taken up, but with a good signature.
 * Format: lbs-format(5), "FORGOTTEN SNAPSHOTS".
 */
import { hostname } from 'node:os';
import { LbsError, messageOf } from '../errors.ts';
import { isSigned } from '../format/descriptor.ts';
import {
  type ForgottenSnapshot,
  formatForgotten,
  parseForgotten,
} from '../format/forgotten-note.ts';
import { isForgottenFile } from '../format/snapshot-name.ts';
import { newUuid, nowSeconds } from '../std/clock.ts';
import type { Store } from '../stores/store.ts';
import { readSmallFile } from './open-snapshot.ts';
import { putFile } from './put-file.ts';
import { type SigningOptions, signerFor } from './sign-descriptor.ts';
import { verifySigned } from './signature.ts';

/** Half a million snapshots; anything beyond this is no note. */
const NOTE_BYTES_MAX = 64 * 1024 * 1024;
/** Beyond this many the next one takes them up: each is a file to be read when one is missed. */
const NOTES_MAX = 16;
/** A store whose notes are taken up each time that they are read would be a strange one. */
const LISTINGS_MAX = 5;

/** What notes say. */
export class ForgottenSnapshots {
  readonly #digests = new Map<string, Set<string | undefined>>();

  add({ name, sha256 }: ForgottenSnapshot): void {
    const digests = this.#digests.get(name);
    if (digests) digests.add(sha256);
    else this.#digests.set(name, new Set([sha256]));
  }

  /** True for a snapshot that was forgotten; of a digest that is not known on one side, by name. */
  has({ name, sha256 }: ForgottenSnapshot): boolean {
    const digests = this.#digests.get(name);
    if (digests === undefined) return false;
    return sha256 === undefined || digests.has(sha256) || digests.has(undefined);
  }

  /** Each snapshot and digest once. */
  *[Symbol.iterator](): Generator<ForgottenSnapshot> {
    for (const [name, digests] of this.#digests) {
      for (const sha256 of digests) yield { name, sha256 };
    }
  }
}

function noteFiles(store: Store): string[] {
  return store.names().filter(isForgottenFile);
}

/** What one note says. @throws {LbsError} signature-*, format-syntax */
async function contentOf(
  stored: Buffer,
  verifyKey: string | undefined,
): Promise<ForgottenSnapshot[]> {
  const text = verifyKey === undefined ? stored : await verifySigned(stored, verifyKey);
  return parseForgotten(text.toString('latin1'));
}

/**
 * What all notes of a store say; with `verifyKey` only those that one of its keys has signed. Of one
 * that is not believed `note` is told.
 * @throws {LbsError} signature-key, io when the store cannot be listed
 */
export async function readForgotten(
  store: Store,
  { verifyKey, note }: { verifyKey?: string | undefined; note: (message: string) => void },
): Promise<ForgottenSnapshots> {
  const forgotten = new ForgottenSnapshots();
  const done = new Set<string>();
  // One that is gone was taken up by another since it was listed, so that is looked for.
  for (let attempt = 0, isWhole = false; !isWhole && attempt < LISTINGS_MAX; attempt++) {
    isWhole = true;
    for (const file of noteFiles(store)) {
      if (done.has(file)) continue;
      try {
        const stored = readSmallFile(store, file, NOTE_BYTES_MAX);
        for (const one of await contentOf(stored, verifyKey)) forgotten.add(one);
      } catch (error) {
        if (!(error instanceof LbsError) || error.code === 'signature-key') throw error;
        if (error.code === 'store-missing-file') {
          isWhole = false;
          continue;
        }
        note(`${file}, a note of what was forgotten, is not believed: ${messageOf(error)}`);
      }
      done.add(file);
    }
  }
  return forgotten;
}

export type NoteSigning = SigningOptions & {
  /** Keys whose notes may be taken up by a signed one; else those of `signKey` may. */
  readonly verifyKey?: string | undefined;
};

/**
 * Notes that these snapshots are being taken out of the store on purpose. To be called, and awaited,
 * before the first of them goes; stopping in between leaves a snapshot of which it is said too early,
 * which harms nobody. Returns the note's name when it can be taken back, as long as nothing is gone:
 * not when it has taken up others. Does nothing for none.
 * @throws {LbsError} signature-key, filter-*, store-unwritable, no-space, io: then nothing may go
 */
export async function noteForgotten(
  store: Store,
  snapshots: readonly ForgottenSnapshot[],
  signing: NoteSigning,
): Promise<string | undefined> {
  if (snapshots.length === 0) return undefined;
  const said = new ForgottenSnapshots();
  for (const snapshot of snapshots) said.add(snapshot);
  const older = noteFiles(store);
  const taken = older.length < NOTES_MAX ? [] : await takeUp(store, older, { said, signing });
  const text = formatForgotten(said, { date: nowSeconds(), host: hostname() });
  const signed = await signerFor(signing)(Buffer.from(text, 'latin1'));
  const name = `forgotten-${newUuid()}.note`;
  await putFile(store, name, signed);
  await store.settle();
  for (const file of taken) store.remove(file);
  return taken.length === 0 ? name : undefined;
}

/**
 * Adds to `said` what these notes say, and returns those that can go for it. A signature must not
 * make true what nobody has signed, and what is signed must not be said without.
 */
async function takeUp(
  store: Store,
  files: readonly string[],
  { said, signing }: { readonly said: ForgottenSnapshots; readonly signing: NoteSigning },
): Promise<string[]> {
  const { signKey, signatureFilter, verifyKey = signKey } = signing;
  const signs = signKey !== undefined || signatureFilter !== undefined;
  if (signs && verifyKey === undefined) return [];
  const taken: string[] = [];
  for (const file of files) {
    try {
      const stored = readSmallFile(store, file, NOTE_BYTES_MAX);
      if (!signs && isSigned(stored.toString('latin1'))) continue;
      for (const one of await contentOf(stored, signs ? verifyKey : undefined)) said.add(one);
      taken.push(file);
    } catch (error) {
      // It stays as it is, then.
      if (!(error instanceof LbsError)) throw error;
    }
  }
  return taken;
}
