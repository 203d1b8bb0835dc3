/**
 * The deeper depths of verify: that all a snapshot refers to is there (`objects`), and that every
 * file's bytes are those that were saved (`data`).
 *
 * All snapshots are checked together: first their metadata is read and each distinct content put
 * into one plan, then every segment is read once. Only when something is lost the metadata is
 * gone through again, to name the files in each snapshot. Called by verify.
 */
import { messageOf } from '../errors.ts';
import type { Descriptor } from '../format/descriptor.ts';
import { type Entry, referencesOf } from '../format/entry.ts';
import type { Reference } from '../format/reference.ts';
import { isDamage } from '../metadata/metadata-objects.ts';
import { ContentPlan } from '../restore/content-plan.ts';
import type { SegmentReading } from '../restore/content-handler.ts';
import { deliverContents } from '../restore/deliver-contents.ts';
import type { PlacedReference } from '../restore/file-layout.ts';
import type { SegmentSource } from '../segments/segment-source.ts';
import { showPath } from '../std/byte-path.ts';
import { ContentCheck, expectedDigests } from './content-check.ts';
import { CHECK, type Check, contentKey, ContentTable } from './content-table.ts';
import type { DamageLog } from './damage-log.ts';
import { SnapshotPass } from './snapshot-pass.ts';
import type { VerifyDepth } from './verify-options.ts';
import type { VerifyProgress } from './verify-progress.ts';

/** More zeros than this are not hashed: a few bytes of a hostile store could ask for years. */
const ZERO_BYTES_HASHED_MAX = 1024 ** 4;

export type ContentsRun = {
  readonly depth: VerifyDepth;
  readonly source: SegmentSource;
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
    const { depth, damage } = this.#run;
    if (depth !== 'checksums') {
      for (const segment of descriptor.segments) this.#plan.addSegment(segment);
    }
    await this.#pass.read(descriptor, {
      entry: (entry) => {
        if (entry.type !== 'f') return false;
        try {
          this.#addFile(entry, referencesOf(entry, descriptor.dialect));
          return false;
        } catch (error) {
          if (!isDamage(error)) throw error;
          this.#report(snapshot, entry, messageOf(error));
          return true;
        }
      },
      damage: (message, { after, path }) => {
        const place = after === undefined ? 'at the start' : `after ${showPath(after)}`;
        damage.add({
          what: 'metadata',
          name: snapshot,
          snapshot,
          message: path === undefined ? `${message} (${place})` : message,
          ...(path === undefined ? {} : { path }),
        });
      },
    });
  }

  /** @throws {LbsError} format-syntax when the stanza contradicts itself */
  #addFile(entry: Entry, references: readonly Reference[]): void {
    const { depth, damagedSegments } = this.#run;
    const isInDamage = references.some(
      (reference) => reference.kind === 'object' && damagedSegments.has(reference.segment),
    );
    if (depth === 'checksums' && !isInDamage) return;
    this.files++;
    const key = contentKey(entry);
    if (this.#table.has(key)) return;
    expectedDigests(entry);
    const id = this.#nextId++;
    const layout = this.#plan.addFile(id, references, entry.sizeBytes);
    const zeros = layout
      .filter(({ reference, length }) => reference.kind === 'zero' && length > 0)
      .map(({ offset, length }) => ({ start: offset, length }));
    const isHashed = depth === 'data' || isInDamage;
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

  /** Reads all segments of the plan. @throws {LbsError} filter-missing, interrupted */
  async checkContents(): Promise<void> {
    const { source, signal, depth, progress } = this.#run;
    const { segments } = this.#plan;
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
      taskFor: (id: number, offset: number) => check.taskFor(id, offset),
      lost: (id: number, reason: string) => check.lost(id, reason),
      segmentDone: (reading: SegmentReading) => this.#segmentDone(reading),
    };
    await deliverContents(this.#plan, source, handler, {
      signal,
      readsWhole: depth !== 'checksums',
      duty: { kind: 'check' },
    });
    check.finish();
  }

  #segmentDone({ segment, objects, error }: SegmentReading): void {
    const { source, progress, damage } = this.#run;
    const file = source.fileOf(segment);
    progress.objects += objects;
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
