/** Starts a thread of this program. */
import { extname } from 'node:path';
import { Worker, type WorkerOptions } from 'node:worker_threads';

/**
 * Starts the module `name` (without extension) that lies beside the one that asks, whose URL is
 * `beside`: tests run the sources, everybody else what was compiled from them.
 */
export function startThread(
  name: string,
  beside: string,
  options: Pick<WorkerOptions, 'workerData' | 'name' | 'resourceLimits'>,
): Worker {
  return new Worker(new URL(`./${name}${extname(beside)}`, beside), {
    ...options,
    // Options of the program that uses us may not be for threads: with --input-type they do not start.
    execArgv: [],
  });
}
