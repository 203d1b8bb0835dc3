/**
 * Hashes the contents of files as their pieces arrive, and notes those that are not as recorded.
 *
 * Takes what deliver-contents hands out, for verify. Pieces of one file lie in several segments
 * and are not read in the order of the file; how each content is checked (`CHECK`) was chosen
 * from the plan so that little has to be put aside, and what is goes to disk.
 */
import { createHash, hash, type Hash } from 'node:crypto';
import { parseChecksum } from '../format/checksum.ts';
import type { ByteRange } from '../format/entry.ts';
import { type ContentHandler, ORDERED_BYTES_MIN } from '../restore/content-handler.ts';
import { NO_DIGEST } from '../restore/helper-messages.ts';
import { SpoolFile } from '../std/spool-file.ts';
import { CHECK, type Content, type ContentTable } from './content-table.ts';

/** Contents being hashed at once, some KiB each; the pieces of more are put aside on disk. */
const LIVE_MAX = 2048;
const ZEROS = Buffer.alloc(1024 * 1024);

/** Digests that a content must have: `[algorithm, hex]`. @throws {LbsError} format-syntax */
export function expectedDigests(
  content: Pick<Content, 'checksum' | 'sha256'>,
): readonly (readonly [string, string])[] {
  const expected = new Map<string, string>();
  if (content.checksum !== undefined) {
    const { algorithm, hex } = parseChecksum(content.checksum);
    expected.set(algorithm, hex);
  }
  if (content.sha256 !== undefined) expected.set('sha256', content.sha256);
  return [...expected];
}

function mismatch(algorithm: string): string {
  return `its content does not have the recorded ${algorithm} checksum`;
}

/** A content that is being hashed from its start on. */
class LiveContent {
  readonly content: Content;
  readonly #hashes: readonly { algorithm: string; hex: string; hash: Hash }[];
  readonly #zeros: readonly ByteRange[];
  #zerosDone = 0;
  /** Offset of the next byte to be hashed. */
  next = 0;

  constructor(content: Content) {
    this.content = content;
    this.#zeros = content.zeros;
    this.#hashes = expectedDigests(content).map(([algorithm, hex]) => ({
      algorithm,
      hex,
      hash: createHash(algorithm),
    }));
    this.#takeZeros();
  }

  take(bytes: Buffer): void {
    for (const { hash } of this.#hashes) hash.update(bytes);
    this.next += bytes.length;
    this.#takeZeros();
  }

  #takeZeros(): void {
    for (;;) {
      const range = this.#zeros[this.#zerosDone];
      if (range === undefined || range.start !== this.next) return;
      for (let left = range.length; left > 0; left -= ZEROS.length) {
        const zeros = left < ZEROS.length ? ZEROS.subarray(0, left) : ZEROS;
        for (const { hash } of this.#hashes) hash.update(zeros);
      }
      this.next += range.length;
      this.#zerosDone++;
    }
  }

  get isComplete(): boolean {
    return this.next === this.content.sizeBytes;
  }

  /** What is wrong with the whole content. */
  trouble(): string | undefined {
    const wrong = this.#hashes.find(({ hash, hex }) => hash.digest('hex') !== hex);
    return wrong === undefined ? undefined : mismatch(wrong.algorithm);
  }
}

export class ContentCheck implements ContentHandler {
  readonly #table: ContentTable;
  readonly #live = new Map<number, LiveContent>();
  readonly #early = new SpoolFile({ memoryBytesMax: 0 });

  constructor(table: ContentTable) {
    this.#table = table;
  }

  /** Checks a content that has no stored pieces: it is empty, or zeros only. */
  checkWithoutPieces(content: Content): void {
    const trouble = new LiveContent(content).trouble();
    if (trouble !== undefined) this.#table.lose(content.id, trouble);
  }

  piece(id: number, offset: number, bytes: Buffer): void {
    const live = this.#live.get(id);
    if (live !== undefined) return this.#takeOrdered(live, offset, bytes);
    const content = this.#table.get(id);
    if (content === undefined || content.check === CHECK.presence) return;
    if (content.check === CHECK.single) return this.#checkSingle(content, bytes);
    if (content.check === CHECK.pieces) return this.#checkPiece(id, offset, bytes);
    if (this.#table.isLost(id)) return;
    const started = new LiveContent(content);
    if (offset !== started.next || this.#live.size >= LIVE_MAX) {
      this.#putAside(id, offset, bytes);
      return;
    }
    this.#live.set(id, started);
    this.#takeOrdered(started, offset, bytes);
  }

  needsOrder(id: number): boolean {
    const content = this.#table.get(id);
    return content?.check === CHECK.ordered && content.sizeBytes > ORDERED_BYTES_MIN;
  }

  /** What a helper can check by itself: a piece whose own digest is known. */
  taskFor(id: number, offset: number): Buffer | undefined {
    const content = this.#table.get(id);
    if (content === undefined || content.check === CHECK.presence) return NO_DIGEST;
    if (content.check === CHECK.ordered) return undefined;
    if (content.check === CHECK.pieces) {
      const hex = this.#table.pieceSha256(id, offset);
      return hex === undefined ? NO_DIGEST : Buffer.from(`sha256=${hex}`, 'latin1');
    }
    const digests = expectedDigests(content).map(([algorithm, hex]) => `${algorithm}=${hex}`);
    return digests.length === 0 ? NO_DIGEST : Buffer.from(digests.join(' '), 'latin1');
  }

  lost(id: number, reason: string): void {
    this.#live.delete(id);
    this.#table.lose(id, reason);
  }

  /** Checks what was put aside and is still open. Call it when all pieces were delivered. */
  finish(): void {
    this.#live.clear();
    for (let id = this.#table.nextWithEarly(-1); id !== undefined;) {
      const content = this.#table.get(id);
      if (content !== undefined && !this.#table.isLost(id)) {
        const live = new LiveContent(content);
        this.#takeEarly(live);
        if (!live.isComplete) this.#table.lose(id, 'not all of its content was found');
      }
      id = this.#table.nextWithEarly(id);
    }
  }

  close(): void {
    this.#early.close();
  }

  #checkSingle(content: Content, bytes: Buffer): void {
    const wrong = expectedDigests(content).find(
      ([algorithm, hex]) => hash(algorithm, bytes, 'hex') !== hex,
    );
    if (wrong !== undefined) this.#table.lose(content.id, mismatch(wrong[0]));
  }

  #checkPiece(id: number, offset: number, bytes: Buffer): void {
    const expected = this.#table.pieceSha256(id, offset);
    if (expected === undefined || hash('sha256', bytes, 'hex') === expected) return;
    this.#table.lose(id, `its bytes from ${offset} on do not have the recorded SHA-256`);
  }

  #takeOrdered(live: LiveContent, offset: number, bytes: Buffer): void {
    const { id } = live.content;
    if (offset !== live.next) {
      this.#putAside(id, offset, bytes);
      return;
    }
    live.take(bytes);
    this.#takeEarly(live);
    if (live.isComplete) this.#live.delete(id);
  }

  /** Goes on with pieces that were put aside, as far as they follow; checks when complete. */
  #takeEarly(live: LiveContent): void {
    const { id } = live.content;
    while (!live.isComplete) {
      const early = this.#table.takeEarly(id, live.next);
      if (early === undefined) return;
      const spooled = { kind: 'file', ...early } as const;
      live.take(this.#early.get(spooled));
      this.#early.release(spooled);
    }
    const trouble = live.trouble();
    if (trouble !== undefined) this.#table.lose(id, trouble);
  }

  #putAside(id: number, offset: number, bytes: Buffer): void {
    const spooled = this.#early.put(bytes);
    if (spooled.kind === 'file') this.#table.addEarly(id, offset, spooled.at, spooled.length);
  }
}
