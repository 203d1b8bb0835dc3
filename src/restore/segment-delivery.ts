/**
 * One segment in the main thread: its objects as they are read, and the pieces that are wanted of
 * them. Used by deliver-contents.ts.
 */
import { messageOf } from '../errors.ts';
import { formatObjectName } from '../format/reference.ts';
import { isDamage } from '../metadata/metadata-objects.ts';
import type { StartedSegment } from '../segments/segment-source.ts';
import { type ContentHandler, ObjectCheck, type SegmentReading } from './content-handler.ts';
import type { ContentPlan, Piece } from './content-plan.ts';

/** What else goes on, where several threads deliver. */
export type DeliveryOrder = {
  /** Called between batches of objects. */
  between(): Promise<void>;
  /** Resolves when all segments before this one were delivered. */
  turn(): Promise<void>;
};

/** A merge of a segment's objects with the pieces wanted, both in order of object. */
export class SegmentDelivery {
  readonly #plan: ContentPlan;
  readonly #segment: string;
  readonly #handler: ContentHandler;
  readonly #wanted: Iterator<Piece>;
  /** Until it is this segment's turn. */
  #order: DeliveryOrder | undefined;
  #piece: Piece | undefined;
  #lastObject = -1;
  /** Objects wanted that a later one overtook: no known program writes them out of order. */
  readonly #overtaken = new Set<number>();

  /** Without `order` it is this segment's turn. */
  constructor(plan: ContentPlan, segment: string, handler: ContentHandler, order?: DeliveryOrder) {
    this.#plan = plan;
    this.#segment = segment;
    this.#handler = handler;
    this.#order = order;
    this.#wanted = plan.piecesOf(segment);
    this.#advance();
  }

  async run(started: StartedSegment, readsWhole: boolean): Promise<SegmentReading> {
    const order = this.#order;
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
        if (this.#order !== undefined && this.#needsTurn(object)) {
          await this.#order.turn();
          this.#order = undefined;
        }
        this.#take(object, data);
      }
      await order?.between();
    }
    this.#loseRest(
      failure === undefined ? 'the segment does not hold it' : messageOf(failure.error),
    );
    return { segment: this.#segment, objects, bytes, error: failure?.error };
  }

  #isComplete(): boolean {
    return this.#piece === undefined && this.#overtaken.size === 0;
  }

  /** True when `object` belongs to a file whose pieces should come in its order. */
  #needsTurn(object: number): boolean {
    if (this.#piece === undefined || object < this.#piece.object) return false;
    if (object > this.#piece.object) return true;
    return this.#handler.needsOrder?.(this.#piece.file) ?? true;
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
