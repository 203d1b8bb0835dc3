/**
 * The one rule for trouble in the target: what concerns one entry is a warning and the restore
 * goes on; what concerns all of them (no space, a failing disk) ends it.
 */
import { LbsError, errnoName, isOutOfSpace, messageOf } from '../errors.ts';
import { SystemError } from '../posix/libc.ts';
import type { RestoreWarning } from '../report.ts';
import { showPath } from '../std/byte-path.ts';
import { recordedPath } from './restore-tally.ts';
import { NameTaken } from './same-names.ts';
import { InTheWay } from './target-tree.ts';
import { CannotKeep } from './undo-directory.ts';

/** Trouble that the next entry would have as well. */
const FATAL = new Set(['EIO', 'EROFS', 'ENODEV', 'ENXIO', 'ESTALE', 'EMFILE', 'ENFILE', 'ENOMEM']);

/** What filesystems say to a name that they cannot have, and when. */
const NAME_REFUSED = new Set(['EINVAL', 'EILSEQ', 'ENAMETOOLONG']);
const NAMING = new Set(['renameat', 'mkdirat', 'linkat', 'mknodat', 'symlinkat', 'statx']);
/** What they say to a thing of a kind that they do not have. A failing disk soon says EIO again. */
const UNSUPPORTED = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EIO']);
const MAKING = new Map([
  ['symlinkat', 'symbolic links'],
  ['mknodat', 'such special files'],
]);

/**
 * What to warn about an entry that could not be put in place.
 * @throws {LbsError} no-space, io when the run has to end; anything that is a mistake of ours
 */
export function targetTrouble(
  path: Buffer,
  error: unknown,
): { code: RestoreWarning['code']; message: string } {
  if (error instanceof InTheWay || error instanceof CannotKeep) {
    return { code: 'in-the-way', message: error.message };
  }
  if (error instanceof NameTaken) return { code: 'name', message: error.message };
  const name = errnoName(error);
  if (error instanceof LbsError || name === undefined || !/^E[A-Z0-9]+$/.test(name)) throw error;
  const recorded = showPath(recordedPath(path));
  const shown = recorded === '.' ? 'the target directory itself' : recorded;
  // A file that is too large for this filesystem is a matter of that file.
  if (isOutOfSpace(error) && name !== 'EFBIG') {
    throw new LbsError('no-space', `no space left in the target, at ${shown}`, {
      cause: error,
      hint: 'what is in place is complete; make room and run the same command again',
    });
  }
  const call = error instanceof SystemError ? error.syscall : '';
  const thing = MAKING.get(call);
  if (thing !== undefined && UNSUPPORTED.has(name)) {
    return { code: 'special', message: `no ${thing} here: ${messageOf(error)}` };
  }
  if (FATAL.has(name)) {
    throw new LbsError('io', `cannot write ${shown}: ${messageOf(error)}`, { cause: error });
  }
  if (name === 'EFBIG') {
    return { code: 'write', message: 'it is larger than a file can be on this filesystem' };
  }
  if (NAME_REFUSED.has(name) && NAMING.has(call)) {
    return { code: 'name', message: 'this filesystem has no such names' };
  }
  return { code: 'write', message: messageOf(error) };
}
