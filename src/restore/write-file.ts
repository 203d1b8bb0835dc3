/**
 * One regular file on its way into the target: written aside under a temporary name in the same
 * directory, checked, given its attributes, and only then renamed into place.
 *
 * Called by restore-contents.ts (stored content, pieces in any order) and build-tree.ts (files
 * without stored content). Pieces that come in order are hashed as they pass; a file whose pieces
 * did not is read back once it is complete.
 *
 * Invariant: a wrong or incomplete file never has its final name.
 */
import { type Hash, createHash, hash } from 'node:crypto';
import { ftruncateSync, readSync, writeSync } from 'node:fs';
import { type Checksum, parseChecksum } from '../format/checksum.ts';
import { statusOf } from '../posix/file-status.ts';
import * as libc from '../posix/libc.ts';
import { O } from '../posix/libc.ts';
import { humanSize } from '../std/human-size.ts';
import { covers, partsOf, totalLength } from './byte-ranges.ts';
import { filledBytes } from './filled-holes.ts';
import type { LedgerEntry } from './restore-ledger.ts';
import type { AttributeSetter, Place, Warn } from './set-attributes.ts';
import { InTheWay, type Spot, type TargetTree } from './target-tree.ts';

const TEMPORARY_MODE = 0o600;
const CHUNK_BYTES = 1024 * 1024;
const ZEROS = Buffer.alloc(CHUNK_BYTES);

/** What the store gives is not the content that was recorded: damage of this one file. */
export class WrongContent extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'WrongContent';
  }
}

/** What every file needs on its way. */
export type FileMaker = {
  readonly tree: TargetTree;
  readonly attributes: AttributeSetter;
};

/** The part of it that a helper thread has as well. */
export type WholeFileMaker = {
  readonly tree: Pick<TargetTree, 'temporaryName' | 'at' | 'place'>;
  readonly attributes: AttributeSetter;
};

/** Does all steps at once. */
export function drain(steps: Iterable<number>): void {
  for (const _ of steps);
}

function writeAll(fd: number, bytes: Buffer, offset: number): void {
  for (let done = 0; done < bytes.length;) {
    done += writeSync(fd, bytes, done, bytes.length - done, offset + done);
  }
}

function mismatch(expected: Checksum): WrongContent {
  return new WrongContent(`its content does not have the recorded ${expected.algorithm} checksum`);
}

function expectedOf(entry: Pick<LedgerEntry, 'checksum'>): Checksum | undefined {
  return entry.checksum === undefined ? undefined : parseChecksum(entry.checksum);
}

function fileAt(fd: number, { dir, name }: Spot): Place {
  return { fd, pinned: false, isSymlink: false, dir: dir.fd, name };
}

/**
 * Writes a file whose whole content is at hand; it is checked before anything is made.
 * @throws {WrongContent}; {SystemError}, {InTheWay} with nothing left behind
 */
export function writeWholeFile(
  maker: WholeFileMaker,
  entry: Pick<LedgerEntry, 'id' | 'path' | 'checksum' | 'wish'>,
  content: Buffer,
  warn: Warn,
): void {
  const expected = expectedOf(entry);
  if (expected && hash(expected.algorithm, content, 'hex') !== expected.hex) {
    throw mismatch(expected);
  }
  const { tree } = maker;
  const temporary = tree.temporaryName(entry.id);
  tree.at(entry.path, (spot) => {
    const flags = O.WRONLY | O.CREAT | O.EXCL | O.NOFOLLOW;
    const fd = libc.openAt(spot.dir.fd, temporary, flags, TEMPORARY_MODE);
    let isOpen = true;
    try {
      writeAll(fd, content, 0);
      maker.attributes.setNew(fileAt(fd, spot), entry.wish, spot.dir, warn);
      // Before it has its name: some filesystems say only now that there was no room.
      isOpen = false;
      libc.close(fd);
      tree.place(entry.path, spot, temporary, entry.wish.mtime);
    } catch (error) {
      if (isOpen) libc.close(fd);
      libc.unlinkAt(spot.dir.fd, temporary);
      throw error;
    }
  });
}

/** A file that gets its content in pieces. Always ended by `place`, `discard` or `park`. */
export class AsideFile {
  readonly entry: LedgerEntry;
  readonly #maker: FileMaker;
  readonly #fd: number;
  readonly #expected: Checksum | undefined;
  readonly #hash: Hash | undefined;
  /** Everything below is in the hash; undefined when the pieces did not come in order. */
  #hashedTo: number | undefined = 0;
  #received: number;
  readonly #zeroBytes: number;

  private constructor(maker: FileMaker, entry: LedgerEntry, fd: number, received: number) {
    this.#maker = maker;
    this.entry = entry;
    this.#fd = fd;
    this.#received = received;
    this.#zeroBytes = totalLength(entry.zeros);
    this.#expected = expectedOf(entry);
    this.#hash = this.#expected && createHash(this.#expected.algorithm);
    if (received > 0) this.#hashedTo = undefined;
  }

  /** Begins a file. Recorded zeros that are no hole are written by `writeZeros`. */
  static create(maker: FileMaker, entry: LedgerEntry): AsideFile {
    const temporary = maker.tree.temporaryName(entry.id);
    const flags = O.RDWR | O.CREAT | O.EXCL | O.NOFOLLOW;
    const fd = maker.tree.at(entry.path, ({ dir }) =>
      libc.openAt(dir.fd, temporary, flags, TEMPORARY_MODE),
    );
    const file = new AsideFile(maker, entry, fd, 0);
    try {
      if (entry.zeros.length > 0 || entry.holes.length > 0) ftruncateSync(fd, entry.sizeBytes);
    } catch (error) {
      file.discard();
      throw error;
    }
    return file;
  }

  /** Goes on with a file that was parked after `received` bytes. */
  static reopen(maker: FileMaker, entry: LedgerEntry, received: number): AsideFile {
    const temporary = maker.tree.temporaryName(entry.id);
    const fd = maker.tree.at(entry.path, ({ dir }) =>
      libc.openAt(dir.fd, temporary, O.RDWR | O.NOFOLLOW | O.NONBLOCK),
    );
    // Whose directory it is may have put something else there, with a name outside or a fifo.
    const { type, links } = statusOf(fd);
    if (type === 'f' && links === 1) return new AsideFile(maker, entry, fd, received);
    libc.close(fd);
    throw new InTheWay('its unfinished file was replaced');
  }

  get received(): number {
    return this.#received;
  }

  /** True when every byte that is not in an all-zero reference has been written. */
  get isComplete(): boolean {
    return this.#received + this.#zeroBytes === this.entry.sizeBytes;
  }

  /** True when `writeZeros` and `check` have long work to do. */
  get isSlow(): boolean {
    const { zeros, holes, sizeBytes } = this.entry;
    const isHashed = this.#hashedTo !== undefined && covers(zeros, this.#hashedTo, sizeBytes);
    const allHoles = zeros.every(({ start, length }) => covers(holes, start, start + length));
    return !isHashed || !allHoles;
  }

  /** @throws {WrongContent} when the piece cannot belong there */
  write(offset: number, bytes: Buffer): void {
    const { sizeBytes, holes } = this.entry;
    if (offset + bytes.length > sizeBytes) {
      throw new WrongContent(`it has more content than the recorded ${sizeBytes} bytes`);
    }
    if (holes.length === 0) writeAll(this.#fd, bytes, offset);
    else this.#writeAround(offset, bytes);
    this.#received += bytes.length;
    this.#hashPiece(offset, bytes);
  }

  /** Writes the recorded zeros that are not holes, so that they take room as they did. */
  *writeZeros(): Generator<number> {
    for (const zeros of this.entry.zeros) {
      for (const part of partsOf(zeros, this.entry.holes)) {
        if (part.inside) continue;
        for (let done = 0; done < part.length; done += CHUNK_BYTES) {
          const length = Math.min(CHUNK_BYTES, part.length - done);
          writeAll(this.#fd, ZEROS.subarray(0, length), part.start + done);
          yield length;
        }
      }
    }
  }

  /**
   * Checks the content, a mebibyte at a time where it has to be read back.
   * @throws {WrongContent}
   */
  *check(): Generator<number> {
    const { sizeBytes } = this.entry;
    if (!this.isComplete) {
      const present = this.#received + this.#zeroBytes;
      throw new WrongContent(`it has ${present} bytes of content instead of ${sizeBytes}`);
    }
    if (!this.#expected || !this.#hash) return;
    const inOrder = this.#hashedTo !== undefined && this.#hashZerosTo(sizeBytes);
    const digest = inOrder ? this.#hash.digest('hex') : yield* this.#readBack(this.#expected);
    if (digest !== this.#expected.hex) throw mismatch(this.#expected);
  }

  /** Sets the attributes and gives the file its name. Nothing is left behind when it cannot. */
  place(warn: Warn): void {
    const { tree, attributes } = this.#maker;
    let isOpen = true;
    try {
      tree.at(this.entry.path, (spot) => {
        if (isOpen) {
          const place = fileAt(this.#fd, spot);
          this.#checkHoles(warn);
          attributes.setNew(place, this.entry.wish, spot.dir, warn);
          isOpen = false;
          libc.close(this.#fd);
        }
        const { path, wish, id } = this.entry;
        tree.place(path, spot, tree.temporaryName(id), wish.mtime);
      });
    } catch (error) {
      if (isOpen) libc.close(this.#fd);
      tree.removeTemporary(this.entry.path, this.entry.id);
      throw error;
    }
  }

  /** Closes the file; its temporary name stays for `reopen`. */
  park(): void {
    libc.close(this.#fd);
  }

  /** Leaves nothing behind. */
  discard(): void {
    libc.close(this.#fd);
    this.#maker.tree.removeTemporary(this.entry.path, this.entry.id);
  }

  #writeAround(offset: number, bytes: Buffer): void {
    for (const part of partsOf({ start: offset, length: bytes.length }, this.entry.holes)) {
      const piece = bytes.subarray(part.start - offset, part.start - offset + part.length);
      if (!part.inside) writeAll(this.#fd, piece, part.start);
      else if (!isZero(piece)) throw new WrongContent('it has content in a recorded hole');
    }
  }

  #checkHoles(warn: Warn): void {
    const bytes = filledBytes(this.#fd, this.entry.holes);
    if (bytes > 0) warn('holes', `it takes ${humanSize(bytes)} more than it did`);
  }

  #hashPiece(offset: number, bytes: Buffer): void {
    if (!this.#hash || this.#hashedTo === undefined) return;
    if (!this.#hashZerosTo(offset)) {
      this.#hashedTo = undefined;
      return;
    }
    this.#hash.update(bytes);
    this.#hashedTo = offset + bytes.length;
  }

  /** Hashes the zeros between what is hashed and `offset`; false when there is anything else. */
  #hashZerosTo(offset: number): boolean {
    const from = this.#hashedTo ?? offset + 1;
    if (from > offset || !covers(this.entry.zeros, from, offset)) return false;
    for (let at = from; at < offset; at += CHUNK_BYTES) {
      this.#hash?.update(ZEROS.subarray(0, Math.min(CHUNK_BYTES, offset - at)));
    }
    this.#hashedTo = offset;
    return true;
  }

  *#readBack(expected: Checksum): Generator<number, string> {
    const again = createHash(expected.algorithm);
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK_BYTES, this.entry.sizeBytes));
    for (let at = 0; at < this.entry.sizeBytes;) {
      const length = readSync(this.#fd, buffer, 0, buffer.length, at);
      if (length === 0) break;
      again.update(buffer.subarray(0, length));
      at += length;
      yield length;
    }
    return again.digest('hex');
  }
}

function isZero(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at += CHUNK_BYTES) {
    const part = bytes.subarray(at, at + CHUNK_BYTES);
    if (part.compare(ZEROS, 0, part.length) !== 0) return false;
  }
  return true;
}
