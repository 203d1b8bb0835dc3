/**
 * What a restore that was killed left in the target: files under temporary names, which nobody
 * will ever finish. The next restore removes those in the directories that it meets.
 *
 * `Leftovers` collects their names while restore.ts plans, from directories that are open then
 * anyway, and removes them before anything is written. They are removed only by a run that is alone:
 * every restore holds a shared lock on the target for as long as it writes, so whoever gets the lock
 * for itself knows that all those that made the names have ended.
 *
 * Invariant: nothing that the snapshot has, and no directory, is removed.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { statusIfAny } from '../posix/file-status.ts';
import * as libc from '../posix/libc.ts';
import { humanCount } from '../std/human-size.ts';
import type { RestoreTally } from './restore-tally.ts';
import { type TargetTree, TEMPORARY_PREFIX } from './target-tree.ts';

const LISTING_BYTES = 64 * 1024;
const listing = Buffer.allocUnsafeSlow(LISTING_BYTES);
/** A killed run leaves some hundred at most; what is beyond this is for the run after the next. */
const NAMES_MAX = 10_000;
const SEEK_SET = 0;
const PREFIX = Buffer.from(TEMPORARY_PREFIX);
const LEFTOVER = new RegExp(
  `(?:^|/)${TEMPORARY_PREFIX.replaceAll('.', '\\.')}[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}-[0-9a-z]+$`,
);
/** Whoever holds the lock alone only removes some files. */
const LOCK_WAIT_MS = 5000;
const LOCK_POLL_MS = 20;

/** True for the name that a restore gives to something unfinished. */
export function isLeftover(name: Buffer): boolean {
  return name.includes(PREFIX) && LEFTOVER.test(name.toString('latin1'));
}

export class Leftovers {
  /** Paths below the target, as Latin-1 text of their bytes. */
  readonly #found = new Set<string>();
  readonly #recorded = new Set<string>();

  /** Looks for names in an open directory, `''` for the target. Never throws. */
  lookIn(path: string, fd: number): void {
    try {
      for (;;) {
        const size = libc.getdents(fd, listing);
        if (size === 0) break;
        this.#note(path, listing.subarray(0, size));
      }
      // For others who read it through this descriptor.
      libc.seek(fd, 0, SEEK_SET);
    } catch {
      // Only opened to pass through: nothing was ever made there either.
    }
  }

  /** Called with the path of every entry of the snapshot: what is recorded stays. */
  isRecorded(path: Buffer): void {
    if (!path.includes(PREFIX)) return;
    const text = path.toString('latin1');
    if (LEFTOVER.test(text) && this.#recorded.size < NAMES_MAX) this.#recorded.add(text);
  }

  /**
   * Takes the lock that every restore holds while it writes into `tree`, and first removes what was
   * found, if no other restore has it. A filesystem without locks is left as it is.
   * @throws {LbsError} interrupted
   */
  async removeAndLock(tree: TargetTree, tally: RestoreTally): Promise<void> {
    const fd = tree.topFd;
    try {
      if (libc.tryLock(fd)) {
        tally.leftoversRemoved = this.#remove(tree);
        if (tally.leftoversRemoved > 0) tally.hasChanged = true;
      } else if (this.#found.size > 0) {
        const files = this.#found.size === 1 ? 'file' : 'files';
        tally.note(
          `${humanCount(this.#found.size)} unfinished ${files} of another restore, which may still be running, left alone`,
        );
      }
      for (let waitedMs = 0; waitedMs < LOCK_WAIT_MS; waitedMs += LOCK_POLL_MS) {
        if (libc.tryLock(fd, 'shared')) return;
        await sleep(LOCK_POLL_MS);
        tally.checkSignal();
      }
    } catch (error) {
      if (!(error instanceof libc.SystemError)) throw error;
    }
  }

  #note(path: string, records: Buffer): void {
    // The names are found in the raw records: reading all of them would be work on every file.
    for (let at = records.indexOf(PREFIX); at >= 0;) {
      const end = records.indexOf(0, at);
      const name = records.toString('latin1', at, end < 0 ? records.length : end);
      const isFull = this.#found.size >= NAMES_MAX;
      if (LEFTOVER.test(name) && !isFull) this.#found.add(path === '' ? name : `${path}/${name}`);
      at = records.indexOf(PREFIX, at + 1);
    }
  }

  /** Returns how many were removed. */
  #remove(tree: TargetTree): number {
    // So many that not all are remembered: then nothing can be told from them.
    if (this.#recorded.size >= NAMES_MAX) return 0;
    let removed = 0;
    for (const text of this.#found) {
      if (this.#recorded.has(text)) continue;
      const slash = text.lastIndexOf('/');
      const above = Buffer.from(text.slice(0, Math.max(slash, 0)), 'latin1');
      const name = libc.cString(Buffer.from(text.slice(slash + 1), 'latin1'));
      try {
        const { fd } = tree.directory(above);
        const type = statusIfAny(fd, name)?.type;
        if (type === undefined || type === 'd') continue;
        libc.unlinkAt(fd, name);
        removed++;
      } catch {
        // Gone, or in a directory that is not for us to change.
      }
    }
    return removed;
  }
}
