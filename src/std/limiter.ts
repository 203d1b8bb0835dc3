/**
 * A counting limit on work in flight: the only form of queue in the program. `acquire` waits
 * while `max` holders are active, and that wait is the back-pressure.
 */
export class Limiter {
  readonly #max: number;
  #active = 0;
  #waiting: (() => void)[] = [];

  constructor(max: number) {
    this.#max = max;
  }

  /** Resolves when a place is free; the caller must call `release` once. */
  async acquire(): Promise<void> {
    if (this.#active < this.#max) {
      this.#active++;
      return;
    }
    // The releaser hands its place over, so #active does not change here.
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  /** Undefined while a place is free, else resolves when one was. */
  room(): Promise<void> | undefined {
    if (this.#active < this.#max) return undefined;
    return this.acquire().then(() => this.release());
  }

  release(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#active--;
  }
}
