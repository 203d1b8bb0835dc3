/**
 * Everything but stored content: directories, symlinks, special files, files without content of
 * their own, and the attributes of files that are in the target already.
 *
 * Called by restore.ts before the content is written, in the order of the metadata, so that
 * directories are there when something goes into them. Directories get their attributes at the
 * end (finish-directories.ts), because work in them would change them again.
 */
import { tryOpenAt, close, openAt, O } from '../posix/libc.ts';
import { statusOf } from '../posix/file-status.ts';
import { CannotMake, makeEntry } from './make-entry.ts';
import { type LedgerEntry, STATE, type State } from './restore-ledger.ts';
import type { RestoreStages } from './restore-stages.ts';
import type { Place, Warn } from './set-attributes.ts';
import { InTheWay } from './target-tree.ts';
import { targetTrouble } from './target-trouble.ts';
import { AsideFile, WrongContent } from './write-file.ts';

/** @throws {LbsError} no-space, io, interrupted */
export async function buildTree(stages: RestoreStages): Promise<void> {
  const { ledger, tally } = stages;
  for (const entry of ledger.inState(STATE.make, STATE.equal)) {
    ledger.setState(entry.id, await build(stages, entry));
    await tally.rest();
  }
}

async function build(stages: RestoreStages, entry: LedgerEntry): Promise<State> {
  const { tally, maker } = stages;
  const warn: Warn = (code, message) => tally.warn(code, entry.path, message);
  try {
    if (entry.type === 'd') return buildDirectory(stages, entry);
    if (entry.state === STATE.equal) return correctFile(stages, entry, warn);
    if (entry.type === 'f') {
      await buildFile(stages, entry, warn);
      return STATE.done;
    }
    const outcome = makeEntry(maker, entry, warn);
    if (outcome === 'made') tally.restored(entry.path, 0);
    else if (outcome === 'corrected') tally.corrected();
    return STATE.done;
  } catch (error) {
    if (error instanceof WrongContent) {
      tally.damage(entry.path, error.message);
      return STATE.lost;
    }
    if (error instanceof CannotMake) warn('special', error.message);
    else {
      const trouble = targetTrouble(entry.path, error);
      warn(trouble.code, trouble.message);
    }
    return STATE.refused;
  }
}

function buildDirectory({ maker, tally }: RestoreStages, entry: LedgerEntry): State {
  if (entry.path.length === 0) {
    // A part of a snapshot goes into a target of its user's, whose own attributes stay.
    return entry.role === 'selected' || maker.tree.isNew ? STATE.finish : STATE.done;
  }
  const outcome = maker.tree.makeDirectory(entry.path, entry.wish.mtime);
  if (outcome === 'kept') return STATE.kept;
  if (outcome === 'made') {
    // One that only leads to what was asked for is a change too, but not what was asked for.
    if (entry.role === 'selected') tally.restored(entry.path, 0);
    else tally.corrected();
  }
  return outcome === 'made' || entry.role === 'selected' ? STATE.finish : STATE.done;
}

/** Looks at the attributes of a file whose content is as recorded. */
function correctFile({ maker, tally }: RestoreStages, entry: LedgerEntry, warn: Warn): State {
  maker.tree.at(entry.path, ({ dir, name }) => {
    const readable = tryOpenAt(dir.fd, name, O.RDONLY | O.NOFOLLOW | O.NONBLOCK);
    const fd = readable >= 0 ? readable : openAt(dir.fd, name, O.PATH | O.NOFOLLOW);
    try {
      const status = statusOf(fd);
      const isStill = status.type === 'f' && status.sizeBytes === entry.sizeBytes;
      if (!isStill) throw new InTheWay('it was replaced while it was restored');
      maker.tree.checkName({ dir, name });
      const place: Place = { fd, pinned: readable < 0, isSymlink: false, dir: dir.fd, name };
      // With several names it was compared before, and is as recorded already.
      const isOurs = status.links === 1;
      if (isOurs && maker.attributes.correct(place, entry.wish, status, warn)) {
        tally.fileRestored(entry.path, 0);
      } else tally.filesUnchanged++;
    } finally {
      close(fd);
    }
  });
  return STATE.done;
}

/** A file of zeros and holes only, or an empty one. */
async function buildFile(
  { maker, tally }: RestoreStages,
  entry: LedgerEntry,
  warn: Warn,
): Promise<void> {
  const file = AsideFile.create(maker, entry);
  try {
    for (const written of file.writeZeros()) {
      tally.bytesWritten += written;
      await tally.rest();
    }
    for (const _ of file.check()) await tally.rest();
  } catch (error) {
    file.discard();
    throw error;
  } finally {
    tally.fileSeen(entry.sizeBytes);
  }
  file.place(warn);
  tally.fileRestored(entry.path, entry.sizeBytes);
}
