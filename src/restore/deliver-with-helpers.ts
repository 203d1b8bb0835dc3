/**
 * The way of deliver-contents.ts with helper threads: makes their jobs, hands on what they tell of
 * each segment, in the order of segments, and reads segments itself meanwhile.
 *
 * The main thread does not wait with its own segment until those before it are done, which left it
 * idle for a third of the time; but it does before the first piece of a large file, which is
 * hashed as it comes only when its pieces come in order.
 */
import { LbsError, messageOf } from '../errors.ts';
import { formatObjectName } from '../format/reference.ts';
import { isDamage } from '../metadata/metadata-objects.ts';
import type { SegmentSource } from '../segments/segment-source.ts';
import type { ContentHandler, SegmentReading } from './content-handler.ts';
import type { ContentPlan, Piece } from './content-plan.ts';
import { type HelperDuty, type HelperNews, packPieces } from './helper-messages.ts';
import { SegmentDelivery } from './segment-delivery.ts';
import { BegunSegment, SegmentHelpers } from './segment-helpers.ts';
import { freeMemory } from '../std/free-memory.ts';

/** A segment that more files need than this is not given to a helper: its job grows with them. */
const JOB_PIECES_MAX = 50_000;

export type HelpedDelivery = {
  readonly plan: ContentPlan;
  readonly source: SegmentSource;
  readonly handler: ContentHandler;
  readonly options: {
    readonly duty: HelperDuty;
    readonly signal?: AbortSignal | undefined;
    readonly readsWhole?: (segment: string) => boolean;
  };
};

/** What the main thread keeps of a helper's job. */
class HelpedSegment extends BegunSegment {
  pieces: readonly Piece[] = [];
  tasks: readonly (Buffer | undefined)[] = [];
  /** 1 for each piece that was told of. */
  isTold = new Uint8Array();
}

/** @throws as `deliverContents` */
export async function deliverWithHelpers(delivery: HelpedDelivery): Promise<void> {
  const { plan, source, options } = delivery;
  const left = plan.segments.values();
  const helpers = new SegmentHelpers<HelpedSegment>({
    setup: { duty: options.duty, reading: source.reading },
    nextSegment: (forHelper) => {
      const { value, done } = left.next();
      if (done === true) return undefined;
      return forHelper ? begin(delivery, value) : new HelpedSegment(value);
    },
    signal: options.signal,
  });
  try {
    await new HelpedRun(delivery, helpers).run();
  } finally {
    await helpers.close();
  }
}

class HelpedRun {
  readonly #delivery: HelpedDelivery;
  readonly #helpers: SegmentHelpers<HelpedSegment>;

  constructor(delivery: HelpedDelivery, helpers: SegmentHelpers<HelpedSegment>) {
    this.#delivery = delivery;
    this.#helpers = helpers;
  }

  async run(): Promise<void> {
    for (;;) {
      await this.#useNews();
      const own = this.#helpers.takeOwn();
      if (own !== undefined) {
        await this.#finish(own, await this.#readHere(own));
        continue;
      }
      const { first } = this.#helpers;
      if (first === undefined) return;
      await this.#useNext(first);
    }
  }

  /** Uses what helpers have told of the segments before the first of the main thread's own. */
  async #useNews(): Promise<void> {
    for (;;) {
      const { first } = this.#helpers;
      if (first?.job === undefined || !first.hasNews) return;
      await this.#useNext(first);
    }
  }

  async #readHere(own: HelpedSegment): Promise<SegmentReading> {
    const { plan, source, handler, options } = this.#delivery;
    const started = source.start(own.segment, options.signal);
    const order = {
      between: () => this.#useNews(),
      turn: async () => {
        for (;;) {
          const { first } = this.#helpers;
          if (first === undefined || first === own) return;
          await this.#useNext(first);
        }
      },
    };
    try {
      const delivery = new SegmentDelivery(plan, own.segment, handler, order);
      return await delivery.run(started, options.readsWhole?.(own.segment) ?? false);
    } finally {
      await started.close();
    }
  }

  /** Waits for the next news of a segment of a helper, and hands them on. */
  async #useNext(begun: HelpedSegment): Promise<void> {
    const { handler, source, options } = this.#delivery;
    const { segment, pieces, isTold } = begun;
    const news = await begun.next();
    for (const index of [...news.done, ...news.handedBack]) isTold[index] = 1;
    useOne(begun, news, handler);
    for (const [index, reason] of news.lost) {
      isTold[index] = 1;
      lose(begun, index, reason, handler);
    }
    if (news.bytes.length > 0) begun.taken();
    freeMemory(news.bytes);
    const { end } = news;
    if (end === undefined) return;
    const told = end.error && new LbsError(end.error.code, end.error.message, hintOf(end.error));
    const fileName = source.fileOf(segment)?.name ?? '';
    const error = told && (await source.whatFailed(told, fileName, options.signal));
    if (error && !isDamage(error)) throw error;
    const reason = error ? messageOf(error) : 'the segment does not hold it';
    for (const index of pieces.keys()) {
      if (isTold[index] === 0) lose(begun, index, reason, handler);
    }
    await this.#finish(begun, { segment, objects: end.objects, bytes: end.bytes, error });
  }

  async #finish(begun: HelpedSegment, reading: SegmentReading): Promise<void> {
    this.#helpers.finish(begun);
    await this.#delivery.handler.segmentDone?.(reading);
  }
}

/** Makes the job for `segment`; none where that is too large, or the file cannot be opened. */
function begin({ plan, source, handler, options }: HelpedDelivery, segment: string): HelpedSegment {
  const pieces: Piece[] = [];
  for (const piece of plan.piecesOf(segment)) {
    if (pieces.push(piece) > JOB_PIECES_MAX) return new HelpedSegment(segment);
  }
  let opened: ReturnType<SegmentSource['open']>;
  try {
    opened = source.open(segment);
  } catch (error) {
    // Read here then, which says the same once more, at its turn.
    if (!isDamage(error)) throw error;
    return new HelpedSegment(segment);
  }
  const { file, name: fileName } = opened;
  const tasks = pieces.map((piece) => handler.taskFor?.(piece.file, piece.offset, piece.length));
  const readsWhole = options.readsWhole?.(segment) ?? false;
  const { fd, sizeBytes } = file;
  const job = { segment, fileName, fd, sizeBytes, readsWhole, pieces: packPieces(pieces, tasks) };
  const begun = new HelpedSegment(segment, job, file);
  begun.pieces = pieces;
  begun.tasks = tasks;
  begun.isTold = new Uint8Array(pieces.length);
  return begun;
}

function hintOf({ hint }: { readonly hint: string | undefined }): { hint?: string } {
  return hint === undefined ? {} : { hint };
}

function useOne({ pieces, tasks }: HelpedSegment, news: HelperNews, handler: ContentHandler): void {
  for (const index of news.done) {
    const piece = pieces[index];
    const task = tasks[index];
    if (piece && task) handler.done?.(piece.file, task);
  }
  const bytes = Buffer.from(news.bytes.buffer, news.bytes.byteOffset, news.bytes.byteLength);
  let at = 0;
  for (const index of news.handedBack) {
    const { file = 0, offset = 0, length = 0 } = pieces[index] ?? {};
    handler.piece(file, offset, bytes.subarray(at, (at += length)));
  }
}

function lose(
  { segment, pieces }: HelpedSegment,
  index: number,
  reason: string,
  handler: ContentHandler,
): void {
  const { file = 0, object = 0 } = pieces[index] ?? {};
  handler.lost(file, `object ${formatObjectName(segment, object)}: ${reason}`);
}
