/**
 * Reads every segment of a content plan once, and hands each file its bytes.
 *
 * Called by restore (which writes them) and verify (which hashes them). Segments come in the
 * order of the plan; while one is used the next is being decompressed already. Damage costs only
 * the pieces that lie in it: they are reported as lost, and the reading goes on.
 */
import { formatObjectName } from '../format/reference.ts';
import { LbsError, messageOf } from '../errors.ts';
import { checksumOf, parseChecksum } from '../format/checksum.ts';
import { isDamage } from '../metadata/metadata-objects.ts';
import type { SegmentSource, StartedSegment } from '../segments/segment-source.ts';
import type { ContentPlan, Piece } from './content-plan.ts';

/** How the reading of one segment ended. */
export type SegmentReading = {
  readonly segment: string;
  readonly objects: number;
  /** Bytes of the objects read. */
  readonly bytes: number;
  /** What is wrong with the segment itself; objects before the damage were used. */
  readonly error: unknown;
};

export type ContentHandler = {
  /** Bytes of a file. `bytes` is valid during the call only. Pieces come in any order. */
  piece(fileId: number, offset: number, bytes: Buffer): void;
  /** One piece of a file cannot be had; called for each such piece. */
  lost(fileId: number, reason: string): void;
  /** A segment is done; awaited, so it may do slow work. */
  segmentDone?(reading: SegmentReading): void | Promise<void>;
};

export type DeliverOptions = {
  readonly signal?: AbortSignal | undefined;
  /** Read every segment to its end, even where nothing more is needed (verify). */
  readonly readsWhole?: boolean;
};

/** @throws {LbsError} filter-missing, interrupted, and what the handler throws; not for damage */
export async function deliverContents(
  plan: ContentPlan,
  source: SegmentSource,
  handler: ContentHandler,
  options: DeliverOptions = {},
): Promise<void> {
  const { segments } = plan;
  let ahead: StartedSegment | undefined;
  try {
    for (const [index, segment] of segments.entries()) {
      const current = ahead ?? source.start(segment, options.signal);
      const next = segments[index + 1];
      ahead = next === undefined ? undefined : source.start(next, options.signal);
      try {
        const delivery = new SegmentDelivery(plan, segment, handler);
        const reading = await delivery.run(current, options.readsWhole === true);
        await handler.segmentDone?.(reading);
      } finally {
        await current.close();
      }
    }
  } finally {
    await ahead?.close();
  }
}

/** One segment: a merge of its objects with the pieces wanted, both in order of object. */
class SegmentDelivery {
  readonly #plan: ContentPlan;
  readonly #segment: string;
  readonly #handler: ContentHandler;
  readonly #wanted: Iterator<Piece>;
  #piece: Piece | undefined;
  #lastObject = -1;
  /** Objects wanted that a later one overtook: no known program writes them out of order. */
  readonly #overtaken = new Set<number>();

  constructor(plan: ContentPlan, segment: string, handler: ContentHandler) {
    this.#plan = plan;
    this.#segment = segment;
    this.#handler = handler;
    this.#wanted = plan.piecesOf(segment);
    this.#advance();
  }

  async run(started: StartedSegment, readsWhole: boolean): Promise<SegmentReading> {
    let objects = 0;
    let bytes = 0;
    let failure: { error: unknown } | undefined;
    const batches = started.batches[Symbol.asyncIterator]();
    while (readsWhole || !this.#isComplete()) {
      let result: Awaited<ReturnType<typeof batches.next>>;
      try {
        result = await batches.next();
      } catch (error) {
        // Only trouble with reading counts as damage; what the handler throws passes through.
        if (!isDamage(error)) throw error;
        failure = { error };
        break;
      }
      if (result.done === true) break;
      for (const { object, data } of result.value) {
        objects++;
        bytes += data.length;
        this.#take(object, data);
      }
    }
    this.#loseRest(
      failure === undefined ? 'the segment does not hold it' : messageOf(failure.error),
    );
    return { segment: this.#segment, objects, bytes, error: failure?.error };
  }

  #isComplete(): boolean {
    return this.#piece === undefined && this.#overtaken.size === 0;
  }

  #advance(): void {
    const next = this.#wanted.next();
    this.#piece = next.done === true ? undefined : next.value;
  }

  #take(object: number, data: Buffer): void {
    if (object <= this.#lastObject) {
      if (!this.#overtaken.delete(object)) return;
      const check = new ObjectCheck(data);
      for (const piece of this.#plan.piecesOfObject(this.#segment, object)) {
        this.#deliver(piece, data, check);
      }
      return;
    }
    this.#lastObject = object;
    while (this.#piece !== undefined && this.#piece.object < object) {
      this.#overtaken.add(this.#piece.object);
      this.#advance();
    }
    if (this.#piece?.object !== object) return;
    const check = new ObjectCheck(data);
    while (this.#piece?.object === object) {
      this.#deliver(this.#piece, data, check);
      this.#advance();
    }
  }

  #deliver(piece: Piece, data: Buffer, check: ObjectCheck): void {
    const { file, offset, start, length } = piece;
    const wrong = check.wrongWith(piece);
    if (wrong === undefined) {
      this.#handler.piece(file, offset, data.subarray(start, start + length));
    } else this.#lose(piece, wrong);
  }

  #loseRest(reason: string): void {
    for (const object of this.#overtaken) {
      for (const piece of this.#plan.piecesOfObject(this.#segment, object)) {
        this.#lose(piece, reason);
      }
    }
    for (; this.#piece !== undefined; this.#advance()) this.#lose(this.#piece, reason);
  }

  #lose({ file, object }: Piece, reason: string): void {
    this.#handler.lost(file, `object ${formatObjectName(this.#segment, object)}: ${reason}`);
  }
}

/** Checks an object against what its references say of it; each checksum is computed once. */
class ObjectCheck {
  readonly #data: Buffer;
  #checksum: string | null = null;
  #checksumTrouble: string | undefined;

  constructor(data: Buffer) {
    this.#data = data;
  }

  wrongWith({ start, length, exact, checksum }: Piece): string | undefined {
    const size = this.#data.length;
    if (exact !== null && exact !== size) return `it has ${size} bytes instead of ${exact}`;
    if (start + length > size) return `bytes ${start}+${length} of its ${size} are asked for`;
    if (checksum === null) return undefined;
    if (checksum !== this.#checksum) {
      this.#checksum = checksum;
      this.#checksumTrouble = checksumTrouble(checksum, this.#data);
    }
    return this.#checksumTrouble;
  }
}

function checksumTrouble(checksum: string, data: Buffer): string | undefined {
  try {
    const { algorithm, hex } = parseChecksum(checksum);
    if (checksumOf(algorithm, data) === `${algorithm}=${hex}`) return undefined;
    return `its ${algorithm} checksum does not match`;
  } catch (error) {
    if (!(error instanceof LbsError)) throw error;
    return error.message;
  }
}
