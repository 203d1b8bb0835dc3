/**
 * The deeper depths of verify: that all a snapshot refers to is there (`objects`), and that every
 * file's bytes are those that were saved (`data`).
 *
 * By now each segment was read, and size and SHA-256 of its objects are known (segment-facts). So
 * the metadata is gone through once, and what a stanza says of its blocks is compared with them:
 * a file of one block is not hashed twice, however many files and snapshots have it.
 *
 * What needs no hash of its own, because another one that was made implies it:
 *  - The SHA-1 of a content, where its SHA-256 matches: the bytes are those of which both were
 *    taken.
 *  - Objects of a segment whose checksum matches, at depths other than `data`: it holds the bytes
 *    that were stored.
 *
 * Files of more than one block, and those of other programs, which record no SHA-256 of blocks, are
 * put into a plan, and the segments that they need are read once more, to hash each as a whole: a
 * restore compares that, too, and what verify calls well must be restored without complaint. Only
 * when something is lost the metadata is gone through again, to name its files in each snapshot.
 * Called by verify.
 */
import { hash } from 'node:crypto';
import { messageOf } from '../errors.ts';
import { parseChecksum } from '../format/checksum.ts';
import type { Descriptor } from '../format/descriptor.ts';
import { type Entry, referencesOf } from '../format/entry.ts';
import { formatObjectName, type ObjectReference, type Reference } from '../format/reference.ts';
import { isDamage } from '../metadata/metadata-objects.ts';
import { metadataDamage } from '../report.ts';
import { ContentPlan } from '../restore/content-plan.ts';
import type { SegmentReading } from '../restore/content-handler.ts';
import { deliverContents } from '../restore/deliver-contents.ts';
import { layoutOf, type PlacedReference } from '../restore/file-layout.ts';
import type { SegmentSource } from '../segments/segment-source.ts';
import { showPath } from '../std/byte-path.ts';
import { ContentCheck } from './content-check.ts';
import { CHECK, type Check, contentKey, ContentTable } from './content-table.ts';
import type { DamageLog } from './damage-log.ts';
import { readPlainStanza } from './plain-stanza.ts';
import type { ObjectFact, SegmentFacts } from './segment-facts.ts';
import { SnapshotPass } from './snapshot-pass.ts';
import type { VerifyDepth } from './verify-options.ts';
import type { VerifyProgress } from './verify-progress.ts';

/** More zeros than this are not hashed: a few bytes of a hostile store could ask for years. */
const ZERO_BYTES_HASHED_MAX = 1024 ** 4;

const EMPTY_SHA256 = hash('sha256', '', 'hex');

/** What was found of a content: nothing wrong, why it is lost, or that it must be hashed whole. */
type Comparison = 'fine' | 'unknown' | { readonly loss: string };

export type ContentsRun = {
  readonly depth: VerifyDepth;
  readonly source: SegmentSource;
  /** What is in the segments, as far as they were looked into. */
  readonly facts: SegmentFacts;
  /** Segments that the checksums files show to be damaged: files that need them are rebuilt. */
  readonly damagedSegments: ReadonlySet<string>;
  readonly damage: DamageLog;
  readonly progress: VerifyProgress;
  readonly signal: AbortSignal | undefined;
};

export class ContentsVerifier {
  readonly #run: ContentsRun;
  readonly #plan = new ContentPlan();
  readonly #table = new ContentTable();
  readonly #check = new ContentCheck(this.#table);
  readonly #pass: SnapshotPass;
  #nextId = 1;
  /** Regular files whose content was looked at, in all parts of metadata that were read. */
  files = 0;

  constructor(run: ContentsRun) {
    this.#run = run;
    this.#pass = new SnapshotPass(run.source, run.signal);
  }

  /** Reads the metadata of a snapshot, and plans what its files need. */
  async addSnapshot(snapshot: string, descriptor: Descriptor): Promise<void> {
    const { depth, damage, facts } = this.#run;
    if (depth !== 'checksums') {
      for (const segment of descriptor.segments) {
        if (!facts.has(segment)) this.#plan.addSegment(segment);
      }
    }
    await this.#pass.read(descriptor, {
      takeStanza: (text, start) => this.#takePlain(text, start),
      entry: (entry) => {
        if (entry.type !== 'f') return false;
        try {
          const loss = this.#checkFile(entry, referencesOf(entry, descriptor.dialect));
          if (loss === undefined) return false;
          this.#report(snapshot, entry, loss);
          return true;
        } catch (error) {
          if (!isDamage(error)) throw error;
          this.#report(snapshot, entry, messageOf(error));
          return true;
        }
      },
      damage: (message, { after, path }) => {
        const place = after === undefined ? 'at the start' : `after ${showPath(after)}`;
        const where = path === undefined ? ` (${place})` : '';
        damage.add(metadataDamage(snapshot, message + where, path));
      },
    });
  }

  /** Takes a stanza that there is nothing to say about: the end of it, or undefined. */
  #takePlain(text: string, start: number): number | undefined {
    const stanza = readPlainStanza(text, start);
    if (stanza?.content === undefined) return stanza?.end;
    const { depth, facts, damagedSegments } = this.#run;
    const { segment, object, sizeBytes, sha256 } = stanza.content;
    const isWanted = depth === 'data' || damagedSegments.has(segment);
    if (depth !== 'checksums' || isWanted) {
      const fact = facts.find(segment, object);
      if (typeof fact !== 'object' || fact.sizeBytes !== sizeBytes) return undefined;
      if (isWanted && fact.sha256 !== sha256) return undefined;
      this.files++;
    }
    return stanza.end;
  }

  /**
   * Why the content of a file is lost, as far as that can be told now.
   * @throws {LbsError} format-syntax when the stanza contradicts itself
   */
  #checkFile(entry: Entry, references: readonly Reference[]): string | undefined {
    const { depth, damagedSegments } = this.#run;
    const isInDamage =
      damagedSegments.size > 0 &&
      references.some(
        (reference) => reference.kind === 'object' && damagedSegments.has(reference.segment),
      );
    if (depth === 'checksums' && !isInDamage) return undefined;
    this.files++;
    if (entry.checksum !== undefined) parseChecksum(entry.checksum);
    const layout = layoutOf(references, entry.sizeBytes);
    const isHashed = depth === 'data' || isInDamage;
    const found = this.#compare(entry, layout, isHashed);
    if (found === 'unknown') this.#planFile(entry, references, isHashed);
    return found === 'unknown' || found === 'fine' ? undefined : found.loss;
  }

  /** Holds what the stanza says of a content against what is known of its objects. */
  #compare(entry: Entry, layout: readonly PlacedReference[], isHashed: boolean): Comparison {
    const { depth, source, facts, damagedSegments } = this.#run;
    let isKnown = true;
    for (const [at, { reference, length, offset }] of layout.entries()) {
      if (reference.kind === 'zero' || length === 0) continue;
      const { segment } = reference;
      const isWanted = depth === 'data' || damagedSegments.has(segment);
      const isMissing = source.fileOf(segment) === undefined;
      const fact = isMissing ? missing(segment) : facts.find(segment, reference.object);
      if (fact === undefined) {
        // At the depth `checksums` nobody looked into segments that are as they were stored.
        if (depth !== 'checksums' || isWanted) isKnown = false;
        continue;
      }
      const wrong = typeof fact === 'string' ? fact : wrongSize(fact, reference, length);
      if (wrong !== undefined) {
        return { loss: `object ${formatObjectName(segment, reference.object)}: ${wrong}` };
      }
      if (typeof fact === 'string' || reference.checksum !== undefined) isKnown = false;
      else if (isWanted) {
        const expected = entry.blockSha256[at];
        if (expected === undefined || length !== fact.sizeBytes) isKnown = false;
        else if (expected !== fact.sha256) return { loss: mismatch(offset, length, entry) };
      }
    }
    if (!isKnown) return 'unknown';
    const isOneBlock = layout.length === 1 && layout[0]?.reference.kind === 'object';
    return isOneBlock || !isHashed || isEmpty(entry) ? 'fine' : 'unknown';
  }

  /** Has a content hashed as a whole later. */
  #planFile(entry: Entry, references: readonly Reference[], isHashed: boolean): void {
    const key = contentKey(entry);
    if (this.#table.has(key)) return;
    const id = this.#nextId++;
    const layout = this.#plan.addFile(id, references, entry.sizeBytes);
    const zeros = layout
      .filter(({ reference, length }) => reference.kind === 'zero' && length > 0)
      .map(({ offset, length }) => ({ start: offset, length }));
    const check = isHashed ? this.#checkFor(entry, layout) : CHECK.presence;
    const { sizeBytes, checksum, sha256 } = entry;
    const content = { id, check, sizeBytes, checksum, sha256, zeros };
    this.#table.add(key, content);
    if (check === CHECK.pieces) {
      layout.forEach(({ offset, length }, at) => {
        const digest = entry.blockSha256[at];
        if (digest !== undefined && length > 0) this.#table.addPiece(id, offset, digest);
      });
    }
    const hasPieces = layout.some(
      ({ reference, length }) => reference.kind !== 'zero' && length > 0,
    );
    if (!hasPieces && check === CHECK.ordered) this.#check.checkWithoutPieces(content);
  }

  /** The way of checking a content that puts least aside. */
  #checkFor(entry: Entry, layout: readonly PlacedReference[]): Check {
    const stored = layout.filter(({ length }) => length > 0);
    if (stored.length === 1 && stored[0]?.reference.kind === 'object') return CHECK.single;
    const isZero = ({ reference }: PlacedReference) => reference.kind === 'zero';
    const zeroBytes = stored.filter(isZero).reduce((sum, { length }) => sum + length, 0);
    if (zeroBytes > ZERO_BYTES_HASHED_MAX) return CHECK.pieces;
    if (this.#plan.isReadInOrder(layout)) return CHECK.ordered;
    const hasAllDigests = layout.every(
      (placed, at) => isZero(placed) || entry.blockSha256[at] !== undefined,
    );
    return hasAllDigests ? CHECK.pieces : CHECK.ordered;
  }

  /** Reads all segments of the plan, if there are any. @throws {LbsError} filter-missing, interrupted */
  async checkContents(): Promise<void> {
    const { source, signal, depth, progress, facts } = this.#run;
    const { segments } = this.#plan;
    if (segments.length === 0) return;
    const sizes = segments.map((segment) => source.fileOf(segment)?.sizeBytes ?? 0);
    progress.startStage(
      segments.length,
      sizes.reduce((sum, size) => sum + size, 0),
    );
    // Not needed until losses are named, if there are any.
    this.#pass.restart();
    const check = this.#check;
    const handler = {
      piece: (id: number, offset: number, bytes: Buffer) => check.piece(id, offset, bytes),
      needsOrder: (id: number) => check.needsOrder(id),
      taskFor: (id: number, offset: number) => check.taskFor(id, offset),
      lost: (id: number, reason: string) => check.lost(id, reason),
      segmentDone: (reading: SegmentReading) => this.#segmentDone(reading),
    };
    await deliverContents(this.#plan, source, handler, {
      signal,
      // What was examined was read to its end then.
      readsWhole: (segment) => depth !== 'checksums' && !facts.has(segment),
      duty: { kind: 'check' },
    });
    check.finish();
  }

  #segmentDone({ segment, objects, error }: SegmentReading): void {
    const { source, progress, damage } = this.#run;
    const file = source.fileOf(segment);
    if (!this.#run.facts.has(segment)) progress.objects += objects;
    progress.countFile(file?.sizeBytes ?? 0);
    if (error === undefined || this.#run.damagedSegments.has(segment)) return;
    const name = file?.name ?? `${segment}.tar`;
    if (!damage.hasStoreFile(name)) {
      damage.add({ what: 'store-file', name, message: messageOf(error) });
    }
  }

  get hasLosses(): boolean {
    return this.#table.lost > 0;
  }

  /** Reports the files of a snapshot whose content is lost. */
  async nameLosses(snapshot: string, descriptor: Descriptor): Promise<void> {
    await this.#pass.read(descriptor, {
      entry: (entry) => {
        if (entry.type !== 'f') return false;
        const reason = this.#table.reasonOf(contentKey(entry));
        if (reason === undefined) return false;
        this.#report(snapshot, entry, reason);
        return true;
      },
    });
  }

  #report(snapshot: string, { path }: Entry, message: string): void {
    this.#run.damage.add({ what: 'entry', name: showPath(path), path, snapshot, message });
  }

  close(): void {
    this.#pass.close();
    this.#check.close();
    this.#table.close();
    this.#plan.close();
  }
}

/** What is wrong with the size of an object, by a reference that stands for `length` bytes. */
function wrongSize(
  { sizeBytes }: ObjectFact,
  { slice, exactSize }: ObjectReference,
  length: number,
): string | undefined {
  const exact = exactSize ?? (slice === undefined ? length : sizeBytes);
  if (exact !== sizeBytes) return `it has ${sizeBytes} bytes instead of ${exact}`;
  const start = slice?.start ?? 0;
  if (start + length <= sizeBytes) return undefined;
  return `bytes ${start}+${length} of its ${sizeBytes} are asked for`;
}

function missing(segment: string): string {
  return `segment ${segment} is missing in the store`;
}

function mismatch(offset: number, length: number, { sizeBytes }: Entry): string {
  if (length === sizeBytes) return 'its content does not have the recorded sha256 checksum';
  return `its bytes from ${offset} on do not have the recorded SHA-256`;
}

/** True for an empty file that says so in its checksum, too. */
function isEmpty({ sizeBytes, sha256 }: Entry): boolean {
  return sizeBytes === 0 && sha256 === EMPTY_SHA256;
}
