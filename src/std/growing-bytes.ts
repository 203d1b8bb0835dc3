/** Bytes that are put together piece by piece, in memory that is kept for the next time. */
export class GrowingBytes {
  #bytes: Buffer;
  #length = 0;

  /** Takes the size it is expected to have at most; more is possible. */
  constructor(expected: number) {
    this.#bytes = Buffer.allocUnsafeSlow(expected);
  }

  get length(): number {
    return this.#length;
  }

  /** Appends Latin-1 text. */
  addText(text: string): void {
    this.#reserve(text.length);
    this.#bytes.write(text, this.#length, 'latin1');
    this.#length += text.length;
  }

  /** Appends a range of other bytes. */
  addBytes(bytes: Buffer, start = 0, end = bytes.length): void {
    this.#reserve(end - start);
    bytes.copy(this.#bytes, this.#length, start, end);
    this.#length += end - start;
  }

  /** What was put together; valid until something is added or cleared. */
  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.#length);
  }

  clear(): void {
    this.#length = 0;
  }

  #reserve(more: number): void {
    const wanted = this.#length + more;
    if (wanted <= this.#bytes.length) return;
    const grown = Buffer.allocUnsafeSlow(2 * wanted);
    this.#bytes.copy(grown, 0, 0, this.#length);
    this.#bytes = grown;
  }
}
