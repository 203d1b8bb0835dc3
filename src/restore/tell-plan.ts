/**
 * `--dry-run`: what a restore would do, from the same plan that a real one carries out: entries
 * that would be written or corrected, those that would be deleted, and which files of the store
 * would have to be fetched for it. Called by restore.ts; changes nothing.
 */
import { statusOf } from '../posix/file-status.ts';
import * as libc from '../posix/libc.ts';
import { O } from '../posix/libc.ts';
import type { RestoreWarning } from '../report.ts';
import type { SegmentSource } from '../segments/segment-source.ts';
import { sortedNames } from '../posix/directory-names.ts';
import { totalLength } from './byte-ranges.ts';
import type { ContentPlan } from './content-plan.ts';
import type { ExtraEntries } from './extra-entries.ts';
import { FIRST_NAME_REFUSED } from './link-name.ts';
import { type MakeOutcome, isSame } from './make-entry.ts';
import { type LedgerEntry, STATE, type RestoreLedger } from './restore-ledger.ts';
import type { RestoreTally } from './restore-tally.ts';
import type { AttributeSetter } from './set-attributes.ts';
import { openDirectory } from './safe-target.ts';
import { NOT_A_DIRECTORY, NOT_EMPTY, type Spot, type TargetTree } from './target-tree.ts';

const SLASH = Buffer.from('/');

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

function tell(parts: PlanParts, entry: LedgerEntry): void {
  const { ledger, tree, tally, attributes } = parts;
  const { type, state, path, sizeBytes } = entry;
  if (state === STATE.kept || (entry.role === 'parent' && path.length === 0)) return;
  const trouble = tree && troubleOf(parts, tree, entry);
  if (trouble !== undefined) {
    tally.warn(trouble.code, path, trouble.message);
    ledger.setState(entry.id, STATE.refused);
    return;
  }
  if (type === 'f' && state !== STATE.equal && state !== STATE.link) {
    tally.bytesWritten += sizeBytes - totalLength(entry.holes);
    tally.fileRestored(path, sizeBytes);
    return;
  }
  const outcome = tree ? outcomeOf(tree, attributes, { entry, ledger }) : 'made';
  if (type !== 'f') {
    if (outcome === 'made' && entry.role === 'selected') tally.restored(path, 0);
    else if (outcome !== 'unchanged') tally.corrected();
  } else if (outcome === 'unchanged') tally.filesUnchanged++;
  else tally.fileRestored(path, 0);
}

/** Why an entry could not be put in place, as far as that can be seen now. */
function troubleOf(
  { ledger, extra }: PlanParts,
  tree: TargetTree,
  { path, type, state, first }: LedgerEntry,
): { code: RestoreWarning['code']; message: string } | undefined {
  if (path.length === 0) return undefined;
  if (state === STATE.link && ledger.get(first ?? 0).state === STATE.refused) {
    return { code: 'hard-link', message: FIRST_NAME_REFUSED };
  }
  if (ledger.keptAbove(path)) return { code: 'in-the-way', message: NOT_A_DIRECTORY };
  if (type === 'd') return undefined;
  const found = tree.look(path, (_, status) => status);
  if (found?.type !== 'd' || extra?.has(path) === true) return undefined;
  const isEmptied = namesIn(tree, path).every(
    (name) => extra?.has(Buffer.concat([path, SLASH, name])) === true,
  );
  return isEmptied ? undefined : { code: 'in-the-way', message: NOT_EMPTY };
}

function namesIn(tree: TargetTree, path: Buffer): Buffer[] {
  const fd = openDirectory(tree.directory(path).fd, libc.cString('.'));
  try {
    return sortedNames(fd).map((name) => Buffer.from(name, 'latin1'));
  } finally {
    libc.close(fd);
  }
}

/** What would be done for an entry that has no content to be written. */
function outcomeOf(
  tree: TargetTree,
  attributes: AttributeSetter,
  { entry, ledger }: { entry: LedgerEntry; ledger: RestoreLedger },
): MakeOutcome {
  if (entry.path.length === 0) {
    return differs(attributes, entry, top(tree)) ? 'corrected' : 'unchanged';
  }
  if (entry.state === STATE.link) {
    const target = ledger.get(entry.first ?? 0);
    // A first name that is written anew takes the others with it.
    if (target.type === 'f' && target.state !== STATE.equal) return 'made';
    const here = tree.look(entry.path, (_, status) => status);
    const first = tree.look(target.path, (_, status) => status);
    const isSameThing = here?.inode === first?.inode && here?.device === first?.device;
    return here !== undefined && isSameThing ? 'unchanged' : 'made';
  }
  const outcome = tree.look(entry.path, (spot, status) => {
    if (entry.type === 'd' && status.type !== 'd') return 'made';
    const isMade = entry.type !== 'd' && entry.state !== STATE.equal;
    if (isMade && !isSame(spot, entry, status)) return 'made';
    if (entry.role === 'parent' || !differs(attributes, entry, spot)) return 'unchanged';
    return isMade && status.links > 1 ? 'made' : 'corrected';
  });
  return outcome ?? 'made';
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
