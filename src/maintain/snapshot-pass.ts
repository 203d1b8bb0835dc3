/**
 * Goes through the entries of many snapshots of one store, each distinct part of their metadata
 * once: snapshots share most of it, and a thousand of an unchanged tree cost little more than
 * one. Called by verify, to collect what must be checked and later to name what is lost.
 */
import type { Descriptor } from '../format/descriptor.ts';
import type { Entry } from '../format/entry.ts';
import {
  type IncludeMemory,
  type MetadataDamage,
  readMetadata,
} from '../metadata/metadata-log-reader.ts';
import { MetadataObjects } from '../metadata/metadata-objects.ts';
import type { SegmentSource } from '../segments/segment-source.ts';

/** Metadata kept on disk from one snapshot to the next; then it is fetched anew. */
const KEPT_BYTES_MAX = 2 * 1024 * 1024 * 1024;
/** Parts remembered, some 100 bytes each; beyond it, parts are read again. */
const PARTS_MAX = 500_000;

export type PassHandler = {
  /** Takes an entry; true when it must come again in every snapshot that has it. */
  entry(entry: Entry): boolean;
  /** Takes a stanza of which no entry is needed, as `takeStanza` of readMetadata. */
  takeStanza?(text: string, start: number): number | undefined;
  damage?(message: string, where: MetadataDamage): void;
};

export class SnapshotPass {
  readonly #source: SegmentSource;
  readonly #signal: AbortSignal | undefined;
  readonly #known = new Set<string>();
  #objects: MetadataObjects;

  constructor(source: SegmentSource, signal: AbortSignal | undefined) {
    this.#source = source;
    this.#signal = signal;
    this.#objects = new MetadataObjects(source, { signal });
  }

  /**
   * Gives `handler` the entries of a snapshot, without those parts that an earlier snapshot had
   * and in which nothing was damaged or had to come again.
   */
  async read(descriptor: Descriptor, handler: PassHandler): Promise<void> {
    // How much there was to come again, before and after each part.
    let again = 0;
    const before: number[] = [];
    const memory: IncludeMemory = {
      isKnown: (reference) => this.#known.has(reference),
      enter: () => void before.push(again),
      leave: (reference) => {
        if (before.pop() === again && this.#known.size < PARTS_MAX) this.#known.add(reference);
      },
    };
    const log = readMetadata(this.#source, descriptor, {
      memory,
      objects: this.#objects,
      signal: this.#signal,
      takeStanza: handler.takeStanza,
      onDamage: (message, where) => {
        again++;
        handler.damage?.(message, where);
      },
    });
    for await (const entry of log) {
      if (handler.entry(entry)) again++;
    }
    if (this.#objects.fileBytes >= KEPT_BYTES_MAX) this.#forgetObjects();
  }

  /** Forgets all: what was seen, and what was fetched, which is some 32 MiB of memory. */
  restart(): void {
    this.#known.clear();
    this.#forgetObjects();
  }

  #forgetObjects(): void {
    this.#objects.close();
    this.#objects = new MetadataObjects(this.#source, { signal: this.#signal });
  }

  close(): void {
    this.#objects.close();
  }
}
