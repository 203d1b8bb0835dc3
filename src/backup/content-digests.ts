/**
 * The checksums of a whole file, SHA-1 and SHA-256, while it passes piece by piece. Small files
 * are hashed where they are read, large ones by a thread (digest-thread).
 */
import { createHash } from 'node:crypto';

export type WholeDigests = { readonly sha1: string; readonly sha256: string };

/** Takes a file's bytes in order; of no use after `finish`. */
export interface ContentDigests {
  /** Bytes may be hashed later: those of the update before are in use until `room` resolves. */
  update(bytes: Buffer): Promise<void>;
  /** Resolves when no bytes are in use but those of the last update. */
  room(): Promise<void>;
  zeros(length: number): Promise<void>;
  finish(): Promise<WholeDigests>;
}

const ZEROS = Buffer.alloc(1024 * 1024);

/** Both checksums at once. */
export class DigestPair {
  readonly #sha1 = createHash('sha1');
  readonly #sha256 = createHash('sha256');

  update(bytes: Uint8Array): void {
    this.#sha1.update(bytes);
    this.#sha256.update(bytes);
  }

  zeros(length: number): void {
    for (let left = length; left > 0; left -= ZEROS.length) {
      this.update(left < ZEROS.length ? ZEROS.subarray(0, left) : ZEROS);
    }
  }

  digests(): WholeDigests {
    return { sha1: this.#sha1.digest('hex'), sha256: this.#sha256.digest('hex') };
  }
}

/** What a thread is to do for the files that it hashes, one after the other. */
export type DigestTask =
  | { readonly kind: 'begin' }
  | {
      readonly kind: 'bytes';
      readonly memory: SharedArrayBuffer;
      readonly start: number;
      readonly length: number;
    }
  | { readonly kind: 'zeros'; readonly length: number }
  | { readonly kind: 'end' };

/** Undefined for everything but the end. */
export type DigestAnswer = WholeDigests | undefined;

/** In the thread: hashes what it is told of. */
export class TaskDigests {
  #pair = new DigestPair();

  do(task: DigestTask): DigestAnswer {
    switch (task.kind) {
      case 'begin':
        this.#pair = new DigestPair();
        return undefined;
      case 'bytes':
        this.#pair.update(new Uint8Array(task.memory, task.start, task.length));
        return undefined;
      case 'zeros':
        this.#pair.zeros(task.length);
        return undefined;
      case 'end':
        return this.#pair.digests();
    }
  }
}

/** Hashes at once, in the thread that calls. */
export class DigestsHere implements ContentDigests {
  readonly #pair = new DigestPair();

  update(bytes: Buffer): Promise<void> {
    this.#pair.update(bytes);
    return Promise.resolve();
  }

  room(): Promise<void> {
    return Promise.resolve();
  }

  zeros(length: number): Promise<void> {
    this.#pair.zeros(length);
    return Promise.resolve();
  }

  finish(): Promise<WholeDigests> {
    return Promise.resolve(this.#pair.digests());
  }
}
