/**
 * Everything that is decided before compacting writes anything: which segments, which snapshots, under
 * which names, and what of these segments is used, by the metadata itself. Called by compact.
 *
 * Whatever stands in the way of a snapshot leaves the segments that it needs as they are, and all
 * that is told; nothing else suffers.
 */
import { LbsError, messageOf } from '../errors.ts';
import { type BlockIndex, OBJECTS_PER_SEGMENT_MAX } from '../localdb/block-index.ts';
import type { SegmentCleaning } from '../localdb/segment-cleaning.ts';
import type { KnownObject, SegmentObjects } from '../localdb/segment-objects.ts';
import type { SnapshotTable } from '../localdb/snapshot-table.ts';
import { type MetadataObjects, isDamage } from '../metadata/metadata-objects.ts';
import { type Report, metadataDamage } from '../report.ts';
import type { SegmentSource } from '../segments/segment-source.ts';
import { type SnapshotFile, resolveAmong } from '../snapshots/open-snapshot.ts';
import { showText } from '../std/byte-path.ts';
import {
  type Affected,
  COMPACT_BELOW,
  type OpenedDescriptor,
  type Victim,
  affectedBy,
  chooseVictims,
  openDescriptor,
} from './choose-victims.ts';
import type { CompactOptions } from './compact-options.ts';
import { LogSurvey } from './log-survey.ts';
import { ENCRYPTED } from '../segments/recipients.ts';
import { FreeNames } from './replace-snapshot.ts';
import { ObjectBits } from './used-objects.ts';

export type PlanParts = {
  readonly source: SegmentSource;
  /** Oldest first. */
  readonly snapshots: readonly SnapshotFile[];
  readonly index: BlockIndex;
  readonly cleaning: SegmentCleaning;
  readonly table: SnapshotTable;
  readonly known: SegmentObjects;
  /** True for the name of a snapshot that an earlier run began to publish. */
  readonly hasBegun: (name: string) => boolean;
  /** Keep the metadata that is read. */
  readonly objects: MetadataObjects;
  readonly options: CompactOptions;
  /** Size of a segment in the store. */
  readonly targetBytes: number;
  /** New segments will be encrypted. */
  readonly encrypts: boolean;
  readonly report: Report;
};

/** A snapshot that is to be replaced by one of that name. */
export type Replaced = Affected & { readonly name: string };

const UNKNOWN_OBJECTS = 'the local database does not know all that is used of them';
const NO_NAME = 'there is no free name beside a snapshot that needs them';
const STRANGE = 'the metadata of snapshots that need them is not as this program writes it';

export class CompactionPlan {
  readonly #parts: PlanParts;
  readonly #left = new Map<string, number>();
  /** What is used of segments that are compacted as file data: by row of the segment. */
  readonly #data = new ObjectBits();
  #affected: readonly Affected[] = [];
  /** All that hold file data of the snapshots that are to be replaced. */
  readonly dataSegments = new Set<string>();
  /** By name, the oldest first; those that turn out to be damaged are given up. */
  victims = new Map<string, Victim>();
  damaged = 0;

  constructor(parts: PlanParts) {
    this.#parts = parts;
  }

  /** @throws {LbsError} format-*, signature-*, snapshot-*, io, interrupted */
  async make(): Promise<void> {
    const { source, snapshots, cleaning, table, index, options, targetBytes } = this.#parts;
    const { snapshots: words = [], scheme, verifyKey, signal } = options;
    const { store } = source;
    const only = words.map((word) => resolveAmong(store, snapshots, word, scheme).name);
    const { victims, affected, left } = await chooseVictims(
      {
        ...{ store, snapshots, cleaning, table },
        isSound: (segment) => {
          const row = index.segment(segment);
          const file = source.fileOf(segment);
          return (
            row !== undefined && row.file === file?.name && row.stored_bytes === file.sizeBytes
          );
        },
      },
      {
        ...{ verifyKey, signal, all: options.all ?? false },
        minUsed: options.minUsed ?? COMPACT_BELOW,
        targetBytes,
        only: only.length > 0 ? new Set(only) : undefined,
      },
    );
    if (victims.size > 0) this.#checkEncryption();
    this.victims = victims;
    this.#affected = affected;
    for (const [why, count] of left) this.#left.set(why, count);
    for (const { snapshot } of affected) await this.#checkSignature(snapshot);
    await this.#survey();
    for (const victim of [...victims.values()]) {
      if (this.dataOf(victim) === undefined) this.leave([victim.name], UNKNOWN_OBJECTS);
    }
    this.#namesFor();
  }

  /** What was a secret of the store stays one. @throws {LbsError} usage */
  #checkEncryption(): void {
    const { source, encrypts } = this.#parts;
    if (encrypts) return;
    const encrypted = source.store.names().find((name) => ENCRYPTED.test(name));
    if (encrypted === undefined) return;
    throw new LbsError(
      'usage',
      `this store has encrypted segments (${encrypted}), and new ones would not be`,
      {
        hint: 'nothing was changed; give --encrypt-to=FILE, or a --filter that encrypts',
      },
    );
  }

  #open(snapshot: SnapshotFile): Promise<OpenedDescriptor> {
    const { source, options } = this.#parts;
    return openDescriptor(source.store, snapshot, options);
  }

  /**
   * What was signed is signed again, or left; and what we sign must have been good.
   * @throws {LbsError} signature-key
   */
  async #checkSignature(snapshot: SnapshotFile): Promise<void> {
    const { isSigned } = await this.#open(snapshot);
    const { signKey, signatureFilter, verifyKey } = this.#parts.options;
    const canSign = signKey !== undefined || signatureFilter !== undefined;
    if (!isSigned || (canSign && verifyKey !== undefined)) return;
    const name = showText(snapshot.name);
    const lacks = canSign ? 'its signature must be checked first' : 'so must be what replaces it';
    throw new LbsError('signature-key', `${name} is signed, and ${lacks}`, {
      hint: `nothing was changed; give ${canSign ? '' : '--sign-key=FILE or --signature-filter=COMMAND, and '}--verify-key=FILE`,
    });
  }

  /** Reads the metadata of all snapshots that are to be replaced. */
  async #survey(): Promise<void> {
    const { source, objects, known, options } = this.#parts;
    const survey = new LogSurvey(source, objects, {
      signal: options.signal,
      digestOf: (segment, object) => known.digestOf(segment, object),
      onData: (segment, object) => {
        this.dataSegments.add(segment);
        const id = this.victims.get(segment)?.id;
        if (id !== undefined) this.#data.add(id * OBJECTS_PER_SEGMENT_MAX + object);
      },
    });
    for (const { snapshot, victims } of this.#affected) {
      if (!victims.some((name) => this.victims.has(name))) continue;
      const { descriptor } = await this.#open(snapshot);
      try {
        await survey.read(descriptor);
      } catch (error) {
        if (!isDamage(error)) throw error;
        if (error instanceof LbsError && error.code === 'format-syntax') {
          this.leave(victims, STRANGE);
          continue;
        }
        this.damaged++;
        const damage = metadataDamage(snapshot.name, messageOf(error));
        this.#parts.report({ type: 'damage', damage });
        this.leave(victims, `the snapshot ${showText(snapshot.name)} is damaged`);
      }
    }
  }

  /** What is used of a segment as file data, in order; undefined when some of it is unknown. */
  dataOf({ id }: Victim): (readonly [object: number, known: KnownObject])[] | undefined {
    const bits = this.#data.of(id);
    if (bits === undefined) return [];
    const known = this.#parts.known.of(id);
    const data: (readonly [object: number, known: KnownObject])[] = [];
    for (const object of bits) {
      const row = known.get(object);
      if (row === undefined) return undefined;
      data.push([object, row]);
    }
    return data;
  }

  /** Segments that stay as they are after all. */
  leave(names: Iterable<string>, why: string): void {
    for (const name of names) {
      if (this.victims.delete(name)) this.#left.set(why, (this.#left.get(why) ?? 0) + 1);
    }
  }

  /** How many segments were left, by why. */
  get left(): ReadonlyMap<string, number> {
    return this.#left;
  }

  /** The snapshots that need any of the segments, the oldest first, and their new names. */
  replaced(): Replaced[] {
    const names = this.#namesFor();
    return affectedBy(this.victims, this.#affected).flatMap((affected) => {
      const name = names.get(affected.snapshot.name);
      return name === undefined ? [] : [{ ...affected, name }];
    });
  }

  /** Leaves what cannot be renamed. */
  #namesFor(): Map<string, string> {
    const { source, hasBegun } = this.#parts;
    const files = source.store.names();
    for (;;) {
      const free = new FreeNames(files, hasBegun);
      const names = new Map<string, string>();
      const stuck: string[] = [];
      for (const { snapshot, victims } of affectedBy(this.victims, this.#affected)) {
        const name = free.take(snapshot);
        if (name === undefined) stuck.push(...victims);
        else names.set(snapshot.name, name);
      }
      if (stuck.length === 0) return names;
      this.leave(stuck, NO_NAME);
    }
  }
}
