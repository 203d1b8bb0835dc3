/**
 * What the metadata of snapshots uses, object by object, and a fingerprint of what it says. Called
 * by compact: before, to know what must move, and afterwards, to hold what was written against it.
 *
 * Only metadata that this program wrote is taken. Each distinct part is read once, however many
 * snapshots have it.
 */
import { hash } from 'node:crypto';
import { LbsError, messageOf } from '../errors.ts';
import type { Descriptor } from '../format/descriptor.ts';
import type { ObjectReference } from '../format/reference.ts';
import { OBJECTS_PER_SEGMENT_MAX } from '../localdb/block-index.ts';
import { readMetadata } from '../metadata/metadata-log-reader.ts';
import type { MetadataObjects } from '../metadata/metadata-objects.ts';
import { stanzaEnd, withNames } from '../metadata/stanza-references.ts';
import type { SegmentSource } from '../segments/segment-source.ts';
import { showPath } from '../std/byte-path.ts';
import { UsesOfIncludes } from './used-objects.ts';

export type SurveyOptions = {
  readonly signal?: AbortSignal | undefined;
  /** Told of each object of file data that is referred to; of some more than once. */
  readonly onData?: (segment: string, object: number) => void;
  /** As `LogRewriter` is told: the fingerprint is that of the log that it would write. */
  readonly newNameOf?: (segment: string, object: number) => string | undefined;
  /** SHA-256 of a metadata object, where the local database has it. */
  readonly digestOf: (segment: string, object: number) => Buffer | undefined;
};

export type SurveyedLog = {
  /** By segment, a bit for each object that is used, the lowest first. */
  readonly used: ReadonlyMap<string, Buffer>;
  /** Equal for two logs that say the same. */
  readonly fingerprint: number;
};

const MARK_BYTES = 6;

export class LogSurvey {
  readonly #source: SegmentSource;
  readonly #objects: MetadataObjects;
  readonly #options: SurveyOptions;
  readonly #uses = new UsesOfIncludes();
  readonly #numbers = new Map<string, number>();
  readonly #names: string[] = [];
  readonly #checked = new Set<number>();

  /** `objects` keeps what is read; the caller closes it. */
  constructor(source: SegmentSource, objects: MetadataObjects, options: SurveyOptions) {
    this.#source = source;
    this.#objects = objects;
    this.#options = options;
  }

  /**
   * @throws {LbsError} segment-corrupt where something cannot be read, format-syntax where it is not
   * as this program writes it; filter-missing, decryption-key, interrupted
   */
  async read(descriptor: Descriptor): Promise<SurveyedLog> {
    let trouble: string | undefined;
    const damaged = (message: string) => {
      trouble ??= message;
      this.#uses.spoil();
    };
    let strange: unknown;
    this.#uses.begin();
    const entries = readMetadata(this.#source, descriptor, {
      signal: this.#options.signal,
      objects: this.#objects,
      memory: this.#uses,
      onObject: (reference) => this.#useMetadata(reference, damaged),
      onDamage: damaged,
      takeStanza: (text, start, of) => {
        const end = isSameObject(of, descriptor.root) ? undefined : stanzaEnd(text, start);
        if (end === undefined || strange !== undefined) return undefined;
        try {
          this.#take(text.slice(start, end));
        } catch (error) {
          strange = error;
          this.#uses.spoil();
        }
        return end;
      },
    });
    for await (const { path } of entries) {
      strange ??= new LbsError('format-syntax', `the entry ${showPath(path)} is not as this program writes it`); // prettier-ignore
      this.#uses.spoil();
    }
    if (trouble !== undefined) throw new LbsError('segment-corrupt', trouble);
    if (strange !== undefined) throw new LbsError('format-syntax', messageOf(strange));
    const used = new Map<string, Buffer>();
    for (const [number, bits] of this.#uses.used.segments()) {
      used.set(this.#names[number] ?? '', Buffer.from(bits));
    }
    return { used, fingerprint: this.#uses.marks };
  }

  /** A stanza: which objects it refers to, and its mark. @throws {LbsError} format-syntax */
  #take(stanza: string): void {
    const { onData, newNameOf } = this.#options;
    const text = withNames(stanza, (segment, object) => {
      this.#use(segment, object);
      onData?.(segment, object);
      return newNameOf?.(segment, object);
    });
    const digest = hash('sha256', Buffer.from(text, 'latin1'), 'buffer');
    this.#uses.addMark(digest.readUIntBE(0, MARK_BYTES));
  }

  #useMetadata(reference: ObjectReference, damaged: (message: string) => void): void {
    const { segment, object } = reference;
    const id = this.#use(segment, object);
    if (this.#checked.has(id)) return;
    this.#checked.add(id);
    const expected = this.#options.digestOf(segment, object);
    if (expected === undefined) return;
    const whole = { ...reference, slice: undefined, exactSize: undefined };
    const isRight = this.#objects.use(whole, (bytes) =>
      hash('sha256', bytes, 'buffer').equals(expected),
    );
    if (!isRight)
      damaged(`metadata in ${segment}: its SHA-256 is not as the local database has it`);
  }

  #use(segment: string, object: number): number {
    let number = this.#numbers.get(segment);
    if (number === undefined) this.#numbers.set(segment, (number = this.#names.push(segment) - 1));
    if (object >= OBJECTS_PER_SEGMENT_MAX) {
      throw new LbsError('format-syntax', `object number ${object} is not possible`);
    }
    const id = number * OBJECTS_PER_SEGMENT_MAX + object;
    this.#uses.use(id);
    return id;
  }
}

function isSameObject(a: ObjectReference, b: ObjectReference): boolean {
  return a.segment === b.segment && a.object === b.object && a.slice === undefined;
}
