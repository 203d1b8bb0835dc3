/**
 * A helper thread: reads the segments it is given, and deals with the pieces that have a task.
 *
 * Started by segment-helpers.ts, which also says what it gets and gives (helper-messages.ts). Most
 * files are small and lie in one object, and nearly all of the work on them needs nothing but
 * their bytes and a record: decompressing, hashing, and the system calls that make a file. Those
 * run here, on as many processors as there are. The news of one batch of objects go out together.
 *
 * Invariant: a piece is told of once: done, handed back, or lost. What could not be done as it
 * should be leaves nothing behind and is handed back.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { LbsError, messageOf } from '../errors.ts';
import { type SegmentObject, objectsOf } from '../segments/segment-source.ts';
import { readingInThread } from '../segments/told-keys.ts';
import { ObjectCheck } from './content-handler.ts';
import type {
  HelperEnd,
  HelperNews,
  HelperOrder,
  HelperSetup,
  PackedPieces,
  SegmentJob,
} from './helper-messages.ts';
import { type DoTask, openDuty } from './helper-duties.ts';

/** News with bytes that may be on their way; the next wait until some were taken. */
const UNTAKEN_MAX = 2;
/** Bytes handed back at once; a piece more at most. */
const NEWS_BYTES = 1024 * 1024;

if (parentPort === null) throw new LbsError('internal', 'a helper without a main thread');
const port = parentPort;
const setup = workerData as HelperSetup;
const reading = readingInThread(setup.reading);
const stopping = new AbortController();

/** Waits while too many bytes are on their way to the main thread. */
class Window {
  #untaken = 0;
  #wake: (() => void) | undefined;

  async enter(): Promise<void> {
    while (this.#untaken >= UNTAKEN_MAX && !stopping.signal.aborted) {
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    this.#untaken++;
  }

  leave(): void {
    this.#untaken--;
    this.wake();
  }

  wake(): void {
    this.#wake?.();
    this.#wake = undefined;
  }
}

const window = new Window();

/** Used again for all news: memory that is left to the collector adds up to tens of MiB. */
let handedBackBytes: Buffer = Buffer.alloc(0);

/** The work on one segment. */
class Job {
  readonly #pieces: PackedPieces;
  readonly #tasks: Buffer;
  readonly #doTask: DoTask;
  /** Objects that were met, so that a second one of the same number is left alone. */
  readonly #isMet: Uint8Array;
  #left: number;
  #done: number[] = [];
  #lost: [number, string][] = [];
  #handedBack: number[] = [];
  /** Of `handedBackBytes`, what belongs to these. */
  #bytes = 0;

  constructor(pieces: PackedPieces, doTask: DoTask) {
    const { tasks, objects } = pieces;
    this.#pieces = pieces;
    this.#tasks = Buffer.from(tasks.buffer, tasks.byteOffset, tasks.byteLength);
    this.#doTask = doTask;
    this.#isMet = new Uint8Array(objects.length);
    this.#left = objects.length;
  }

  /** True when every piece was met. */
  get isComplete(): boolean {
    return this.#left === 0;
  }

  async take({ object, data }: SegmentObject): Promise<void> {
    const { objects } = this.#pieces;
    let index = firstAt(objects, object);
    if (objects[index] !== object || this.#isMet[index] === 1) return;
    const check = new ObjectCheck(data);
    for (; objects[index] === object; index++) {
      this.#isMet[index] = 1;
      this.#left--;
      this.#piece(index, data, check);
      if (this.#bytes >= NEWS_BYTES) await this.tell(undefined);
    }
  }

  #piece(index: number, data: Buffer, check: ObjectCheck): void {
    const { starts, lengths, exacts, checksums, taskEnds, files } = this.#pieces;
    const [start = 0, length = 0, exact = 0] = [starts[index], lengths[index], exacts[index]];
    const checksum = checksums[index] ?? null;
    const claim = { start, length, exact: Number.isNaN(exact) ? null : exact, checksum };
    const wrong = check.wrongWith(claim);
    if (wrong !== undefined) {
      this.#lost.push([index, wrong]);
      return;
    }
    const bytes = data.subarray(start, start + length);
    const task = this.#tasks.subarray(taskEnds[index - 1] ?? 0, taskEnds[index]);
    if (task.length > 0 && this.#doTask(files[index] ?? 0, task, bytes)) {
      this.#done.push(index);
      return;
    }
    this.#handedBack.push(index);
    handedBackBytes = withRoom(handedBackBytes, this.#bytes + length);
    this.#bytes += bytes.copy(handedBackBytes, this.#bytes);
  }

  /** Sends what there is to tell. */
  async tell(end: HelperEnd | undefined): Promise<void> {
    const hasNews = this.#done.length + this.#lost.length + this.#handedBack.length > 0;
    if (!hasNews && end === undefined) return;
    const bytes = new Uint8Array(handedBackBytes.subarray(0, this.#bytes));
    const news: HelperNews = {
      done: this.#done,
      handedBack: this.#handedBack,
      bytes,
      lost: this.#lost,
      end,
    };
    const hasBytes = this.#bytes > 0;
    this.#done = [];
    this.#lost = [];
    this.#handedBack = [];
    this.#bytes = 0;
    if (hasBytes) await window.enter();
    port.postMessage(news, [bytes.buffer]);
  }
}

/** `buffer`, or a larger one with the same bytes. */
function withRoom(buffer: Buffer, bytes: number): Buffer {
  if (bytes <= buffer.length) return buffer;
  const larger = Buffer.allocUnsafeSlow(Math.max(bytes, NEWS_BYTES));
  buffer.copy(larger);
  return larger;
}

/** The first place of `objects`, which are in order, that is not below `object`. */
function firstAt(objects: Float64Array, object: number): number {
  let low = 0;
  let high = objects.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((objects[middle] ?? 0) < object) low = middle + 1;
    else high = middle;
  }
  return low;
}

async function work(segmentJob: SegmentJob, doTask: DoTask): Promise<void> {
  const { segment, fileName, fd, sizeBytes, readsWhole, pieces } = segmentJob;
  const job = new Job(pieces, doTask);
  let objects = 0;
  let bytes = 0;
  let error: HelperEnd['error'];
  try {
    const file = { fd, sizeBytes, close: () => undefined };
    const options = { segment, fileName, reading, signal: stopping.signal };
    for await (const batch of objectsOf(file, options)) {
      for (const object of batch) {
        objects++;
        bytes += object.data.length;
        await job.take(object);
      }
      await job.tell(undefined);
      if (job.isComplete && !readsWhole) break;
    }
  } catch (thrown) {
    if (!(thrown instanceof LbsError)) throw thrown;
    error = { code: thrown.code, message: messageOf(thrown), hint: thrown.hint };
  }
  await job.tell({ objects, bytes, error });
}

const duty = openDuty(setup.duty);
let busy = Promise.resolve();
port.on('message', (order: HelperOrder) => {
  if (order.kind === 'taken') window.leave();
  else if (order.kind === 'job') busy = busy.then(() => work(order.job, duty.doTask));
  else {
    stopping.abort();
    window.wake();
    busy = busy.finally(() => {
      duty.close();
      port.close();
    });
  }
});
