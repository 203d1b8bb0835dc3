/**
 * Takes snapshots out of a store: those that no rule keeps, or those that are named.
 *
 *     listing, descriptors -> retention                     who stays, and why
 *       -> descriptor removed, and that made durable        from here on it is no snapshot
 *       -> its checksums files and notes                    nobody asks for them any more
 *       -> rows of the local database                       what it used counts no longer
 *
 * Segments stay: `gc` removes those that no descriptor names. Nothing but descriptors and the list
 * of files is read. Stopping anywhere leaves files that nobody names, which gc removes as well.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { LbsError } from '../errors.ts';
import { parseNoteFile, parseSegmentListFile, parseSnapshotFile } from '../format/snapshot-name.ts';
import { parseTimestamp } from '../format/timestamp.ts';
import { lockLocaldb } from '../localdb/lock.ts';
import { LOCALDB_FILE, openDatabase } from '../localdb/open-localdb.ts';
import { SnapshotTable } from '../localdb/snapshot-table.ts';
import type { ReadOptions } from '../restore/restore-options.ts';
import { SegmentSource } from '../segments/segment-source.ts';
import {
  type SnapshotFile,
  openSnapshot,
  resolveAmong,
  snapshotsAmong,
} from '../snapshots/open-snapshot.ts';
import { NotesOfStore, type SnapshotNotes } from '../snapshots/snapshot-notes.ts';
import { nowSeconds } from '../std/clock.ts';
import { openStore } from '../stores/open-store.ts';
import type { Store, StoredFile } from '../stores/store.ts';
import {
  type Candidate,
  type Decision,
  type RetentionRules,
  decideRetention,
} from './retention.ts';

export type ForgetOptions = ReadOptions & {
  /** Names, prefixes, `latest~3`: these are forgotten, and rules are not asked. */
  readonly snapshots?: readonly string[];
  readonly rules?: RetentionRules;
  /** Directory of the local database; default: the store. */
  readonly localdb?: string;
  readonly dryRun?: boolean;
};

export type ForgetDecision = Decision & { readonly scheme: string | undefined };

export type ForgetSummary = {
  readonly dryRun: boolean;
  /** By scheme, oldest first. */
  readonly decisions: readonly ForgetDecision[];
  readonly kept: number;
  readonly forgotten: number;
};

/**
 * Decides, and forgets what is not kept. Every decision is made before anything is removed.
 * @throws {LbsError} store-missing, snapshot-missing, snapshot-ambiguous, usage, localdb-locked,
 * store-unwritable, io, signature-key, interrupted
 */
export async function forget(options: ForgetOptions): Promise<ForgetSummary> {
  const store = openStore(options.store);
  const localdb = options.localdb ?? store.place;
  const hasLocaldb = options.dryRun !== true && existsSync(join(localdb, LOCALDB_FILE));
  const lock = hasLocaldb ? lockLocaldb(localdb) : undefined;
  try {
    const decisions = await decide(store, options);
    const forgotten = decisions.filter(({ isKept }) => !isKept).map(({ name }) => name);
    if (options.dryRun !== true) {
      for (const name of forgotten) await remove(store, name, options.signal);
      if (hasLocaldb && forgotten.length > 0) forgetLocally(localdb, forgotten);
    }
    return {
      dryRun: options.dryRun ?? false,
      decisions,
      kept: decisions.length - forgotten.length,
      forgotten: forgotten.length,
    };
  } finally {
    lock?.release();
  }
}

async function decide(store: Store, options: ForgetOptions): Promise<ForgetDecision[]> {
  const files = store.list();
  const all = snapshotsAmong(files);
  const notes = new NotesOfStore(files);
  const { snapshots = [], rules } = options;
  if (snapshots.length > 0) return decideNamed(store, options, { all, files, notes });
  if (rules === undefined) throw new LbsError('usage', 'neither rules nor snapshots were given');
  const decisions: ForgetDecision[] = [];
  for (const [scheme, members] of byScheme(all, options.scheme)) {
    const candidates = await candidatesOf(store, members, { files, notes, options });
    for (const decision of decideRetention(candidates, rules, nowSeconds())) {
      decisions.push({ ...decision, scheme });
    }
  }
  return decisions;
}

type Listing = {
  readonly all: readonly SnapshotFile[];
  readonly files: readonly StoredFile[];
  readonly notes: NotesOfStore;
};

async function decideNamed(
  store: Store,
  options: ForgetOptions,
  { all, files, notes }: Listing,
): Promise<ForgetDecision[]> {
  const { snapshots = [], scheme } = options;
  const named = new Set(snapshots.map((word) => resolveAmong(store, all, word, scheme).name));
  for (const name of named) refuseHeld(name, notes.of(name));
  for (const [, members] of byScheme(all, undefined)) {
    if (!members.some(({ name }) => named.has(name))) continue;
    const candidates = await candidatesOf(store, members, { files, notes, options });
    const usable = candidates.filter(
      ({ isComplete, problem }) => isComplete && problem === undefined,
    );
    const last = usable.at(-1);
    if (last === undefined || !usable.every(({ name }) => named.has(name))) continue;
    throw new LbsError('usage', `${last.name} is the last complete snapshot of its scheme`, {
      hint: 'nothing was forgotten: the last one is always kept. Where the whole scheme is to go, remove its files by hand and run "lbs gc"',
    });
  }
  return all
    .filter(({ name }) => named.has(name))
    .map(({ name, scheme: of }) => ({ name, scheme: of, isKept: false, reasons: ['named'] }));
}

function refuseHeld(name: string, { isHeld }: SnapshotNotes): void {
  if (!isHeld) return;
  throw new LbsError('usage', `${name} is held`, {
    hint: `nothing was forgotten; "lbs release ${name}" lets it go`,
  });
}

/** Snapshots without a scheme are a scheme of their own. */
function byScheme(
  snapshots: readonly SnapshotFile[],
  only: string | undefined,
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

type Known = {
  readonly files: readonly StoredFile[];
  readonly notes: NotesOfStore;
  readonly options: ForgetOptions;
};

async function candidatesOf(
  store: Store,
  snapshots: readonly SnapshotFile[],
  { files, notes, options }: Known,
): Promise<Candidate[]> {
  const source = new SegmentSource(store, options.unfilters, files);
  const candidates: Candidate[] = [];
  for (const snapshot of snapshots) {
    if (options.signal?.aborted === true) throw new LbsError('interrupted', 'interrupted');
    const { name, timestamp, file } = snapshot;
    candidates.push({
      name,
      timeS: parseTimestamp(timestamp) ?? 0,
      arrivedS: file.arrivedS,
      ...notes.of(name),
      ...(await stateOf(store, snapshot, source, options.verifyKey)),
    });
  }
  return candidates;
}

/** Whether a snapshot can be used, and is complete. @throws {LbsError} signature-key, io */
async function stateOf(
  store: Store,
  snapshot: SnapshotFile,
  source: SegmentSource,
  verifyKey: string | undefined,
): Promise<Pick<Candidate, 'isComplete' | 'problem'>> {
  try {
    const { descriptor } = await openSnapshot(store, snapshot, { verifyKey });
    const lacks = descriptor.segments.some((segment) => source.fileOf(segment) === undefined);
    const hasWarnings = (descriptor.counts?.warnings ?? 0) > 0;
    return { isComplete: !lacks && !hasWarnings, problem: undefined };
  } catch (error) {
    if (!(error instanceof LbsError) || error.code === 'signature-key') throw error;
    return { isComplete: false, problem: `left alone: ${error.message}` };
  }
}

async function remove(
  store: Store,
  snapshot: string,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (signal?.aborted === true) {
    throw new LbsError('interrupted', 'interrupted', {
      hint: 'some snapshots are forgotten already; the same command forgets the rest',
    });
  }
  const names = store.names();
  // Somebody may have held it since the decision.
  refuseHeld(snapshot, new NotesOfStore(names.map((name) => ({ name }))).of(snapshot));
  for (const kind of ['lbs', 'cumulus']) store.remove(`snapshot-${snapshot}.${kind}`);
  await store.settle();
  for (const name of names) {
    const of =
      parseSnapshotFile(name)?.name ??
      parseNoteFile(name)?.name ??
      parseSegmentListFile(name)?.name;
    if (of === snapshot) store.remove(name);
  }
  await store.settle();
}

function forgetLocally(localdb: string, names: readonly string[]): void {
  const open = openDatabase(localdb);
  try {
    new SnapshotTable(open).remove(names);
  } finally {
    open.close();
  }
}
