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
import { type CacheGroup, type CacheRecord, formatRecord } from '../localdb/stat-cache-record.ts';
import type { CachedAccount, RootPlace, StatCacheWriter } from '../localdb/stat-cache-writer.ts';

/** Flush rule of the family: an object is written once its text exceeds this. */
const OBJECT_BYTES = 65536;

/** Stores one metadata object and returns `segment/object(sha1=..)`. */
export type StoreMetadata = (text: Buffer) => Promise<string>;

/** Whether an older metadata object (`segment/object(sha1=..)`) may be referred to, and that it is. */
export type MetadataReuse = {
  canUse(object: string): boolean;
  use(object: string): void;
};

/** What the stat cache keeps of an entry, however its stanza was obtained. */
export type CacheFacts = Pick<CacheRecord, 'text' | 'statusLine' | 'xattrs' | 'content'>;

type Pending =
  | { readonly kind: 'fresh'; readonly facts: CacheFacts; readonly stanza: string }
  | { readonly kind: 'reused'; readonly facts: CacheFacts; readonly record: CacheRecord };

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
  /** The old object that all of `#pending` repeats so far, entry by entry. */
  #mirrored: CacheGroup | undefined;
  readonly #items: RootItem[] = [];
  /** True while every item was taken over whole from the snapshot before, in order. */
  #isUnchanged = true;

  /** Without a cache (dry run) nothing is remembered. */
  constructor(store: StoreMetadata, reuse: MetadataReuse, cache: StatCacheWriter | undefined) {
    this.#store = store;
    this.#reuse = reuse;
    this.#cache = cache;
  }

  /** Adds an entry whose stanza is new. `stanza` is Latin-1 text with its final empty line. */
  async addFresh(facts: CacheFacts, stanza: string): Promise<void> {
    this.#mirrored = undefined;
    this.#pending.push({ kind: 'fresh', facts, stanza });
    this.#pendingBytes += stanza.length;
    if (this.#pendingBytes > OBJECT_BYTES) await this.#flush();
  }

  /** Adds an entry whose stanza is stored already, where `record` says; that object is usable. */
  async addReused(facts: CacheFacts, record: CacheRecord): Promise<void> {
    if (record.index === 0) {
      // Cut here, so that the old object can be taken over whole.
      await this.#flush();
      this.#mirrored = this.#reuse.canUse(record.group.object) ? record.group : undefined;
    } else if (this.#mirrored !== record.group || this.#pending.length !== record.index) {
      this.#mirrored = undefined;
    }
    this.#reuse.use(record.stanza.object);
    this.#pending.push({ kind: 'reused', facts, record });
    this.#pendingBytes += record.stanza.length;
    if (this.#mirrored !== undefined && record.isLast) this.#takeOver(this.#mirrored);
    else if (this.#pendingBytes > OBJECT_BYTES) await this.#flush();
  }

  /** All pending entries are an old object, complete: name that object instead of a new one. */
  #takeOver(group: CacheGroup): void {
    this.#reuse.use(group.object);
    const old = this.#reuse.canUse(group.root.object) ? group.root : undefined;
    this.#items.push({ object: group.object, isFlat: group.isFlat, old });
    this.#cacheGroup(group.object, group.isFlat, (pending) =>
      pending.kind === 'reused'
        ? pending.record.stanza
        : { object: group.object, start: 0, length: 0 },
    );
    this.#forgetPending();
  }

  async #flush(): Promise<void> {
    if (this.#pending.length === 0) return;
    this.#isUnchanged = false;
    const { text, starts, isFlat } = render(this.#pending);
    const object = await this.#store(Buffer.from(text, 'latin1'));
    this.#items.push({ object, isFlat, old: undefined });
    let fresh = 0;
    this.#cacheGroup(object, isFlat, (pending) =>
      pending.kind === 'reused'
        ? pending.record.stanza
        : { object, start: starts[fresh++] ?? 0, length: pending.stanza.length },
    );
    this.#forgetPending();
  }

  #cacheGroup(
    object: string,
    isFlat: boolean,
    placeOf: (pending: Pending) => CacheRecord['stanza'],
  ): void {
    if (this.#cache === undefined) return;
    let text = '';
    for (const pending of this.#pending) {
      text += formatRecord({ ...pending.facts, stanza: placeOf(pending) }, object);
    }
    this.#cache.addGroup(object, isFlat, text);
  }

  #forgetPending(): void {
    this.#pending = [];
    this.#pendingBytes = 0;
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

/** Text of a metadata object; `starts` are the offsets of its fresh stanzas. */
function render(pending: readonly Pending[]): { text: string; starts: number[]; isFlat: boolean } {
  const starts: number[] = [];
  let text = '';
  let run: { object: string; start: number; end: number } | undefined;
  let isFlat = true;
  const endRun = () => {
    if (run === undefined) return;
    text += `@${run.object}[${run.start}+${run.end - run.start}]\n`;
    run = undefined;
    isFlat = false;
  };
  for (const item of pending) {
    if (item.kind === 'fresh') {
      // The empty line between keeps readers that work on the flattened text in step.
      if (run !== undefined) {
        endRun();
        text += '\n';
      }
      starts.push(text.length);
      text += item.stanza;
      continue;
    }
    const { object, start, length } = item.record.stanza;
    if (run !== undefined && (run.object !== object || run.end !== start)) endRun();
    run ??= { object, start, end: start };
    run.end = start + length;
  }
  endRun();
  return { text, starts, isFlat };
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
