/**
 * From a snapshot's root reference to its entries, in the order of the log.
 *
 * Called by restore, verify and ls. A log is a tree of text: the root object names metadata
 * objects by `@reference` lines, those hold stanzas and name stretches of older objects, and old
 * formats keep long lists of blocks in objects of their own. First every object needed is
 * fetched, level by level (metadata-objects), then the stanzas are given out.
 *
 * Invariant: damage costs only what it holds. It is told through `onDamage`, and the reading goes
 * on after it. Format: lbs-format(5), "METADATA".
 */
import { setImmediate as turn } from 'node:timers/promises';
import { LbsError, messageOf } from '../errors.ts';
import type { Descriptor } from '../format/descriptor.ts';
import { parseEntry, type Entry } from '../format/entry.ts';
import {
  formatReference,
  type ObjectReference,
  parseReference,
  type SliceDialect,
} from '../format/reference.ts';
import { type Stanza, StanzaParser } from '../format/stanza.ts';
import type { SegmentSource } from '../segments/segment-source.ts';
import { type BytePath, showPath } from '../std/byte-path.ts';
import { GivenBytes, isDamage, MetadataObjects, type WantedObjects } from './metadata-objects.ts';
import { LogNarrower, type LogTexts, type NarrowedLog } from './narrow-log.ts';

/**
 * Objects within objects that are followed: root, metadata object, stretch of an older one. The
 * family's readers allow no more either; without a limit a hostile store could make a circle.
 */
const LOG_DEPTH_MAX = 3;
/** Lists of blocks within lists of blocks, as the family's readers allow. */
const LIST_DEPTH_MAX = 3;
/** The root and what it names are remembered; stretches inside of those are too many. */
const REMEMBERED_DEPTH_MAX = 2;
/** Entries between two turns of the event loop, so that an interrupt gets through. */
const ENTRIES_PER_TURN = 1000;

const AT = 0x40;
const NEWLINE = 0x0a;
const SPACE = 0x20;
const COLON = 0x3a;

export type MetadataDamage = {
  /** The last entry given out before; undefined at the start. */
  readonly after: BytePath | undefined;
  /** The entry that is lost, when that much is known. */
  readonly path: BytePath | undefined;
};

/**
 * Lets a caller that reads many snapshots of one store leave out what it has seen: an object (or
 * stretch of one) named by a root is the same text in every snapshot.
 */
export type IncludeMemory = {
  /** True: leave it out. */
  isKnown(reference: string): boolean;
  /** Called around the entries of each include of a root, and of the root itself. */
  enter(reference: string): void;
  leave(reference: string): void;
};

/** `source` is what `text` is the text of. */
export type TakeStanza = (
  text: string,
  start: number,
  source: ObjectReference,
) => number | undefined;

export type ReadMetadataOptions = {
  /** Is told of everything that cannot be read. */
  readonly onDamage?: (message: string, where: MetadataDamage) => void;
  readonly signal?: AbortSignal | undefined;
  /** Directory for temporary files. */
  readonly tmpdir?: string | undefined;
  /** Objects kept from other snapshots of the same store; the caller closes it. */
  readonly objects?: MetadataObjects;
  readonly memory?: IncludeMemory;
  /** Is told of each object (or stretch of one) of the log, and of each list of blocks, that is read. */
  readonly onObject?: (reference: ObjectReference) => void;
  /**
   * Is offered each place of the text where a stanza begins: takes that stanza, and returns where it
   * ends, or leaves it (undefined) to be given out as an entry. `source` is the object (or stretch
   * of one) that the text is.
   */
  readonly takeStanza?: TakeStanza | undefined;
  /**
   * Only these paths, what is below them and the directories above are needed: much of the rest
   * is left out, though not all. Only for a log in the order of paths, as ours are.
   */
  readonly only?: readonly BytePath[] | undefined;
};

/**
 * The entries of the snapshot, in the order of its log; `data` holds plain references only.
 * @throws {LbsError} filter-missing, interrupted; never for damage
 */
export async function* readMetadata(
  source: SegmentSource,
  descriptor: Descriptor,
  options: ReadMetadataOptions = {},
): AsyncGenerator<Entry> {
  const { tmpdir, signal } = options;
  const isSearch = options.only !== undefined;
  const objects = options.objects ?? new MetadataObjects(source, { tmpdir, signal, isSearch });
  try {
    const reader = new LogReader(objects, descriptor.dialect, options);
    if (options.only !== undefined) await reader.narrow(descriptor.root, options.only);
    await reader.fetch(descriptor.root);
    let untilTurn = ENTRIES_PER_TURN;
    for (const entry of reader.entries(descriptor.root, 1)) {
      if (entry !== undefined) yield entry;
      if (--untilTurn > 0) continue;
      untilTurn = ENTRIES_PER_TURN;
      await reader.pause();
    }
  } finally {
    if (options.objects === undefined) objects.close();
  }
}

class LogReader {
  readonly #objects: MetadataObjects;
  readonly #dialect: SliceDialect;
  readonly #options: ReadMetadataOptions;
  readonly #parser = new StanzaParser();
  #after: BytePath | undefined;
  /** The stanza before this place, when it was taken. */
  #taken: { readonly text: string; readonly start: number; readonly end: number } | undefined;
  #narrowed: NarrowedLog = new Map();
  /** An entry is told once, however often a hostile log names the object that it is in. */
  readonly #given = new GivenBytes();
  #listBytes = 0;

  constructor(objects: MetadataObjects, dialect: SliceDialect, options: ReadMetadataOptions) {
    this.#objects = objects;
    this.#dialect = dialect;
    this.#options = options;
  }

  async pause(): Promise<void> {
    await turn();
    if (this.#options.signal?.aborted === true) {
      throw new LbsError('interrupted', 'interrupted while reading metadata');
    }
  }

  /** Leaves out what cannot hold any of `paths`, nor directories above them. */
  async narrow(root: ObjectReference, paths: readonly BytePath[]): Promise<void> {
    const texts: LogTexts = {
      textOf: async (reference) => {
        const wanted: WantedObjects = new Map();
        this.#objects.want(reference, wanted);
        await this.#objects.load(wanted);
        return this.#useIfAny(reference, latin1);
      },
      referenceOf: (line) => {
        try {
          return objectReference(line, this.#dialect);
        } catch {
          // Told of when its turn in the log comes.
          return undefined;
        }
      },
    };
    const nameOf = (reference: ObjectReference) => this.#nameOf(reference);
    const narrower = new LogNarrower(texts, paths, nameOf, LOG_DEPTH_MAX);
    await narrower.narrow(root);
    this.#narrowed = narrower.narrowed;
  }

  /** Fetches all objects that the log starting at `root` needs. */
  async fetch(root: ObjectReference): Promise<void> {
    for (let depth = 1; depth <= LOG_DEPTH_MAX + LIST_DEPTH_MAX; depth++) {
      const wanted: WantedObjects = new Map();
      let found = 0;
      for (const reference of this.#referencesAt(root, depth, new GivenBytes())) {
        this.#objects.want(reference, wanted);
        if (++found % ENTRIES_PER_TURN === 0) await this.pause();
      }
      if (found === 0) return;
      await this.#objects.load(wanted);
    }
  }

  /** References `down` levels below (1 is `top` itself), through objects fetched already. */
  *#referencesAt(
    top: ObjectReference,
    down: number,
    given: GivenBytes,
    depth = 1,
  ): Generator<ObjectReference> {
    if (this.#isKnown(top, depth)) return;
    if (down === 1) {
      yield top;
      return;
    }
    const narrowed = this.#narrowed.get(this.#nameOf(top));
    const all = (text: Buffer) => [...indirectReferences(text, this.#dialect)];
    const references = narrowed ?? this.#useIfAny(top, all, given) ?? [];
    for (const reference of references) {
      yield* this.#referencesAt(reference, down - 1, given, depth + 1);
    }
  }

  #useIfAny<T>(
    reference: ObjectReference,
    action: (bytes: Buffer) => T,
    given?: GivenBytes,
  ): T | undefined {
    try {
      return this.#objects.use(reference, action, given);
    } catch (error) {
      // Told of when its turn in the log comes.
      if (!isDamage(error)) throw error;
      return undefined;
    }
  }

  #isKnown(reference: ObjectReference, depth: number): boolean {
    const { memory } = this.#options;
    if (memory === undefined || depth > REMEMBERED_DEPTH_MAX) return false;
    return memory.isKnown(this.#nameOf(reference));
  }

  /** All that decides what the text of `reference` means. */
  #nameOf(reference: ObjectReference): string {
    return `${this.#dialect} ${formatReference(reference)} ${reference.exactSize ?? ''}`;
  }

  /**
   * The entries of an object and of what it includes; `depth` is 1 for the root. Nothing is given
   * out once for each object, so that the caller has its turn where all stanzas are taken.
   */
  *entries(top: ObjectReference, depth: number): Generator<Entry | undefined> {
    if (this.#isKnown(top, depth)) return;
    const { memory } = this.#options;
    const remembers = memory !== undefined && depth <= REMEMBERED_DEPTH_MAX;
    const name = remembers ? this.#nameOf(top) : '';
    if (remembers) memory.enter(name);
    yield* this.#entriesOf(top, depth);
    yield undefined;
    if (remembers) memory.leave(name);
  }

  *#entriesOf(top: ObjectReference, depth: number): Generator<Entry | undefined> {
    let text: string;
    try {
      text = this.#objects.use(top, latin1, this.#given);
    } catch (error) {
      this.#damaged(error, undefined);
      return;
    }
    this.#options.onObject?.(top);
    const narrowed = this.#narrowed.get(this.#nameOf(top));
    if (narrowed !== undefined) {
      for (const reference of narrowed) yield* this.entries(reference, depth + 1);
      return;
    }
    const { takeStanza } = this.#options;
    let isBetween = true;
    for (let start = 0; start < text.length;) {
      const taken = isBetween ? takeStanza?.(text, start, top) : undefined;
      if (taken !== undefined) {
        this.#taken = { text, start, end: taken };
        start = taken;
        continue;
      }
      const newline = text.indexOf('\n', start);
      const end = newline < 0 ? text.length : newline;
      const result = this.#parser.line(text.slice(start, end));
      isBetween = start === end || result.kind === 'include';
      start = end + 1;
      if (result.kind === 'stanza') {
        yield* this.#entry(result.stanza);
      } else if (result.kind === 'include') {
        // A stanza never goes on beyond an include or the end of its object.
        yield* this.lastEntry();
        yield* this.#include(result.reference, depth);
      }
    }
    yield* this.lastEntry();
  }

  /** The entry whose stanza was not ended by an empty line. */
  *lastEntry(): Generator<Entry> {
    const stanza = this.#parser.end();
    if (stanza !== undefined) yield* this.#entry(stanza);
  }

  *#include(text: string, depth: number): Generator<Entry | undefined> {
    let reference: ObjectReference;
    try {
      if (depth >= LOG_DEPTH_MAX) {
        throw new LbsError(
          'format-syntax',
          `metadata is nested too deep at "@${text.slice(0, 120)}"`,
        );
      }
      reference = objectReference(text, this.#dialect);
    } catch (error) {
      this.#damaged(error, undefined);
      return;
    }
    yield* this.entries(reference, depth + 1);
  }

  *#entry(stanza: Stanza): Generator<Entry> {
    let entry: Entry | undefined;
    try {
      entry = parseEntry(stanza);
      if (entry.data.some((text) => text.startsWith('@'))) {
        entry = { ...entry, data: this.#plainData(entry.data, new GivenBytes(), 1) };
      }
    } catch (error) {
      this.#damaged(error, entry?.path);
      return;
    }
    this.#after = entry.path;
    this.#taken = undefined;
    yield entry;
  }

  /** References with the lists of blocks that some of them stand for put in their place. */
  #plainData(data: readonly string[], given: GivenBytes, depth: number): string[] {
    if (depth > LIST_DEPTH_MAX)
      throw new LbsError('format-syntax', 'lists of blocks nested too deep');
    return data.flatMap((text) => {
      if (!text.startsWith('@')) return [text];
      const reference = objectReference(text.slice(1), this.#dialect);
      const list = this.#objects.use(reference, latin1, given);
      this.#listBytes += list.length;
      if (this.#listBytes > this.#objects.textBytesMax) {
        throw new LbsError('format-syntax', 'lists of blocks are far longer than they can be');
      }
      this.#options.onObject?.(reference);
      const lines = list.split(/\s+/);
      return this.#plainData(
        lines.filter((line) => line !== ''),
        given,
        depth + 1,
      );
    });
  }

  #damaged(error: unknown, path: BytePath | undefined): void {
    if (!isDamage(error)) throw error;
    const name = path === undefined ? '' : `${showPath(path)}: `;
    this.#options.onDamage?.(name + messageOf(error), { after: this.#lastPath(), path });
  }

  /** The last entry before this place. */
  #lastPath(): BytePath | undefined {
    if (this.#taken === undefined) return this.#after;
    const { text, start, end } = this.#taken;
    const parser = new StanzaParser();
    for (const line of text.slice(start, end).split('\n')) {
      const result = parser.line(line);
      if (result.kind === 'stanza') return parseEntry(result.stanza).path;
    }
    return this.#after;
  }
}

function latin1(bytes: Buffer): string {
  return bytes.toString('latin1');
}

function objectReference(text: string, dialect: SliceDialect): ObjectReference {
  const reference = parseReference(text, dialect);
  if (reference.kind === 'object') return reference;
  throw new LbsError('format-syntax', `"@${text.slice(0, 120)}" names no object`);
}

/**
 * Every `@reference` of a text: includes in column 0, and lists of blocks as values. Names and
 * other values never contain a bare `@`, so looking for that one byte is enough, and fast.
 */
function* indirectReferences(text: Buffer, dialect: SliceDialect): Generator<ObjectReference> {
  for (let at = text.indexOf(AT); at >= 0; at = text.indexOf(AT, at + 1)) {
    const before = at === 0 ? NEWLINE : text[at - 1];
    if (before !== NEWLINE && before !== SPACE && before !== COLON) continue;
    let end = at + 1;
    while (end < text.length && (text[end] ?? 0) > SPACE) end++;
    let reference: ObjectReference;
    try {
      reference = objectReference(text.toString('latin1', at + 1, end), dialect);
    } catch {
      // Told of when its turn in the log comes.
      continue;
    }
    yield reference;
  }
}
