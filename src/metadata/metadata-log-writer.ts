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
  NO_OBJECT,
  NO_PLACE,
  formatRecord,
} from '../localdb/stat-cache-record.ts';
import type { CachedAccount, RootPlace, StatCacheWriter } from '../localdb/stat-cache-writer.ts';
import { GrowingBytes } from '../std/growing-bytes.ts';
import { MetadataObject } from './metadata-object.ts';
import { type RootItem, renderRoot } from './root-object.ts';

/** Flush rule of the family: an object is written once its text exceeds this. */
const OBJECT_BYTES = 65536;
const REST_BYTES = 2 * OBJECT_BYTES;

/** Stores one metadata object and returns `segment/object(sha1=..)`. */
export type StoreMetadata = (text: Buffer) => Promise<string>;

/** Whether an older metadata object (`segment/object(sha1=..)`) may be referred to, and that it is. */
export type MetadataReuse = {
  canUse(object: string): boolean;
  use(object: string): void;
};

/** An entry whose stanza is stored already. */
type Reused = {
  readonly record: CacheRecord;
  /** What the cache is to have of it; undefined: what the record has. */
  readonly facts: CacheFacts | undefined;
};

export class MetadataLogWriter {
  readonly #store: StoreMetadata;
  readonly #reuse: MetadataReuse;
  readonly #cache: StatCacheWriter | undefined;
  /** What goes into a new object. */
  readonly #object = new MetadataObject(OBJECT_BYTES);
  /** The old object that all entries since the last one was complete repeat, entry by entry. */
  #mirrored: CacheGroup | undefined;
  /** These entries: in no object yet, because the old one may do. */
  #repeated: Reused[] = [];
  /** Length of the stanzas since the last object was complete. */
  #pendingBytes = 0;
  readonly #items: RootItem[] = [];
  /** True while every item was taken over whole from the snapshot before, in order. */
  #isUnchanged = true;
  #isFinished = false;

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
    this.#stopMirroring();
    this.#object.addFresh(facts, stanza);
    this.#pendingBytes += stanza.length;
    return this.#pendingBytes > OBJECT_BYTES ? this.#flush() : undefined;
  }

  /**
   * Adds an entry whose stanza is stored already, where `record` says; that object is usable.
   * `facts` are what the cache is to have of it, if that is not what it has.
   * A promise only when there is something to wait for before the next entry.
   */
  addReused(record: CacheRecord, facts?: CacheFacts): Promise<void> | undefined {
    if (record.index === 0 && this.#pendingBytes > 0) {
      // Cut here, so that the old object can be taken over whole.
      return this.#flush().then(() => this.#addReused(record, facts));
    }
    return this.#addReused(record, facts);
  }

  #addReused(record: CacheRecord, facts: CacheFacts | undefined): Promise<void> | undefined {
    const { group } = record;
    if (record.index === 0 && this.#reuse.canUse(group.object)) this.#mirrored = group;
    else if (this.#mirrored !== group || this.#repeated.length !== record.index) {
      this.#stopMirroring();
    }
    this.#reuse.use(record.object);
    this.#pendingBytes += record.stanzaLength;
    if (this.#mirrored === undefined) this.#object.addReused(record, facts);
    else {
      this.#repeated.push({ record, facts });
      if (record.isLast) {
        this.#takeOver(this.#mirrored);
        return undefined;
      }
    }
    return this.#pendingBytes > OBJECT_BYTES ? this.#flush() : undefined;
  }

  /** The old object will not do: its entries go into the new one. */
  #stopMirroring(): void {
    if (this.#mirrored === undefined) return;
    for (const { record, facts } of this.#repeated) this.#object.addReused(record, facts);
    this.#mirrored = undefined;
    this.#repeated = [];
  }

  /** All entries are an old object, complete: name that object instead of a new one. */
  #takeOver(group: CacheGroup): void {
    this.#reuse.use(group.object);
    const old = this.#reuse.canUse(group.root.object) ? group.root : undefined;
    this.#items.push({ object: group.object, isFlat: group.isFlat, old });
    // As it is: most groups of most runs are.
    if (this.#repeated.every(({ facts }) => facts === undefined)) this.#cache?.addKept(group);
    else this.#cache?.addGroup(group.object, group.isFlat, recordsOf(this.#repeated, group.object));
    this.#mirrored = undefined;
    this.#repeated = [];
    this.#pendingBytes = 0;
  }

  async #flush(): Promise<void> {
    this.#stopMirroring();
    this.#pendingBytes = 0;
    if (this.#object.isEmpty) return;
    this.#isUnchanged = false;
    const { text, records } = this.#object.finished();
    const { isFlat } = this.#object;
    const object = await this.#store(text);
    this.#items.push({ object, isFlat, old: undefined });
    this.#cache?.addGroup(object, isFlat, records);
    this.#object.clear();
  }

  /**
   * Has the cache write down what is known of all entries so far, for the case that the run is
   * killed. May be called while an object is being stored.
   * @throws {LbsError} io, no-space
   */
  checkpoint(): void {
    // What came back as it was the old cache knows, too.
    const isNews = this.#repeated.some(({ facts }) => facts !== undefined);
    this.#cache?.checkpoint(isNews ? recordsOf(this.#repeated, NO_OBJECT) : this.#object.records);
  }

  /**
   * For a run that is stopped and makes no snapshot: writes what is left, and ends the cache with
   * what the one before has of the entries that were not come to. There is no root to refer to.
   */
  async finishEarly(
    accounts: readonly CachedAccount[],
    rest: Iterable<CacheRecord | CacheGroup>,
  ): Promise<void> {
    if (this.#isFinished) return;
    await this.#flush();
    const places = this.#items.map(({ old }) => old ?? NO_PLACE);
    const cache = this.#cache;
    cache?.finish(NO_OBJECT, accounts, [...places, ...cache.addRest(rest)]);
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
    this.#isFinished = true;
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

/** Records of which some are not as they were, in a group whose object is `object`. */
function recordsOf(repeated: readonly Reused[], object: string): Buffer {
  const records = new GrowingBytes(REST_BYTES);
  for (const { record, facts } of repeated) {
    if (facts === undefined) record.copyTo(records, object);
    else records.addText(formatRecord(facts, record.stanza, object));
  }
  return records.bytes;
}
