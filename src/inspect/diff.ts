/**
 * What differs between two snapshots of a store: the order of the stages.
 *
 * Both logs are gone through side by side, differences are put into a table, then files that only
 * have another place are found among them. Called by the command line. Changes nothing.
 */
import { MetadataObjects } from '../metadata/metadata-objects.ts';
import type { ReadOptions } from '../restore/restore-options.ts';
import { SegmentSource } from '../segments/segment-source.ts';
import { openSnapshot, resolveSnapshot } from '../snapshots/open-snapshot.ts';
import { openStore } from '../stores/open-store.ts';
import { type Change, ChangeTable } from './change-table.ts';
import { changeLetters, type Precision } from './facts.ts';
import { mergePaths } from './merge-paths.ts';
import { sharedParts, SnapshotSide } from './snapshot-side.ts';
import { OutOfOrder } from './sorted-entries.ts';

export type DiffOptions = ReadOptions & {
  readonly snapshot: string;
  /** The snapshot that it is compared with, as the later state. */
  readonly other: string;
};

/** A comparison that was made. */
export type Diff = {
  /** Name of the snapshot that is the earlier state. */
  readonly before: string;
  /** Name of the later one; undefined when that is what is on disk. */
  readonly after: string | undefined;
  /** The differences in the order of paths, once. */
  changes(): Iterable<Change>;
  close(): void;
};

/**
 * Compares two snapshots. Damage of their metadata is reported; what it holds is not compared.
 * @throws {LbsError} as opening a snapshot does
 */
export async function diff(options: DiffOptions): Promise<Diff> {
  const { scheme, verifyKey, signal, report } = options;
  const store = openStore(options.store);
  const files = [options.snapshot, options.other].map((word) =>
    resolveSnapshot(store, word, { scheme }),
  );
  const source = new SegmentSource(store, options);
  const objects = new MetadataObjects(source, { signal });
  const table = new ChangeTable();
  try {
    const sides: SnapshotSide[] = [];
    for (const file of files) {
      const snapshot = await openSnapshot(store, file, { verifyKey });
      sides.push(new SnapshotSide(snapshot, { source, objects, signal, report }));
    }
    const [before, after] = sides;
    if (before === undefined || after === undefined)
      throw new TypeError('two snapshots are needed');
    const isOurs = before.isOurs && after.isOurs;
    const precision = { hasNanoseconds: isOurs, hasXattrs: isOurs };
    await fillTable(table, before, after, precision);
    await table.pairMoves(precision, signal);
    return {
      before: before.name,
      after: after.name,
      changes: () => table.changes(),
      close: () => table.close(),
    };
  } catch (error) {
    table.close();
    throw error;
  } finally {
    objects.close();
  }
}

async function fillTable(
  table: ChangeTable,
  before: SnapshotSide,
  after: SnapshotSide,
  precision: Precision,
): Promise<void> {
  const shared = await sharedParts(before, after);
  try {
    await merge(shared, false);
  } catch (error) {
    if (!(error instanceof OutOfOrder)) throw error;
    table.clear();
    await merge(new Set(), true);
  }

  async function merge(known: ReadonlySet<string>, isSpooled: boolean): Promise<void> {
    await mergePaths(before.entries(known, isSpooled), after.entries(known, isSpooled), {
      gone: (path, facts) => table.add('-', path, facts),
      came: (path, facts) => table.add('+', path, facts),
      both: (path, old, now) => {
        if (old.type !== now.type) {
          table.add('-', path, old);
          table.add('+', path, now);
          return;
        }
        const letters = changeLetters(old, now, precision);
        if (letters !== '') table.add(letters, path, now);
      },
    });
  }
}
