/**
 * Names that the target's filesystem takes for the same though they differ: `README` and `readme` on
 * FAT, exFAT and directories with casefold, `a` and `a.` on FAT. Of two entries of a snapshot with such
 * names only one can be restored, and the other must not take its place without a word.
 *
 * Used by safe-target.ts and target-tree.ts, which is all ways to a name in the target. The rules
 * of filesystems differ (alphabets, short names, dots), so none is known here: a name that is there
 * is looked for in the list of its directory. An ordinary directory costs one call, which finds out
 * that it is one.
 */
import { constants } from 'node:os';
import { statusIfAny } from '../posix/file-status.ts';
import * as libc from '../posix/libc.ts';
import { O } from '../posix/libc.ts';
import { sortedNames } from '../posix/directory-names.ts';
import { type ByteText, byteText } from '../std/byte-text.ts';
import { showPath } from '../std/byte-path.ts';

const DOT = 0x2e;
const CASE_BIT = 0x20;
const THIS_DIRECTORY = libc.cString('.');

/** What is asked of a directory. */
export type NamedDirectory = {
  readonly fd: number;
  /** True where it finds names spelled otherwise; undefined as long as nobody looked. */
  folds?: boolean;
};

/** The filesystem finds another entry under the name of this one. A warning, not an error. */
export class NameTaken extends Error {
  constructor(name: Buffer) {
    super(
      `${showPath(name.subarray(0, -1))} is another name of something else here: this filesystem takes different names for the same`,
    );
    this.name = 'NameTaken';
  }
}

/** Looks whether names in a directory are its own. Names are NUL-terminated. */
export class SameNames {
  /** The directory that was listed last, and its names. */
  #listed: { readonly dir: NamedDirectory; readonly names: ReadonlySet<ByteText> } | undefined;

  /**
   * To be called before the thing at the name `temporary` in `dir` gets `name`.
   * @throws {NameTaken} when that would replace something that has another name
   */
  checkFree(dir: NamedDirectory, name: Buffer, temporary: Buffer): void {
    // Nobody else makes such names: what is found spelled otherwise is this one.
    dir.folds ??= statusIfAny(dir.fd, inOtherCase(temporary)) !== undefined;
    if (dir.folds && statusIfAny(dir.fd, name) !== undefined) this.check(dir, name);
  }

  /** @throws {NameTaken} when what `dir` finds under `name`, which is something, is called otherwise */
  check(dir: NamedDirectory, name: Buffer): void {
    if (dir.folds === false) return;
    const isDotted = endsInDot(name);
    const other = isDotted ? withoutDots(name) : inOtherCase(name);
    if (dir.folds === undefined) {
      if (other.equals(name)) return;
      if (statusIfAny(dir.fd, other) === undefined) {
        if (!isDotted) dir.folds = false;
        return;
      }
    }
    const text = byteText(name, 0, name.length - 1);
    if (this.#listed?.dir === dir && this.#listed.names.has(text)) return;
    // Inode numbers tell nothing: a filesystem in FUSE may have one for each spelling.
    const names = namesIn(dir.fd);
    if (names === undefined) return;
    this.#listed = { dir, names };
    if (!names.has(text)) throw new NameTaken(name);
    // Both are there, so they are two.
    if (!isDotted) dir.folds ??= !names.has(byteText(other, 0, other.length - 1));
  }
}

/** True for names that some filesystems keep without the dots at their end. */
export function endsInDot(name: Buffer): boolean {
  return name[name.length - 2] === DOT;
}

function withoutDots(name: Buffer): Buffer {
  let end = name.length - 1;
  while (end > 0 && name[end - 1] === DOT) end--;
  return end === 0 ? name : libc.cString(name.subarray(0, end));
}

function inOtherCase(name: Buffer): Buffer {
  const other = Buffer.from(name);
  for (let at = 0; at < other.length; at++) {
    const letter = (name[at] ?? 0) | CASE_BIT;
    if (letter >= 0x61 && letter <= 0x7a) other[at] = (name[at] ?? 0) ^ CASE_BIT;
  }
  return other;
}

/** Undefined for a directory that may be written, but not read. */
function namesIn(dir: number): Set<ByteText> | undefined {
  const fd = libc.tryOpenAt(dir, THIS_DIRECTORY, O.RDONLY | O.DIRECTORY);
  if (fd === -constants.errno.EACCES) return undefined;
  if (fd < 0) throw new libc.SystemError('openat', -fd);
  try {
    return new Set(sortedNames(fd));
  } finally {
    libc.close(fd);
  }
}
