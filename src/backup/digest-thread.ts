/**
 * The checksums of whole large files, made by the thread beside the run while the run cuts, hashes
 * and stores their blocks. Called by block-cutter.
 *
 * The bytes stay where they were read, in two windows of shared memory by turns: at most two tasks
 * are on their way, so the window that is filled next is not in use. What a task fails with is
 * thrown by the next call.
 */
import { LbsError } from '../errors.ts';
import type { ContentDigests, DigestAnswer, DigestTask } from './content-digests.ts';
import type { SideThread } from './side-thread.ts';

/** As many as there are windows. */
const TASKS_MAX = 2;

export class DigestThread {
  readonly #thread: SideThread;
  readonly #memory: SharedArrayBuffer;
  /** Tasks that are not known to be done, oldest first. */
  readonly #active: Promise<DigestAnswer>[] = [];

  /** `memory` is what the bytes of all tasks are in. */
  constructor(thread: SideThread, memory: SharedArrayBuffer) {
    this.#thread = thread;
    this.#memory = memory;
  }

  /** Resolves when no more than `max` tasks are on their way. @throws {LbsError} internal */
  async #atMost(max: number): Promise<void> {
    while (this.#active.length > max) {
      const first = this.#active[0];
      // One that failed stays, and is thrown by all calls to come.
      await first;
      if (this.#active[0] === first) void this.#active.shift();
    }
  }

  async #send(task: DigestTask): Promise<void> {
    await this.#atMost(TASKS_MAX - 1);
    const answer = this.#thread.digests(task);
    answer.catch(() => undefined);
    this.#active.push(answer);
  }

  /** The digests of one more file; what is left of another one is dropped. */
  async begin(): Promise<ContentDigests> {
    // Tasks of a file that could not be read to its end may still use a window.
    await this.#atMost(0);
    await this.#send({ kind: 'begin' });
    const memory = this.#memory;
    return {
      update: async ({ byteOffset: start, length }) => {
        await this.#send({ kind: 'bytes', memory, start, length });
      },
      room: () => this.#atMost(TASKS_MAX - 1),
      zeros: (length) => this.#send({ kind: 'zeros', length }),
      finish: async () => {
        await this.#send({ kind: 'end' });
        const digests = await this.#active.at(-1);
        if (digests === undefined) throw new LbsError('internal', 'no checksums were made');
        return digests;
      },
    };
  }
}
