/**
 * Lines to a stream of this process, gathered into larger writes. A reader that went away
 * (`lbs ls | head`) is not an error: lines are dropped from then on and `isClosed` says so.
 * A backup goes on without its reader; a listing has nothing left to do and stops.
 */
import type { Writable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import { errnoName } from '../errors.ts';
import { safeLine } from '../std/byte-path.ts';

/** Large enough that a listing of a million names is not a million writes. */
const BUFFERED_CHARS_MAX = 16 * 1024;
/** Between two turns of the event loop: a stream that takes everything at once gives it none. */
const LINES_PER_TURN = 1000;

export class Output {
  readonly #stream: Writable;
  readonly #isBuffered: boolean;
  #pending = '';
  #untilTurn = LINES_PER_TURN;
  #isClosed = false;
  #failure: Error | undefined;

  /** `isBuffered`: hold lines back until there are many, or `flush`. */
  constructor(stream: Writable, isBuffered = false) {
    this.#stream = stream;
    this.#isBuffered = isBuffered;
    stream.on('error', (error) => {
      if (errnoName(error) !== 'EPIPE') this.#failure ??= error;
      this.#isClosed = true;
    });
  }

  /** True when nobody reads any more. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Why lines were lost although somebody reads: a full disk, say. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /**
   * Writes a line; never waits. `text` has no line end. What a terminal would not just print is
   * escaped here at the latest, in JSON too: a program may show what it is given.
   */
  line(text: string): void {
    this.#pending += `${safeLine(text)}\n`;
    if (!this.#isBuffered || this.#pending.length >= BUFFERED_CHARS_MAX) this.#write();
  }

  /** Writes as it is, without a line end. */
  raw(text: string): void {
    this.#pending += text;
    this.#write();
  }

  /** Resolves when the stream has taken everything, so that the process may end. */
  async flush(): Promise<void> {
    this.#write();
    // What failed is told by an event, after the write has returned.
    await turn();
    if (this.#isClosed || this.#stream.writableLength === 0) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        this.#stream.off('error', done);
        resolve();
      };
      this.#stream.once('error', done);
      this.#stream.write('', done);
    });
  }

  /**
   * Asked after each line of a listing: waits while the stream holds more than it wants to, and
   * gives signals their turn. @throws the reason of `signal` once it is aborted
   */
  async room(signal: AbortSignal): Promise<void> {
    if (this.#stream.writableNeedDrain) await this.flush();
    if (--this.#untilTurn > 0) return;
    this.#untilTurn = LINES_PER_TURN;
    await turn();
    signal.throwIfAborted();
  }

  #write(): void {
    const text = this.#pending;
    this.#pending = '';
    if (text !== '' && !this.#isClosed) this.#stream.write(text);
  }
}
