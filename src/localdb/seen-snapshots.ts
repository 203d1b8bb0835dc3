/**
 * What this machine has seen of a store: names of snapshots of the schemes that it backs up, and of
 * some the SHA-256 of the descriptor. So it can tell when one is gone that nobody has forgotten, or
 * the store is an older state of itself.
 *
 * A small text beside the database and not a table in it, because verify reads it and may not
 * write, which SQLite does even then. It is of one store, told by its path: a copy elsewhere has a
 * history of its own. Deleting it means that what is in the store now is believed.
 * Format: lbs-localdb(5), "SEEN SNAPSHOTS".
 */
import {
  closeSync,
  fsyncSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { LbsError, errnoName, isOutOfSpace, messageOf } from '../errors.ts';
import { parseSnapshotName } from '../format/snapshot-name.ts';
import { uriEscape } from '../format/uri-escape.ts';

const HEADING = 'lbs seen 1';
const NOT_KNOWN = '-';
const LINE = /^(\S+) ([0-9a-f]{64}|-)$/;
/** Names and digests of everything that is backed up stand beside it: the owner's alone. */
const FILE_MODE = 0o600;

/** However it was written; of a store that is no directory what people call it. */
function realPlace(place: string): string {
  try {
    return realpathSync(place);
  } catch {
    return place;
  }
}

export class SeenSnapshots {
  readonly file: string;
  readonly #place: string;
  readonly #digests = new Map<string, string | undefined>();
  #isChanged = false;

  private constructor(file: string, place: string) {
    this.file = file;
    this.#place = uriEscape(Buffer.from(place));
  }

  /** Nothing seen yet, whatever there is in `directory`. */
  static anew(directory: string, place: string): SeenSnapshots {
    return new SeenSnapshots(join(directory, 'lbs-seen'), realPlace(place));
  }

  /**
   * Reads what the local database in `directory` has seen of the store at `place`; nothing where
   * there is no file, or it is of another place. @throws {LbsError} io, localdb-corrupt
   */
  static open(directory: string, place: string): SeenSnapshots {
    const seen = SeenSnapshots.anew(directory, place);
    let text: string;
    try {
      text = readFileSync(seen.file, 'latin1');
    } catch (error) {
      if (['ENOENT', 'ENOTDIR'].includes(errnoName(error) ?? '')) return seen;
      throw new LbsError('io', `cannot read ${seen.file}: ${messageOf(error)}`, { cause: error });
    }
    seen.#read(text);
    return seen;
  }

  #read(text: string): void {
    const [heading, place, ...lines] = text.split('\n');
    if (heading !== HEADING || lines.at(-1) !== '') throw this.#damaged();
    if (place !== this.#place) return;
    for (const line of lines.slice(0, -1)) {
      const [, name = '', digest] = LINE.exec(line) ?? [];
      if (parseSnapshotName(name) === undefined) throw this.#damaged();
      this.#digests.set(name, digest === NOT_KNOWN ? undefined : digest);
    }
  }

  #damaged(): LbsError {
    return new LbsError('localdb-corrupt', `${this.file} is damaged`, {
      hint: `it tells whether snapshots have gone from the store. Look whether all are there (lbs list), then: rm ${this.file}`,
    });
  }

  /** Names that were seen, and the SHA-256 of their descriptors where that is known. */
  get snapshots(): ReadonlyMap<string, string | undefined> {
    return this.#digests;
  }

  /** Remembers a snapshot; a digest that is known stays when no other is given. */
  add(name: string, sha256?: string): void {
    if (this.#digests.has(name) && this.#digests.get(name) === (sha256 ?? this.#digests.get(name)))
      return;
    this.#digests.set(name, sha256);
    this.#isChanged = true;
  }

  /** Forgets a snapshot that was taken out on purpose. */
  delete(name: string): void {
    if (this.#digests.delete(name)) this.#isChanged = true;
  }

  /** Makes it durable, at once or not at all. @throws {LbsError} io, no-space */
  save(): void {
    if (!this.#isChanged) return;
    const lines = [...this.#digests].map(([name, sha256]) => `${name} ${sha256 ?? NOT_KNOWN}\n`);
    const text = `${HEADING}\n${this.#place}\n${lines.sort().join('')}`;
    try {
      const fd = openSync(`${this.file}.new`, 'w', FILE_MODE);
      try {
        for (let rest = Buffer.from(text, 'latin1'); rest.length > 0;) {
          rest = rest.subarray(writeSync(fd, rest));
        }
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
      renameSync(`${this.file}.new`, this.file);
      this.#isChanged = false;
    } catch (cause) {
      const code = isOutOfSpace(cause) ? 'no-space' : 'io';
      throw new LbsError(code, `cannot write ${this.file}: ${messageOf(cause)}`, { cause });
    }
  }
}
