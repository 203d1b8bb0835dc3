/**
 * The helper threads of a restore or verification, seen from the main thread: which segments they
 * work on, and what they have to tell of each.
 *
 * Used by deliver-with-helpers.ts. Each helper works on one segment at a time and has the next one
 * already, or it would wait for the main thread between them; a few segments may be done before
 * their turn, since their news are small: bytes that are handed back wait in the helper
 * (`UNTAKEN_MAX`) until their turn comes.
 */
import { availableParallelism } from 'node:os';
import type { Worker } from 'node:worker_threads';
import { LbsError } from '../errors.ts';
import { readingForThread } from '../segments/told-keys.ts';
import type { Reading } from '../segments/unfilter.ts';
import { startThread } from '../std/start-thread.ts';
import type { OpenFile } from '../stores/store.ts';
import type {
  HelperDuty,
  HelperNews,
  HelperOrder,
  HelperSetup,
  SegmentJob,
} from './helper-messages.ts';

/** Beside the main thread. Each takes 19 MB before it does anything. */
const HELPERS_MAX = 1;
/** How one is started, here and by others. What is young in it dies young. */
export const HELPER_THREAD = {
  name: 'lbs-helper',
  resourceLimits: { maxYoungGenerationSizeMb: 3 },
} as const;
/** Jobs that a helper has at once. */
const JOBS_MAX = 2;
/** Segments begun and not used yet. */
const BEGUN_MAX = 7;

/** Threads that are worth starting here; 0 where there is one processor only. */
export function helperCount(): number {
  return Math.min(availableParallelism() - 1, HELPERS_MAX);
}

/** A segment that a helper works on, or has done; or (without a job) one for the main thread. */
export class BegunSegment {
  readonly segment: string;
  readonly job: SegmentJob | undefined;
  readonly #file: OpenFile | undefined;
  readonly #news: HelperNews[] = [];
  #failure: { error: unknown } | undefined;
  #wake: (() => void) | undefined;
  #isOpen = true;
  /** Tells the helper that news were used. */
  taken: () => void = () => undefined;

  /** `file` is open for the job. */
  constructor(segment: string, job?: SegmentJob, file?: OpenFile) {
    this.segment = segment;
    this.job = job;
    this.#file = file;
  }

  add(news: HelperNews): void {
    this.#news.push(news);
    this.#wake?.();
  }

  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#wake?.();
  }

  /** True when `next` does not have to wait. */
  get hasNews(): boolean {
    return this.#news.length > 0 || this.#failure !== undefined;
  }

  /** The next news; the last ones have an `end`. @throws what a helper died of, interrupted */
  async next(): Promise<HelperNews> {
    for (;;) {
      if (this.#failure) throw this.#failure.error;
      const news = this.#news.shift();
      if (news) return news;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** To be called when the helper does not use the file any more. */
  close(): void {
    if (this.#isOpen) this.#file?.close();
    this.#isOpen = false;
  }
}

class Helper {
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  /** In the order in which they are worked on. */
  readonly #running: BegunSegment[] = [];
  #died: { error: unknown } | undefined;

  constructor({ duty, reading: read }: HelpersSetup, onEnd: () => void) {
    const { reading, transferList } = readingForThread(read);
    const workerData: HelperSetup = { duty, reading };
    this.#worker = startThread('restore/segment-helper', import.meta.url, {
      ...HELPER_THREAD,
      ...{ workerData, transferList },
    });
    this.#exited = new Promise((resolve) => this.#worker.once('exit', () => resolve()));
    this.#worker.on('message', (news: HelperNews) => {
      this.#running[0]?.add(news);
      if (!news.end) return;
      this.#running.shift();
      onEnd();
    });
    this.#worker.on('error', (error) => this.#die(error));
    this.#worker.on('exit', () => this.#die(new LbsError('internal', 'a helper thread ended')));
  }

  get takesMore(): boolean {
    return this.#running.length < JOBS_MAX;
  }

  start(segment: BegunSegment, job: SegmentJob): void {
    this.#running.push(segment);
    if (this.#died) return segment.fail(this.#died.error);
    segment.taken = () => this.#order({ kind: 'taken' });
    this.#order({ kind: 'job', job });
  }

  /** Ends it; what it is writing is written first, so that nothing half-done is left. */
  async close(): Promise<void> {
    this.#order({ kind: 'stop' });
    await this.#exited;
  }

  #order(order: HelperOrder): void {
    this.#worker.postMessage(order);
  }

  #die(error: unknown): void {
    this.#died ??= { error };
    for (const segment of this.#running) segment.fail(error);
  }
}

/** What each helper is told to do, and how the store is read. */
export type HelpersSetup = { readonly duty: HelperDuty; readonly reading: Reading };

export type HelpersOptions<Segment extends BegunSegment> = {
  readonly setup: HelpersSetup;
  /** The next segment, for a helper or for the main thread; undefined after the last one. */
  readonly nextSegment: (forHelper: boolean) => Segment | undefined;
  readonly signal: AbortSignal | undefined;
};

export class SegmentHelpers<Segment extends BegunSegment> {
  readonly #helpers: readonly Helper[];
  readonly #options: HelpersOptions<Segment>;
  /** In order. */
  readonly #begun: Segment[] = [];
  #failure: { error: unknown } | undefined;
  readonly #onAbort = () => {
    for (const segment of this.#begun) segment.fail(interrupted());
  };

  constructor(options: HelpersOptions<Segment>) {
    this.#options = options;
    options.signal?.addEventListener('abort', this.#onAbort, { once: true });
    this.#helpers = Array.from(
      { length: helperCount() },
      () => new Helper(options.setup, () => this.#startMore()),
    );
    this.#startMore();
  }

  /** The first segment that is not finished; undefined when all are. */
  get first(): Segment | undefined {
    return this.#begun[0];
  }

  /**
   * A segment for the main thread; undefined when none is left, or it would be too far ahead.
   * @throws {LbsError} interrupted, and what `nextSegment` throws
   */
  takeOwn(): Segment | undefined {
    if (this.#failure) throw this.#failure.error;
    if (this.#options.signal?.aborted === true) throw interrupted();
    const left = this.#begun.find(({ job }) => job === undefined);
    if (left !== undefined || this.#begun.length >= BEGUN_MAX) return left;
    const segment = this.#options.nextSegment(false);
    if (segment !== undefined) this.#begun.push(segment);
    return segment;
  }

  /** To be called when all there is to know of a segment was used. */
  finish(segment: Segment): void {
    segment.close();
    this.#begun.splice(this.#begun.indexOf(segment), 1);
    this.#startMore();
  }

  /** Waits until all helpers have ended. */
  async close(): Promise<void> {
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    await Promise.all(this.#helpers.map((helper) => helper.close()));
    // Not before: a helper may still be reading them.
    for (const segment of this.#begun) segment.close();
  }

  /** Called when helpers have something to tell as well, so it must not throw. */
  #startMore(): void {
    try {
      for (const helper of this.#helpers) {
        while (helper.takesMore && this.#begun.length < BEGUN_MAX) {
          const segment = this.#options.nextSegment(true);
          if (segment === undefined) return;
          this.#begun.push(segment);
          if (segment.job) helper.start(segment, segment.job);
        }
      }
    } catch (error) {
      this.#failure ??= { error };
    }
  }
}

function interrupted(): LbsError {
  return new LbsError('interrupted', 'interrupted while reading a segment');
}
