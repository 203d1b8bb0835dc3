/**
 * The first depth of verify: files of the store against the checksums files of the snapshots.
 *
 * The descriptor has the checksums of the checksums files (of Cumulus 0.11: of the list of
 * segments), those have the checksums of the segments; so with a signed descriptor all bytes are
 * covered. A file that several lists name is read once, and what the deeper depths want to know of
 * its objects is found out at the same time (segment-facts). Called by verify. Format: lbs-format(5), "CHECKSUMS FILES".
 */
import { LbsError, messageOf } from '../errors.ts';
import { checksumOf, type ChecksumAlgorithm, parseChecksum } from '../format/checksum.ts';
import type { ListedSegment } from '../format/segment-list.ts';
import { parseSegmentFile } from '../format/snapshot-name.ts';
import { parseSums, sumsBytesMax } from '../format/sums-file.ts';
import { isDamage } from '../metadata/metadata-objects.ts';
import type { SegmentSource } from '../segments/segment-source.ts';
import { type OpenSnapshot, readSmallFile } from '../snapshots/open-snapshot.ts';
import type { Store, StoredFile } from '../stores/store.ts';
import type { DamageLog } from './damage-log.ts';
import {
  damageOf,
  type Examined,
  type Inside,
  type ObjectList,
  RECORD_BYTES,
  type Sums,
} from './examine-file.ts';
import { examineFiles, type FileToExamine } from './examine-files.ts';
import { readSegmentList, type SegmentListFile } from './read-segment-list.ts';
import type { SegmentFacts } from './segment-facts.ts';
import type { VerifyDepth } from './verify-options.ts';
import type { VerifyProgress } from './verify-progress.ts';

/** What is looked at in segments whose checksums match. Those of others are always hashed. */
const INSIDE: Record<VerifyDepth, Inside> = {
  checksums: 'nothing',
  objects: 'sizes',
  data: 'digests',
};

/** Those that have files of their own. */
type SumsAlgorithm = 'sha1' | 'sha256';

/** Whose word a checksum is. */
type Origin = { readonly snapshot: string; readonly list: string };

export type ChecksumsRun = {
  readonly depth: VerifyDepth;
  readonly source: SegmentSource;
  /** Lists of segments that Cumulus 0.11 made, by name of the snapshot. */
  readonly segmentLists: ReadonlyMap<string, StoredFile>;
  /** Gets what is in the segments. */
  readonly facts: SegmentFacts;
  readonly damage: DamageLog;
  readonly progress: VerifyProgress;
  readonly signal: AbortSignal | undefined;
};

export class ChecksumVerifier {
  readonly #run: ChecksumsRun;
  readonly #store: Store;
  readonly #source: SegmentSource;
  readonly #damage: DamageLog;
  readonly #progress: VerifyProgress;
  readonly #expected = new Map<string, Sums>();
  /** Segments whose objects are looked at, by file. */
  readonly #inside = new Map<string, string>();
  /** Segments of which no file was found, neither in the store nor in a list. */
  readonly #damagedSegments = new Set<string>();

  constructor(run: ChecksumsRun) {
    this.#run = run;
    this.#source = run.source;
    this.#store = run.source.store;
    this.#damage = run.damage;
    this.#progress = run.progress;
  }

  /** Segments whose file is missing or not as it was stored. */
  get damagedSegments(): ReadonlySet<string> {
    return this.#damagedSegments;
  }

  /** The SHA-256 of a file, as the lists of the snapshots have it. */
  recordedSha256(file: string): string | undefined {
    return this.#expected.get(file)?.sha256;
  }

  /**
   * Reads the checksums files of a snapshot, and notes what they say of the segments.
   * @throws {LbsError} filter-missing, decryption-key, interrupted
   */
  async addSnapshot(snapshot: OpenSnapshot): Promise<void> {
    const { name, descriptor, file, seal } = snapshot;
    if (seal === 'broken') {
      const message = 'it is not as it was written: its Descriptor_sha256 does not match';
      this.#damage.add({ what: 'store-file', name: file.name, snapshot: name, message });
    }
    const { checksums, checksumsSha256, segments } = descriptor;
    const listed = await this.#addSegmentList(snapshot);
    const isRequired = checksumsSha256 === undefined && listed === undefined;
    const sha1 = this.#readSums(snapshot, 'sha1', checksums, isRequired);
    const sha256 = this.#readSums(snapshot, 'sha256', checksumsSha256, false);
    const segmentsListed = new Set(listed);
    for (const [algorithm, sums] of [['sha1', sha1] as const, ['sha256', sha256] as const]) {
      const from = { snapshot: name, list: sumsFile(name, algorithm) };
      for (const [segmentFile, hex] of sums ?? []) {
        this.#expect(from, algorithm, segmentFile, hex);
        const segment = parseSegmentFile(segmentFile)?.segment;
        if (segment !== undefined) segmentsListed.add(segment);
      }
    }
    this.#compareLists(snapshot, segmentsListed, sha1 !== undefined && sha256 !== undefined);
    if (checksumsSha256 !== undefined) for (const segment of segments) this.#lookInto(segment);
  }

  /** Holds the segments of the descriptor against those that its checksums files list. */
  #compareLists(
    { name, file: { name: descriptorFile }, descriptor: { segments } }: OpenSnapshot,
    listed: ReadonlySet<string>,
    isComplete: boolean,
  ): void {
    const named = new Set(segments);
    const strays = [...listed].filter((segment) => !named.has(segment)).length;
    if (strays > 0) {
      const message = `its checksums files list ${strays} segments that it does not name`;
      this.#damage.add({ what: 'store-file', name: descriptorFile, snapshot: name, message });
    }
    for (const segment of segments) {
      if (listed.has(segment)) continue;
      const file = this.#source.fileOf(segment)?.name;
      if (file === undefined) {
        if (this.#damagedSegments.has(segment)) continue;
        this.#lose(segment, `${segment}.tar`, 'missing');
      } else if (isComplete) {
        // Old programs left out segments that their local database did not know; we never do.
        this.#lose(segment, file, `the checksums files of ${name} do not list it`);
      }
    }
  }

  /** The segments in the list of Cumulus 0.11 that have a checksum there; undefined without list. */
  async #addSegmentList({ name, descriptor }: OpenSnapshot): Promise<string[] | undefined> {
    const { checksums, segmentMetadata, segments: named } = descriptor;
    // Where the descriptor vouches for other lists, anybody may have put this one beside them.
    if (segmentMetadata === undefined && checksums !== undefined) return undefined;
    const file = this.#run.segmentLists.get(name);
    if (file === undefined) {
      if (segmentMetadata === undefined) return undefined;
      const list = `snapshot-${name}.meta`;
      const message = 'missing, though the descriptor has its checksum';
      this.#damage.add({ what: 'store-file', name: list, snapshot: name, message });
      return [];
    }
    const from = { snapshot: name, list: file.name };
    const segments: string[] = [];
    const found = { name: file.name, expected: segmentMetadata, segmentCount: named.length };
    for (const listed of await this.#readSegmentList(name, found)) {
      const { segment, checksum } = listed;
      const segmentFile = listed.file ?? this.#source.fileOf(segment)?.name;
      if (segmentFile === undefined || checksum === undefined) continue;
      this.#expect(from, checksum.algorithm, segmentFile, checksum.hex);
      segments.push(segment);
    }
    this.#progress.countFile(file.sizeBytes);
    return segments;
  }

  async #readSegmentList(snapshot: string, list: SegmentListFile): Promise<ListedSegment[]> {
    const options = { ...this.#source.reading, signal: this.#run.signal };
    try {
      return await readSegmentList(this.#store, list, options);
    } catch (error) {
      if (!isDamage(error)) throw error;
      const { name } = list;
      this.#damage.add({ what: 'store-file', name, snapshot, message: messageOf(error) });
      return [];
    }
  }

  /**
   * Programs that make no SHA-256 of their segments make none of the blocks of files either: then
   * nothing can be told from single objects, and their segments are read for whole files later.
   */
  #lookInto(segment: string): void {
    const file = this.#source.fileOf(segment)?.name;
    if (file === undefined) return;
    if (!this.#expected.has(file)) {
      if (this.#run.depth === 'checksums' && !this.#damagedSegments.has(segment)) return;
      this.#expected.set(file, {});
    }
    this.#inside.set(file, segment);
  }

  #lose(segment: string | undefined, file: string, message: string): void {
    if (segment !== undefined) this.#damagedSegments.add(segment);
    this.#damage.add({ what: 'store-file', name: file, message });
  }

  #expect(from: Origin, algorithm: ChecksumAlgorithm, file: string, hex: string): void {
    let expected = this.#expected.get(file);
    if (expected === undefined) this.#expected.set(file, (expected = {}));
    expected[algorithm] ??= hex;
    if (expected[algorithm] === hex) return;
    const message = `it has another ${algorithm} of ${file} than the files of other snapshots`;
    const { list, snapshot } = from;
    this.#damage.add({ what: 'store-file', name: list, snapshot, message });
  }

  /** The content of a checksums file that is as the descriptor says; undefined of any other. */
  #readSums(
    { name: snapshot, descriptor }: OpenSnapshot,
    algorithm: SumsAlgorithm,
    expected: string | undefined,
    isRequired: boolean,
  ): ReadonlyMap<string, string> | undefined {
    const file = sumsFile(snapshot, algorithm);
    if (expected === undefined && this.#store.find(file) === undefined) {
      if (isRequired) {
        const message = 'missing, and the descriptor names no checksums at all';
        this.#damage.add({ what: 'store-file', name: file, snapshot, message });
      }
      return undefined;
    }
    try {
      const bytes = readSmallFile(this.#store, file, sumsBytesMax(descriptor.segments.length));
      this.#progress.countFile(bytes.length);
      const recorded = expected === undefined ? undefined : parseChecksum(expected);
      if (
        recorded !== undefined &&
        checksumOf(recorded.algorithm, bytes) !== `${recorded.algorithm}=${recorded.hex}`
      ) {
        throw new LbsError('checksum-mismatch', 'it is not as the descriptor says');
      }
      return parseSums(bytes.toString('utf8'), file);
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#damage.add({ what: 'store-file', name: file, snapshot, message: messageOf(error) });
      return undefined;
    }
  }

  /** Reads every file that a checksums file lists, and compares. @throws {LbsError} interrupted */
  async check(): Promise<void> {
    const { depth, signal } = this.#run;
    const names = [...this.#expected.keys()].sort();
    const files: FileToExamine[] = [];
    let bytes = 0;
    for (const fileName of names) {
      const sizeBytes = this.#store.find(fileName)?.sizeBytes;
      if (sizeBytes === undefined) {
        this.#lose(parseSegmentFile(fileName)?.segment, fileName, 'missing');
        continue;
      }
      bytes += sizeBytes;
      const sums = this.#expected.get(fileName) ?? {};
      const segment = this.#inside.get(fileName);
      const isDamaged = segment !== undefined && this.#damagedSegments.has(segment);
      const inside = isDamaged ? 'digests' : INSIDE[depth];
      files.push({ fileName, sizeBytes, sums, segment, inside, insideDamaged: 'digests' });
    }
    this.#progress.startStage(files.length, bytes);
    const source = this.#source;
    await examineFiles(files, { source, signal, done: (file, found) => this.#done(file, found) });
  }

  #done({ fileName, sizeBytes, segment }: FileToExamine, { trouble, objects }: Examined): void {
    if (trouble !== undefined) {
      this.#lose(parseSegmentFile(fileName)?.segment, fileName, trouble);
    }
    if (segment !== undefined && objects !== undefined) this.#note(segment, fileName, objects);
    this.#progress.countFile(sizeBytes);
  }

  #note(segment: string, fileName: string, objects: ObjectList): void {
    const error = damageOf(objects);
    this.#progress.objects += objects.records.length / RECORD_BYTES[objects.kind];
    this.#run.facts.add(segment, objects, error);
    if (error === undefined || this.#damage.hasStoreFile(fileName)) return;
    this.#damage.add({ what: 'store-file', name: fileName, message: messageOf(error) });
  }
}

function sumsFile(snapshot: string, algorithm: SumsAlgorithm): string {
  return `snapshot-${snapshot}.${algorithm}sums`;
}
