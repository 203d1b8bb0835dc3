/** The thread of digest-thread: hashes what it is told of, in order, and says when it has. */
import { parentPort, workerData } from 'node:worker_threads';
import { DigestPair } from './content-digests.ts';
import type { DigestReply, DigestTask } from './digest-thread.ts';

if (parentPort === null || !(workerData instanceof Uint8Array)) {
  throw new Error('this is no program, but a thread of one');
}
const port = parentPort;
/** Shared with the run. */
const memory: Uint8Array = workerData;
let pair = new DigestPair();

function work(task: DigestTask): DigestReply {
  switch (task.kind) {
    case 'begin':
      pair = new DigestPair();
      return undefined;
    case 'bytes':
      pair.update(memory.subarray(task.start, task.start + task.length));
      return undefined;
    case 'zeros':
      pair.zeros(task.length);
      return undefined;
    case 'end':
      return pair.digests();
  }
}

port.on('message', (task: DigestTask) => port.postMessage(work(task)));
