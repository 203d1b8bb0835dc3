/**
 * `--dry-run`: what a restore would do, from the same plan that a real one carries out: entries
 * that would be written or corrected, those that would be deleted, and which files of the store
 * would have to be fetched for it. Called by restore.ts; changes nothing.
 */
import { statusOf } from '../posix/file-status.ts';
import * as libc from '../posix/libc.ts';
import { O } from '../posix/libc.ts';
import type { SegmentSource } from '../segments/segment-source.ts';
import { totalLength } from './byte-ranges.ts';
import type { ContentPlan } from './content-plan.ts';
import type { ExtraEntries } from './extra-entries.ts';
import { isSame } from './make-entry.ts';
import { type LedgerEntry, STATE, type RestoreLedger } from './restore-ledger.ts';
import type { RestoreTally } from './restore-tally.ts';
import type { AttributeSetter } from './set-attributes.ts';
import type { Spot, TargetTree } from './target-tree.ts';

export type PlanParts = {
  readonly ledger: RestoreLedger;
  readonly plan: ContentPlan;
  readonly source: SegmentSource;
  readonly extra: ExtraEntries | undefined;
  /** The target as it is; undefined when it is not there yet. */
  readonly tree: TargetTree | undefined;
  readonly tally: RestoreTally;
  readonly attributes: AttributeSetter;
};

/** Reports all of it; returns how many bytes would be fetched. @throws {LbsError} interrupted */
export async function tellPlan(parts: PlanParts): Promise<number> {
  const { ledger, plan, source, extra, tally } = parts;
  for (const { path } of extra?.inOrder() ?? []) {
    tally.deleted(path);
    await tally.rest();
  }
  for (const entry of ledger.all()) {
    tell(parts, entry);
    await tally.rest();
  }
  let bytes = 0;
  for (const segment of plan.segments) {
    const file = source.fileOf(segment);
    bytes += file?.sizeBytes ?? 0;
    // A missing one is damage, which a restore finds out and tells of; its name is all there is.
    tally.toFetch(file?.name ?? segment, file?.sizeBytes ?? 0);
  }
  return bytes;
}

function tell({ ledger, tree, tally, attributes }: PlanParts, entry: LedgerEntry): void {
  const { type, state, path, sizeBytes } = entry;
  if (state === STATE.kept || (entry.role === 'parent' && path.length === 0)) return;
  if (type === 'f' && state !== STATE.equal && state !== STATE.link) {
    tally.bytesWritten += sizeBytes - totalLength(entry.holes);
    tally.fileRestored(path, sizeBytes);
    return;
  }
  const isThere = tree !== undefined && isInPlace(tree, attributes, { entry, ledger });
  if (type === 'f') {
    if (isThere) tally.filesUnchanged++;
    else tally.fileRestored(path, 0);
  } else if (!isThere) tally.restored(path, 0);
}

/** True when nothing would be done for an entry that has no content to be written. */
function isInPlace(
  tree: TargetTree,
  attributes: AttributeSetter,
  { entry, ledger }: { entry: LedgerEntry; ledger: RestoreLedger },
): boolean {
  if (entry.path.length === 0) return !differs(attributes, entry, top(tree));
  if (entry.state === STATE.link) {
    const target = ledger.get(entry.first ?? 0);
    // A first name that is written anew takes the others with it.
    if (target.type === 'f' && target.state !== STATE.equal) return false;
    const here = tree.look(entry.path, (_, status) => status);
    const first = tree.look(target.path, (_, status) => status);
    return here !== undefined && here.inode === first?.inode && here.device === first.device;
  }
  const isEqual = tree.look(entry.path, (spot, status) => {
    if (entry.type === 'd' && status.type !== 'd') return false;
    const isMade = entry.type !== 'd' && entry.state !== STATE.equal;
    if (isMade && !isSame(spot, entry, status)) return false;
    return entry.role === 'parent' || !differs(attributes, entry, spot);
  });
  return isEqual ?? false;
}

function top(tree: TargetTree): Spot {
  return { dir: { fd: tree.topFd, hasDefaultAcl: false }, name: libc.cString('.') };
}

function differs(attributes: AttributeSetter, entry: LedgerEntry, { dir, name }: Spot): boolean {
  const isSymlink = entry.type === 'l';
  const readable =
    entry.type === 'f' || entry.type === 'd'
      ? libc.tryOpenAt(dir.fd, name, O.RDONLY | O.NOFOLLOW | O.NONBLOCK)
      : -1;
  const fd = readable >= 0 ? readable : libc.openAt(dir.fd, name, O.PATH | O.NOFOLLOW);
  try {
    const place = { fd, pinned: readable < 0, isSymlink, dir: dir.fd, name };
    return attributes.differs(place, entry.wish, statusOf(fd));
  } finally {
    libc.close(fd);
  }
}
