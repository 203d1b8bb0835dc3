/**
 * The chunks of a stream, and of bytes sent through a decoder, for the readers of segments.
 *
 * Iterating over a stream directly throws away what it had read when it fails. Here everything
 * before the damage is given out first, because those objects are still good. Reads ahead by a
 * bounded amount, so a decoder or a child works on while the chunks before are used.
 */
import { read } from 'node:fs';
import { Readable, type Duplex } from 'node:stream';
import { promisify } from 'node:util';
import type { OpenFile } from '../stores/store.ts';

const readAsync = promisify(read);

const READ_BYTES = 1024 * 1024;

/** Bytes read ahead of the consumer. */
const AHEAD_BYTES_MAX = 4 * 1024 * 1024;

/** The bytes of a file; with `reuse` a chunk is valid until the next one is asked for. */
export async function* readChunks(file: OpenFile, reuse: boolean): AsyncGenerator<Buffer> {
  let buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  for (let position = 0; ;) {
    const { bytesRead } = await readAsync(file.fd, buffer, 0, READ_BYTES, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
    // A decoder may still be reading what it was given.
    if (!reuse) buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  }
}

/**
 * Gives out the chunks of `stream`, then throws its error if it has one. Destroys the stream
 * when the consumer stops early. A chunk stays valid for as long as it is held.
 */
export async function* chunksOf(stream: Readable): AsyncGenerator<Buffer> {
  const queue: Buffer[] = [];
  let queuedBytes = 0;
  let ended = false;
  let failure: unknown;
  let wake = () => undefined as void;
  stream.on('data', (chunk: Buffer) => {
    queue.push(chunk);
    queuedBytes += chunk.length;
    if (queuedBytes > AHEAD_BYTES_MAX) stream.pause();
    wake();
  });
  stream.on('error', (error) => {
    failure = error;
  });
  stream.on('close', () => {
    ended = true;
    wake();
  });
  stream.on('end', () => {
    ended = true;
    wake();
  });
  try {
    for (;;) {
      const chunk = queue.shift();
      if (chunk !== undefined) {
        queuedBytes -= chunk.length;
        if (stream.isPaused()) stream.resume();
        yield chunk;
      } else if (failure !== undefined) {
        throw failure;
      } else if (ended) {
        return;
      } else {
        await new Promise<void>((resolve) => (wake = resolve));
      }
    }
  } finally {
    stream.destroy();
  }
}

/** What `decoder` makes of `pieces`; throws the error of either. */
export async function* decoded(
  pieces: AsyncIterable<Buffer> | Iterable<Buffer>,
  decoder: Duplex,
): AsyncGenerator<Buffer> {
  const input = Readable.from(pieces, { objectMode: true, highWaterMark: 1 });
  let inputFailure: unknown;
  input.on('error', (error) => {
    // The decoder first gives out what it has; ending it early would only add a second error.
    inputFailure = error;
    decoder.destroy(error);
  });
  try {
    yield* chunksOf(input.pipe(decoder));
    if (inputFailure !== undefined) throw inputFailure;
  } finally {
    input.destroy();
    decoder.destroy();
  }
}
