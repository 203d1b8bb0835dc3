/**
 * A store in our own format made from stanzas, without the backup: so that a restore can be given
 * what no backup would write, and entries that this machine cannot hold.
 */
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { TAR_RECORD_BYTES, writeTarHeader } from '../../src/format/tar-header.ts';
import { formatStanza } from './format-stanza.ts';

const DATA = '11111111-2222-4333-8444-555555555555';
const METADATA = '66666666-7777-4888-9999-aaaaaaaaaaaa';
export const SNAPSHOT = '20200101T000000';

export type Fields = Record<string, string>;

function tarOf(segment: string, objects: readonly Buffer[]): Buffer {
  const parts = objects.flatMap((data, number) => {
    const header = Buffer.alloc(TAR_RECORD_BYTES);
    const name = `${segment}/${number.toString(16).padStart(8, '0')}`;
    writeTarHeader(header, name, data.length, 0);
    return [header, data, Buffer.alloc(-data.length & (TAR_RECORD_BYTES - 1))];
  });
  return Buffer.concat([...parts, Buffer.alloc(2 * TAR_RECORD_BYTES)]);
}

function digest(algorithm: string, bytes: Buffer): string {
  return createHash(algorithm).update(bytes).digest('hex');
}

/** Collects entries; `write` makes the store. */
export class StanzaStore {
  readonly #objects: Buffer[] = [];
  #log = '';

  /** An entry of any type. Fields are the stanza's keys. */
  add(path: string | Buffer, type: string, fields: Fields = {}): void {
    const all = { mode: type === 'd' ? '0755' : '0644', mtime: '1000000000', ...fields, type };
    this.#log += formatStanza(Buffer.from(path), Object.entries(all));
  }

  /** A regular file. `blocks` are its stored blocks; a number stands for that many zeros. */
  file(path: string | Buffer, blocks: readonly (Buffer | number)[], fields: Fields = {}): void {
    const references = blocks.map((block) => {
      if (typeof block === 'number') return `zero[${block}]`;
      const number = this.#objects.push(block) - 1;
      return StanzaStore.dataObject(number);
    });
    const content = Buffer.concat(
      blocks.map((block) => (typeof block === 'number' ? Buffer.alloc(block) : block)),
    );
    this.add(path, 'f', {
      data: references.join('\n'),
      checksum: `sha1=${digest('sha1', content)}`,
      sha256: digest('sha256', content),
      size: String(content.length),
      ...fields,
    });
  }

  /** Writes the store's files, unfiltered, into the directory `store`. */
  write(store: string): void {
    const root = `@${METADATA}/00000000\n`;
    const segments = new Map([
      [METADATA, tarOf(METADATA, [Buffer.from(this.#log, 'latin1'), Buffer.from(root)])],
      [DATA, tarOf(DATA, this.#objects)],
    ]);
    for (const [name, bytes] of segments) writeFileSync(join(store, `${name}.tar`), bytes);
    const descriptor = [
      'Format: LBS Snapshot v0.6',
      'Producer: lbs of a test',
      'Date: 2020-01-01 00:00:00 +0000',
      `Root: ${METADATA}/00000001`,
      `Checksums_sha256: sha256=${'0'.repeat(64)}`,
      'Segments:',
      ...[...segments.keys()].map((name) => `    ${name}`),
      '',
    ];
    writeFileSync(join(store, `snapshot-${SNAPSHOT}.lbs`), descriptor.join('\n'));
  }

  /** The reference of the object that was stored as number `number`. */
  static dataObject(number: number): string {
    return `${DATA}/${number.toString(16).padStart(8, '0')}`;
  }

  /** The file of the store that holds all content. */
  static readonly dataFile = `${DATA}.tar`;
}
