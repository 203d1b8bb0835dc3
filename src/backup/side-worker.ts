/** The thread of side-thread: does what it is told, and says what became of it. */
import { parentPort } from 'node:worker_threads';
import { errnoName, messageOf } from '../errors.ts';
import { ThreadFiles } from '../segments/thread-file.ts';
import { TaskDigests } from './content-digests.ts';
import type { SideReply, SideTask } from './side-thread.ts';

if (parentPort === null) throw new Error('this is no program, but a thread of one');
const port = parentPort;
const files = new ThreadFiles();
const digests = new TaskDigests();

async function work(side: SideTask): Promise<SideReply> {
  const { number, duty, task } = side;
  try {
    const answer = duty === 'segments' ? await files.do(task) : digests.do(task);
    return { number, answer };
  } catch (error) {
    return { number, failure: { message: messageOf(error), code: errnoName(error) } };
  }
}

port.on('message', (side: SideTask) => {
  void work(side).then((reply) => port.postMessage(reply));
});
