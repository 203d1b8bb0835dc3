/**
 * Takes snapshots out of a store: those that no rule keeps, or those that are named.
 *
 *     retention-candidates                                  what there is: descriptors, list of files
 *       -> retention                                        who stays, and why
 *       -> snapshots/forgotten-notes                        a note, so that nobody will miss them
 *       -> remove-snapshots                                 descriptor, then checksums files and notes
 *       -> rows of the local database                       what it used counts no longer
 *
 * Segments stay where they are: no segment is opened, and none removed. That is for collect.ts.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { LbsError } from '../errors.ts';
import { type CompactedSnapshot, CompactedTable } from '../localdb/compacted-table.ts';
import { lockLocaldb } from '../localdb/lock.ts';
import { LOCALDB_FILE, openDatabase, openScratchCopy } from '../localdb/open-localdb.ts';
import { SeenSnapshots } from '../localdb/seen-snapshots.ts';
import { SnapshotTable } from '../localdb/snapshot-table.ts';
import { isSigned } from '../format/descriptor.ts';
import type { ForgottenSnapshot } from '../format/forgotten-note.ts';
import { type Report, silentReport } from '../report.ts';
import { noteForgotten } from '../snapshots/forgotten-notes.ts';
import {
  type SnapshotFile,
  resolveAmong,
  snapshotsAmong,
  storedDescriptor,
} from '../snapshots/open-snapshot.ts';
import { checkSigning } from '../snapshots/sign-descriptor.ts';
import { digestOf } from '../snapshots/snapshot-history.ts';
import { showText } from '../std/byte-path.ts';
import { openStore } from '../stores/open-store.ts';
import type { Store, StoredFile } from '../stores/store.ts';
import type { ForgetDecision, ForgetOptions, ForgetSummary } from './forget-options.ts';
import { SnapshotRemover } from './remove-snapshots.ts';
import { RetentionCandidates } from './retention-candidates.ts';
import { decideRetention, wholeRules } from './retention.ts';

/** What this machine remembers of the store, locked against backups. */
type Local = {
  readonly snapshots: SnapshotTable;
  readonly arrivals: Arrivals;
  readonly seen: SeenSnapshots;
  close(): void;
};

/** When snapshots first came that compacting has replaced. */
type Arrivals = (descriptor: Buffer) => number | undefined;

/**
 * Decides, and forgets what is not kept. Every decision is made before anything is removed.
 * @throws {LbsError} store-missing, snapshot-missing, snapshot-ambiguous, usage, localdb-locked,
 * store-unwritable, io, signature-key, interrupted
 */
export async function forget(options: ForgetOptions): Promise<ForgetSummary> {
  checkOptions(options);
  const store = openStore(options.store);
  const dryRun = options.dryRun ?? false;
  if (!dryRun) store.checkWritable();
  await checkSigning(options);
  const local = dryRun ? undefined : openLocal(store, options);
  try {
    const files = store.list();
    const all = snapshotsAmong(files);
    const arrivalOf = local?.arrivals ?? arrivalsIn(store, options);
    const decided = await decide(store, { files, all }, { ...options, arrivalOf });
    const work = { all, decided, local, options };
    const decisions = dryRun ? decided : await carryOut(store, files, work);
    const forgotten = decisions.filter(({ isKept }) => !isKept).map(({ name }) => name);
    if (local !== undefined && all.length > 0) {
      // Also those that a run which was killed, or a person, has removed from the store only.
      const gone = new Set(forgotten);
      local.snapshots.retain(all.map(({ name }) => name).filter((name) => !gone.has(name)));
      for (const name of gone) local.seen.delete(name);
      local.seen.save();
    }
    const kept = decisions.length - forgotten.length;
    return { dryRun, decisions, kept, forgotten: forgotten.length };
  } finally {
    local?.close();
  }
}

/** Before anything is opened. @throws {LbsError} usage */
function checkOptions({ snapshots = [], rules }: ForgetOptions): void {
  if (snapshots.length === 0) wholeRules(rules ?? {});
  else if (rules !== undefined) {
    throw new LbsError('usage', 'both rules and snapshots were given', {
      hint: 'give rules, as in --keep-daily=14, or name the snapshots to forget',
    });
  }
}

/** The local database, where there is one. @throws {LbsError} localdb-*, io */
function openLocal(store: Store, { localdb, report }: ForgetOptions): Local | undefined {
  const directory = localdb ?? store.place;
  if (!existsSync(join(directory, LOCALDB_FILE))) {
    if (localdb !== undefined) {
      const message = `there is no local database in ${localdb}: only the store is changed`;
      report?.({ type: 'note', message });
    }
    return undefined;
  }
  const lock = lockLocaldb(directory);
  try {
    const open = openDatabase(directory);
    const close = () => {
      open.close();
      lock.release();
    };
    try {
      const seen = SeenSnapshots.open(directory, store.place);
      const compacted = new CompactedTable(open);
      const arrivals = (descriptor: Buffer) => compacted.arrivalOf(descriptor);
      return { snapshots: new SnapshotTable(open), arrivals, seen, close };
    } catch (error) {
      open.close();
      throw error;
    }
  } catch (error) {
    lock.release();
    throw error;
  }
}

/** In a dry run, which leaves the database alone; it is copied when a snapshot asks for it. */
function arrivalsIn(store: Store, { localdb }: ForgetOptions): Arrivals {
  const directory = localdb ?? store.place;
  let known: Map<string, number> | undefined;
  return (descriptor) => {
    known ??= new Map(
      compactedIn(directory).map(({ descriptor: of, arrivedS }) => [of.toString('hex'), arrivedS]),
    );
    return known.get(descriptor.toString('hex'));
  };
}

function compactedIn(directory: string): CompactedSnapshot[] {
  if (!existsSync(join(directory, LOCALDB_FILE))) return [];
  const open = openScratchCopy(directory);
  try {
    return new CompactedTable(open).all();
  } finally {
    open.close();
  }
}

type Listing = { readonly files: readonly StoredFile[]; readonly all: readonly SnapshotFile[] };

async function decide(
  store: Store,
  { files, all }: Listing,
  options: ForgetOptions & { readonly arrivalOf: Arrivals },
): Promise<ForgetDecision[]> {
  const { snapshots = [], scheme: only } = options;
  const candidates = new RetentionCandidates(store, files, options);
  if (snapshots.length > 0) return decideNamed(store, all, candidates, options);
  const rules = wholeRules(options.rules ?? {});
  const schemes = byScheme(all, only);
  if (schemes.size === 0) {
    // An unmounted disk looks like this, and a scheme that was misspelt.
    const of = only === undefined ? '' : ` of scheme "${only}"`;
    throw new LbsError('snapshot-missing', `there are no snapshots${of} in ${store.place}`, {
      hint: `see what there is: lbs list --store=${store.place}`,
    });
  }
  const decisions: ForgetDecision[] = [];
  for (const [scheme, members] of schemes) {
    for (const decision of decideRetention(await candidates.of(members), rules)) {
      decisions.push({ ...decision, scheme });
    }
  }
  return decisions;
}

/** Snapshots without a scheme are a scheme of their own. */
function byScheme(
  snapshots: readonly SnapshotFile[],
  only?: string,
): Map<string | undefined, SnapshotFile[]> {
  const schemes = new Map<string | undefined, SnapshotFile[]>();
  for (const snapshot of snapshots) {
    const { scheme } = snapshot;
    if (only !== undefined && (scheme ?? '') !== only) continue;
    const members = schemes.get(scheme);
    if (members) members.push(snapshot);
    else schemes.set(scheme, [snapshot]);
  }
  return schemes;
}

async function decideNamed(
  store: Store,
  all: readonly SnapshotFile[],
  candidates: RetentionCandidates,
  { snapshots = [], scheme }: ForgetOptions,
): Promise<ForgetDecision[]> {
  const named = new Set(snapshots.map((word) => resolveAmong(store, all, word, scheme)));
  for (const { name } of named) {
    if (!candidates.isHeld(name)) continue;
    throw new LbsError('usage', `${showText(name)} is held`, {
      hint: `nothing was forgotten; "lbs release ${showText(name)}" lets it go`,
    });
  }
  for (const members of byScheme(all).values()) {
    await refuseLastComplete(members, named, candidates);
  }
  return all
    .filter((snapshot) => named.has(snapshot))
    .map(({ name, scheme: of }) => ({ name, scheme: of, isKept: false, reasons: ['named'] }));
}

/** @throws {LbsError} usage when no complete one of a scheme would be left */
async function refuseLastComplete(
  members: readonly SnapshotFile[],
  named: ReadonlySet<SnapshotFile>,
  candidates: RetentionCandidates,
): Promise<void> {
  const newestFirst = members.toReversed();
  const going = newestFirst.filter((snapshot) => named.has(snapshot));
  if (going.length === 0) return;
  for (const snapshot of newestFirst) {
    if (!named.has(snapshot) && (await candidates.isComplete(snapshot))) return;
  }
  for (const snapshot of going) {
    if (!(await candidates.isComplete(snapshot))) continue;
    const message = `${showText(snapshot.name)} is the last complete snapshot of its scheme`;
    throw new LbsError('usage', message, {
      hint: 'nothing was forgotten: the last one is always kept. Where all of a scheme is to go, remove the files of that snapshot by hand',
    });
  }
}

/**
 * Before the first of them goes: whoever misses it finds the note.
 * @throws {LbsError} signature-key, filter-*, store-unwritable, no-space, io
 */
async function leaveNote(
  store: Store,
  going: readonly SnapshotFile[],
  options: ForgetOptions,
): Promise<string | undefined> {
  const report: Report = options.report ?? silentReport;
  const { signKey, signatureFilter } = options;
  let wasSigned = false;
  const forgotten = going.map((snapshot): ForgottenSnapshot => {
    const { name } = snapshot;
    try {
      const stored = storedDescriptor(store, snapshot);
      wasSigned ||= isSigned(stored.toString('latin1'));
      return { name, sha256: digestOf(stored) };
    } catch (error) {
      // One that cannot be read can be forgotten all the same.
      if (error instanceof LbsError) return { name, sha256: undefined };
      throw error;
    }
  });
  const name = await noteForgotten(store, forgotten, options);
  if (wasSigned && signKey === undefined && signatureFilter === undefined) {
    report({
      type: 'note',
      message:
        'snapshots that are signed are forgotten, and the note of it is not signed: machines that demand signatures (--verify-key) will miss them. Give --sign-key or --signature-filter',
    });
  }
  return name;
}

/** Where nothing could be removed there is nothing to be said of. Never throws. */
async function takeNoteBack(
  store: Store,
  note: string | undefined,
  going: readonly SnapshotFile[],
): Promise<void> {
  if (note === undefined || going.some(({ file }) => store.find(file.name) === undefined)) return;
  try {
    store.remove(note);
    await store.settle();
  } catch (error) {
    // It is true enough: they were to be forgotten.
    if (!(error instanceof LbsError)) throw error;
  }
}

type Work = {
  readonly all: readonly SnapshotFile[];
  readonly decided: readonly ForgetDecision[];
  readonly local: Local | undefined;
  readonly options: ForgetOptions;
};

/** Forgets what is not kept; what became of each. */
async function carryOut(
  store: Store,
  files: readonly StoredFile[],
  work: Work,
): Promise<ForgetDecision[]> {
  const { all, decided, options } = work;
  const names = new Set(decided.filter(({ isKept }) => !isKept).map(({ name }) => name));
  const going = all.filter(({ name }) => names.has(name));
  const note = await leaveNote(store, going, options);
  try {
    return await removeAll(new SnapshotRemover(store, files, names), work);
  } catch (error) {
    await takeNoteBack(store, note, going);
    throw error;
  }
}

async function removeAll(
  remover: SnapshotRemover,
  { decided, local, options }: Work,
): Promise<ForgetDecision[]> {
  const decisions: ForgetDecision[] = [];
  for (const decision of decided) {
    if (decision.isKept) {
      decisions.push(decision);
      continue;
    }
    if (options.signal?.aborted === true) {
      throw new LbsError('interrupted', 'interrupted', {
        hint: 'some snapshots may be forgotten already; the same command forgets the rest',
      });
    }
    const isRemoved = await remover.remove(decision.name);
    if (isRemoved) local?.snapshots.remove([decision.name]);
    decisions.push(isRemoved ? decision : { ...decision, isKept: true, reasons: ['held'] });
  }
  return decisions;
}
