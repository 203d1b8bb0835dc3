/**
 * One metadata object while it is put together, and the records of its entries for the stat cache.
 *
 * Both are bytes at once: entries that waited as text until the object was full outlived a
 * collection of garbage or two, which was a fifth of the time of a first backup of tiny files.
 */
import { type CacheFacts, type CacheRecord, formatRecord } from '../localdb/stat-cache-record.ts';
import { GrowingBytes } from '../std/growing-bytes.ts';

/** It has no name yet; its own stanzas have the short form of a place. */
const NO_NAME = '';

/** Stanzas of an older object that follow each other there. */
type Run = { readonly object: string; readonly start: number; end: number };

export class MetadataObject {
  readonly #text: GrowingBytes;
  readonly #records: GrowingBytes;
  #run: Run | undefined;
  #isFlat = true;
  #isEmpty = true;

  /** Takes the size that its text is to have about. */
  constructor(expectedBytes: number) {
    this.#text = new GrowingBytes(2 * expectedBytes);
    this.#records = new GrowingBytes(2 * expectedBytes);
  }

  get isEmpty(): boolean {
    return this.#isEmpty;
  }

  /** True when it holds only stanzas, no references to older ones. */
  get isFlat(): boolean {
    return this.#isFlat;
  }

  /** Appends a stanza: Latin-1 text with its final empty line. */
  addFresh(facts: CacheFacts, stanza: string): void {
    this.#isEmpty = false;
    if (this.#run !== undefined) {
      this.#endRun();
      // The empty line between keeps readers that work on the flattened text in step.
      this.#text.addText('\n');
    }
    const place = { object: NO_NAME, start: this.#text.length, length: stanza.length };
    this.#text.addText(stanza);
    this.#records.addText(formatRecord(facts, place, NO_NAME));
  }

  /** Appends a reference to a stanza that is stored; `facts` where they are not the record's. */
  addReused(record: CacheRecord, facts: CacheFacts | undefined): void {
    this.#isEmpty = false;
    const { object, stanzaStart: start, stanzaLength: length } = record;
    if (this.#run?.object !== object || this.#run.end !== start) {
      this.#endRun();
      this.#run = { object, start, end: start };
    }
    this.#run.end += length;
    if (facts === undefined) record.copyTo(this.#records, NO_NAME);
    else this.#records.addText(formatRecord(facts, record.stanza, NO_NAME));
  }

  #endRun(): void {
    if (this.#run === undefined) return;
    const { object, start, end } = this.#run;
    this.#text.addText(`@${object}[${start}+${end - start}]\n`);
    this.#run = undefined;
    this.#isFlat = false;
  }

  /** The whole text of the object, and of its records; valid until `clear`. */
  finished(): { text: Buffer; records: Buffer } {
    this.#endRun();
    return { text: this.#text.bytes, records: this.#records.bytes };
  }

  /** Records of its entries; those with the short form of a place are in no object yet. */
  get records(): Buffer {
    return this.#records.bytes;
  }

  /** Begins the next object in the same memory. */
  clear(): void {
    this.#text.clear();
    this.#records.clear();
    this.#run = undefined;
    this.#isFlat = true;
    this.#isEmpty = true;
  }
}
