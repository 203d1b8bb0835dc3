/**
 * A helper thread of verify: examines the files that it is sent, one after the other, and answers
 * in their order. Started by examine-files.ts.
 */
import { parentPort, workerData } from 'node:worker_threads';
import { LbsError } from '../errors.ts';
import { type ThreadReading, readingInThread } from '../segments/told-keys.ts';
import { type ExamineOrder, examineFile } from './examine-file.ts';

/** `undefined` asks it to end. */
export type HelperMessage = ExamineOrder | undefined;
export type HelperSetup = ThreadReading;

if (parentPort === null) throw new LbsError('internal', 'a helper without a main thread');
const port = parentPort;
const reading = readingInThread(workerData as HelperSetup);
const stopping = new AbortController();

let busy = Promise.resolve();

async function examine(order: ExamineOrder): Promise<void> {
  if (stopping.signal.aborted) return;
  const examined = await examineFile(order, { reading, signal: stopping.signal });
  const { objects } = examined;
  port.postMessage(examined, objects === undefined ? [] : [objects.records.buffer]);
}

port.on('message', (message: HelperMessage) => {
  if (message !== undefined) {
    busy = busy.then(() => examine(message));
    return;
  }
  stopping.abort();
  // What it was at work on ends as interrupted, which nobody waits for any more.
  busy = busy.catch(() => undefined).finally(() => port.close());
});
