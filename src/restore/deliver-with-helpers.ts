/**
 * The way of deliver-contents.ts with helper threads: makes their jobs, and hands on what they tell
 * of each segment, in the order of segments.
 */
import { LbsError, messageOf } from '../errors.ts';
import { formatObjectName } from '../format/reference.ts';
import { isDamage } from '../metadata/metadata-objects.ts';
import type { SegmentSource } from '../segments/segment-source.ts';
import type { ContentHandler, SegmentReading } from './content-handler.ts';
import type { ContentPlan, Piece } from './content-plan.ts';
import { type HelperDuty, type HelperEnd, type HelperNews, packPieces } from './helper-messages.ts';
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
    readonly readsWhole?: boolean;
  };
};

/** What the main thread keeps of a helper's job. */
class HelpedSegment extends BegunSegment {
  pieces: readonly Piece[] = [];
  tasks: readonly (Buffer | undefined)[] = [];
}

/** @throws as `deliverContents` */
export async function deliverWithHelpers(delivery: HelpedDelivery): Promise<void> {
  const { plan, source, handler, options } = delivery;
  const { duty, signal, readsWhole = false } = options;
  const left = plan.segments.values();
  const helpers = new SegmentHelpers<HelpedSegment>({
    setup: { duty, unfilters: source.unfilters },
    nextSegment: (forHelper) => {
      const { value, done } = left.next();
      if (done === true) return undefined;
      return forHelper ? begin(delivery, value) : new HelpedSegment(value);
    },
    signal,
  });
  try {
    for (const begun of helpers.segments()) {
      const reading = begun.job
        ? await useNews(begun, handler)
        : await readHere(delivery, begun.segment, readsWhole);
      await handler.segmentDone?.(reading);
    }
  } finally {
    await helpers.close();
  }
}

async function readHere(
  { plan, source, handler, options }: HelpedDelivery,
  segment: string,
  readsWhole: boolean,
): Promise<SegmentReading> {
  const started = source.start(segment, options.signal);
  try {
    return await new SegmentDelivery(plan, segment, handler).run(started, readsWhole);
  } finally {
    await started.close();
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
  const { readsWhole = false } = options;
  const { fd, sizeBytes } = file;
  const job = { segment, fileName, fd, sizeBytes, readsWhole, pieces: packPieces(pieces, tasks) };
  const begun = new HelpedSegment(segment, job, file);
  begun.pieces = pieces;
  begun.tasks = tasks;
  return begun;
}

/** Hands on all that a helper tells of a segment. */
async function useNews(begun: HelpedSegment, handler: ContentHandler): Promise<SegmentReading> {
  const { segment, pieces } = begun;
  const isTold = new Uint8Array(pieces.length);
  let end: HelperEnd | undefined;
  while (end === undefined) {
    const news = await begun.next();
    for (const index of [...news.done, ...news.handedBack]) isTold[index] = 1;
    useOne(begun, news, handler);
    for (const [index, reason] of news.lost) {
      isTold[index] = 1;
      lose(begun, index, reason, handler);
    }
    if (news.bytes.length > 0) begun.taken();
    freeMemory(news.bytes);
    ({ end } = news);
  }
  const error = end.error && new LbsError(end.error.code, end.error.message, hintOf(end.error));
  if (error && !isDamage(error)) throw error;
  const reason = error ? messageOf(error) : 'the segment does not hold it';
  for (const index of pieces.keys()) {
    if (isTold[index] === 0) lose(begun, index, reason, handler);
  }
  return { segment, objects: end.objects, bytes: end.bytes, error };
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
