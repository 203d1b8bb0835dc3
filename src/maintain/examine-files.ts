/**
 * Examines many files of the store on as many threads as are worth it: the main thread and a
 * helper take the next file whenever they are done with one. Called by verify-checksums.
 */
import type { Worker } from 'node:worker_threads';
import { LbsError, messageOf } from '../errors.ts';
import { HELPER_THREAD, helperCount } from '../restore/segment-helpers.ts';
import type { SegmentSource } from '../segments/segment-source.ts';
import { readingForThread } from '../segments/told-keys.ts';
import type { Reading } from '../segments/unfilter.ts';
import { startThread } from '../std/start-thread.ts';
import type { OpenFile } from '../stores/store.ts';
import { type Examined, type ExamineOrder, examineFile } from './examine-file.ts';
import type { HelperMessage, HelperSetup } from './examine-helper.ts';

/** Below, a helper would take longer to start than it saves. */
const HELPED_BYTES_MIN = 12 * 1024 * 1024;
/** Files sent to a helper: one that it works on, and one that it need not wait for then. */
const SENT_MAX = 2;

/** A file to be examined, which is opened when its turn comes. */
export type FileToExamine = Omit<ExamineOrder, 'fd'>;

export type ExamineFilesOptions = {
  readonly source: SegmentSource;
  readonly signal: AbortSignal | undefined;
  /** Takes what was found out, in no particular order. What it throws ends the work. */
  readonly done: (file: FileToExamine, examined: Examined) => void;
};

class Helper {
  readonly #worker: Worker;
  readonly #exited: Promise<void>;
  readonly #waiting: { resolve: (examined: Examined) => void; reject: (error: unknown) => void }[] =
    [];
  #died: { error: unknown } | undefined;

  constructor(source: Reading) {
    const { reading, transferList } = readingForThread(source);
    const workerData: HelperSetup = reading;
    this.#worker = startThread('maintain/examine-helper', import.meta.url, {
      ...HELPER_THREAD,
      ...{ workerData, transferList },
    });
    this.#exited = new Promise((resolve) => this.#worker.once('exit', () => resolve()));
    this.#worker.on('message', (examined: Examined) => this.#waiting.shift()?.resolve(examined));
    this.#worker.on('error', (error) => this.#die(error));
    this.#worker.on('exit', () => this.#die(new LbsError('internal', 'a helper thread ended')));
  }

  async examine(order: ExamineOrder): Promise<Examined> {
    if (this.#died) throw this.#died.error;
    return await new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#send(order);
    });
  }

  async close(): Promise<void> {
    this.#send(undefined);
    await this.#exited;
  }

  #send(message: HelperMessage): void {
    this.#worker.postMessage(message);
  }

  #die(error: unknown): void {
    this.#died ??= { error };
    for (const { reject } of this.#waiting.splice(0)) reject(error);
  }
}

/** @throws {LbsError} interrupted, and what `done` throws; not for damage */
export async function examineFiles(
  files: readonly FileToExamine[],
  { source, signal, done }: ExamineFilesOptions,
): Promise<void> {
  const { reading } = source;
  const left = files.values();
  let failure: { error: unknown } | undefined;
  const work = async (examine: (order: ExamineOrder) => Promise<Examined>): Promise<void> => {
    for (const file of left) {
      if (failure) return;
      done(file, await examineOne(source, file, examine));
    }
  };
  const bytes = files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const helpers = Array.from(
    { length: bytes < HELPED_BYTES_MIN ? 0 : helperCount() },
    () => new Helper(reading),
  );
  const closeHelpers = () => Promise.all(helpers.map((helper) => helper.close()));
  const ways = [
    (order: ExamineOrder) => examineFile(order, { reading, signal }),
    ...helpers.flatMap((helper) =>
      Array.from({ length: SENT_MAX }, () => (order: ExamineOrder) => helper.examine(order)),
    ),
  ];
  await Promise.all(
    ways.map(async (examine) => {
      try {
        await work(examine);
      } catch (error) {
        // The first one counts: what helpers were at work on fails when they are closed.
        failure ??= { error };
        await closeHelpers();
      }
    }),
  );
  await closeHelpers();
  if (failure) throw failure.error;
}

async function examineOne(
  source: SegmentSource,
  file: FileToExamine,
  examine: (order: ExamineOrder) => Promise<Examined>,
): Promise<Examined> {
  let opened: OpenFile;
  try {
    opened = source.store.open(file.fileName);
  } catch (error) {
    // Of a store that went away meanwhile no file is damaged.
    if (!(error instanceof LbsError) || error.code === 'store-missing') throw error;
    return { trouble: `cannot be read: ${messageOf(error)}`, objects: lostBy(file, error) };
  }
  try {
    return await examine({ ...file, fd: opened.fd, sizeBytes: opened.sizeBytes });
  } finally {
    opened.close();
  }
}

/** The objects of a segment that cannot be opened. */
function lostBy({ segment }: FileToExamine, error: LbsError): Examined['objects'] {
  if (segment === undefined) return undefined;
  const { code, message, hint } = error;
  const records = new Uint8Array();
  return { kind: 'digests', numbers: undefined, records, error: { code, message, hint } };
}
