/**
 * One entry's way into the snapshot: unchanged, or described anew, and read if it must be.
 * Turns `SourceTrouble` into warnings; everything else ends the run.
 */
import { SourceTrouble, type SourceEntry } from '../sources/source.ts';
import type { Xattr } from '../format/entry.ts';
import { type CacheRecord, UNREAD_XATTRS, lookedAtCrc } from '../localdb/stat-cache-record.ts';
import { StatusLine, untrusted } from '../localdb/status-line.ts';
import type { MetadataLogWriter } from '../metadata/metadata-log-writer.ts';
import type { FileStatus } from '../posix/file-status.ts';
import type { Report, SourceWarning } from '../report.ts';
import { nowSeconds, randomFraction } from '../std/clock.ts';
import type { ByteText } from '../std/byte-text.ts';
import { BlockCutter } from './block-cutter.ts';
import { type Fields, contentFields, contentText, stanzaText } from './entry-fields.ts';
import type { SegmentUse } from './segment-use.ts';
import type { SideThread } from './side-thread.ts';
import type { BlockStore } from './store-block.ts';
import {
  BLOCK_BYTES,
  type ReadingTools,
  type StoredContent,
  storeContent,
} from './store-content.ts';
import { storeSmallFile } from './store-small-file.ts';
import { UnreadPaths } from './unread-paths.ts';
import { keepContent } from './keep-content.ts';
import { type Saving, type SavingRules, savingFor } from './unchanged.ts';

/**
 * A file whose times are this close to its reading (or in the future) is read again by the next
 * run: a later change could carry the same times. FAT counts mtime in 2 s; the rest is for
 * clocks of file servers that run a little apart.
 */
const SAFETY_WINDOW_S = 5;

export type EntryCounts = {
  entries: number;
  directories: number;
  files: number;
  filesNew: number;
  filesChanged: number;
  filesUnchanged: number;
  bytes: number;
  bytesRead: number;
  warnings: number;
};

export type EntryStages = {
  readonly blocks: BlockStore;
  readonly use: SegmentUse;
  readonly metadata: MetadataLogWriter;
  readonly find: (directory: ByteText, name: ByteText) => CacheRecord | undefined;
  readonly rules: SavingRules;
  /** Read every file, or this percentage of the unchanged ones, again. */
  readonly rereadPercent: number;
  readonly report: Report;
  /** Lets signals and displays have their turn. */
  readonly breathe: () => Promise<void>;
  readonly side: SideThread;
};

/** An entry that the scan gave, and what the run before knew of it. */
type SeenEntry = {
  readonly entry: SourceEntry;
  readonly record: CacheRecord | undefined;
  readonly saving: Saving;
};

/** What is known of an entry that goes into the snapshot. */
type FoundEntry = {
  readonly status: FileStatus;
  /** Stanza keys of its content. */
  readonly fields: Fields;
  /** The same as text, when that was made already. */
  readonly content?: string;
  /** Undefined: not read yet. */
  readonly xattrs?: readonly Xattr[] | undefined;
  readonly isStable?: boolean;
  /** When reading its content began. */
  readonly openedS?: number;
};

export class EntryStore {
  readonly #stages: EntryStages;
  readonly counts: EntryCounts = {
    entries: 0,
    directories: 0,
    files: 0,
    filesNew: 0,
    filesChanged: 0,
    filesUnchanged: 0,
    bytes: 0,
    bytesRead: 0,
    warnings: 0,
  };

  readonly unread = new UnreadPaths();
  readonly #tools: ReadingTools;
  readonly #line = new StatusLine();

  constructor(stages: EntryStages) {
    this.#stages = stages;
    const { blocks, breathe, side } = stages;
    const block = Buffer.allocUnsafeSlow(BLOCK_BYTES);
    this.#tools = { blocks, breathe, block, cutter: new BlockCutter(side) };
  }

  /** Tells of an entry that is left out, or of a directory that is without its contents. */
  leftOut(warning: SourceWarning): void {
    this.unread.add(warning.path);
    this.#warn(warning);
  }

  #warn(warning: SourceWarning): void {
    this.counts.warnings++;
    this.#stages.report({ type: 'warning', warning });
  }

  /**
   * Puts the entry into the snapshot, or warns and leaves it out.
   * A promise only when there is something to wait for, which for most unchanged entries there is
   * not: waiting for each of them took 0.5 us.
   */
  add(entry: SourceEntry): Promise<void> | undefined {
    const { find, metadata, rules, use } = this.#stages;
    const { status } = entry;
    const record = find(entry.directory, entry.name);
    const saving = savingFor(record, this.#line.set(status), status, rules);
    const isFile = status.type === 'f';
    const isToRead = isFile && (saving === 'none' || this.#isDrawn());
    if (record === undefined || saving !== 'all' || isToRead) {
      const seen = { entry, record, saving };
      const room = isToRead ? this.#tools.blocks.room() : undefined;
      if (room !== undefined) return room.then(() => this.#addSeen(seen, isToRead));
      return this.#addSeen(seen, isToRead);
    }
    if (isFile) this.#countUnchanged(status.sizeBytes);
    use.markContent(record);
    this.#count(status);
    return metadata.addReused(record);
  }

  /** Adds an entry that has to be looked at or read. */
  #addSeen(seen: SeenEntry, isToRead: boolean): Promise<void> | undefined {
    const { entry, record, saving } = seen;
    const { status } = entry;
    try {
      if (isToRead) {
        if (record?.isRebuilt === true && this.#stages.use.isContentUsable(record)) {
          return this.#readKnown(seen, record);
        }
        const stored = storeSmallFile(entry, this.#tools);
        return stored === undefined ? this.#readLong(seen) : this.#addRead(seen, stored);
      }
      if (record === undefined || saving === 'none') {
        return this.#addFound(entry, record, { status, fields: [] });
      }
      if (status.type === 'f') this.#countUnchanged(status.sizeBytes);
      this.#stages.use.markContent(record);
      return this.#addFound(entry, record, { status, fields: contentFields(record.content) });
    } catch (error) {
      this.#leaveOut(entry, error);
      return undefined;
    }
  }

  async #readLong(seen: SeenEntry): Promise<void> {
    try {
      const stored = await storeContent(seen.entry, this.#tools);
      await this.#addRead(seen, stored);
    } catch (error) {
      this.#leaveOut(seen.entry, error);
    }
  }

  /** Reads a file of which only the content is known, and stores it if that is another one now. */
  async #readKnown(seen: SeenEntry, record: CacheRecord): Promise<void> {
    try {
      const kept = await keepContent(seen.entry, record, this.#tools);
      if (kept === undefined) return await this.#readLong(seen);
      this.#stages.use.markContent(record);
      await this.#addRead(seen, kept);
    } catch (error) {
      this.#leaveOut(seen.entry, error);
    }
  }

  #leaveOut(entry: SourceEntry, error: unknown): void {
    if (!(error instanceof SourceTrouble)) throw error;
    this.leftOut({ code: error.code, path: entry.path, message: error.message });
  }

  /** True for the share of unchanged files that is read again on purpose. */
  #isDrawn(): boolean {
    const { rereadPercent } = this.#stages;
    return rereadPercent > 0 && randomFraction() * 100 < rereadPercent;
  }

  #countUnchanged(sizeBytes: number): void {
    this.counts.filesUnchanged++;
    this.counts.bytes += sizeBytes;
  }

  #count(status: FileStatus): void {
    this.counts.entries++;
    if (status.type === 'd') this.counts.directories++;
    if (status.type === 'f') this.counts.files++;
  }

  /** Adds a file whose content was just read and stored. */
  #addRead({ entry, record, saving }: SeenEntry, stored: StoredContent): Promise<void> | undefined {
    const { report } = this.#stages;
    this.counts.bytes += stored.sizeBytes;
    this.counts.bytesRead += stored.bytesRead;
    if (!stored.isStable) {
      const message = 'changed while it was read; what is stored may mix its states';
      this.#warn({ code: 'changed-while-reading', path: entry.path, message });
    }
    if (saving !== 'none' && record !== undefined) this.#compare(entry, record, stored);
    const wasKnown = record !== undefined;
    const content = contentText(stored.fields);
    if (!wasKnown) this.counts.filesNew++;
    else if (stored.isKept === true || record.content === content) this.counts.filesUnchanged++;
    else this.counts.filesChanged++;
    const { word: status, sizeBytes } = stored;
    report({ type: 'stored', path: entry.path, status, known: wasKnown, sizeBytes });
    return this.#addFound(entry, record, { ...stored, content });
  }

  /**
   * Counts the entry and gives it a stanza: a new one, or the old one where it would say the same.
   */
  #addFound(
    entry: SourceEntry,
    record: CacheRecord | undefined,
    found: FoundEntry,
  ): Promise<void> | undefined {
    const { metadata, rules } = this.#stages;
    const { status, fields, isStable = true } = found;
    const xattrs = found.xattrs ?? this.#xattrs(entry);
    const target = status.type === 'l' ? entry.linkTarget() : undefined;
    const line = this.#line.set(status);
    const isSettled = isStable && xattrs !== undefined && !isRecent(status, found.openedS);
    const facts = {
      text: entry.text,
      statusLine: isSettled ? line.toString() : untrusted(line.toString()),
      xattrs: xattrs === undefined ? UNREAD_XATTRS : lookedAtCrc(xattrs, target),
      content: found.content ?? contentText(fields),
    };
    const isAsBefore =
      record !== undefined &&
      isStable &&
      record.content === facts.content &&
      xattrs !== undefined &&
      record.xattrs === facts.xattrs &&
      record.hasSameStatus(line) &&
      !rules.fullMetadata &&
      rules.accounts.areSame(status.uid, status.gid) &&
      rules.canUseMetadata(record.object);
    if (isAsBefore) {
      this.#count(entry.status);
      return metadata.addReused(record, facts);
    }
    const extra = { target, xattrs: xattrs ?? [], isVolatile: !isStable };
    const stanza = stanzaText(entry.text, status, extra, fields);
    this.#count(entry.status);
    return metadata.addFresh(facts, stanza);
  }

  /** Content that differs although no time does: the disk may have changed it on its own. */
  #compare(entry: SourceEntry, record: CacheRecord, stored: StoredContent): void {
    const before = /^sha256: ([0-9a-f]{64})$/m.exec(record.content)?.[1];
    if (before === undefined || before === stored.sha256 || !stored.isStable) return;
    const message = `its content changed although its times did not: is the disk failing? SHA-256 was ${before}, is ${stored.sha256}; earlier snapshots keep the old content`;
    this.#warn({ code: 'suspected-corruption', path: entry.path, message });
  }

  /** Attributes that cannot be read are missing in the snapshot; the entry itself is not. */
  #xattrs(entry: SourceEntry): Xattr[] | undefined {
    try {
      return entry.xattrs();
    } catch (error) {
      if (!(error instanceof SourceTrouble)) throw error;
      const message = `its extended attributes cannot be read: ${error.message}`;
      this.#warn({ code: 'unreadable', path: entry.path, message });
      return undefined;
    }
  }
}

/** A change in the same tick of the clock as what was seen would not show in the times. */
function isRecent(status: FileStatus, seenS = nowSeconds()): boolean {
  return Math.max(status.mtime.s, status.ctime.s) > seenS - SAFETY_WINDOW_S;
}
