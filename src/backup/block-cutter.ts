/**
 * Reads large files through a window of memory and cuts them into blocks there, for
 * store-content. Where the blocks end is decided by cut-points, or at multiples of a size where
 * in-place-formats says so; never by where a read ends.
 */
import type { Extent, SourceContent } from '../sources/source.ts';
import { CUT_BYTES_MAX, cutLength } from './cut-points.ts';
import { HEAD_BYTES, inPlaceBlockBytes } from './in-place-formats.ts';

/** Of its begin up to one block is copied there from its end, for every three that are read. */
const WINDOW_BYTES = 4 * CUT_BYTES_MAX;

/**
 * Length of the block that begins with `next`, at `at` of the file. `next` holds `CUT_BYTES_MAX`
 * bytes, or all that are left of a stretch of data.
 */
export type CutRule = (next: Buffer, at: number) => number;

export class BlockCutter {
  /** Of this run alone, and only in runs that need it. */
  #window: Buffer | undefined;

  /** How a file is cut. @throws {SourceTrouble} unreadable */
  ruleFor(content: SourceContent): CutRule {
    const head = Buffer.alloc(HEAD_BYTES);
    content.read(head, 0, HEAD_BYTES);
    const size = inPlaceBlockBytes(head, content.status.sizeBytes);
    if (size === undefined) return cutLength;
    return (next, at) => Math.min(next.length, size - (at % size));
  }

  /**
   * The blocks of one stretch of data, in order; fewer bytes in all than the stretch has, when the
   * file ends before it. A block is valid until the next one is asked for.
   * @throws {SourceTrouble} unreadable
   */
  *blocks(content: SourceContent, { start, length }: Extent, rule: CutRule): Generator<Buffer> {
    this.#window ??= Buffer.allocUnsafeSlow(WINDOW_BYTES);
    const window = this.#window;
    let end = start + length;
    /** What is read and not yet cut: where in the window, and where in the file it begins. */
    let [from, to, at] = [0, 0, start];
    for (;;) {
      const next = at + to - from;
      if (to - from < CUT_BYTES_MAX && next < end) {
        window.copyWithin(0, from, to);
        [from, to] = [0, to - from];
        const wanted = Math.min(end - next, WINDOW_BYTES - to);
        const count = content.read(window.subarray(to), next, wanted);
        to += count;
        if (count < wanted) end = next + count;
      }
      if (from === to) return;
      const size = rule(window.subarray(from, Math.min(from + CUT_BYTES_MAX, to)), at);
      yield window.subarray(from, from + size);
      from += size;
      at += size;
    }
  }
}
