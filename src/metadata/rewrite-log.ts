/**
 * Writes the metadata of snapshots anew where objects have moved, for compacting.
 *
 *     root      its lines, and those that stretches of older roots stand for
 *       -> items      that name nothing that moved: kept as they are
 *       -> others     stanzas that name nothing that moved: kept, by reference
 *                     others: written with the new names, once for all snapshots
 *       -> new root   with stretches of older roots where these still do
 *
 * Called with one snapshot after the other, whose metadata was read before, all of it, and is as we
 * write it. What many snapshots share is written once: an object, a stanza, a stretch of a root.
 *
 * Invariant: at most three levels of objects, as metadata-log-writer has it: only stretches of
 * stanzas and whole lines of roots are ever named within.
 */
import { hash } from 'node:crypto';
import type Database from 'better-sqlite3';
import { LbsError } from '../errors.ts';
import { type ObjectReference, formatReference, parseReference } from '../format/reference.ts';
import type { RootPlace } from '../localdb/stat-cache-writer.ts';
import { openScratchDatabase } from '../std/scratch-database.ts';
import type { StoreMetadata } from './metadata-log-writer.ts';
import type { MetadataObjects } from './metadata-objects.ts';
import { type RootItem, renderRoot } from './root-object.ts';
import { piecesOf, withNames } from './stanza-references.ts';

export type RewriteParts = {
  /** Hold all objects of the logs. */
  readonly objects: MetadataObjects;
  /** True for a segment that is to be named no more. */
  readonly isMoved: (segment: string) => boolean;
  /** Where an object of file data that was in such a segment is now, as `segment/object`. */
  readonly newNameOf: (segment: string, object: number) => string | undefined;
  /** Stores a new metadata object. */
  readonly store: StoreMetadata;
};

/** A new or kept metadata object. */
type Item = { readonly object: string; readonly isFlat: boolean; readonly isNew: boolean };
type StanzaRow = { readonly object: number; readonly start: number; readonly length: number };

const CACHE_KIB = 8 * 1024;
/** By what they say: stanzas written anew, and new objects. */
const SCHEMA = `
  create table stanzas (digest blob primary key, object integer, start integer, length integer)
    without rowid;
  create table objects (digest blob primary key, name text) without rowid;
`;
const INCLUDE_LINE = /^@/m;
const SEGMENT_NAME = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;

export class LogRewriter {
  readonly #parts: RewriteParts;
  readonly #db: Database.Database;
  readonly #statements;
  /** Items of roots, by reference: one for some 64 KiB of stanzas. */
  readonly #items = new Map<string, Item>();
  /** Where a new root has the line of an item. */
  readonly #places = new Map<string, RootPlace>();
  /** Segments of older metadata that the new logs name. */
  readonly kept = new Set<string>();
  /** Names of new objects, and their lengths. */
  readonly #names: string[] = [];
  readonly #lengths = new Map<string, number>();

  constructor(parts: RewriteParts) {
    this.#parts = parts;
    const db = openScratchDatabase(SCHEMA, CACHE_KIB);
    this.#db = db;
    this.#statements = {
      stanza: db.prepare<[Buffer], StanzaRow>(
        'select object, start, length from stanzas where digest = ?',
      ),
      addStanza: db.prepare('insert or ignore into stanzas values (?, ?, ?, ?)'),
      object: db.prepare<[Buffer], string>('select name from objects where digest = ?').pluck(),
      addObject: db.prepare('insert into objects values (?, ?)'),
    };
  }

  close(): void {
    this.#db.close();
  }

  /** The new root of the log that begins at `root`. @throws {LbsError} format-syntax; as `store` */
  async rewrite(root: ObjectReference): Promise<string> {
    const items: RootItem[] = [];
    for (const { reference, place } of this.#rootLines(root)) {
      const { object, isFlat, isNew } = await this.#item(reference);
      if (!isNew) this.#keep(object);
      const kept = isNew || this.#isMovedName(place.object) ? undefined : place;
      items.push({ object, isFlat, old: kept ?? this.#places.get(object) });
    }
    const { text, places } = renderRoot(items, (stretch) => this.#keep(stretch));
    const object = await this.#store(text);
    for (const [at, place] of places.entries()) {
      const item = items[at];
      if (item !== undefined && !('object' in place)) {
        this.#places.set(item.object, { object, ...place });
      }
    }
    return object;
  }

  /** Every line of a root that names a metadata object, and where that line is. */
  *#rootLines(root: ObjectReference): Generator<{ reference: string; place: RootPlace }> {
    for (const { text: line, start } of includesOf(this.#textOf(root))) {
      const inner = objectReference(line);
      const text = inner.slice === undefined ? '' : this.#textOf(inner);
      if (!text.startsWith('@')) {
        yield { reference: line, place: placeOf(root, start, line) };
        continue;
      }
      for (const part of includesOf(text)) {
        yield { reference: part.text, place: placeOf(inner, part.start, part.text) };
      }
    }
  }

  async #item(text: string): Promise<Item> {
    let item = this.#items.get(text);
    if (item === undefined) this.#items.set(text, (item = await this.#rewriteItem(text)));
    return item;
  }

  async #rewriteItem(name: string): Promise<Item> {
    const reference = objectReference(name);
    const content = this.#textOf(reference);
    const isFlat = !INCLUDE_LINE.test(content);
    if (!this.#parts.isMoved(reference.segment) && !this.#speaksOfMoved(content)) {
      if (!isFlat) for (const line of includesIn(content)) this.#keep(line);
      return { object: name, isFlat, isNew: false };
    }
    const made = new ItemText();
    for (const { kind, text, start } of piecesOf(content)) {
      if (kind === 'stanza') {
        this.#addStanza(made, reference, { text, start });
        continue;
      }
      const inner = objectReference(text);
      const stanzas = this.#textOf(inner);
      if (!this.#parts.isMoved(inner.segment) && !this.#hasMovedName(stanzas)) {
        this.#keep(text);
        made.addStored(wholeName(inner), startOf(inner), stanzas.length);
        continue;
      }
      for (const piece of piecesOf(stanzas)) {
        if (piece.kind !== 'stanza') throw tooDeep();
        this.#addStanza(made, inner, piece);
      }
    }
    const known = made.soleRun();
    if (known !== undefined && known.length === this.#lengths.get(known.object)) {
      return { object: known.object, isFlat: true, isNew: true };
    }
    const { fresh, isFlat: isFlatNow } = made;
    const object = await this.#store(made.text());
    this.#remember(object, fresh);
    return { object, isFlat: isFlatNow, isNew: true };
  }

  /** The text of a metadata object, and of the stretches that it stands for. */
  #speaksOfMoved(content: string): boolean {
    if (this.#hasMovedName(content)) return true;
    if (!INCLUDE_LINE.test(content)) return false;
    for (const { kind, text } of piecesOf(content)) {
      if (kind === 'include' && this.#hasMovedName(this.#textOf(objectReference(text))))
        return true;
    }
    return false;
  }

  /** Something in the text looks like the name of a segment that moved. */
  #hasMovedName(text: string): boolean {
    for (const [name] of text.matchAll(SEGMENT_NAME)) if (this.#parts.isMoved(name)) return true;
    return false;
  }

  #isMovedName(object: string): boolean {
    return this.#parts.isMoved(segmentOf(object));
  }

  #keep(object: string): void {
    this.kept.add(segmentOf(object));
  }

  #addStanza(
    made: ItemText,
    source: ObjectReference,
    { text, start }: { text: string; start: number },
  ): void {
    const { isMoved, newNameOf } = this.#parts;
    const moved = withNames(text, newNameOf);
    if (moved === text && !isMoved(source.segment)) {
      this.kept.add(source.segment);
      made.addStored(wholeName(source), startOf(source) + start, text.length);
      return;
    }
    const digest = digestOf(moved);
    const known = this.#statements.stanza.get(digest);
    const object = known === undefined ? undefined : this.#names[known.object];
    if (known === undefined || object === undefined) made.addFresh(moved, digest);
    else made.addStored(object, known.start, known.length);
  }

  /** Where the stanzas are that were written into a new object. */
  #remember(object: string, fresh: readonly FreshStanza[]): void {
    if (fresh.length === 0) return;
    const number = this.#names.push(object) - 1;
    for (const { digest, start, length } of fresh) {
      this.#statements.addStanza.run(digest, number, start, length);
    }
  }

  async #store(text: string): Promise<string> {
    const bytes = Buffer.from(text, 'latin1');
    const digest = hash('sha256', bytes, 'buffer');
    const known = this.#statements.object.get(digest);
    if (known !== undefined) return known;
    const name = await this.#parts.store(bytes);
    this.#statements.addObject.run(digest, name);
    this.#lengths.set(name, bytes.length);
    return name;
  }

  #textOf(reference: ObjectReference): string {
    return this.#parts.objects.use(reference, (bytes) => bytes.toString('latin1'));
  }
}

type FreshStanza = { readonly digest: Buffer; readonly start: number; readonly length: number };
type Run = { readonly object: string; readonly start: number; end: number };

/** The text of a metadata object while it is put together. */
class ItemText {
  readonly fresh: FreshStanza[] = [];
  #parts: string[] = [];
  #length = 0;
  #run: Run | undefined;
  #runs = 0;

  /** True when there are only stanzas in it. */
  get isFlat(): boolean {
    return this.#runs === 0;
  }

  /** Stanzas that are stored and follow each other there. */
  addStored(object: string, start: number, length: number): void {
    if (this.#run?.object !== object || this.#run.end !== start) {
      this.#endRun();
      this.#run = { object, start, end: start };
      this.#runs++;
    }
    this.#run.end += length;
  }

  addFresh(stanza: string, digest: Buffer): void {
    if (this.#run !== undefined) {
      this.#endRun();
      // The empty line between keeps readers that work on the flattened text in step.
      this.#add('\n');
    }
    this.fresh.push({ digest, start: this.#length, length: stanza.length });
    this.#add(stanza);
  }

  #endRun(): void {
    if (this.#run === undefined) return;
    const { object, start, end } = this.#run;
    this.#add(`@${object}[${start}+${end - start}]\n`);
    this.#run = undefined;
  }

  #add(text: string): void {
    this.#parts.push(text);
    this.#length += text.length;
  }

  /** The object and length, when it is nothing but the beginning of one stored object. */
  soleRun(): { readonly object: string; readonly length: number } | undefined {
    if (this.#length > 0 || this.#run === undefined || this.#run.start !== 0) return undefined;
    return { object: this.#run.object, length: this.#run.end };
  }

  text(): string {
    this.#endRun();
    return this.#parts.join('');
  }
}

function segmentOf(object: string): string {
  return object.slice(0, object.indexOf('/'));
}

function digestOf(text: string): Buffer {
  return hash('sha256', Buffer.from(text, 'latin1'), 'buffer');
}

/** The lines of a text that has nothing else. @throws {LbsError} format-syntax */
function* includesOf(text: string): Generator<{ text: string; start: number }> {
  for (const { kind, text: line, start } of piecesOf(text)) {
    if (kind === 'stanza') throw new LbsError('format-syntax', 'a root that holds entries itself');
    yield { text: line, start };
  }
}

/** The lines of a metadata object that stand for others. */
function* includesIn(text: string): Generator<string> {
  for (const { kind, text: line } of piecesOf(text)) if (kind === 'include') yield line;
}

function objectReference(text: string): ObjectReference {
  const reference = parseReference(text, 'prefix');
  if (reference.kind === 'object') return reference;
  throw new LbsError('format-syntax', `"@${text.slice(0, 120)}" names no object`);
}

/** Of the object that a reference is to a part of. */
function wholeName(reference: ObjectReference): string {
  return formatReference({ ...reference, slice: undefined, exactSize: undefined });
}

function startOf({ slice }: ObjectReference): number {
  return slice?.start ?? 0;
}

/** Where the line `@line` is that begins at `start` of what `reference` names. */
function placeOf(reference: ObjectReference, start: number, line: string): RootPlace {
  const length = line.length + 2;
  return { object: wholeName(reference), start: startOf(reference) + start, length };
}

function tooDeep(): LbsError {
  return new LbsError('format-syntax', 'metadata is nested too deep');
}
