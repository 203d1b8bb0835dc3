/** Starts a thread of this program. */
import { extname } from 'node:path';
import { Worker, type WorkerOptions } from 'node:worker_threads';
import { withoutSecrets } from './secret.ts';

/**
 * Starts a module by its folder and name without extension (`maintain/examine-helper`), as seen from
 * the one that asks, whose URL is `asking`: tests run the sources, everybody else what was compiled from
 * them. The file in which the modules are joined lies as deep as they do.
 */
export function startThread(
  name: string,
  asking: string,
  options: Pick<WorkerOptions, 'workerData' | 'transferList' | 'name' | 'resourceLimits'>,
): Worker {
  return new Worker(new URL(`../${name}${extname(asking)}`, asking), {
    ...options,
    // No thread reads a passphrase; where this is a library nobody has taken them out before.
    env: withoutSecrets(process.env),
    // Options of the program that uses us may not be for threads: with --input-type they do not start.
    execArgv: [],
  });
}
