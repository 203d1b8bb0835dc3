/**
 * The line of the stat cache that says what `statx` said of an entry.
 *
 *     <content identity>|<the rest of its status>[?]      `?`: must be looked at again
 *
 * Written as bytes, because that is how the line of the run before is compared: a string for each
 * entry took 1.2 us, the digits in a reused array take 0.25.
 */
import type { FileStatus, Timespec } from '../posix/file-status.ts';

/** Longer than any line: each number has at most 20 digits. */
const LINE_BYTES_MAX = 512;
const ZERO = 0x30;
const BLANK = 0x20;
const DOT = 0x2e;
const MINUS = 0x2d;
const BAR = 0x7c;
const UNTRUSTED = '?';
/** The line of an entry that `rebuild` knew from a snapshot: no status is known, only its content. */
export const REBUILT = '-?';
/** Stands for the inode where a snapshot does not say it. */
export const UNKNOWN_INODE = '-';
export const REBUILT_BYTE = 0x2d;
export const UNTRUSTED_BYTE = 0x3f;

const SMALL_MAX = 0x7fffffff;
const BILLION = 1_000_000_000;
const BILLION_DIGITS = 9;

/** The digits of 00 to 99. */
const PAIRS = Uint8Array.from({ length: 200 }, (_, at) => {
  const number = at >> 1;
  return ZERO + (at % 2 === 0 ? Math.floor(number / 10) : number % 10);
});

/** The line of one entry, in memory that the next `set` uses again. */
export class StatusLine {
  readonly bytes = new Uint8Array(LINE_BYTES_MAX);
  length = 0;
  /** Up to and with the `|`: what identifies the content. */
  contentLength = 0;

  /**
   * Up to the `|` it identifies the content: type, inode, size and both times; the device is not
   * in it, because devices are renumbered.
   */
  set(status: FileStatus): this {
    const { type, mode, uid, gid, links, device } = status;
    this.length = 0;
    if (type !== undefined) this.#text(type);
    this.#word(status.inode);
    // A directory's size says nothing that its times do not, and differs between filesystems.
    this.#number(type === 'f' ? status.sizeBytes : 0);
    this.#moment(status.mtime);
    this.#moment(status.ctime);
    this.bytes[this.length++] = BAR;
    this.contentLength = this.length;
    this.#octal(mode);
    this.#number(uid);
    this.#number(gid);
    const linked = type === 'd' ? 1 : links;
    this.#number(linked);
    this.#moment(status.btime);
    this.#word(status.rdev);
    this.#number(status.attributes);
    // Inode and device matter to the stanza only where they tie hard links together.
    this.#word(linked > 1 ? device : '');
    return this;
  }

  /** Latin-1 text of the line. */
  toString(): string {
    return Buffer.from(this.bytes.buffer, 0, this.length).toString('latin1');
  }

  #text(text: string): void {
    for (let at = 0; at < text.length; at++) this.bytes[this.length++] = text.charCodeAt(at);
  }

  #word(text: string): void {
    this.bytes[this.length++] = BLANK;
    this.#text(text);
  }

  #number(value: number): void {
    this.bytes[this.length++] = BLANK;
    this.#digits(value);
  }

  #moment(time: Timespec | undefined): void {
    this.bytes[this.length++] = BLANK;
    if (time === undefined) {
      this.bytes[this.length++] = MINUS;
      return;
    }
    if (time.s < 0) this.bytes[this.length++] = MINUS;
    this.#digits(Math.abs(time.s));
    this.bytes[this.length++] = DOT;
    this.#digits(time.ns);
  }

  #octal(value: number): void {
    let shift = 0;
    while (value >> shift > 7) shift += 3;
    for (; shift >= 0; shift -= 3) this.bytes[this.length++] = ZERO + ((value >> shift) & 7);
  }

  /** Decimal digits of a whole number below 2^63; most are small, which is divided faster. */
  #digits(value: number): void {
    if (value > SMALL_MAX) {
      const high = Math.floor(value / BILLION);
      this.#digits(high);
      this.#padded(value - high * BILLION, BILLION_DIGITS);
      return;
    }
    let count = 1;
    for (let limit = 10; value >= limit; limit *= 10) count++;
    this.#padded(value, count);
  }

  /** Two digits at a time: dividing is what takes the time. */
  #padded(value: number, count: number): void {
    let rest = value | 0;
    this.length += count;
    let at = this.length;
    for (let left = count; left > 1; left -= 2) {
      const hundredth = (rest / 100) | 0;
      const pair = 2 * (rest - hundredth * 100);
      this.bytes[--at] = PAIRS[pair + 1] ?? ZERO;
      this.bytes[--at] = PAIRS[pair] ?? ZERO;
      rest = hundredth;
    }
    if (count % 2 === 1) this.bytes[--at] = ZERO + rest;
  }
}

const scratch = new StatusLine();

/** The line as text. */
export function statusLine(status: FileStatus): string {
  return scratch.set(status).toString();
}

/** The same line, marked "look again whatever the times say". */
export function untrusted(line: string): string {
  return line + UNTRUSTED;
}
