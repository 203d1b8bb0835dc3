/**
 * Reads every segment of a content plan once, and hands each file its bytes.
 *
 * Called by restore (which writes them) and verify (which hashes them). Segments come in the
 * order of the plan; while one is used the next is being decompressed already. When there is much
 * to do, helper threads read the segments and do the plain part of the work, and what they hand
 * back comes here, still in that order. Damage costs only the pieces that lie in it: they are
 * reported as lost, and the reading goes on.
 */
import type { SegmentSource, StartedSegment } from '../segments/segment-source.ts';
import type { ContentHandler } from './content-handler.ts';
import type { ContentPlan } from './content-plan.ts';
import { deliverWithHelpers } from './deliver-with-helpers.ts';
import type { HelperDuty } from './helper-messages.ts';
import { SegmentDelivery } from './segment-delivery.ts';
import { helperCount } from './segment-helpers.ts';

export type DeliverOptions = {
  readonly signal?: AbortSignal | undefined;
  /** True for a segment that is read to its end, even where nothing more is needed (verify). */
  readonly readsWhole?: (segment: string) => boolean;
  /** What helper threads may do; without it there are none. */
  readonly duty?: HelperDuty | undefined;
  /** Helpers are started for no fewer pieces or bytes than these. */
  readonly helpedPiecesMin?: number;
  readonly helpedBytesMin?: number;
};

/** Below both the helpers would take longer to start than they save. */
const HELPED_PIECES_MIN = 2000;
const HELPED_BYTES_MIN = 64 * 1024 * 1024;

/** @throws {LbsError} filter-missing, interrupted, and what the handler throws; not for damage */
export async function deliverContents(
  plan: ContentPlan,
  source: SegmentSource,
  handler: ContentHandler,
  options: DeliverOptions = {},
): Promise<void> {
  const { duty, helpedPiecesMin = HELPED_PIECES_MIN, helpedBytesMin = HELPED_BYTES_MIN } = options;
  const isMuch = plan.pieces >= helpedPiecesMin || plan.bytes >= helpedBytesMin;
  if (duty !== undefined && isMuch && helperCount() > 0) {
    await deliverWithHelpers({ plan, source, handler, options: { ...options, duty } });
  } else await deliverAlone(plan, source, handler, options);
}

async function deliverAlone(
  plan: ContentPlan,
  source: SegmentSource,
  handler: ContentHandler,
  options: DeliverOptions,
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
        const reading = await delivery.run(current, options.readsWhole?.(segment) ?? false);
        await handler.segmentDone?.(reading);
      } finally {
        await current.close();
      }
    }
  } finally {
    await ahead?.close();
  }
}
