/**
 * Snapshots of a store: listing them, finding the one a person means, reading its descriptor.
 *
 * Called by every command that reads a store. Invariant: with a verify key, nothing of a
 * descriptor is believed but what a good signature covers.
 * Format: lbs-format(5), "DESCRIPTOR".
 */
import { readSync } from 'node:fs';
import { LbsError } from '../errors.ts';
import { type Descriptor, isSigned, parseDescriptor } from '../format/descriptor.ts';
import { type Seal, sealOf } from '../format/descriptor-seal.ts';
import { parseSnapshotFile, parseSnapshotName } from '../format/snapshot-name.ts';
import { formatDate, formatTimestamp, parseMoment } from '../format/timestamp.ts';
import { showText } from '../std/byte-path.ts';
import type { Store, StoredFile } from '../stores/store.ts';
import { verifySigned } from './signature.ts';

/** A million segments make some 40 MB; anything beyond this is no descriptor. */
const DESCRIPTOR_BYTES_MAX = 64 * 1024 * 1024;
/** Names quoted when a word could mean several snapshots. */
const NAMES_SHOWN_MAX = 5;
const BEFORE = 'before:';

/** A snapshot that a store has, its descriptor not yet read. */
export type SnapshotFile = {
  /** `[scheme-]timestamp`, as people name it. */
  readonly name: string;
  readonly scheme: string | undefined;
  readonly timestamp: string;
  readonly file: StoredFile;
};

export type OpenSnapshot = {
  readonly name: string;
  readonly file: StoredFile;
  readonly descriptor: Descriptor;
  /** True for a clear-signed descriptor, checked or not. */
  readonly isSigned: boolean;
  /** Whether it is as it was written, as far as it can tell itself. */
  readonly seal: Seal;
};

function byAge(a: SnapshotFile, b: SnapshotFile): number {
  if (a.timestamp !== b.timestamp) return a.timestamp < b.timestamp ? -1 : 1;
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

/** The snapshots among `files` (a store's listing), oldest first. */
export function snapshotsAmong(files: Iterable<StoredFile>): SnapshotFile[] {
  const found = new Map<string, SnapshotFile>();
  for (const file of files) {
    const parsed = parseSnapshotFile(file.name);
    if (parsed === undefined || (parsed.kind !== 'lbs' && parsed.kind !== 'cumulus')) continue;
    const { name } = parsed;
    const parts = parseSnapshotName(name);
    if (parts !== undefined && !found.has(name)) found.set(name, { name, ...parts, file });
  }
  return [...found.values()].sort(byAge);
}

/** All snapshots of a store, oldest first. */
export function listSnapshots(store: Store): SnapshotFile[] {
  return snapshotsAmong(store.list());
}

/** Reads a small file of the store whole. @throws {LbsError} store-missing-file, io, format-syntax */
export function readSmallFile(store: Store, name: string, bytesMax: number): Buffer {
  const file = store.open(name);
  try {
    if (file.sizeBytes > bytesMax) {
      throw new LbsError('format-syntax', `${name} is too large (${file.sizeBytes} bytes)`);
    }
    const bytes = Buffer.allocUnsafe(file.sizeBytes);
    let filled = 0;
    while (filled < bytes.length) {
      const got = readSync(file.fd, bytes, filled, bytes.length - filled, filled);
      if (got === 0) break;
      filled += got;
    }
    return bytes.subarray(0, filled);
  } finally {
    file.close();
  }
}

/** A descriptor as it is stored. @throws {LbsError} store-missing-file, format-syntax, io */
export function storedDescriptor(store: Store, { file }: SnapshotFile): Buffer {
  return readSmallFile(store, file.name, DESCRIPTOR_BYTES_MAX);
}

/**
 * The text of a descriptor; with `verifyKey` (a file of OpenPGP public keys) only what a good
 * signature covers. Without a key a signed one is read unchecked.
 * @throws {LbsError} store-missing-file, format-syntax, io, signature-missing, signature-bad,
 * signature-key
 */
export async function readDescriptor(
  store: Store,
  snapshot: SnapshotFile,
  options: { readonly verifyKey?: string | undefined } = {},
): Promise<{ readonly text: string; readonly isSigned: boolean }> {
  return await textOf(snapshot, storedDescriptor(store, snapshot), options);
}

async function textOf(
  { name, file }: SnapshotFile,
  stored: Buffer,
  { verifyKey }: { readonly verifyKey?: string | undefined },
): Promise<{ readonly text: string; readonly isSigned: boolean }> {
  const text = stored.toString('latin1');
  if (verifyKey === undefined) return { text, isSigned: isSigned(text) };
  try {
    const signed = (await verifySigned(stored, verifyKey)).toString('latin1');
    refuseOtherName(signed, name);
    return { text: signed, isSigned: true };
  } catch (error) {
    throw named(error, file.name);
  }
}

const NAME_LINE = /^Name:[ \t]*(.*)$/m;

/** A signature covers the name too, where the descriptor has one. @throws {LbsError} signature-bad */
function refuseOtherName(signed: string, name: string): void {
  const own = NAME_LINE.exec(signed)?.[1]?.trim();
  if (own === undefined || own === name) return;
  throw new LbsError('signature-bad', `it was signed as snapshot ${showText(own)}`, {
    hint: 'somebody has given it another name; the snapshot that should be here is gone',
  });
}

/** Reads a snapshot's descriptor. @throws {LbsError} as `readDescriptor`, and format-version */
export async function openSnapshot(
  store: Store,
  snapshot: SnapshotFile,
  options: { readonly verifyKey?: string | undefined } = {},
): Promise<OpenSnapshot> {
  return await openStored(snapshot, storedDescriptor(store, snapshot), options);
}

/**
 * The same, for a caller who has the stored bytes and must know that it is these that were
 * checked. @throws {LbsError} signature-*, format-syntax, format-version
 */
export async function openStored(
  snapshot: SnapshotFile,
  stored: Buffer,
  options: { readonly verifyKey?: string | undefined } = {},
): Promise<OpenSnapshot> {
  const { name, file } = snapshot;
  const read = await textOf(snapshot, stored, options);
  try {
    const descriptor = parseDescriptor(read.text);
    const seal = sealOf(stored.toString('latin1'));
    return { name, file, descriptor, isSigned: read.isSigned, seal };
  } catch (error) {
    throw named(error, file.name);
  }
}

/** Says which file the trouble is with. */
function named(error: unknown, file: string): unknown {
  if (!(error instanceof LbsError)) return error;
  return new LbsError(error.code, `${file}: ${error.message}`, {
    cause: error,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  });
}

function missing(store: Store, word: string, snapshots: readonly SnapshotFile[]): LbsError {
  if (snapshots.length === 0) {
    return new LbsError('snapshot-missing', `the store ${store.place} has no snapshots yet`, {
      hint: `make one: lbs --dest=${store.place} PATH`,
    });
  }
  return new LbsError('snapshot-missing', `there is no snapshot "${word}" in ${store.place}`, {
    hint: `see what there is: lbs list --store=${store.place}`,
  });
}

function several(word: string, names: readonly string[], what: string, hint: string): LbsError {
  const shown = names.slice(0, NAMES_SHOWN_MAX).join(', ');
  const more = names.length > NAMES_SHOWN_MAX ? ` and ${names.length - NAMES_SHOWN_MAX} more` : '';
  const message = `"${word}" could mean several ${what}: ${showText(shown)}${more}`;
  return new LbsError('snapshot-ambiguous', message, { hint });
}

/** Snapshots of several schemes have no order that a person could mean. */
function refuseSeveralSchemes(snapshots: readonly SnapshotFile[], word: string): void {
  const schemes = new Set(snapshots.map((snapshot) => snapshot.scheme ?? '(none)'));
  if (schemes.size > 1) {
    throw several(word, [...schemes], 'schemes', 'say which one: --scheme=NAME');
  }
}

/** The last of `snapshots` (oldest first) that is older than the moment in `word`. */
function lastBefore(
  store: Store,
  snapshots: readonly SnapshotFile[],
  word: string,
): SnapshotFile | undefined {
  const moment = parseMoment(word.slice(BEFORE.length));
  if (moment === undefined) {
    throw new LbsError('usage', `"${word}" is not ${BEFORE} and a date that there is`, {
      hint: `write ${BEFORE}2026-11-01 or ${BEFORE}2026-11-01T12:30, in local time; with a Z at the end, in UTC`,
    });
  }
  refuseSeveralSchemes(snapshots, word);
  const limit = formatTimestamp(moment);
  const found = snapshots.findLast(({ timestamp }) => timestamp < limit);
  const [oldest] = snapshots;
  if (found !== undefined || oldest === undefined) return found;
  const message = `there is no snapshot before ${formatDate(moment)} in ${store.place}`;
  throw new LbsError('snapshot-missing', message, {
    hint: `the oldest is ${oldest.name}; names of snapshots are in UTC`,
  });
}

/**
 * The snapshot a person means: its full name, `latest`, `latest~N` (N before the latest),
 * `before:DATE` (the last one older than a date or time), or the beginning of exactly one name (or
 * timestamp, within `scheme`).
 * @throws {LbsError} snapshot-missing, snapshot-ambiguous, usage for a date that there is not
 */
export function resolveSnapshot(
  store: Store,
  word: string,
  options: { readonly scheme?: string | undefined } = {},
): SnapshotFile {
  return resolveAmong(store, listSnapshots(store), word, options.scheme);
}

/** As `resolveSnapshot`, among `snapshots` of `store`, oldest first. */
export function resolveAmong(
  store: Store,
  snapshots: readonly SnapshotFile[],
  word: string,
  scheme: string | undefined,
): SnapshotFile {
  const exact = snapshots.find((snapshot) => snapshot.name === word);
  if (exact !== undefined) return exact;
  // An empty word means the snapshots without scheme.
  const eligible =
    scheme === undefined
      ? snapshots
      : snapshots.filter((snapshot) => (snapshot.scheme ?? '') === scheme);
  const back = /^latest(?:~(\d{1,9}))?$/.exec(word);
  if (back) {
    refuseSeveralSchemes(eligible, word);
    const found = eligible.at(-1 - Number(back[1] ?? 0));
    if (found === undefined) throw missing(store, word, snapshots);
    return found;
  }
  if (word.startsWith(BEFORE)) {
    const found = lastBefore(store, eligible, word);
    if (found === undefined) throw missing(store, word, snapshots);
    return found;
  }
  const matches = eligible.filter(
    ({ name, timestamp }) =>
      word !== '' &&
      (name.startsWith(word) || (scheme !== undefined && timestamp.startsWith(word))),
  );
  if (matches.length > 1) {
    const names = matches.map(({ name }) => name);
    throw several(word, names, 'snapshots', 'give more of the name');
  }
  const [only] = matches;
  if (only === undefined) throw missing(store, word, snapshots);
  return only;
}
