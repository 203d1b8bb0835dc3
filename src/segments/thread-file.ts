/**
 * Files of segments that a thread makes beside the run: what is asked of it, what answers there,
 * and a file that asks. Where the thread comes from is the caller's business (backup/side-thread).
 */
import { availableParallelism } from 'node:os';
import { LbsError } from '../errors.ts';
import { CompressedFile, Compressors } from './compressed-file.ts';
import type { Codec } from './filter.ts';
import type { MessageStart } from './encrypt-segment.ts';
import type { FilteredFile, PieceFile } from './filter-sink.ts';
import type { BeginMessage } from './recipients.ts';

type Work =
  | { readonly kind: 'piece'; readonly memory: SharedArrayBuffer; readonly sizeBytes: number }
  | { readonly kind: 'finish' }
  | { readonly kind: 'abort' };

/** A file begins with its first task; `fd` stays open until it is finished or aborted. */
export type SegmentTask = Work & {
  /** Tells the files of a run apart. */
  readonly file: number;
  readonly fd: number;
  /** The same in all tasks. */
  readonly codec: Codec;
  /** What the file begins with when it is encrypted; the same in all its tasks. */
  readonly message: MessageStart | undefined;
};

/** Bytes that a piece came to, or the finished file. */
export type SegmentAnswer = number | FilteredFile | undefined;

/** Gives a task to the thread. */
export type AskThread = (task: SegmentTask) => Promise<SegmentAnswer>;

/** In the thread: all files of a run. */
export class ThreadFiles {
  readonly #files = new Map<number, CompressedFile>();
  #compressors: Compressors | undefined;

  async do(task: SegmentTask): Promise<SegmentAnswer> {
    const file = this.#of(task);
    switch (task.kind) {
      case 'piece':
        return await file.append(Buffer.from(task.memory, 0, task.sizeBytes));
      case 'finish':
        return await file.finish().finally(() => this.#files.delete(task.file));
      case 'abort':
        this.#files.delete(task.file);
        await file.abort();
        return undefined;
    }
  }

  #of({ file, fd, codec, message }: SegmentTask): CompressedFile {
    let made = this.#files.get(file);
    if (made === undefined) {
      this.#compressors ??= new Compressors(codec, availableParallelism());
      this.#files.set(file, (made = new CompressedFile(fd, this.#compressors, message)));
    }
    return made;
  }
}

/** In the run: one of them. Pieces are in memory that is shared. */
export class ThreadFile implements PieceFile {
  readonly #ask: (work: Work) => Promise<SegmentAnswer>;

  constructor(
    ask: AskThread,
    of: Pick<SegmentTask, 'file' | 'fd' | 'codec'>,
    begin?: BeginMessage,
  ) {
    if (begin === undefined) {
      this.#ask = (work) => ask({ ...work, ...of, message: undefined });
      return;
    }
    // Tasks wait for it in the order in which they are given.
    const begun = begin();
    begun.catch(() => undefined);
    this.#ask = async (work) => await ask({ ...work, ...of, message: await begun });
  }

  async append(piece: Buffer): Promise<number> {
    const { buffer: memory } = piece;
    if (!(memory instanceof SharedArrayBuffer)) {
      throw new LbsError('internal', 'a piece is in memory that is not shared');
    }
    return Number(await this.#ask({ kind: 'piece', memory, sizeBytes: piece.length }));
  }

  async finish(): Promise<FilteredFile> {
    const answer = await this.#ask({ kind: 'finish' });
    if (typeof answer !== 'object') throw new LbsError('internal', 'no segment was made');
    const { sha1, sha256, storedBytes } = answer;
    // Buffers arrive as plain arrays.
    return { sha1: Buffer.from(sha1), sha256: Buffer.from(sha256), storedBytes };
  }

  async abort(): Promise<void> {
    await this.#ask({ kind: 'abort' }).catch(() => undefined);
  }
}
