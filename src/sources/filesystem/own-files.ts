/**
 * Files of the backup itself (its store, its local database) that lie within what is backed up.
 *
 * They are left out one by one, by their names in those two directories; whatever else is there
 * belongs to the person and is saved like anything. So are `restore.sh` and `README.txt`, which
 * are small: by such names a person's own file could be meant, and nobody would miss it in time.
 */
import {
  isForgottenFile,
  parseCollectionFile,
  parseNoteFile,
  parseSegmentFile,
  parseSnapshotFile,
} from '../../format/snapshot-name.ts';
import { type FileStatus, statusIfAny } from '../../posix/file-status.ts';
import { AT_FDCWD, cString } from '../../posix/libc.ts';
import type { ByteText } from '../../std/byte-text.ts';

const LOCAL_STATE = /^lbs-(localdb|statcache|seen)/;
const STAGED = /^\.lbs-tmp-/;

/** True for a name that only files of a local database have. */
export function isLocalState(name: string): boolean {
  return LOCAL_STATE.test(name);
}

function isOwnName(name: string): boolean {
  return (
    parseSegmentFile(name) !== undefined ||
    parseSnapshotFile(name) !== undefined ||
    parseNoteFile(name) !== undefined ||
    parseCollectionFile(name) !== undefined ||
    isForgottenFile(name) ||
    LOCAL_STATE.test(name) ||
    STAGED.test(name)
  );
}

/** Takes the files of this backup out of the names in a directory of that status. */
export function withoutOwnFiles(
  places: readonly string[],
): (directory: FileStatus, names: ByteText[]) => readonly ByteText[] {
  const own = places.flatMap((place) => statusIfAny(AT_FDCWD, cString(`${place}/.`)) ?? []);
  return (directory, names) =>
    own.some((at) => at.inode === directory.inode && at.device === directory.device)
      ? names.filter((name) => !isOwnName(name))
      : names;
}
