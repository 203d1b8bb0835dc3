/**
 * The content pass: takes the pieces that deliver-contents.ts brings, in the order of segments
 * and not of files, and finishes each file when its last piece is there.
 *
 * Most files come in one piece, which is checked before anything is made. Of the others a bounded
 * number is open; more are parked under their temporary names. What takes long (reading back a
 * file to hash it, long stretches of recorded zeros) is done between segments.
 */
import { setImmediate } from 'node:timers/promises';
import { type ContentHandler, ORDERED_BYTES_MIN, type SegmentReading } from './content-handler.ts';
import { outlineOf } from './ledger-record.ts';
import { type LedgerEntry, STATE } from './restore-ledger.ts';
import type { RestoreStages } from './restore-stages.ts';
import { targetTrouble } from './target-trouble.ts';
import { AsideFile, WrongContent, drain, writeWholeFile } from './write-file.ts';

/** Files open for writing at once. */
const OPEN_FILES_MAX = 128;

export class ContentRestorer implements ContentHandler {
  segmentsRead = 0;
  readonly #stages: RestoreStages;
  /** The least recently used first. */
  readonly #open = new Map<number, AsideFile>();
  #parkedFiles = 0;
  /** Complete files whose last steps take long. */
  #slow: number[] = [];

  constructor(stages: RestoreStages) {
    this.#stages = stages;
  }

  piece(fileId: number, offset: number, bytes: Buffer): void {
    const open = this.#open.get(fileId);
    if (open) {
      this.#open.delete(fileId);
      this.#open.set(fileId, open);
      this.#write(open, offset, bytes);
      return;
    }
    const entry = this.#stages.ledger.get(fileId);
    if (entry.state !== STATE.content) return;
    const isWhole = bytes.length === entry.sizeBytes && entry.holes.length === 0;
    if (isWhole) {
      this.#attempt(entry, () => {
        writeWholeFile(this.#stages.maker, entry, bytes, this.#warnOf(entry));
        this.#stages.tally.bytesWritten += bytes.length;
        this.#done(entry);
      });
      return;
    }
    const file = this.#attempt(entry, () => this.#fileOf(entry));
    if (file) this.#write(file, offset, bytes);
  }

  needsOrder(fileId: number): boolean {
    const record = this.#stages.ledger.recordIn(STATE.content, fileId);
    return record !== undefined && outlineOf(record).sizeBytes > ORDERED_BYTES_MIN;
  }

  taskFor(fileId: number, offset: number, length: number): Buffer | undefined {
    // A helper only renames into place.
    if (!this.#stages.maker.tree.isPlain) return undefined;
    const record = this.#stages.ledger.recordIn(STATE.content, fileId);
    if (record === undefined) return undefined;
    const { isPlain, sizeBytes } = outlineOf(record);
    return isPlain && offset === 0 && length === sizeBytes ? record : undefined;
  }

  done(fileId: number, task: Buffer): void {
    const { sizeBytes, path } = outlineOf(task);
    this.#stages.tally.bytesWritten += sizeBytes;
    this.#done({ id: fileId, path, sizeBytes });
  }

  lost(fileId: number, reason: string): void {
    const entry = this.#stages.ledger.get(fileId);
    if (entry.state === STATE.content) this.#lose(entry, reason);
  }

  async segmentDone(_reading: SegmentReading): Promise<void> {
    this.segmentsRead++;
    const slow = this.#slow;
    this.#slow = [];
    for (const id of slow) {
      const entry = this.#stages.ledger.get(id);
      if (entry.state === STATE.content) await this.#finishSlowly(entry);
    }
    await setImmediate();
    this.#stages.tally.checkSignal();
    this.#stages.tally.progress();
  }

  /** After the last segment: what is not complete now never will be. */
  loseIncomplete(): void {
    for (const entry of this.#stages.ledger.inState(STATE.content)) {
      this.#lose(entry, 'parts of its content are missing');
    }
  }

  /** Removes everything unfinished. Never throws. */
  discardAll(): void {
    const { ledger, maker } = this.#stages;
    for (const file of this.#open.values()) file.discard();
    this.#open.clear();
    for (const id of ledger.parked()) maker.tree.removeTemporary(ledger.get(id).path, id);
  }

  #fileOf(entry: LedgerEntry): AsideFile {
    const { ledger, maker } = this.#stages;
    const received = this.#parkedFiles > 0 ? ledger.unpark(entry.id) : undefined;
    if (received !== undefined) this.#parkedFiles--;
    const file =
      received === undefined
        ? AsideFile.create(maker, entry)
        : AsideFile.reopen(maker, entry, received);
    this.#open.set(entry.id, file);
    if (this.#open.size > OPEN_FILES_MAX) this.#parkOldest();
    return file;
  }

  #parkOldest(): void {
    const [id, file] = this.#open.entries().next().value ?? [];
    if (id === undefined || file === undefined) return;
    this.#open.delete(id);
    this.#stages.ledger.park(id, file.received);
    this.#parkedFiles++;
    file.park();
  }

  #write(file: AsideFile, offset: number, bytes: Buffer): void {
    this.#attempt(file.entry, () => {
      file.write(offset, bytes);
      this.#stages.tally.bytesWritten += bytes.length;
      if (!file.isComplete) return;
      if (file.isSlow) this.#slow.push(file.entry.id);
      else {
        drain(file.check());
        this.#place(file);
      }
    });
  }

  async #finishSlowly(entry: LedgerEntry): Promise<void> {
    const { tally } = this.#stages;
    const file = this.#open.get(entry.id) ?? this.#attempt(entry, () => this.#fileOf(entry));
    if (!file) return;
    const steps = lastSteps(file, (written) => {
      tally.bytesWritten += written;
    });
    for (;;) {
      const step = this.#attempt(entry, () => steps.next());
      if (!step) return;
      if (step.done === true) break;
      await tally.rest();
    }
    this.#attempt(entry, () => this.#place(file));
  }

  #place(file: AsideFile): void {
    // From here on the file cleans up after itself.
    this.#open.delete(file.entry.id);
    file.place(this.#warnOf(file.entry));
    this.#done(file.entry);
  }

  #done(entry: Pick<LedgerEntry, 'id' | 'path' | 'sizeBytes'>): void {
    const { ledger, tally } = this.#stages;
    ledger.setState(entry.id, STATE.done);
    tally.fileSeen(entry.sizeBytes);
    tally.fileRestored(entry.path, entry.sizeBytes);
  }

  /** Runs a step of one file; undefined when it failed and the file was given up. */
  #attempt<T>(entry: LedgerEntry, step: () => T): T | undefined {
    try {
      return step();
    } catch (error) {
      if (error instanceof WrongContent) {
        this.#lose(entry, error.message);
        return undefined;
      }
      const { code, message } = targetTrouble(entry.path, error);
      this.#discard(entry, STATE.refused);
      this.#stages.tally.warn(code, entry.path, message);
      return undefined;
    }
  }

  #lose(entry: LedgerEntry, reason: string): void {
    this.#discard(entry, STATE.lost);
    this.#stages.tally.damage(entry.path, reason);
  }

  #discard(entry: LedgerEntry, state: typeof STATE.lost | typeof STATE.refused): void {
    const { ledger, maker, tally } = this.#stages;
    const open = this.#open.get(entry.id);
    this.#open.delete(entry.id);
    if (open) open.discard();
    else if (this.#parkedFiles > 0 && ledger.unpark(entry.id) !== undefined) {
      this.#parkedFiles--;
      maker.tree.removeTemporary(entry.path, entry.id);
    }
    ledger.setState(entry.id, state);
    tally.fileSeen(entry.sizeBytes);
  }

  #warnOf(entry: LedgerEntry) {
    const { tally } = this.#stages;
    return (code: Parameters<typeof tally.warn>[0], message: string): void =>
      tally.warn(code, entry.path, message);
  }
}

function* lastSteps(file: AsideFile, onWritten: (bytes: number) => void): Generator<number> {
  for (const written of file.writeZeros()) {
    onWritten(written);
    yield written;
  }
  yield* file.check();
}
