/**
 * One snapshot opened to look into it: what ls, cat, dump and stanza have in common.
 *
 * Reads metadata segments only, each once, and of a snapshot in our own order no more than the
 * paths asked for need. Damage of the metadata is reported, and what can be read is still given.
 */
import { LbsError } from '../errors.ts';
import type { Descriptor } from '../format/descriptor.ts';
import type { Entry } from '../format/entry.ts';
import { readMetadata, type TakeStanza } from '../metadata/metadata-log-reader.ts';
import { metadataDamage } from '../report.ts';
import type { ReadOptions } from '../restore/restore-options.ts';
import { pathsToFind } from '../restore/select-paths.ts';
import { SegmentSource } from '../segments/segment-source.ts';
import { openSnapshot, resolveSnapshot } from '../snapshots/open-snapshot.ts';
import { type BytePath, showPath } from '../std/byte-path.ts';
import { openStore } from '../stores/open-store.ts';

/** Which snapshot: a name, `latest`, `latest~N` or a unique prefix. */
export type SnapshotOptions = ReadOptions & { readonly snapshot: string };

export class SnapshotMetadata {
  readonly name: string;
  readonly descriptor: Descriptor;
  readonly source: SegmentSource;
  readonly #options: SnapshotOptions;
  #isDamaged = false;

  private constructor(
    name: string,
    descriptor: Descriptor,
    source: SegmentSource,
    options: SnapshotOptions,
  ) {
    this.name = name;
    this.descriptor = descriptor;
    this.source = source;
    this.#options = options;
  }

  /** @throws {LbsError} store-missing, snapshot-missing, snapshot-ambiguous, signature-* */
  static async open(options: SnapshotOptions): Promise<SnapshotMetadata> {
    const store = openStore(options.store);
    const file = resolveSnapshot(store, options.snapshot, options);
    const { name, descriptor } = await openSnapshot(store, file, options);
    const source = new SegmentSource(store, options);
    return new SnapshotMetadata(name, descriptor, source, options);
  }

  /** Only our own descriptors have the SHA-256 of a checksums file, and a log in order. */
  get isForeign(): boolean {
    return this.descriptor.checksumsSha256 === undefined;
  }

  /** True when some of the metadata could not be read. */
  get isDamaged(): boolean {
    return this.#isDamaged;
  }

  /**
   * Entries in the order of the snapshot: all that are at, above or below `paths`, and perhaps
   * others; no paths means all. @throws {LbsError} filter-missing, interrupted
   */
  entries(paths: readonly Buffer[], takeStanza?: TakeStanza): AsyncGenerator<Entry> {
    const { signal, report } = this.#options;
    const { name } = this;
    return readMetadata(this.source, this.descriptor, {
      signal,
      takeStanza,
      only: this.isForeign ? undefined : pathsToFind(paths),
      onDamage: (message, { path }) => {
        this.#isDamaged = true;
        report?.({ type: 'damage', damage: metadataDamage(name, message, path) });
      },
    });
  }

  /** Says that paths were not found, or that damage may be why. */
  missing(paths: readonly BytePath[]): LbsError {
    const shown = paths.map((path) => showPath(path)).join(', ');
    if (this.#isDamaged) {
      const message = `${shown}: not found in what can be read of the metadata of ${this.name}`;
      return new LbsError('segment-corrupt', message, {
        hint: 'it may be in the part that is damaged; "lbs verify" names all damage',
      });
    }
    return new LbsError('source-missing', `${shown} is not in the snapshot ${this.name}`, {
      hint: `see what is in it: lbs ls -R --store=${this.#options.store} ${this.name}`,
    });
  }
}
