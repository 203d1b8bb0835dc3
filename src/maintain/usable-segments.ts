/**
 * Segments that stay in the store and that what is written anew may refer to. Called by compact.
 *
 * Content that is stored twice is not copied, and then the segment goes that held it as well. So the
 * other one is read first, once, and held against its checksum: rot in it would cost snapshots that
 * were whole.
 */
import type { BlockIndex } from '../localdb/block-index.ts';
import type { BlockPlace } from '../localdb/pending-blocks.ts';
import type { Report } from '../report.ts';
import type { SegmentSource } from '../segments/segment-source.ts';
import { type Sums, digestOf } from './examine-file.ts';
import { CopyTrouble, ofSource, refuseInterrupted } from './copy-file.ts';

export type UsableParts = {
  readonly index: BlockIndex;
  /** The store as it was before anything was written. */
  readonly source: SegmentSource;
  /** On a list of a collection. */
  readonly condemned: ReadonlySet<string>;
  /** True for a segment that is to go. */
  readonly isVictim: (segment: string) => boolean;
  /** Then nothing is read. */
  readonly dryRun: boolean;
  readonly report: Report;
  readonly signal: AbortSignal | undefined;
};

export class UsableSegments {
  readonly #parts: UsableParts;
  readonly #usable = new Map<string, boolean>();
  readonly #proved = new Set<string>();
  /** Size in the store of those that were read. */
  readBytes = 0;
  damaged = 0;

  constructor(parts: UsableParts) {
    this.#parts = parts;
  }

  /** Where content is stored already. @throws {LbsError} io, interrupted */
  async find(sha256: string, sizeBytes: number): Promise<BlockPlace | undefined> {
    for (;;) {
      const found = this.#parts.index.find(sha256, sizeBytes, (segment) => this.#isUsable(segment));
      if (found?.kind !== 'stored') return undefined;
      if (await this.#isSound(found.place.segment)) return found.place;
    }
  }

  #isUsable(segment: string): boolean {
    let isUsable = this.#usable.get(segment);
    if (isUsable === undefined) this.#usable.set(segment, (isUsable = this.#look(segment)));
    return isUsable;
  }

  #look(segment: string): boolean {
    const { source, index, condemned, isVictim } = this.#parts;
    if (condemned.has(segment) || isVictim(segment)) return false;
    const row = index.segment(segment);
    if (row === undefined || row.expired !== null) return false;
    return source.store.find(row.file)?.sizeBytes === row.stored_bytes;
  }

  async #isSound(segment: string): Promise<boolean> {
    const { source, index, dryRun, report, signal } = this.#parts;
    if (this.#proved.has(segment)) return true;
    const row = index.segment(segment);
    // What this run has stored was read back then.
    if (row === undefined || source.fileOf(segment) === undefined) {
      this.#proved.add(segment);
      return true;
    }
    refuseInterrupted(signal);
    this.readBytes += row.stored_bytes;
    const sums = { sha256: row.sha256.toString('hex') };
    const trouble = dryRun ? undefined : await this.#troubleWith(row.file, sums);
    if (trouble === undefined) {
      this.#proved.add(segment);
      return true;
    }
    this.#usable.set(segment, false);
    this.damaged++;
    report({ type: 'damage', damage: { what: 'store-file', name: row.file, message: trouble } });
    return false;
  }

  async #troubleWith(file: string, { sha256 }: Sums): Promise<string | undefined> {
    try {
      return await ofSource(async () => {
        const open = this.#parts.source.store.open(file);
        try {
          const isRight = (await digestOf(open.fd, 'sha256')) === sha256;
          return isRight ? undefined : 'its sha256 checksum does not match';
        } finally {
          open.close();
        }
      });
    } catch (error) {
      if (!(error instanceof CopyTrouble)) throw error;
      return error.message;
    }
  }
}
