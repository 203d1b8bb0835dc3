/**
 * A snapshot, or parts of it, as an archive, for `lbs dump`.
 *
 *     open the snapshot -> entries in their order    metadata segments, each once
 *       -> select-paths                              what restore would make
 *       -> tar-archive | zip-archive                 the member's header
 *       -> file-content -> object-reader             its content, checked
 *       -> archive -> write                          gathered into larger pieces
 *
 * Streams: memory does not grow with the snapshot, and nothing is written to disk but what has to
 * be remembered of segments and members, in files without names. A file whose first block is damaged
 * is left out of the archive; where damage shows later, the archive does what its form allows. Either
 * is reported, and the rest of the archive is whole.
 */
import { LbsError, messageOf } from '../errors.ts';
import type { Entry } from '../format/entry.ts';
import { isDamage } from '../metadata/metadata-objects.ts';
import { silentReport } from '../report.ts';
import { safePath } from '../restore/safe-target.ts';
import { PathSelection } from '../restore/select-paths.ts';
import { ObjectReader } from '../segments/object-reader.ts';
import { type BytePath, showPath } from '../std/byte-path.ts';
import {
  type Archive,
  type ArchiveSource,
  type ArchiveWarningCode,
  OutputEnded,
  StagedOutput,
  type Write,
} from './archive.ts';
import { SnapshotMetadata, type SnapshotOptions } from './snapshot-metadata.ts';

export type DumpOptions = SnapshotOptions & {
  /** Paths within the snapshot; none means everything. */
  readonly paths?: readonly BytePath[];
  /** Default: tar. */
  readonly format?: ArchiveFormat;
  /** Holes are left out of a tar archive, in a form that not every reader knows; default: false. */
  readonly isSparse?: boolean;
  readonly write: Write;
};

export type ArchiveFormat = 'tar' | 'zip';

export type DumpSummary = {
  /** Members of the archive. */
  readonly members: number;
  /** Entries that the archive has no form for, or not in all; each was reported. */
  readonly warnings: number;
  /** Entries that are missing or wrong in the archive because the store is damaged. */
  readonly damaged: number;
};

/**
 * Writes the archive. Nothing is written when none of the paths is in the snapshot.
 * @throws {LbsError} source-missing when one of them is not; as opening a snapshot does
 */
export async function dump(options: DumpOptions): Promise<DumpSummary> {
  const snapshot = await SnapshotMetadata.open(options);
  const run = new DumpRun(options, snapshot);
  try {
    await run.open();
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
  readonly #out: StagedOutput;
  #archive: Archive | undefined;
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

  /** What of the form that is asked for is loaded only now. */
  async open(): Promise<void> {
    const { format = 'tar', isSparse = false } = this.#options;
    const source: ArchiveSource = {
      objects: this.#objects,
      dialect: this.#snapshot.descriptor.dialect,
      warn: (entry, code, message) => this.#warn(entry, code, message),
      damage: (entry, message) => this.#damage(entry, message),
    };
    if (format === 'zip') {
      const { ZipArchive } = await import('./zip-archive.ts');
      this.#archive = new ZipArchive(this.#out, source);
    } else {
      const { TarArchive } = await import('./tar-archive.ts');
      this.#archive = new TarArchive(this.#out, source, isSparse);
    }
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
      await this.#archive?.end();
      await this.#out.flush();
    }
    if (missing.length > 0) throw this.#snapshot.missing(missing);
  }

  async close(): Promise<void> {
    this.#archive?.close();
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
    if ((type === 'c' || type === 'b') && entry.device === undefined) {
      throw new LbsError('format-syntax', 'a device without numbers');
    }
    if (type === 'l' && entry.target === undefined) {
      throw new LbsError('format-syntax', 'a symbolic link without a target');
    }
    if (await this.#archive?.add(entry, path)) this.#members++;
  }

  #warn({ path }: Entry, code: ArchiveWarningCode, message: string): void {
    this.#warnings++;
    (this.#options.report ?? silentReport)({ type: 'warning', warning: { code, path, message } });
  }

  #damage({ path }: Entry, message: string): void {
    this.#damaged++;
    const snapshot = this.#snapshot.name;
    const damage = { what: 'entry', name: showPath(path), path, snapshot, message } as const;
    (this.#options.report ?? silentReport)({ type: 'damage', damage });
  }
}
