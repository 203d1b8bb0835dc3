/**
 * Names of snapshots, schemes and of the files of a store.
 *
 * `[scheme-]timestamp` names a snapshot; the tools of the family split at the last `-`. A scheme
 * becomes part of file names, so only letters, digits, `_` and `-` are allowed in a new one.
 */
import { LbsError } from '../errors.ts';

const TIMESTAMP = /^\d{8}T\d{6}$/;
const SCHEME = /^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$/;
const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}';
const SEGMENT_FILE = new RegExp(`^(${UUID})\\.tar(\\.[A-Za-z0-9._-]+)?$`);
const SEGMENT_NAME = new RegExp(`^${UUID}$`);
const COLLECTION_FILE = new RegExp(`^gc-${UUID}\\.(condemned|removing)$`);
const FORGOTTEN_FILE = new RegExp(`^forgotten-${UUID}\\.note$`);
const SEGMENT_LIST_FILE = /^snapshot-((?:[^/]+-)?\d{8}T\d{6})\.meta(\.[A-Za-z0-9._-]+)?$/;
const NOTE_FILE =
  /^snapshot-((?:[^/]+-)?\d{8}T\d{6})\.(?:(hold)|tag-([A-Za-z0-9_][A-Za-z0-9_.-]{0,63}))$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/;
/** With this in a tag, its file could be taken for one of a snapshot that there is not. */
const MISLEADING = /\d{8}T\d{6}\./;
const SNAPSHOT_FILE = /^snapshot-((?:[^/]+-)?\d{8}T\d{6})\.(lbs|cumulus|sha1sums|sha256sums)$/;

/** parity-file.ts has more of it. */
const PARITY_FILE = /^parity-[0-9a-f]{32}\.(?:par2|vol\d{1,6}\+\d{1,6}\.par2|sums)$/;

/** Checks a scheme given by a person. @throws {LbsError} usage */
export function checkScheme(scheme: string): string {
  if (SCHEME.test(scheme) && !TIMESTAMP.test(scheme)) return scheme;
  throw new LbsError('usage', `--scheme=${JSON.stringify(scheme)} is not a usable name`, {
    hint: 'a scheme becomes part of file names: use 1 to 64 letters, digits, "_" or "-", not starting with "-"',
  });
}

/** `[scheme-]timestamp`. */
export function formatSnapshotName(scheme: string | undefined, timestamp: string): string {
  return scheme === undefined ? timestamp : `${scheme}-${timestamp}`;
}

/** The scheme and timestamp of a snapshot name; undefined when it is not one. */
export function parseSnapshotName(
  name: string,
): { scheme: string | undefined; timestamp: string } | undefined {
  const dash = name.lastIndexOf('-');
  const timestamp = name.slice(dash + 1);
  if (!TIMESTAMP.test(timestamp) || dash === 0) return undefined;
  return { scheme: dash < 0 ? undefined : name.slice(0, dash), timestamp };
}

/** What a file of a snapshot is: `snapshot-NAME.KIND`; undefined for any other file. */
export function parseSnapshotFile(file: string): { name: string; kind: string } | undefined {
  const match = SNAPSHOT_FILE.exec(file);
  return match ? { name: match[1] ?? '', kind: match[2] ?? '' } : undefined;
}

/** The segment a file holds, and its filter extension; undefined for any other file. */
export function parseSegmentFile(file: string): { segment: string; extension: string } | undefined {
  const match = SEGMENT_FILE.exec(file);
  return match ? { segment: match[1] ?? '', extension: match[2] ?? '' } : undefined;
}

/**
 * The snapshot whose segments a file of Cumulus 0.11 lists, and its filter extension:
 * `snapshot-NAME.meta.EXT`; undefined for any other file.
 */
export function parseSegmentListFile(
  file: string,
): { name: string; extension: string } | undefined {
  const match = SEGMENT_LIST_FILE.exec(file);
  return match ? { name: match[1] ?? '', extension: match[2] ?? '' } : undefined;
}

/** What a person has noted of a snapshot: that it is held, or a tag. */
export type SnapshotNote = { readonly name: string; readonly tag: string | undefined };

/** `snapshot-NAME.hold` or `snapshot-NAME.tag-TAG`; undefined for any other file. */
export function parseNoteFile(file: string): SnapshotNote | undefined {
  const match = NOTE_FILE.exec(file);
  return match ? { name: match[1] ?? '', tag: match[3] } : undefined;
}

/** The file whose presence is the note. */
export function noteFile({ name, tag }: SnapshotNote): string {
  return `snapshot-${name}.${tag === undefined ? 'hold' : `tag-${tag}`}`;
}

/** Checks a tag given by a person. @throws {LbsError} usage */
export function checkTag(tag: string): string {
  if (TAG.test(tag) && !MISLEADING.test(tag)) return tag;
  throw new LbsError('usage', `${JSON.stringify(tag)} is not a usable tag`, {
    hint: 'a tag becomes part of file names: use 1 to 64 letters, digits, "_", "-" or ".", beginning with one of the first three, and no name of a snapshot before a "."',
  });
}

/** `condemned`: may be collected later. `removing`: is being collected. */
export type CollectionStep = 'condemned' | 'removing';

/** What a list of a collection is about: `gc-UUID.STEP`; undefined for any other file. */
export function parseCollectionFile(file: string): CollectionStep | undefined {
  const step = COLLECTION_FILE.exec(file)?.[1];
  return step === 'condemned' || step === 'removing' ? step : undefined;
}

/**
 * True for a note that says which snapshots were taken out. It is none of the files that a collection
 * may remove, so it is not among those of `isStoreFile`.
 */
export function isForgottenFile(file: string): boolean {
  return FORGOTTEN_FILE.test(file);
}

/** True for every name that a file of a store can have; others mean nothing to a reader. */
export function isStoreFile(file: string): boolean {
  return (
    parseSegmentFile(file) !== undefined ||
    parseSnapshotFile(file) !== undefined ||
    parseNoteFile(file) !== undefined ||
    parseCollectionFile(file) !== undefined ||
    PARITY_FILE.test(file) ||
    parseSegmentListFile(file) !== undefined
  );
}

/** True for the lower-case textual UUID that names a segment. */
export function isSegmentName(text: string): boolean {
  return SEGMENT_NAME.test(text);
}
