/** Reads a stretch of a text file in large pieces: lines, and runs of a known length. */
import { readSync } from 'node:fs';

const PIECE_BYTES = 256 * 1024;
/** The longest are references and names of accounts. */
const LINE_BYTES_MAX = 1024 * 1024;
const NEWLINE = 0x0a;

export class LineReader {
  readonly #fd: number;
  readonly #end: number;
  #at: number;
  #buffer: Buffer = Buffer.alloc(0);
  #start = 0;
  #size = 0;

  /** Lines of `fd` between two offsets. */
  constructor(fd: number, range: { start: number; end: number }) {
    this.#fd = fd;
    this.#at = range.start;
    this.#end = range.end;
  }

  /**
   * The next line as Latin-1 text, without its newline; undefined at the end, and where what
   * comes is no line: a power cut can leave gigabytes of zeros.
   */
  line(): string | undefined {
    for (let searched = this.#start; ;) {
      const found = this.#buffer.indexOf(NEWLINE, searched);
      // Beyond #size the buffer holds remains of what was read before.
      if (found >= 0 && found < this.#size) {
        const line = this.#buffer.toString('latin1', this.#start, found);
        this.#start = found + 1;
        return line;
      }
      const isTooLong = this.#size - this.#start > LINE_BYTES_MAX;
      if (isTooLong || !this.#fill(PIECE_BYTES)) return undefined;
      searched = this.#start;
    }
  }

  /** The next `length` bytes, valid until the next call; undefined when there are fewer. */
  bytes(length: number): Buffer | undefined {
    while (this.#size - this.#start < length) {
      if (!this.#fill(Math.max(PIECE_BYTES, length))) return undefined;
    }
    const bytes = this.#buffer.subarray(this.#start, this.#start + length);
    this.#start += length;
    return bytes;
  }

  /** Where in the file the next line begins. */
  get position(): number {
    return this.#at - (this.#size - this.#start);
  }

  /** True when nothing is left. */
  isAtEnd(): boolean {
    return this.#start >= this.#size && this.#at >= this.#end;
  }

  /** Moves what is left to the front and reads on; the buffer only grows for a long run. */
  #fill(most: number): boolean {
    const wanted = Math.min(most, this.#end - this.#at);
    if (wanted <= 0) return false;
    const rest = this.#size - this.#start;
    if (rest + wanted > this.#buffer.length) {
      const grown = Buffer.allocUnsafeSlow(2 * (rest + wanted));
      this.#buffer.copy(grown, 0, this.#start, this.#size);
      this.#buffer = grown;
    } else {
      this.#buffer.copyWithin(0, this.#start, this.#size);
    }
    const count = readSync(this.#fd, this.#buffer, rest, wanted, this.#at);
    this.#at += count;
    this.#start = 0;
    this.#size = rest + count;
    return count > 0;
  }
}
