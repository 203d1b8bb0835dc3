/**
 * What differs between a snapshot and what is on disk now: the order of the stages.
 *
 * A snapshot does not say what was left out of it on purpose. So where no path is named, an entry
 * that it lacks counts as added only if its directory was changed since, and itself too; below a named
 * path everything does. Rules (`--exclude`) hold for added entries only: what the snapshot has is
 * compared, whatever rules say today.
 */
import { LbsError, messageOf } from '../errors.ts';
import type { Descriptor } from '../format/descriptor.ts';
import { type ChecksumAlgorithm, parseChecksum } from '../format/checksum.ts';
import { MetadataObjects } from '../metadata/metadata-objects.ts';
import type { FileStatus } from '../posix/file-status.ts';
import type { ReadOptions } from '../restore/restore-options.ts';
import { SegmentSource } from '../segments/segment-source.ts';
import { openSnapshot, resolveSnapshot } from '../snapshots/open-snapshot.ts';
import {
  type NamedPaths,
  nameAgain,
  resolveNamedPaths,
} from '../sources/filesystem/named-paths.ts';
import { type RuleOptions, readRules } from '../sources/filesystem/rule-files.ts';
import { Selector } from '../sources/filesystem/select.ts';
import { type BytePath, TOP, bytePath, isTop, isWithin, showPath } from '../std/byte-path.ts';
import { asByteText, toBytePath } from '../std/byte-text.ts';
import { openStore } from '../stores/open-store.ts';
import { ChangeTable } from './change-table.ts';
import type { Diff } from './diff.ts';
import { changeLetters, differInTime, type Facts, type Precision } from './facts.ts';
import { LiveSide } from './live-side.ts';
import { mergePaths } from './merge-paths.ts';
import { SnapshotSide } from './snapshot-side.ts';
import { OutOfOrder } from './sorted-entries.ts';

export type LiveDiffOptions = ReadOptions & {
  readonly snapshot: string;
  /** On disk, named as for a backup; default: what the snapshot holds, where it was made. */
  readonly path?: BytePath;
  /** Read all files, not only those whose size is the same and whose time is not. */
  readonly readAll: boolean;
  readonly excludes: readonly BytePath[];
  readonly includes: readonly BytePath[];
  readonly ruleFiles?: RuleOptions;
  /** Directory of the local database, whose own files are no part of anything. */
  readonly localdb?: string;
};

export type LiveDiff = Diff & {
  /** Entries on disk that were compared, and what was read of them. */
  readonly entries: number;
  readonly filesRead: number;
  readonly bytesRead: number;
};

/**
 * Compares a snapshot with the disk. Trouble with entries on disk is a warning to `report`.
 * @throws {LbsError} source-missing when the path is not there, or not in the snapshot; usage for a
 * rule; as opening a snapshot does
 */
export async function diffLive(options: LiveDiffOptions): Promise<LiveDiff> {
  const { scheme, verifyKey, signal, report } = options;
  const store = openStore(options.store);
  const file = resolveSnapshot(store, options.snapshot, { scheme });
  const snapshot = await openSnapshot(store, file, { verifyKey });
  const named = namedPaths(options.path, snapshot.descriptor);
  const root = options.path === undefined ? TOP : toBytePath(named.roots[0] ?? asByteText('.'));
  const source = new SegmentSource(store, options);
  const objects = new MetadataObjects(source, { signal, isSearch: !isTop(root) });
  const table = new ChangeTable();
  try {
    const reading = { source, objects, signal, report };
    const side = new SnapshotSide(snapshot, reading, isTop(root) ? undefined : root);
    const run = new LiveComparison(options, side, named, table);
    const live = await run.compare(root, store.place);
    return {
      before: side.name,
      after: undefined,
      changes: () => table.changes(),
      close: () => table.close(),
      entries: live.entries,
      filesRead: live.filesRead,
      bytesRead: live.bytesRead,
    };
  } catch (error) {
    table.close();
    throw error;
  } finally {
    objects.close();
  }
}

/** Not a path that is missing: it may be in what is damaged. */
function unknownPath(root: BytePath, snapshot: string): LbsError {
  const shown = showPath(root);
  const message = `${shown}: not found in what can be read of the metadata of ${snapshot}`;
  return new LbsError('segment-corrupt', message, { hint: '"lbs verify" names all damage' });
}

/** What is compared; without a path what lies where the snapshot was made, or below `/`. */
function namedPaths(
  path: BytePath | undefined,
  { top, paths }: Pick<Descriptor, 'top' | 'paths'>,
): NamedPaths {
  try {
    if (path === undefined) return nameAgain(bytePath(top ?? '/'), paths ?? [TOP]);
    return resolveNamedPaths([path]);
  } catch (error) {
    if (!(error instanceof LbsError) || error.code !== 'source-missing') throw error;
    const shown = showPath(path ?? bytePath(top ?? '/'));
    throw new LbsError('source-missing', `cannot compare ${shown}: ${messageOf(error.cause)}`, {
      cause: error,
      hint: 'PATH is on disk, as it was given to the backup; name the directory above it for what is gone',
    });
  }
}

/** A directory on the way to where the comparison is. */
type OpenDirectory = {
  readonly path: BytePath;
  /** Not in the snapshot. */
  readonly isNew: boolean;
  /** Something was added to it or removed from it since the snapshot. */
  readonly isChanged: boolean;
};

class LiveComparison {
  readonly #options: LiveDiffOptions;
  readonly #side: SnapshotSide;
  readonly #named: NamedPaths;
  readonly #selector: Selector;
  readonly #table: ChangeTable;
  readonly #precision: Precision;
  #directories: OpenDirectory[] = [];
  /** What files were recorded with, where it is not SHA-256. */
  #algorithm: ChecksumAlgorithm | undefined;
  #recorded = 0;
  #common = 0;

  constructor(options: LiveDiffOptions, side: SnapshotSide, named: NamedPaths, table: ChangeTable) {
    const { excludes, includes, ruleFiles = {} } = options;
    this.#options = options;
    this.#side = side;
    this.#named = named;
    const rules = readRules(ruleFiles);
    this.#selector = new Selector({ named, excludes, includes, rules });
    this.#table = table;
    this.#precision = { hasNanoseconds: side.isOurs, hasXattrs: side.isOurs };
  }

  async compare(root: BytePath, storePlace: string): Promise<LiveSide> {
    const { signal, report, path, localdb } = this.#options;
    const ownPlaces = [storePlace, localdb ?? storePlace];
    const what = { named: this.#named, selector: this.#selector, root };
    const make = () => new LiveSide({ ...what, ownPlaces, signal, report });
    let live = make();
    try {
      await this.#merge(live, !this.#side.isOurs);
    } catch (error) {
      if (!(error instanceof OutOfOrder)) throw error;
      this.#table.clear();
      live = make();
      await this.#merge(live, true);
    }
    if (path !== undefined && this.#recorded === 0) {
      if (this.#side.isDamaged) throw unknownPath(root, this.#side.name);
      const message = `${showPath(root)} is not in the snapshot ${this.#side.name}`;
      throw new LbsError('source-missing', message, {
        hint: 'PATH is on disk, as it was given to the backup: absolute, or relative to the same directory',
      });
    }
    if (path === undefined && this.#common === 0 && this.#recorded > 1) {
      const place = showPath(this.#named.top);
      const message = `nothing of the snapshot is below ${place}; if it was made with relative paths, go to where they begin and name them, as in "."`;
      report?.({ type: 'note', message });
    }
    await this.#table.hashCandidates((file, facts) => this.#hashed(live, file, facts));
    await this.#table.pairMoves(this.#precision, signal);
    return live;
  }

  async #merge(live: LiveSide, isSpooled: boolean): Promise<void> {
    this.#directories = [];
    this.#recorded = 0;
    this.#common = 0;
    await mergePaths(this.#side.entries(new Set(), isSpooled), live.paths(), {
      gone: (path, old) => {
        this.#recorded++;
        this.#remember(old);
        this.#table.add('-', path, old);
      },
      came: (path, now) => this.#came(live, path, now),
      both: async (path, old, now) => {
        this.#recorded++;
        if (!isTop(path)) this.#common++;
        await this.#both(live, path, old, now);
      },
    });
  }

  /** Notes with which algorithm the snapshot's contents can be recognised. */
  #remember({ sha256, checksum }: Facts): void {
    if (sha256 === undefined && checksum !== undefined && this.#algorithm === undefined) {
      this.#algorithm = parseChecksum(checksum).algorithm;
    }
  }

  async #both(live: LiveSide, path: BytePath, old: Facts, now: Facts): Promise<void> {
    if (now.type === 'd') {
      const isNew = old.type !== 'd';
      const isChanged = isNew || differInTime(old, now, this.#precision);
      this.#directories.push({ path, isNew, isChanged });
    }
    if (old.type !== now.type) {
      this.#remember(old);
      this.#table.add('-', path, old);
      this.#table.add('+', path, now);
      return;
    }
    const known = old.type === 'f' ? await this.#withContent(live, old, now) : now;
    // What could not be read was warned of.
    if (known === undefined) return;
    const letters = changeLetters(old, known, this.#precision);
    if (letters !== '') this.#table.add(letters, path, known);
  }

  /** The facts of a file on disk with what its content is; undefined when that cannot be told. */
  async #withContent(live: LiveSide, old: Facts, now: Facts): Promise<Facts | undefined> {
    if (old.sizeBytes !== now.sizeBytes || now.sizeBytes === 0) return now;
    const { sha256, checksum } = old;
    if (!this.#options.readAll && !differInTime(old, now, this.#precision)) {
      return { ...now, sha256, checksum, data: old.data };
    }
    if (sha256 === undefined && checksum === undefined) return now;
    const algorithm = sha256 === undefined ? parseChecksum(checksum ?? '').algorithm : 'sha256';
    const hex = await live.digest(algorithm);
    if (hex === undefined) return undefined;
    return sha256 === undefined
      ? { ...now, checksum: `${algorithm}=${hex}` }
      : { ...now, sha256: hex };
  }

  #came(live: LiveSide, path: BytePath, now: Facts): void {
    const isDirectory = now.type === 'd';
    const parent = this.#parentOf(path);
    const { status, verdict } = live;
    const counts =
      this.#options.path !== undefined ||
      parent?.isNew === true ||
      (parent?.isChanged === true && status !== undefined && this.#isSince(status));
    if (!counts || (!verdict.selected && !verdict.search)) {
      live.leaveOut();
      return;
    }
    if (verdict.selected) this.#table.add('+', path, now);
    if (isDirectory) this.#directories.push({ path, isNew: true, isChanged: true });
  }

  /** The directory of a path, as far as it was given out. */
  #parentOf(path: BytePath): OpenDirectory | undefined {
    for (;;) {
      const last = this.#directories.at(-1);
      if (last === undefined || isWithin(path, last.path)) return last;
      this.#directories.pop();
    }
  }

  /** True when an entry may have been made after the snapshot was. */
  #isSince({ type, ctime, btime }: FileStatus): boolean {
    const { date } = this.#side;
    if (date === undefined) return true;
    // Whatever happens in a directory changes it; only a new one was made since.
    const time = type === 'd' ? (btime ?? ctime) : ctime;
    return time.s >= date;
  }

  async #hashed(live: LiveSide, path: BytePath, now: Facts): Promise<Facts | undefined> {
    const sha256 = await live.digestOf(path, 'sha256');
    if (sha256 === undefined) return undefined;
    const algorithm = this.#algorithm;
    if (algorithm === undefined) return { ...now, sha256 };
    const hex = await live.digestOf(path, algorithm);
    return { ...now, sha256, ...(hex === undefined ? {} : { checksum: `${algorithm}=${hex}` }) };
  }
}
