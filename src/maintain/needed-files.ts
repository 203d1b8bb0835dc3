/**
 * Which files of a store its snapshots need, by their descriptors; a part of collecting, and of
 * verifying, which counts what is not.
 *
 * When in doubt, a file is needed: one descriptor that cannot be read could need any, so it ends the
 * collection, and one that a copy has cut off (a list of segments has no end that would be missed)
 * is held against its checksums file.
 */
import { LbsError } from '../errors.ts';
import { parseParityFile } from '../format/parity-file.ts';
import {
  parseNoteFile,
  parseSegmentFile,
  parseSegmentListFile,
  parseSnapshotFile,
} from '../format/snapshot-name.ts';
import { parseSums } from '../format/sums-file.ts';
import {
  type OpenSnapshot,
  type SnapshotFile,
  openSnapshot,
  readSmallFile,
  snapshotsAmong,
} from '../snapshots/open-snapshot.ts';
import { SUMS_KINDS } from '../snapshots/publish-snapshot.ts';
import { paritySets, usefulSets } from './parity-sets.ts';
import { SMALL_FILE_BYTES_MAX, type Store, type StoredFile } from '../stores/store.ts';

/**
 * Of a person, beside a segment: it says of what the segment was, not that it is one. Where the lists of
 * snapshots name segments with such an ending, as `gpg --armor` has it, they are segments all the same.
 */
const BESIDE_A_SEGMENT = /\.(par2|sig|asc|sha1|sha256|sha512|md5|txt|bak)$/;

const NOTHING: ReadonlySet<string> = new Set();

export type NeededOptions = {
  readonly verifyKey?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Of a dry run: snapshots that would be gone by then. */
  readonly without?: ReadonlySet<string> | undefined;
  /** Of a dry run: segments that snapshots would need which are not there yet. */
  readonly needed?: ReadonlySet<string> | undefined;
};

export type LackingSnapshot = {
  readonly snapshot: SnapshotFile;
  readonly segments: readonly string[];
};

export class NeededFiles {
  readonly #store: Store;
  readonly #options: NeededOptions;
  /** Snapshots whose descriptors were read already. */
  readonly #known = new Set<string>();
  readonly #segments = new Set<string>();
  /** Snapshots that those which were read name as their predecessors, with their SHA-256. */
  readonly predecessors = new Map<string, string | undefined>();
  /** Extensions of segments that look like those of files of a person. */
  readonly #extensions = new Set<string>();
  /** Ids of parity sets that are needed; found out when there are any, and anew after each reading. */
  #parity: ReadonlySet<string> | undefined;

  constructor(store: Store, options: NeededOptions = {}) {
    this.#store = store;
    this.#options = options;
    for (const segment of options.needed ?? []) this.#segments.add(segment);
  }

  /**
   * Reads the descriptors among `files`, a listing, that were not read before. Returns those that
   * need what this collection has removed, segments `gone`: they were published meanwhile, and the
   * backup takes them back itself, unless it has died. They are no snapshots, and need nothing.
   * @throws {LbsError} format-*, signature-*, io, interrupted
   */
  async read(
    files: readonly StoredFile[],
    gone: ReadonlySet<string> = NOTHING,
  ): Promise<SnapshotFile[]> {
    this.#parity = undefined;
    const names = new Set(files.map(({ name }) => name));
    const hit: SnapshotFile[] = [];
    for (const snapshot of snapshotsAmong(files)) {
      if (this.#options.without?.has(snapshot.name) === true) continue;
      if (this.#options.signal?.aborted === true) throw interrupted();
      if (this.#known.has(snapshot.name)) continue;
      const segments = await this.#segmentsOf(snapshot, names);
      if (segments === undefined) continue;
      if (segments.some((segment) => gone.has(segment))) {
        hit.push(snapshot);
        continue;
      }
      for (const segment of segments) this.#segments.add(segment);
      this.#known.add(snapshot.name);
    }
    return hit;
  }

  /** Counts what a snapshot needs that was read for something else. */
  add({ name, descriptor }: OpenSnapshot): void {
    for (const segment of descriptor.segments) this.#segments.add(segment);
    this.#known.add(name);
  }

  /** Counts what the checksums files say that a snapshot needs whose descriptor is lost. */
  addLost(name: string): void {
    for (const kind of SUMS_KINDS) {
      for (const segment of this.#segmentsInSums(`snapshot-${name}.${kind}`)) {
        this.#segments.add(segment);
      }
    }
    this.#known.add(name);
  }

  /** Undefined when the snapshot is gone by now. */
  async #segmentsOf(
    snapshot: SnapshotFile,
    names: ReadonlySet<string>,
  ): Promise<readonly string[] | undefined> {
    const { verifyKey } = this.#options;
    try {
      const { descriptor } = await openSnapshot(this.#store, snapshot, { verifyKey });
      const { previous, segments } = descriptor;
      if (previous !== undefined) this.predecessors.set(previous.name, previous.sha256);
      const list = `snapshot-${snapshot.name}.sha1sums`;
      return names.has(list) ? [...segments, ...this.#segmentsInSums(list)] : segments;
    } catch (error) {
      if (!(error instanceof LbsError)) throw error;
      const isGone = this.#store.find(snapshot.file.name) === undefined;
      if (error.code === 'store-missing-file' && isGone) return undefined;
      throw new LbsError(error.code, `nothing was removed: ${error.message}`, {
        cause: error,
        hint: 'a snapshot that cannot be read may need any segment; repair it, or move its descriptor away if it is to be given up',
      });
    }
  }

  /** None where there is no such file, or it cannot be read: then the descriptor has to do. */
  #segmentsInSums(file: string): string[] {
    try {
      const text = readSmallFile(this.#store, file, SMALL_FILE_BYTES_MAX).toString('latin1');
      return [...parseSums(text, file).keys()].flatMap((segmentFile) => {
        const parsed = parseSegmentFile(segmentFile);
        if (parsed === undefined) return [];
        if (BESIDE_A_SEGMENT.test(segmentFile)) this.#extensions.add(parsed.extension);
        return parsed.segment;
      });
    } catch (error) {
      if (error instanceof LbsError) return [];
      throw error;
    }
  }

  /**
   * Snapshots that were read and need segments which are not among `names`, a listing made since, and
   * those segments. A backup that died in the same moment as a collector may leave one.
   * @throws {LbsError} as `read`
   */
  async lacking(names: readonly string[]): Promise<LackingSnapshot[]> {
    const present = new Set<string>();
    for (const name of names) {
      const segment = this.#segmentIn(name);
      if (segment !== undefined) present.add(segment);
    }
    if ([...this.#segments].every((segment) => present.has(segment))) return [];
    const lacking: LackingSnapshot[] = [];
    for (const snapshot of snapshotsAmong(this.#store.list())) {
      if (!this.#known.has(snapshot.name)) continue;
      const needed = (await this.#segmentsOf(snapshot, new Set(names))) ?? [];
      const segments = [...new Set(needed)].filter((segment) => !present.has(segment));
      if (segments.length > 0) lacking.push({ snapshot, segments });
    }
    return lacking;
  }

  /** Of parity, the best sets are needed that segments have. One whose list is damaged may be one. */
  #isUnneededParity(id: string): boolean {
    this.#parity ??= this.#neededParity();
    return !this.#parity.has(id);
  }

  #neededParity(): ReadonlySet<string> {
    const { sets, damagedLists } = paritySets(this.#store, this.#store.list());
    const isNeeded = (file: string) => this.#segments.has(parseSegmentFile(file)?.segment ?? '');
    const damaged = damagedLists.flatMap((file) => parseParityFile(file)?.id ?? []);
    return new Set([...usefulSets(sets, isNeeded), ...damaged]);
  }

  /** The segment that a file holds; undefined for what a person put beside it, and any other file. */
  #segmentIn(name: string): string | undefined {
    const parsed = parseSegmentFile(name);
    if (parsed === undefined || !BESIDE_A_SEGMENT.test(name)) return parsed?.segment;
    return this.#extensions.has(parsed.extension) ? parsed.segment : undefined;
  }

  /** True for a file of a store's own that no snapshot needs. */
  isUnneeded(name: string): boolean {
    const parity = parseParityFile(name);
    if (parity !== undefined) return this.#isUnneededParity(parity.id);
    const segment = this.#segmentIn(name);
    if (segment !== undefined) return !this.#segments.has(segment);
    if (parseSegmentFile(name) !== undefined) return false;
    const snapshot = parseSnapshotFile(name);
    // Only "forget" removes descriptors.
    if (snapshot?.kind === 'lbs' || snapshot?.kind === 'cumulus') return false;
    const of = snapshot?.name ?? parseNoteFile(name)?.name ?? parseSegmentListFile(name)?.name;
    if (of === undefined || this.#known.has(of)) return false;
    // Those go with their snapshot.
    return this.#options.without?.has(of) !== true;
  }
}

export function interrupted(): LbsError {
  return new LbsError('interrupted', 'the collection was interrupted', {
    hint: 'nothing that a snapshot needs was removed; the same command goes on',
  });
}
