/**
 * Bytes to standard output, for content and archives. A reader that went away is not an error.
 *
 * Files and devices are written here: the runtime's stream takes a write that the disk had room for
 * only in part for a whole one. Anything else is left to the stream, which waits for slow readers.
 */
import { fstatSync, writeSync } from 'node:fs';
import type { Writable } from 'node:stream';
import { isatty } from 'node:tty';
import { errnoName, isOutOfSpace, LbsError, messageOf } from '../errors.ts';

export class ByteOutput {
  readonly #stream: Writable;
  readonly #fd: number;
  readonly #isFile: boolean;

  /** `fd` is that of the stream, which has a listener for errors already. */
  constructor(stream: Writable, fd: number) {
    this.#stream = stream;
    this.#fd = fd;
    const status = fstatSync(fd);
    this.#isFile = status.isFile() || (status.isCharacterDevice() && !isatty(fd));
  }

  /**
   * Writes; resolves when `bytes` are not used any more. False when nobody reads.
   * @throws {LbsError} no-space, io
   */
  readonly write = async (bytes: Buffer): Promise<boolean> => {
    try {
      if (this.#isFile) this.#writeFile(bytes);
      else await this.#writeStream(bytes);
      return true;
    } catch (error) {
      const name = errnoName(error);
      if (name === 'EPIPE' || name === 'ERR_STREAM_DESTROYED') return false;
      const code = isOutOfSpace(error) ? 'no-space' : 'io';
      const message = `cannot write to standard output: ${messageOf(error)}`;
      throw new LbsError(code, message, { cause: error, hint: 'what was written is cut off' });
    }
  };

  #writeFile(bytes: Buffer): void {
    for (let at = 0; at < bytes.length;) at += writeSync(this.#fd, bytes, at);
  }

  #writeStream(bytes: Buffer): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#stream.write(bytes, (error) => (error ? reject(error) : resolve()));
    });
  }
}
