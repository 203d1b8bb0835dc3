/**
 * The helper threads of a restore or verification, seen from the main thread: which segments they
 * work on, and what they have to tell, in the order of the segments.
 *
 * Used by deliver-contents.ts. Each helper works on one segment at a time; a few segments may be
 * done before their turn, since their news are small: bytes that are handed back wait in the
 * helper (`UNTAKEN_MAX`) until their turn comes.
 */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { LbsError } from '../errors.ts';
import type { OpenFile } from '../stores/store.ts';
import type { HelperNews, HelperOrder, HelperSetup, SegmentJob } from './helper-messages.ts';

/** Beside the main thread. Each takes 19 MB before it does anything. */
const HELPERS_MAX = 1;
const YOUNG_MB = 3;
/** Segments begun beyond those that helpers are at work on. */
const DONE_EARLY_MAX = 5;

/** Threads that are worth starting here; 0 where there is one processor only. */
export function helperCount(): number {
  return Math.min(availableParallelism() - 1, HELPERS_MAX);
}

// Tests run the sources, everybody else what was compiled from them.
const EXTENSION = import.meta.url.endsWith('.ts') ? 'ts' : 'js';
const ENTRY = new URL(`./segment-helper.${EXTENSION}`, import.meta.url);

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
  #running: BegunSegment | undefined;
  #died: { error: unknown } | undefined;

  constructor(setup: HelperSetup, onIdle: () => void) {
    this.#worker = new Worker(ENTRY, {
      workerData: setup,
      name: 'lbs-helper',
      // What is young here dies young.
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_MB },
    });
    this.#exited = new Promise((resolve) => this.#worker.once('exit', () => resolve()));
    this.#worker.on('message', (news: HelperNews) => {
      const running = this.#running;
      if (news.end) this.#running = undefined;
      running?.add(news);
      if (news.end) onIdle();
    });
    this.#worker.on('error', (error) => this.#die(error));
    this.#worker.on('exit', () => this.#die(new LbsError('internal', 'a helper thread ended')));
  }

  get isIdle(): boolean {
    return this.#running === undefined;
  }

  start(segment: BegunSegment, job: SegmentJob): void {
    this.#running = segment;
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
    this.#running?.fail(error);
  }
}

export type HelpersOptions<Segment extends BegunSegment> = {
  readonly setup: HelperSetup;
  /** The next segment, for a helper or for the main thread; undefined after the last one. */
  readonly nextSegment: (forHelper: boolean) => Segment | undefined;
  readonly signal: AbortSignal | undefined;
};

export class SegmentHelpers<Segment extends BegunSegment> {
  readonly #helpers: readonly Helper[];
  readonly #options: HelpersOptions<Segment>;
  /** In order; the first is the one whose news are used now. */
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
  }

  /** The segments in order, to be used one after the other. @throws what `nextSegment` throws */
  *segments(): Generator<Segment> {
    for (;;) {
      this.#startMore();
      const [current] = this.#begun;
      if (this.#failure) throw this.#failure.error;
      if (current === undefined) return;
      if (this.#options.signal?.aborted === true) throw interrupted();
      yield current;
      // Not closed when the caller threw: then a helper may still be reading it.
      current.close();
      this.#begun.shift();
    }
  }

  /** Waits until all helpers have ended. */
  async close(): Promise<void> {
    this.#options.signal?.removeEventListener('abort', this.#onAbort);
    await Promise.all(this.#helpers.map((helper) => helper.close()));
    for (const segment of this.#begun) segment.close();
  }

  /** Called by idle helpers as well, so it must not throw. */
  #startMore(): void {
    try {
      for (const helper of this.#helpers) {
        while (helper.isIdle && this.#begun.length < this.#helpers.length + DONE_EARLY_MAX) {
          const segment = this.#options.nextSegment(this.#isForHelper());
          if (segment === undefined) return;
          this.#begun.push(segment);
          if (segment.job) helper.start(segment, segment.job);
        }
      }
    } catch (error) {
      this.#failure ??= { error };
    }
  }

  /**
   * The main thread works on every second segment or so itself. The next one is left to it when it
   * has none to go on with, or it would have to wait for those of the helpers.
   */
  #isForHelper(): boolean {
    if (this.#begun.length === 0) return false;
    const hasJobs = this.#begun.some(({ job }) => job !== undefined);
    return !hasJobs || this.#begun.some(({ job }, at) => at > 0 && job === undefined);
  }
}

function interrupted(): LbsError {
  return new LbsError('interrupted', 'interrupted while reading a segment');
}
