/**
 * A series of snapshots of a tree with many metadata objects, each checked twice: as `lbs ls` tells
 * it, and by following the references of the log by hand.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ExecutionContext } from 'ava';
import { checksumOf } from '../../src/format/checksum.ts';
import {
  type ObjectReference,
  formatReference,
  parseReference,
} from '../../src/format/reference.ts';
import { verify } from '../../src/maintain/verify.ts';
import { SegmentSource } from '../../src/segments/segment-source.ts';
import { openStore } from '../../src/stores/open-store.ts';
import { places } from './places.ts';
import { type Listing, SnapshotSeries, listTree } from './snapshot-series.ts';

const DIRECTORIES = 30;
const FILES_PER_DIRECTORY = 40;
/** Long names make long stanzas, and so many metadata objects of few files. */
export const PADDING = '-'.repeat(200);
/** Objects within objects that every reader of the family follows. */
const DEPTH_MAX = 3;

const two = (value: number) => String(value).padStart(2, '0');

/** Relative to the tree. */
export const fileName = (d: number, f: number) => `d${two(d)}/f${two(f)}${PADDING}`;

/** Some 1200 entries in a dozen metadata objects. */
export function makeManyFiles(tree: string, directories = DIRECTORIES): void {
  for (let d = 0; d < directories; d++) {
    mkdirSync(join(tree, `d${two(d)}`));
    for (let f = 0; f < FILES_PER_DIRECTORY; f++) {
      writeFileSync(join(tree, fileName(d, f)), `${d}-${f}`);
    }
  }
}

type Walk = { depth: number; deepest: number; readonly segments: Set<string> };

const newWalk = (): Walk => ({ depth: 1, deepest: 1, segments: new Set() });

/** Metadata objects of a store, read as they are stored, and the tree of references in them. */
class Log {
  readonly #objects = new Map<string, Buffer>();
  readonly #loaded = new Set<string>();
  readonly #store: string;

  constructor(store: string) {
    this.#store = store;
  }

  async #object(reference: ObjectReference): Promise<Buffer> {
    const { segment, object } = reference;
    if (!this.#loaded.has(segment)) {
      this.#loaded.add(segment);
      const source = new SegmentSource(openStore(this.#store));
      for await (const batch of source.objects(segment)) {
        for (const each of batch) {
          this.#objects.set(`${segment}/${each.object}`, Buffer.from(each.data));
        }
      }
    }
    const data = this.#objects.get(`${segment}/${object}`);
    if (data === undefined) throw new Error(`no object ${formatReference(reference)}`);
    return data;
  }

  /** All text below a reference, included text in its place; notes how deep it went. */
  async flatten(reference: ObjectReference, walk: Walk = newWalk()): Promise<string> {
    walk.deepest = Math.max(walk.deepest, walk.depth);
    walk.segments.add(reference.segment);
    const data = await this.#object(reference);
    if (reference.checksum !== checksumOf('sha1', data)) throw new Error('wrong checksum');
    const { start, length } = reference.slice ?? { start: 0, length: data.length };
    if (length === 0 || start + length > data.length) throw new Error('a slice beyond its object');
    let text = '';
    for (const line of data.toString('latin1', start, start + length).split(/(?<=\n)/)) {
      if (!line.startsWith('@')) {
        text += line;
        continue;
      }
      const inner = parseReference(line.slice(1, -1), 'prefix');
      if (inner.kind !== 'object') throw new Error(`unexpected ${line}`);
      walk.depth++;
      text += await this.flatten(inner, walk);
      walk.depth--;
    }
    return text;
  }

  /** `@` lines of an object. */
  async lines(reference: ObjectReference): Promise<string[]> {
    const text = (await this.#object(reference)).toString('latin1');
    return text.split('\n').filter((line) => line.startsWith('@'));
  }
}

/** A series whose every snapshot is checked against the tree it was made of. */
export class CheckedSeries extends SnapshotSeries {
  readonly log: Log;
  readonly wanted = new Map<string, Listing>();
  readonly #t: ExecutionContext;

  constructor(t: ExecutionContext) {
    super(t, places(t));
    this.#t = t;
    this.log = new Log(this.at.store);
  }

  /** A backup of the tree, checked; `wanted` where not all of the tree is saved. */
  async take(options: Parameters<SnapshotSeries['backup']>[0] = {}, wanted?: Listing) {
    const summary = await this.backup(options);
    const { snapshot } = summary;
    this.wanted.set(snapshot, wanted ?? listTree(this.at.tree));
    this.#t.is(summary.warnings, 0);
    await this.check(snapshot);
    const descriptor = this.descriptor(snapshot);
    const walk = newWalk();
    const text = await this.log.flatten(descriptor.root, walk);
    for (const [, segment] of text.matchAll(/^(?:data:| {4}) ?([0-9a-f-]{36})\//gm)) {
      walk.segments.add(segment ?? '');
    }
    const named = [...walk.segments].sort();
    this.#t.deepEqual(descriptor.segments, named, 'the descriptor names what is needed, no more');
    this.#t.true(walk.deepest <= DEPTH_MAX, `nested ${walk.deepest} deep`);
    const names = text.split('\n').filter((line) => line.startsWith('name: ')).length;
    this.#t.is(names, summary.entries, 'a reader by hand finds as many entries');
    return { ...summary, root: descriptor.root, segments: descriptor.segments };
  }

  async check(snapshot: string): Promise<void> {
    const wanted = this.wanted.get(snapshot) ?? [];
    const found = await this.list(snapshot);
    const isSame = found.length === wanted.length && found.every((text, at) => text === wanted[at]);
    const missing = wanted.filter((text) => !found.includes(text)).slice(0, 5);
    const extra = found.filter((text) => !wanted.includes(text)).slice(0, 5);
    this.#t.true(isSame, JSON.stringify({ snapshot, missing, extra }, undefined, 1));
  }

  /** Every snapshot is still what it was, and the store is sound. */
  async checkAll(): Promise<void> {
    for (const snapshot of this.wanted.keys()) await this.check(snapshot);
    const { damage } = await verify({ store: this.at.store, depth: 'objects' });
    this.#t.deepEqual(damage, []);
  }
}
