/**
 * `lbs heal`: damaged or missing files of a store from another store that has them.
 *
 *     verify (checksums)                     which files are not as they should be?
 *       -> the other store                   its file, held against the checksums
 *       -> in place of the damaged one       at once, so that at no moment there is none
 *       -> verify again                      what is still not right is told
 *
 * Only files that a snapshot of the damaged store needs are touched, and only by bytes that have
 * the recorded checksums. Where the store's own lists are damaged, the other store's are asked,
 * which must belong to the same descriptor.
 */
import { LbsError, messageOf } from '../errors.ts';
import { parseSnapshotFile } from '../format/snapshot-name.ts';
import { isDamage } from '../metadata/metadata-objects.ts';
import { type Report, silentReport } from '../report.ts';
import type { ReadOptions } from '../restore/restore-options.ts';
import { SegmentSource } from '../segments/segment-source.ts';
import { openSnapshot, snapshotsAmong } from '../snapshots/open-snapshot.ts';
import { openStore } from '../stores/open-store.ts';
import type { Store } from '../stores/store.ts';
import { copyFile } from './copy-file.ts';
import type { Sums } from './examine-file.ts';
import { segmentListsAmong } from './read-segment-list.ts';
import { sumsOfSnapshot } from './snapshot-sums.ts';
import { verify } from './verify.ts';

export type HealOptions = ReadOptions & {
  /** The store that has good ones. */
  readonly from: string;
  readonly dryRun?: boolean;
};

export type HealSummary = {
  readonly dryRun: boolean;
  /** Files of the store that were damaged or missing. */
  readonly damaged: number;
  readonly healed: number;
  /** What could not be healed, each reported as damage. */
  readonly left: number;
};

/** Rounds: a healed list may show that more is damaged. */
const ROUNDS_MAX = 3;

/** @throws {LbsError} store-missing, snapshot-missing, signature-*, store-unwritable, no-space, io, interrupted */
export async function heal(options: HealOptions): Promise<HealSummary> {
  const store = openStore(options.store);
  const other = openStore(options.from);
  const report = options.report ?? silentReport;
  const healed = new Set<string>();
  const tried = new Set<string>();
  let damaged = await damagedFiles(options);
  for (let round = 0; round < ROUNDS_MAX && damaged.some((name) => !tried.has(name)); round++) {
    const expected = await expectedSums(store, other, options);
    for (const name of damaged) {
      if (tried.has(name)) continue;
      tried.add(name);
      if (await healFile({ store, other, name, expected, options, report })) healed.add(name);
    }
    if (options.dryRun === true) break;
    await store.settle();
    damaged = await damagedFiles(options);
  }
  const isDry = options.dryRun === true;
  const left = isDry ? tried.size - healed.size : damaged.length;
  return { dryRun: isDry, damaged: tried.size, healed: healed.size, left };
}

async function damagedFiles(options: HealOptions): Promise<string[]> {
  const { store, scheme, verifyKey, unfilters, signal } = options;
  const names = new Set<string>();
  // Events, not the summary: that keeps only so many.
  const report: Report = (event) => {
    if (event.type === 'damage' && event.damage.what === 'store-file') names.add(event.damage.name);
  };
  await verify({
    store,
    report,
    ...(scheme !== undefined && { scheme }),
    ...(verifyKey !== undefined && { verifyKey }),
    ...(unfilters !== undefined && { unfilters }),
    ...(signal !== undefined && { signal }),
  });
  return [...names];
}

/** What files should be, by the lists of both stores; the damaged store's own word counts more. */
async function expectedSums(
  store: Store,
  other: Store,
  options: HealOptions,
): Promise<ReadonlyMap<string, Sums>> {
  const expected = new Map<string, Sums>();
  for (const place of [other, store]) {
    const files = place.list();
    const source = new SegmentSource(place, options.unfilters, files);
    const lists = { source, segmentLists: segmentListsAmong(files), signal: options.signal };
    for (const snapshot of snapshotsAmong(files)) {
      try {
        const opened = await openSnapshot(place, snapshot, options);
        const sums = await sumsOfSnapshot(opened, lists);
        for (const [name, of] of [...sums.lists, ...sums.segments]) expected.set(name, of);
      } catch (error) {
        // That one says nothing; what it needs is told by others, or stays as it is.
        if (!(error instanceof LbsError) || !isDamage(error)) throw error;
      }
    }
  }
  return expected;
}

type FileToHeal = {
  readonly store: Store;
  readonly other: Store;
  readonly name: string;
  readonly expected: ReadonlyMap<string, Sums>;
  readonly options: HealOptions;
  readonly report: Report;
};

async function healFile(file: FileToHeal): Promise<boolean> {
  const { store, other, name, expected, options, report } = file;
  try {
    const sums = expected.get(name);
    if (isDescriptor(name)) await checkDescriptor(other, name, options);
    else if (sums === undefined || Object.keys(sums).length === 0) {
      throw new LbsError('checksum-mismatch', 'no list says what it should be');
    }
    const found = other.find(name);
    if (found === undefined) {
      throw new LbsError('store-missing-file', `${other.place} does not have it`);
    }
    if (options.dryRun !== true) {
      const copy = { sums: sums ?? {}, replaces: true, signal: options.signal };
      await copyFile(other, store, name, copy);
    }
    report({ type: 'copied', file: name, sizeBytes: found.sizeBytes });
    return true;
  } catch (error) {
    if (!(error instanceof LbsError) || !isDamage(error)) throw error;
    const message = `it cannot be healed: ${messageOf(error)}`;
    report({ type: 'damage', damage: { what: 'store-file', name, message } });
    return false;
  }
}

function isDescriptor(name: string): boolean {
  const kind = parseSnapshotFile(name)?.kind;
  return kind === 'lbs' || kind === 'cumulus';
}

/** A descriptor has no checksum but its signature: it must at least be one. */
async function checkDescriptor(other: Store, name: string, options: HealOptions): Promise<void> {
  const found = snapshotsAmong(other.list()).find(({ file }) => file.name === name);
  if (found === undefined)
    throw new LbsError('store-missing-file', `${other.place} does not have it`);
  await openSnapshot(other, found, options);
}
