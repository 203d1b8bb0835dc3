/**
 * Reads large files through a window of memory and cuts them into blocks there, for
 * store-content. Where the blocks end is decided by cut-points, never by where a read ends.
 */
import type { Extent, SourceContent } from '../sources/source.ts';
import { CUT_BYTES_MAX, cutLength } from './cut-points.ts';

/** Of its begin up to one block is copied there from its end, for every three that are read. */
const WINDOW_BYTES = 4 * CUT_BYTES_MAX;

export class BlockCutter {
  /** Of this run alone, and only in runs that need it. */
  #window: Buffer | undefined;

  /**
   * The blocks of one stretch of data, in order; fewer bytes in all than the stretch has, when the
   * file ends before it. A block is valid until the next one is asked for.
   * @throws {SourceTrouble} unreadable
   */
  *blocks(content: SourceContent, { start, length }: Extent): Generator<Buffer> {
    this.#window ??= Buffer.allocUnsafeSlow(WINDOW_BYTES);
    const window = this.#window;
    /** Bytes from `from` to `to` of the window are read and not yet cut. */
    let [from, to] = [0, 0];
    /** Bytes of the stretch that are not read yet. */
    let left = length;
    for (;;) {
      if (to - from < CUT_BYTES_MAX && left > 0) {
        window.copyWithin(0, from, to);
        [from, to] = [0, to - from];
        const wanted = Math.min(left, WINDOW_BYTES - to);
        const count = content.read(window.subarray(to), start + length - left, wanted);
        to += count;
        left = count < wanted ? 0 : left - count;
      }
      if (from === to) return;
      const size = cutLength(window.subarray(from, Math.min(from + CUT_BYTES_MAX, to)));
      yield window.subarray(from, from + size);
      from += size;
    }
  }
}
