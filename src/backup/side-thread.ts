/**
 * The thread beside the run: it makes the files of segments (segments/thread-file), and the
 * checksums of large files (digest-thread), while the run reads and cuts.
 *
 * The run is busy with small files for longer at a time than it takes to compress a piece; with
 * the thread nothing that is on its way waits for it. Two processors with nothing else to do need 13.9 s
 * instead of 15.4 for a first backup of 192,000 entries (3.0 GB), and 10.0 instead of 10.8 for 1.5 GB of
 * random and 0.8 GB of compressible bytes, in the same processor time. The thread takes some 10 MB.
 *
 * It starts with its first task, keeps the process alive only while it has something to do, and
 * answers in any order. What it fails with is thrown by all calls from then on.
 */
import type { Worker } from 'node:worker_threads';
import { LbsError, messageOf } from '../errors.ts';
import type { SegmentAnswer, SegmentTask } from '../segments/thread-file.ts';
import { startThread } from '../std/start-thread.ts';
import type { DigestAnswer, DigestTask } from './content-digests.ts';

/** `number` tells tasks apart. */
export type SideTask = { readonly number: number } & (
  | { readonly duty: 'segments'; readonly task: SegmentTask }
  | { readonly duty: 'digests'; readonly task: DigestTask }
);

type Answer = SegmentAnswer | DigestAnswer;

/** What became of a task; errors would lose their code on the way. */
export type SideReply = {
  readonly number: number;
  readonly answer?: Answer;
  readonly failure?: { readonly message: string; readonly code: string | undefined };
};

type Asked = {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
};

/** The thread has nothing but messages and promises on its heap. */
const LIMITS = { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 1 };

export class SideThread {
  #worker: Worker | undefined;
  readonly #asked = new Map<number, Asked>();
  #tasks = 0;
  #failure: LbsError | undefined;
  #isClosing = false;

  async segments(task: SegmentTask): Promise<SegmentAnswer> {
    const answer = await this.#ask({ number: this.#tasks++, duty: 'segments', task });
    return answer as SegmentAnswer;
  }

  async digests(task: DigestTask): Promise<DigestAnswer> {
    const answer = await this.#ask({ number: this.#tasks++, duty: 'digests', task });
    return answer as DigestAnswer;
  }

  async #ask(task: SideTask): Promise<Answer> {
    if (this.#failure !== undefined) throw this.#failure;
    this.#worker ??= this.#start();
    this.#worker.ref();
    this.#worker.postMessage(task);
    return await new Promise((resolve, reject) => {
      this.#asked.set(task.number, { resolve, reject });
    });
  }

  #start(): Worker {
    const worker = startThread('backup/side-worker', import.meta.url, { resourceLimits: LIMITS });
    worker.on('message', (reply: SideReply) => this.#take(reply));
    worker.on('error', (error) => this.#fail(error));
    worker.on('exit', (code) => this.#fail(new Error(`it ended with ${code}`)));
    return worker;
  }

  #take({ number, answer, failure }: SideReply): void {
    const asked = this.#asked.get(number);
    this.#asked.delete(number);
    if (this.#asked.size === 0 && !this.#isClosing) this.#worker?.unref();
    if (failure === undefined) asked?.resolve(answer);
    else asked?.reject(Object.assign(new Error(failure.message), { code: failure.code }));
  }

  #fail(error: unknown): void {
    const message = `the thread beside the run failed: ${messageOf(error)}`;
    this.#failure ??= new LbsError('internal', message, { cause: error });
    for (const { reject } of this.#asked.values()) reject(this.#failure);
    this.#asked.clear();
  }

  /** Ends the thread; calls after that throw. */
  async close(): Promise<void> {
    // A last answer may come meanwhile: nothing else may be left that keeps the process until the end.
    this.#isClosing = true;
    await this.#worker?.terminate();
  }
}
