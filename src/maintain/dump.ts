/**
 * A snapshot, or parts of it, as a tar archive, for `lbs dump`.
 *
 *     open the snapshot -> entries in their order    metadata segments, each once
 *       -> select-paths, hard-link-group             what restore would make
 *       -> pax-header                                the member's header
 *       -> file-content -> object-reader             its content, checked
 *       -> write                                     gathered into larger pieces
 *
 * Streams: memory does not grow with the snapshot, and nothing is written to disk but what has to
 * be remembered of segments and hard links, in files without names. An archive cannot take back
 * what was written: a file whose first block is damaged is left out, one where damage shows later
 * is filled up with zeros; either is reported, and the rest of the archive is whole.
 */
import { LbsError, messageOf } from '../errors.ts';
import type { Entry } from '../format/entry.ts';
import { ARCHIVE_END, type MemberType, memberHeader, paddingAfter } from '../format/pax-header.ts';
import { isDamage } from '../metadata/metadata-objects.ts';
import { silentReport } from '../report.ts';
import { groupOf } from '../restore/hard-link-group.ts';
import { safePath } from '../restore/safe-target.ts';
import { PathSelection } from '../restore/select-paths.ts';
import { ObjectReader } from '../segments/object-reader.ts';
import { type BytePath, bytePath, showPath, TOP } from '../std/byte-path.ts';
import { contentOf } from './file-content.ts';
import { FirstNames } from './first-names.ts';
import { SnapshotMetadata, type SnapshotOptions } from './snapshot-metadata.ts';

export type DumpOptions = SnapshotOptions & {
  /** Paths within the snapshot; none means everything. */
  readonly paths?: readonly BytePath[];
  /** Takes bytes that are valid until it resolves; false when nobody wants any more. */
  readonly write: (bytes: Buffer) => Promise<boolean>;
};

export type DumpSummary = {
  /** Members of the archive. */
  readonly members: number;
  /** Entries that tar has no form for; each was reported. */
  readonly warnings: number;
  /** Entries that are missing or wrong in the archive because the store is damaged. */
  readonly damaged: number;
};

/** Small writes to a pipe cost more than copying. */
const STAGED_BYTES = 256 * 1024;
const DIRECTORY_MODE = 0o755;
const OTHER_MODE = 0o644;
const SLASH = Buffer.from('/');
const ZEROS = Buffer.alloc(64 * 1024);

/** Thrown inside when no more can be written; without a cause because the reader has gone. */
class OutputEnded extends Error {}

/**
 * Writes the archive. Nothing is written when none of the paths is in the snapshot.
 * @throws {LbsError} source-missing when one of them is not; as opening a snapshot does
 */
export async function dump(options: DumpOptions): Promise<DumpSummary> {
  const snapshot = await SnapshotMetadata.open(options);
  const run = new DumpRun(options, snapshot);
  try {
    await run.members();
  } catch (error) {
    if (!(error instanceof OutputEnded)) throw error;
    if (error.cause !== undefined) throw error.cause;
  } finally {
    await run.close();
  }
  return run.summary;
}

class DumpRun {
  readonly #options: DumpOptions;
  readonly #snapshot: SnapshotMetadata;
  readonly #objects: ObjectReader;
  readonly #selection: PathSelection;
  readonly #firstNames = new FirstNames();
  readonly #out: StagedOutput;
  /** Directories above what was asked for, until something of that is met. */
  #above: Entry[] = [];
  #members = 0;
  #warnings = 0;
  #damaged = 0;

  constructor(options: DumpOptions, snapshot: SnapshotMetadata) {
    this.#options = options;
    this.#snapshot = snapshot;
    this.#objects = new ObjectReader(snapshot.source, options.signal);
    this.#selection = new PathSelection(options.paths ?? []);
    this.#out = new StagedOutput(options.write);
  }

  get summary(): DumpSummary {
    const lost = this.#snapshot.isDamaged && this.#damaged === 0 ? 1 : 0;
    return {
      members: this.#members,
      warnings: this.#warnings,
      damaged: this.#damaged + lost,
    };
  }

  async members(): Promise<void> {
    for await (const entry of this.#snapshot.entries(this.#options.paths ?? [])) {
      await this.#add(entry);
      if (this.#options.signal?.aborted === true) {
        throw new LbsError('interrupted', 'interrupted; the archive is cut off');
      }
    }
    const missing = this.#selection.unmatched();
    if (this.#members > 0 || missing.length === 0) {
      await this.#out.put(ARCHIVE_END);
      await this.#out.flush();
    }
    if (missing.length > 0) throw this.#snapshot.missing(missing);
  }

  async close(): Promise<void> {
    this.#firstNames.close();
    await this.#objects.close();
  }

  async #add(entry: Entry): Promise<void> {
    try {
      const path = safePath(entry.path, this.#snapshot.isForeign);
      const role = this.#selection.roleOf(path);
      if (role === 'parent' && entry.type === 'd') this.#above.push(entry);
      if (role !== 'selected') return;
      const above = this.#above;
      this.#above = [];
      for (const directory of above) {
        await this.#member(directory, safePath(directory.path, this.#snapshot.isForeign));
      }
      await this.#member(entry, path);
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#damage(entry, messageOf(error));
    }
  }

  async #member(entry: Entry, path: Buffer): Promise<void> {
    const { type } = entry;
    if (type === 's') {
      this.#warn(entry, 'tar has no form for a socket; it is left out');
      return;
    }
    if ((type === 'c' || type === 'b') && entry.device === undefined) {
      throw new LbsError('format-syntax', 'a device without numbers');
    }
    if (type === 'l' && entry.target === undefined) {
      throw new LbsError('format-syntax', 'a symbolic link without a target');
    }
    const thing = groupOf(entry);
    const first = thing === undefined ? undefined : this.#firstNames.take(thing);
    if (first !== undefined) {
      await this.#out.put(headerOf(entry, path, 'link', first));
      this.#members++;
      return;
    }
    if (type === 'f') await this.#file(entry, path);
    else await this.#out.put(headerOf(entry, path, type, entry.target));
    this.#members++;
    // Only now: what is left out cannot be linked to.
    if (thing !== undefined) this.#firstNames.add(thing, path, entry.links);
  }

  async #file(entry: Entry, path: Buffer): Promise<void> {
    const pieces = contentOf(entry, this.#snapshot.descriptor.dialect, this.#objects);
    let left = entry.sizeBytes;
    let piece = await pieces.next();
    await this.#out.put(headerOf(entry, path, 'f', undefined));
    try {
      while (piece.done !== true) {
        await this.#out.put(piece.value);
        left -= piece.value.length;
        piece = await pieces.next();
      }
    } catch (error) {
      if (!isDamage(error)) throw error;
      this.#damage(entry, `${messageOf(error)}; its last ${left} bytes are zeros in the archive`);
    }
    for (; left > 0; left -= ZEROS.length) {
      await this.#out.put(ZEROS.subarray(0, Math.min(left, ZEROS.length)));
    }
    await this.#out.put(paddingAfter(entry.sizeBytes));
  }

  #warn({ path }: Entry, message: string): void {
    this.#warnings++;
    const warning = { code: 'unsupported-type', path, message } as const;
    (this.#options.report ?? silentReport)({ type: 'warning', warning });
  }

  #damage({ path }: Entry, message: string): void {
    this.#damaged++;
    const snapshot = this.#snapshot.name;
    const damage = { what: 'entry', name: showPath(path), path, snapshot, message } as const;
    (this.#options.report ?? silentReport)({ type: 'damage', damage });
  }
}

/** `target` is what the member points to. */
function headerOf(
  entry: Entry,
  path: Buffer,
  type: MemberType,
  target: Buffer | undefined,
): Buffer {
  const own = path.length === 0 ? TOP : bytePath(path);
  return memberHeader({
    path: entry.type === 'd' ? Buffer.concat([own, SLASH]) : own,
    type,
    mode: entry.mode ?? (entry.type === 'd' ? DIRECTORY_MODE : OTHER_MODE),
    uid: entry.uid ?? 0,
    gid: entry.gid ?? 0,
    user: entry.user,
    group: entry.group,
    mtime: entry.mtime,
    sizeBytes: type === 'f' ? entry.sizeBytes : 0,
    target,
    device: entry.device,
    xattrs: type === 'link' ? [] : entry.xattrs,
  });
}

/** Gathers small pieces. */
class StagedOutput {
  readonly #write: DumpOptions['write'];
  readonly #staged = Buffer.allocUnsafeSlow(STAGED_BYTES);
  #filled = 0;

  constructor(write: DumpOptions['write']) {
    this.#write = write;
  }

  /** Takes a copy, or waits until all is written. @throws {OutputEnded} */
  async put(bytes: Buffer): Promise<void> {
    if (this.#filled + bytes.length > STAGED_BYTES) await this.flush();
    if (bytes.length > STAGED_BYTES) await this.#pass(bytes);
    else this.#filled += bytes.copy(this.#staged, this.#filled);
  }

  async flush(): Promise<void> {
    const filled = this.#filled;
    this.#filled = 0;
    if (filled > 0) await this.#pass(this.#staged.subarray(0, filled));
  }

  async #pass(bytes: Buffer): Promise<void> {
    let isWanted: boolean;
    try {
      isWanted = await this.#write(bytes);
    } catch (cause) {
      // Not to be taken for trouble with the store.
      throw new OutputEnded('the archive cannot be written', { cause });
    }
    if (!isWanted) throw new OutputEnded('nobody reads the archive any more');
  }
}
