/**
 * Records that are numbered from 1, added once, and mostly read in their order: pages of them,
 * some in memory and the others in an unnamed temporary file.
 *
 * Used by restore-ledger.ts. As rows of a database each record cost 2.5 us to add and as much to
 * read, with a piece of memory of its own that the collector had to find again.
 */
import { SpoolFile, type Spooled } from '../std/spool-file.ts';

/** Some 120 records of a restore; read at once. */
const PAGE_BYTES = 32 * 1024;
/** Pages that were read from the file and are kept: 2 MiB. */
const PAGES_MAX = 64;
/** Before each record, its length. */
const LENGTH_BYTES = 4;

type Page = {
  readonly firstId: number;
  readonly bytes: Buffer;
  /** Where each record begins, and where the last one ends. */
  readonly starts: Uint32Array;
};

export class RecordFile {
  readonly #spool = new SpoolFile({ memoryBytesMax: 0 });
  readonly #written: Spooled[] = [];
  /** The first id in each page, also of the one being filled. */
  readonly #firstIds: number[] = [1];
  /** By their place in `#written`; the least recently used first. */
  readonly #read = new Map<number, Page>();
  #filling = Buffer.allocUnsafeSlow(PAGE_BYTES);
  #filled = 0;
  #lastId = 0;
  /** The page that was asked for last. */
  #current: Page | undefined;

  /** Adds a copy of `record`; its id is one more than that of the one before. */
  add(record: Buffer): void {
    const bytes = LENGTH_BYTES + record.length;
    if (this.#filled + bytes > this.#filling.length) this.#turnPage(bytes);
    this.#filled = this.#filling.writeUInt32LE(record.length, this.#filled);
    this.#filled += record.copy(this.#filling, this.#filled);
    this.#lastId++;
  }

  /** A record, not to be changed; it stays as it is. @throws {RangeError} when there is none */
  get(id: number): Buffer {
    if (id < 1 || id > this.#lastId) throw new RangeError(`there is no record ${id}`);
    const page = this.#pageOf(id);
    const at = id - page.firstId;
    const start = page.starts[at] ?? 0;
    return page.bytes.subarray(start + LENGTH_BYTES, page.starts[at + 1]);
  }

  close(): void {
    this.#read.clear();
    this.#current = undefined;
    this.#spool.close();
  }

  /** Writes the page, and begins one that has room for `bytes`. */
  #turnPage(bytes: number): void {
    if (this.#filled > 0) {
      this.#written.push(this.#spool.put(this.#filling.subarray(0, this.#filled)));
      this.#firstIds.push(this.#lastId + 1);
    }
    if (bytes > this.#filling.length) this.#filling = Buffer.allocUnsafeSlow(bytes);
    this.#filled = 0;
  }

  #pageOf(id: number): Page {
    const current = this.#current;
    if (current && id >= current.firstId && id < current.firstId + current.starts.length - 1) {
      return current;
    }
    const index = this.#indexOf(id);
    const page = this.#read.get(index) ?? this.#load(index);
    if (index < this.#written.length) {
      this.#read.delete(index);
      this.#read.set(index, page);
      this.#current = page;
    }
    return page;
  }

  /** The page that has record `id`. */
  #indexOf(id: number): number {
    let low = 0;
    let high = this.#firstIds.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.#firstIds[middle] ?? 0) <= id) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #load(index: number): Page {
    const spooled = this.#written[index];
    // A copy of the last one, which may still be written to.
    const bytes = spooled
      ? this.#spool.get(spooled)
      : Buffer.from(this.#filling.subarray(0, this.#filled));
    const starts: number[] = [];
    for (let at = 0; at < bytes.length; at += LENGTH_BYTES + bytes.readUInt32LE(at))
      starts.push(at);
    starts.push(bytes.length);
    const oldest = this.#read.keys().next().value;
    if (this.#read.size >= PAGES_MAX && oldest !== undefined) this.#read.delete(oldest);
    return { firstId: this.#firstIds[index] ?? 1, bytes, starts: Uint32Array.from(starts) };
  }
}
