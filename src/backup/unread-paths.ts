/**
 * What a backup could not read, and so is not, or not wholly, in its snapshot: the paths, for the
 * descriptor. `lbs restore --delete` must not take them for things that were gone by then.
 *
 * Filled by store-entry.ts, published by run-backup.ts.
 */
import { type BytePath, TOP } from '../std/byte-path.ts';

/** A descriptor is read whole by every listing, so it does not grow with a failing disk. */
const PATHS_MAX = 1000;
const BYTES_MAX = 64 * 1024;

export class UnreadPaths {
  #paths: BytePath[] = [];
  #bytes = 0;
  #isTooMuch = false;

  add(path: BytePath): void {
    this.#bytes += path.length;
    this.#isTooMuch ||= this.#paths.length >= PATHS_MAX || this.#bytes > BYTES_MAX;
    if (this.#isTooMuch) this.#paths = [];
    else this.#paths.push(path);
  }

  /** The top where there are too many: then anything may be missing. */
  get paths(): readonly BytePath[] {
    return this.#isTooMuch ? [TOP] : this.#paths;
  }
}
