/**
 * Large buffers for tar bytes on their way through a codec, and the limit on how many are being
 * compressed at once. Waiting for that limit is the back-pressure on the scan; memory is bounded
 * by it plus one buffer for each open segment. Reused, because a fresh buffer costs a page fault
 * every 4 KiB.
 */
import { Limiter } from '../std/limiter.ts';

export class PiecePool {
  /** Pieces being compressed or written. */
  readonly inFlight: Limiter;
  readonly #free: Buffer[] = [];
  readonly #sizeBytes: number;

  constructor(inFlightMax: number, sizeBytes: number) {
    this.inFlight = new Limiter(inFlightMax);
    this.#sizeBytes = sizeBytes;
  }

  /** A buffer of arbitrary content; give it back. */
  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(this.#sizeBytes);
  }

  giveBack(piece: Buffer): void {
    this.#free.push(piece);
  }
}
