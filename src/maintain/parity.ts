/**
 * `lbs parity`: sets of par2(1) over the segments that snapshots need, so that damage can be mended
 * without another store.
 *
 *     descriptors, checksums files       which segments there are, and their checksums
 *       -> parity-sets                   which of them a set protects well enough
 *       -> the others, 16 at a time      read, held against their checksums
 *       -> par2 in a scratch directory
 *       -> its files into the store, and last the list of the set, which makes it one
 *
 * A set of fewer than 16 is made anew with the segments that came after it. Only the collector
 * removes sets: those of which another one protects all that is left.
 */
import { LbsError, messageOf } from '../errors.ts';
import { formatParityList, parityId } from '../format/parity-file.ts';
import { isDamage } from '../metadata/metadata-objects.ts';
import { removeScratchLeftovers } from '../posix/scratch-directory.ts';
import { type Report, silentReport } from '../report.ts';
import { SegmentSource } from '../segments/segment-source.ts';
import { openSnapshot, snapshotsAmong } from '../snapshots/open-snapshot.ts';
import { putFile } from '../snapshots/put-file.ts';
import { openStore } from '../stores/open-store.ts';
import type { Store, StoredFile } from '../stores/store.ts';
import { copyFile, refuseInterrupted } from './copy-file.ts';
import { digestOf, type Sums } from './examine-file.ts';
import { Par2Scratch } from './par2.ts';
import type { ParityOptions, ParitySummary } from './parity-options.ts';
import { BLOCKS_PER_SEGMENT, isStrong, paritySets } from './parity-sets.ts';
import { segmentListsAmong } from './read-segment-list.ts';
import { addSums, sumsOfSnapshot } from './snapshot-sums.ts';

export const SEGMENTS_PER_SET = 16;
const REDUNDANCY_PERCENT = 30;

/**
 * @throws {LbsError} store-missing, snapshot-missing, signature-*, format-version, filter-missing
 * (no par2), filter-failed, store-unwritable, no-space, io, interrupted
 */
export async function makeParity(options: ParityOptions): Promise<ParitySummary> {
  const store = openStore(options.store);
  const files = store.list();
  // Also where nothing is to be made.
  if (options.dryRun !== true) removeScratchLeftovers();
  const run = new ParityRun(store, files, options);
  await run.readLists();
  const { lacking, known } = run.plan();
  for (let at = 0; at < lacking.length; at += SEGMENTS_PER_SET) {
    await run.makeSet(lacking.slice(at, at + SEGMENTS_PER_SET));
  }
  return run.summary(known);
}

class ParityRun {
  readonly #store: Store;
  readonly #files: readonly StoredFile[];
  readonly #options: ParityOptions;
  readonly #report: Report;
  readonly #expected = new Map<string, Sums>();
  #sets = 0;
  #bytes = 0;
  #segments = 0;
  #damaged = 0;

  constructor(store: Store, files: readonly StoredFile[], options: ParityOptions) {
    this.#store = store;
    this.#files = files;
    this.#options = options;
    this.#report = options.report ?? silentReport;
  }

  summary(known: number): ParitySummary {
    const dryRun = this.#options.dryRun ?? false;
    const [sets, bytes, segments, damaged] = [this.#sets, this.#bytes, this.#segments, this.#damaged]; // prettier-ignore
    return { dryRun, sets, bytes, segments, known, damaged };
  }

  /** What the snapshots say of segments. */
  async readLists(): Promise<void> {
    const { verifyKey, scheme, signal } = this.#options;
    const source = new SegmentSource(this.#store, this.#options, this.#files);
    const lists = { source, segmentLists: segmentListsAmong(this.#files), signal };
    const all = snapshotsAmong(this.#files);
    const chosen = scheme === undefined ? all : all.filter((one) => (one.scheme ?? '') === scheme);
    if (chosen.length === 0) {
      throw new LbsError('snapshot-missing', `the store ${this.#store.place} has no snapshots`, {
        hint: 'is the disk mounted? Parity is made of the segments that snapshots need',
      });
    }
    for (const snapshot of chosen) {
      refuseInterrupted(signal);
      try {
        const opened = await openSnapshot(this.#store, snapshot, { verifyKey });
        addSums(this.#expected, (await sumsOfSnapshot(opened, lists)).segments);
      } catch (error) {
        const isOfKey = error instanceof LbsError && error.code.startsWith('signature-');
        if (isOfKey || !isDamage(error)) throw error;
        this.#damage(snapshot.file.name, messageOf(error));
      }
    }
  }

  /** Segment files that are to be put into new sets, and how many others are in good ones. */
  plan(): { readonly lacking: readonly string[]; readonly known: number } {
    const there = new Set(this.#files.map(({ name }) => name));
    const wanted = [...this.#expected.keys()].filter((file) => there.has(file));
    const { sets } = paritySets(this.#store, this.#files);
    const isThere = (file: string) => there.has(file);
    const strong = sets.filter((set) => isStrong(set) && [...set.parity.keys()].every(isThere));
    const covered = new Set(strong.flatMap(({ segments }) => [...segments.keys()]));
    const uncovered = wanted.filter((file) => !covered.has(file));
    if (uncovered.length === 0) return { lacking: [], known: wanted.length };
    // Those of sets that are not full come along: a set of one costs as much as its segment.
    const full = strong.filter(({ segments }) => segments.size >= SEGMENTS_PER_SET);
    const settled = new Set(full.flatMap(({ segments }) => [...segments.keys()]));
    const lacking = wanted.filter((file) => !settled.has(file)).sort();
    return { lacking, known: wanted.length - lacking.length };
  }

  #damage(name: string, message: string): void {
    this.#damaged++;
    this.#report({ type: 'damage', damage: { what: 'store-file', name, message } });
  }

  /** The SHA-256 of a segment that is as its snapshots say. */
  async #checked(name: string): Promise<string | undefined> {
    refuseInterrupted(this.#options.signal);
    const file = this.#store.open(name);
    try {
      const sha256 = await digestOf(file.fd, 'sha256');
      const expected = this.#expected.get(name) ?? {};
      const isRight =
        expected.sha256 === undefined
          ? expected.sha1 === undefined || (await digestOf(file.fd, 'sha1')) === expected.sha1
          : sha256 === expected.sha256;
      if (isRight) return sha256;
    } finally {
      file.close();
    }
    this.#damage(name, 'it does not have its recorded checksum; no parity is made of it');
    return undefined;
  }

  async makeSet(names: readonly string[]): Promise<void> {
    const segments = new Map<string, string>();
    for (const name of names) {
      const sha256 = await this.#checked(name);
      if (sha256 !== undefined) segments.set(name, sha256);
    }
    if (segments.size === 0) return;
    const id = parityId(segments.keys());
    // The same segments again: the set that was there is damaged, and is verify's to tell of.
    const list = `parity-${id}.sums`;
    if (this.#options.dryRun !== true) {
      const parity = await this.#par2(id, segments);
      const content = Buffer.from(formatParityList({ segments, parity }));
      if (this.#store.find(list) === undefined) await putFile(this.#store, list, content);
      else await this.#replaceList(list, content);
      await this.#store.settle();
      this.#report({ type: 'copied', file: list, sizeBytes: content.length });
    }
    this.#sets++;
    this.#segments += segments.size;
  }

  async #replaceList(name: string, content: Buffer): Promise<void> {
    const scratch = new Par2Scratch();
    try {
      const from = openStore(scratch.dir);
      await putFile(from, name, content);
      const { signal } = this.#options;
      await copyFile(from, this.#store, name, { sums: {}, replaces: true, signal });
    } finally {
      scratch.close();
    }
  }

  /** Makes the files of a set and puts them into the store; their SHA-256 by name. */
  async #par2(
    id: string,
    segments: ReadonlyMap<string, string>,
  ): Promise<ReadonlyMap<string, string>> {
    const { redundancyPercent = REDUNDANCY_PERCENT, signal } = this.#options;
    const scratch = new Par2Scratch();
    try {
      let largest = 0;
      for (const name of segments.keys()) {
        scratch.link(this.#store, name);
        largest = Math.max(largest, this.#store.find(name)?.sizeBytes ?? 0);
      }
      const blockBytes = Math.max(4, Math.ceil(largest / BLOCKS_PER_SEGMENT / 4) * 4);
      const share = Math.ceil((segments.size * BLOCKS_PER_SEGMENT * redundancyPercent) / 100);
      const blocks = Math.max(BLOCKS_PER_SEGMENT, share);
      const sizes = [`-s${blockBytes}`, `-c${blocks}`, '-n1', '-u'];
      const words = ['create', ...sizes, `parity-${id}.par2`, ...segments.keys()];
      const { code, lastWords } = await scratch.run(words, signal);
      if (code !== 0) {
        throw new LbsError('filter-failed', `par2 exited with ${code}: ${lastWords}`);
      }
      const from = openStore(scratch.dir);
      const sums = new Map<string, string>();
      for (const name of scratch.written().sort()) {
        const file = from.open(name);
        const sha256 = await digestOf(file.fd, 'sha256').finally(() => file.close());
        // What a run left that was stopped before it wrote the list takes the same name.
        const replaces = this.#store.find(name) !== undefined;
        this.#bytes += await copyFile(from, this.#store, name, {
          sums: { sha256 },
          replaces,
          signal,
        });
        sums.set(name, sha256);
      }
      await this.#store.settle();
      return sums;
    } finally {
      scratch.close();
    }
  }
}
