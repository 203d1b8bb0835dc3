/**
 * The last pass over the target: owner, extended attributes, mode and time of every directory,
 * what is in a directory before the directory itself, since work in it changes its time and its
 * recorded mode may close it to us.
 */
import * as libc from '../posix/libc.ts';
import { O } from '../posix/libc.ts';
import { statusOf } from '../posix/file-status.ts';
import { type LedgerEntry, STATE } from './restore-ledger.ts';
import type { RestoreStages } from './restore-stages.ts';
import type { Place, Warn } from './set-attributes.ts';
import { type Spot, UNRECORDED_DIRECTORY_MODE } from './target-tree.ts';
import { targetTrouble } from './target-trouble.ts';

const THIS_DIRECTORY = libc.cString('.');

/** @throws {LbsError} no-space, io, interrupted */
export async function finishDirectories(stages: RestoreStages): Promise<void> {
  const { ledger, maker, tally } = stages;
  for (const entry of ledger.directoriesToFinish()) {
    const warn: Warn = (code, message) => tally.warn(code, entry.path, message);
    try {
      if (entry.path.length === 0) {
        const fd = maker.tree.topFd;
        finish(stages, entry, warn, { dir: { fd, hasDefaultAcl: false }, name: THIS_DIRECTORY });
      } else maker.tree.at(entry.path, (spot) => finish(stages, entry, warn, spot));
      ledger.setState(entry.id, STATE.done);
    } catch (error) {
      const trouble = targetTrouble(entry.path, error);
      warn(trouble.code, trouble.message);
    }
    await tally.rest();
  }
  // Made by us, and nothing says what it should be like: like every new directory.
  if (maker.tree.isNew && !ledger.hasTop()) {
    libc.fchmod(maker.tree.topFd, UNRECORDED_DIRECTORY_MODE & ~process.umask());
  }
  maker.tree.closeAgain();
}

function finish(
  { maker, ledger, tally }: RestoreStages,
  entry: LedgerEntry,
  warn: Warn,
  { dir, name }: Spot,
): void {
  const flags = O.DIRECTORY | O.NOFOLLOW;
  const readable = libc.tryOpenAt(dir.fd, name, O.RDONLY | flags);
  const fd = readable >= 0 ? readable : libc.openAt(dir.fd, name, O.PATH | flags);
  try {
    const place: Place = { fd, pinned: readable < 0, isSymlink: false, dir: dir.fd, name };
    // Of one that was made, or in which something was changed, this is the end of that change.
    if (maker.attributes.correct(place, entry.wish, statusOf(fd), warn)) tally.corrected();
    if (entry.wish.mode !== undefined) ledger.forgetRelaxed(entry.path);
  } finally {
    libc.close(fd);
  }
}
