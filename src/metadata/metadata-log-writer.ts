/**
 * The metadata log of a new snapshot: stanzas into objects of about 64 KiB, and the root object
 * that names them in order. Called by backup/run-backup for every entry, in path order; writes
 * the new stat cache as it goes, since only it knows where each stanza ended up.
 *
 * What did not change is not written again, on three levels:
 *  - a stanza that is stored already becomes part of an `@object[start+length]` line;
 *  - a whole old object whose entries all came back unchanged, in order, is named by the root;
 *  - a stretch of the old root that names such objects becomes one `@root[start+length]` line,
 *    and a snapshot in which nothing changed at all has the old root.
 * So an unchanged tree of any size costs a constant. Objects are cut where the old ones were, or
 * else one new file would shift all boundaries behind it.
 *
 * Invariant: readers nest at most three objects (root, object, slice). A slice of an old root is
 * therefore only used for objects that hold no references themselves ("flat").
 * Format: lbs-format(5), "METADATA".
 */
import {
  type CacheFacts,
  type CacheGroup,
  type CacheRecord,
  formatRecord,
} from '../localdb/stat-cache-record.ts';
import type { CachedAccount, RootPlace, StatCacheWriter } from '../localdb/stat-cache-writer.ts';
import { GrowingBytes } from '../std/growing-bytes.ts';

/** Flush rule of the family: an object is written once its text exceeds this. */
const OBJECT_BYTES = 65536;

/** Stores one metadata object and returns `segment/object(sha1=..)`. */
export type StoreMetadata = (text: Buffer) => Promise<string>;

/** Whether an older metadata object (`segment/object(sha1=..)`) may be referred to, and that it is. */
export type MetadataReuse = {
  canUse(object: string): boolean;
  use(object: string): void;
};

/** An entry that is not yet in an object. */
type Pending =
  { readonly kind: 'fresh'; readonly facts: CacheFacts; readonly stanza: string } | Reused;

type Reused = {
  readonly kind: 'reused';
  /** Undefined: what the record has. */
  readonly facts: CacheFacts | undefined;
  readonly record: CacheRecord;
};

/** One line of the root: a metadata object, and where an older root has its line. */
type RootItem = {
  readonly object: string;
  readonly isFlat: boolean;
  readonly old: CacheGroup['root'] | undefined;
};

export class MetadataLogWriter {
  readonly #store: StoreMetadata;
  readonly #reuse: MetadataReuse;
  readonly #cache: StatCacheWriter | undefined;
  #pending: Pending[] = [];
  #pendingBytes = 0;
  /** True while all of `#pending` is as the cache before has it. */
  #isKept = true;
  /** The old object that all of `#pending` repeats so far, entry by entry. */
  #mirrored: CacheGroup | undefined;
  readonly #items: RootItem[] = [];
  /** True while every item was taken over whole from the snapshot before, in order. */
  #isUnchanged = true;
  /** Memory for the text of an object and for its records in the cache. */
  readonly #objectText = new GrowingBytes(2 * OBJECT_BYTES);
  readonly #cacheText = new GrowingBytes(2 * OBJECT_BYTES);

  /** Without a cache (dry run) nothing is remembered. */
  constructor(store: StoreMetadata, reuse: MetadataReuse, cache: StatCacheWriter | undefined) {
    this.#store = store;
    this.#reuse = reuse;
    this.#cache = cache;
  }

  /**
   * Adds an entry whose stanza is new. `stanza` is Latin-1 text with its final empty line.
   * A promise only when there is something to wait for before the next entry.
   */
  addFresh(facts: CacheFacts, stanza: string): Promise<void> | undefined {
    this.#mirrored = undefined;
    this.#isKept = false;
    this.#pending.push({ kind: 'fresh', facts, stanza });
    this.#pendingBytes += stanza.length;
    return this.#pendingBytes > OBJECT_BYTES ? this.#flush() : undefined;
  }

  /**
   * Adds an entry whose stanza is stored already, where `record` says; that object is usable.
   * `facts` are what the cache is to have of it, if that is not what it has.
   * A promise only when there is something to wait for before the next entry.
   */
  addReused(record: CacheRecord, facts?: CacheFacts): Promise<void> | undefined {
    if (record.index === 0 && this.#pending.length > 0) {
      // Cut here, so that the old object can be taken over whole.
      return this.#flush().then(() => this.#addReused(record, facts));
    }
    return this.#addReused(record, facts);
  }

  #addReused(record: CacheRecord, facts: CacheFacts | undefined): Promise<void> | undefined {
    const { group } = record;
    if (record.index === 0) {
      this.#mirrored = this.#reuse.canUse(group.object) ? group : undefined;
    } else if (this.#mirrored !== group || this.#pending.length !== record.index) {
      this.#mirrored = undefined;
    }
    this.#reuse.use(record.object);
    if (facts !== undefined) this.#isKept = false;
    this.#pending.push({ kind: 'reused', facts, record });
    this.#pendingBytes += record.stanzaLength;
    if (this.#mirrored !== undefined && record.isLast) this.#takeOver(this.#mirrored);
    else if (this.#pendingBytes > OBJECT_BYTES) return this.#flush();
    return undefined;
  }

  /** All pending entries are an old object, complete: name that object instead of a new one. */
  #takeOver(group: CacheGroup): void {
    this.#reuse.use(group.object);
    const old = this.#reuse.canUse(group.root.object) ? group.root : undefined;
    this.#items.push({ object: group.object, isFlat: group.isFlat, old });
    // As it is: most groups of most runs are.
    if (this.#isKept) this.#cache?.addKept(group);
    else this.#cacheGroup(group.object, group.isFlat, []);
    this.#forgetPending();
  }

  async #flush(): Promise<void> {
    if (this.#pending.length === 0) return;
    this.#isUnchanged = false;
    const text = this.#objectText;
    text.clear();
    const { starts, isFlat } = render(this.#pending, text);
    const object = await this.#store(text.bytes);
    this.#items.push({ object, isFlat, old: undefined });
    this.#cacheGroup(object, isFlat, starts);
    this.#forgetPending();
  }

  /** `starts` are where the fresh stanzas begin in the object. */
  #cacheGroup(object: string, isFlat: boolean, starts: readonly number[]): void {
    if (this.#cache === undefined) return;
    const text = this.#cacheText;
    text.clear();
    let fresh = 0;
    for (const pending of this.#pending) {
      if (pending.kind === 'fresh') {
        const stanza = { object, start: starts[fresh++] ?? 0, length: pending.stanza.length };
        text.addText(formatRecord(pending.facts, stanza, object));
      } else if (pending.facts === undefined) pending.record.copyTo(text, object);
      else text.addText(formatRecord(pending.facts, pending.record.stanza, object));
    }
    this.#cache.addGroup(object, isFlat, text.bytes);
  }

  #forgetPending(): void {
    this.#pending = [];
    this.#pendingBytes = 0;
    this.#isKept = true;
    this.#mirrored = undefined;
  }

  /**
   * Writes what is left and the root; returns the root's reference. `previous` is the root of the
   * snapshot before and the number of objects it names, when they may be used again; `accounts`
   * are the names to remember.
   */
  async finish(
    accounts: readonly CachedAccount[],
    previous?: { root: string; objects: number },
  ): Promise<string> {
    await this.#flush();
    if (previous !== undefined && this.#isUnchanged && this.#items.length === previous.objects) {
      const places = this.#items.flatMap(({ old }) => (old === undefined ? [] : [old]));
      if (places.length === previous.objects && this.#reuse.canUse(previous.root)) {
        // The old root names its own slices; what those point to is used as well.
        for (const object of [previous.root, ...places.map((place) => place.object)]) {
          this.#reuse.use(object);
        }
        this.#cache?.finish(previous.root, accounts, places);
        return previous.root;
      }
    }
    const { text, places } = renderRoot(this.#items, (object) => this.#reuse.use(object));
    const root = await this.#store(Buffer.from(text, 'latin1'));
    const inThis = (place: Omit<RootPlace, 'object'>): RootPlace => ({ object: root, ...place });
    this.#cache?.finish(
      root,
      accounts,
      places.map((place) => ('object' in place ? place : inThis(place))),
    );
    return root;
  }
}

/** Appends the text of a metadata object; `starts` are the offsets of its fresh stanzas. */
function render(
  pending: readonly Pending[],
  text: GrowingBytes,
): { starts: number[]; isFlat: boolean } {
  const starts: number[] = [];
  let run: { object: string; start: number; end: number } | undefined;
  let isFlat = true;
  const endRun = () => {
    if (run === undefined) return;
    text.addText(`@${run.object}[${run.start}+${run.end - run.start}]\n`);
    run = undefined;
    isFlat = false;
  };
  for (const item of pending) {
    if (item.kind === 'fresh') {
      // The empty line between keeps readers that work on the flattened text in step.
      if (run !== undefined) {
        endRun();
        text.addText('\n');
      }
      starts.push(text.length);
      text.addText(item.stanza);
      continue;
    }
    const { object, stanzaStart: start, stanzaLength } = item.record;
    if (run !== undefined && (run.object !== object || run.end !== start)) endRun();
    run ??= { object, start, end: start };
    run.end = start + stanzaLength;
  }
  endRun();
  return { starts, isFlat };
}

type NewPlace = Omit<RootPlace, 'object'>;

/** Text of the root object, and where each item's line is: in an old root, or in this one. */
function renderRoot(
  items: readonly RootItem[],
  use: (object: string) => void,
): {
  text: string;
  places: (RootPlace | NewPlace)[];
} {
  const places: (RootPlace | NewPlace)[] = [];
  let text = '';
  for (let at = 0; at < items.length;) {
    const stretch = stretchFrom(items, at);
    const first = items[at]?.old;
    // A stretch of one line would only trade a line for a line as long.
    if (first !== undefined && stretch > 1) {
      const last = items[at + stretch - 1]?.old ?? first;
      use(first.object);
      text += `@${first.object}[${first.start}+${last.start + last.length - first.start}]\n`;
      for (const { old } of items.slice(at, at + stretch)) if (old !== undefined) places.push(old);
      at += stretch;
      continue;
    }
    const line = `@${items[at]?.object ?? ''}\n`;
    places.push({ start: text.length, length: line.length });
    text += line;
    at++;
  }
  return { text, places };
}

/** How many items from `at` on are flat and follow each other in one old root. */
function stretchFrom(items: readonly RootItem[], at: number): number {
  let count = 0;
  let before: CacheGroup['root'] | undefined;
  for (let next = at; next < items.length; next++) {
    const item = items[next];
    if (item?.old === undefined || !item.isFlat) break;
    const { object, start } = item.old;
    if (
      before !== undefined &&
      (object !== before.object || start !== before.start + before.length)
    ) {
      break;
    }
    before = item.old;
    count++;
  }
  return count;
}
