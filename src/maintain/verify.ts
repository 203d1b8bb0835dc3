/**
 * `lbs verify`: the order of its stages.
 *
 *     descriptors -> the chain of them, what was seen           verify-history
 *       -> checksums files -> files of the store                verify-checksums
 *       -> metadata -> plan -> every segment once -> contents   verify-contents
 *       -> names of the files that are lost                     only when there are any
 *
 * Damage is reported and never thrown; whatever a store contains, the verification goes on to its
 * end. Where the checksums show damage the files it costs are found out at every depth.
 */
import { performance } from 'node:perf_hooks';
import { LbsError, messageOf } from '../errors.ts';
import { parseSnapshotFile } from '../format/snapshot-name.ts';
import { type Report, silentReport } from '../report.ts';
import { isDamage } from '../metadata/metadata-objects.ts';
import { SegmentSource } from '../segments/segment-source.ts';
import {
  openSnapshot,
  openStored,
  type OpenSnapshot,
  resolveAmong,
  type SnapshotFile,
  snapshotsAmong,
  storedDescriptor,
} from '../snapshots/open-snapshot.ts';
import { openStore } from '../stores/open-store.ts';
import type { Store, StoredFile } from '../stores/store.ts';
import { DamageLog } from './damage-log.ts';
import { NeededFiles } from './needed-files.ts';
import { segmentListsAmong } from './read-segment-list.ts';
import { SegmentFacts } from './segment-facts.ts';
import { ChecksumVerifier } from './verify-checksums.ts';
import { type ContentsRun, ContentsVerifier } from './verify-contents.ts';
import { verifyParity } from './verify-parity.ts';
import { HistoryVerifier } from './verify-history.ts';
import type { UnneededFiles, VerifyOptions, VerifySummary } from './verify-options.ts';
import { TakenOut } from './taken-out.ts';
import { VerifyProgress } from './verify-progress.ts';

const MS_PER_S = 1000;

/**
 * Verifies the snapshots asked for, or all (of `scheme`, when given).
 * @throws {LbsError} store-missing, snapshot-missing, snapshot-ambiguous, signature-missing and
 * signature-bad (with a verify key: what cannot be trusted is not looked at), signature-key,
 * format-version, filter-missing, decryption-key, interrupted
 */
export async function verify(options: VerifyOptions): Promise<VerifySummary> {
  const startMs = performance.now();
  const { depth = 'checksums', verifyKey, signal, report = silentReport } = options;
  const store = openStore(options.store);
  const files = store.list();
  const source = new SegmentSource(store, options, files);
  const all = snapshotsAmong(files);
  const chosen = choose(store, all, options);
  const isOfAll = (options.snapshots ?? []).length === 0;
  if (isOfAll) noteLostDescriptors(files, report);
  const takenOut = new TakenOut(store, all);
  const damage = new DamageLog(report, takenOut);
  const progress = new VerifyProgress(report, signal);
  const history = await HistoryVerifier.begin(store, files, options);

  const facts = new SegmentFacts();
  try {
    const segmentLists = segmentListsAmong(files);
    const run = { depth, source, segmentLists, facts, damage, progress, signal };
    const checksums = new ChecksumVerifier(run);
    const usable: SnapshotFile[] = [];
    const needed = new NeededFiles(store);
    for (const snapshot of chosen) {
      try {
        const stored = storedDescriptor(store, snapshot);
        const opened = await openStored(snapshot, stored, { verifyKey });
        for (const trouble of history.links(opened, stored)) damage.add(trouble);
        progress.countFile(snapshot.file.sizeBytes);
        needed.add(opened);
        await checksums.addSnapshot(opened);
        usable.push(snapshot);
      } catch (error) {
        if (!isDamage(error) || isSignatureTrouble(error)) throw error;
        const { name } = snapshot;
        history.setDamaged(name);
        if (takenOut.isSnapshot(name)) continue;
        const message = messageOf(error);
        damage.add({ what: 'store-file', name: snapshot.file.name, snapshot: name, message });
      }
    }
    for (const trouble of await history.finish()) damage.add(trouble);
    await checksums.check();
    if (depth === 'data' && isOfAll) {
      const recordedSha256 = (file: string) => checksums.recordedSha256(file);
      await verifyParity({ store, files, damage, progress, recordedSha256 });
    }

    const { damagedSegments } = checksums;
    const contentsRun = { ...run, damagedSegments };
    // Descriptors are read anew in each stage: those of a large store do not fit into memory.
    const filesChecked = await checkContents(contentsRun, () =>
      openAll(store, usable, { verifyKey, takenOut }),
    );
    noteTakenOut(takenOut, options);
    return {
      depth,
      snapshots: chosen.map(({ name }) => name).filter((name) => !takenOut.isSnapshot(name)),
      storeFiles: progress.storeFiles,
      bytesRead: progress.bytesRead,
      objects: progress.objects,
      files: depth === 'data' ? filesChecked : 0,
      // A snapshot that cannot be read may need anything.
      unneeded: usable.length === all.length ? countUnneeded(store, files, needed) : undefined,
      damage: damage.kept,
      durationS: (performance.now() - startMs) / MS_PER_S,
    };
  } finally {
    facts.close();
  }
}

/** Of those that were there when the verification began. */
function countUnneeded(
  store: Store,
  files: readonly StoredFile[],
  needed: NeededFiles,
): UnneededFiles {
  const unneeded = files.filter(({ name }) => needed.isUnneeded(name));
  const unfinished = store.unfinished();
  return {
    ...{ files: unneeded.length, bytes: sizeOf(unneeded) },
    ...{ unfinished: unfinished.length, unfinishedBytes: sizeOf(unfinished) },
  };
}

const sizeOf = (files: readonly StoredFile[]) =>
  files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);

/** A backup that was stopped just before its end leaves the same, so it is no damage. */
function noteLostDescriptors(files: readonly StoredFile[], report: Report): void {
  const there = new Set(snapshotsAmong(files).map(({ name }) => name));
  const lists = files.flatMap(({ name }) => parseSnapshotFile(name)?.name ?? []);
  const lost = [...new Set(lists)].filter((name) => !there.has(name)).sort();
  for (const name of lost) {
    const message = `snapshot-${name}.lbs is not there, but checksums files of it are: a backup was stopped, or it is lost ("lbs repair" can make it again)`;
    report({ type: 'note', message });
  }
}

/** The files whose content was checked. */
async function checkContents(
  run: ContentsRun,
  opened: () => AsyncGenerator<OpenSnapshot>,
): Promise<number> {
  const { depth, damagedSegments } = run;
  if (depth === 'checksums' && damagedSegments.size === 0) return 0;
  const contents = new ContentsVerifier(run);
  try {
    await verifyContents(contents, opened, depth === 'checksums' ? damagedSegments : undefined);
    return contents.files;
  } finally {
    contents.close();
  }
}

/** Of snapshots that need none of `only` (when given) nothing is looked at. */
async function verifyContents(
  contents: ContentsVerifier,
  opened: () => AsyncGenerator<OpenSnapshot>,
  only: ReadonlySet<string> | undefined,
): Promise<void> {
  const isConcerned = ({ descriptor }: OpenSnapshot) =>
    only === undefined || descriptor.segments.some((segment) => only.has(segment));
  for await (const snapshot of opened()) {
    if (isConcerned(snapshot)) await contents.addSnapshot(snapshot.name, snapshot.descriptor);
  }
  await contents.checkContents();
  if (!contents.hasLosses) return;
  for await (const snapshot of opened()) {
    if (isConcerned(snapshot)) await contents.nameLosses(snapshot.name, snapshot.descriptor);
  }
}

async function* openAll(
  store: Store,
  snapshots: readonly SnapshotFile[],
  { verifyKey, takenOut }: { verifyKey: string | undefined; takenOut: TakenOut },
): AsyncGenerator<OpenSnapshot> {
  for (const snapshot of snapshots) {
    try {
      yield await openSnapshot(store, snapshot, { verifyKey });
    } catch (error) {
      if (!takenOut.isSnapshot(snapshot.name)) throw error;
    }
  }
}

/** @throws {LbsError} snapshot-missing for one that was asked for by name */
function noteTakenOut({ snapshots }: TakenOut, { store, ...asked }: VerifyOptions): void {
  for (const name of snapshots) {
    const gone = `snapshot ${name} was taken out of ${store} meanwhile`;
    if ((asked.snapshots ?? []).length > 0) throw new LbsError('snapshot-missing', gone);
    const message = `${gone}: there was nothing more to verify of it`;
    asked.report?.({ type: 'note', message });
  }
}

function isSignatureTrouble(error: unknown): boolean {
  return error instanceof LbsError && error.code.startsWith('signature-');
}

/** The snapshots asked for, oldest first, each once. @throws {LbsError} snapshot-missing, usage */
function choose(
  store: Store,
  all: readonly SnapshotFile[],
  { scheme, snapshots: words = [] }: VerifyOptions,
): readonly SnapshotFile[] {
  if (words.length > 0) {
    const wanted = new Set(words.map((word) => resolveAmong(store, all, word, scheme).name));
    return all.filter(({ name }) => wanted.has(name));
  }
  const chosen =
    scheme === undefined ? all : all.filter((snapshot) => (snapshot.scheme ?? '') === scheme);
  if (chosen.length > 0) return chosen;
  // "All is well" with nothing to look at is what an unmounted disk would be told every night.
  throw new LbsError('snapshot-missing', `the store ${store.place} has no snapshots to verify`, {
    hint: 'is the disk mounted? "lbs list" shows what there is',
  });
}
