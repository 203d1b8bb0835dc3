/**
 * A store that an enemy wrote: entries as a test wants them, and where it wants so every line of the
 * log and of the descriptor. Segment 1 holds the blocks, segment 2 the metadata.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatStanza } from './format-stanza.ts';
import {
  objectName,
  segmentName,
  sha1,
  sha256,
  tarMember,
  writeSegment,
  writeSnapshot,
} from './hand-made-store.ts';

export const SNAPSHOT = '20200101T000000';
export const DATA = segmentName(1);
export const METADATA = segmentName(2);

export type Fields = Readonly<Record<string, string>>;

export type EnemyOptions = {
  /** Objects of metadata instead of the log and its root; the last one is the root. */
  readonly metadata?: readonly (Buffer | string)[];
  /** Changes the descriptor when it is made. */
  readonly descriptor?: (text: string) => string;
  /** Without files of checksums, and with none in the descriptor. */
  readonly isWithoutSums?: boolean;
  /** What becomes of a segment: the name of its file and what is in it. */
  readonly pack?: (
    tar: Buffer,
    segment: string,
  ) => { readonly file: string; readonly bytes: Buffer };
};

export class EnemyStore {
  readonly #objects: Buffer[] = [];
  #log: Buffer[] = [];
  #place = '';
  #places = 0;

  /** Entries from here on lie in a directory of their own, and names of a file are of one file there. */
  in(place: string): this {
    this.#place = '';
    this.directory(place);
    this.#place = `${place}/`;
    this.#places++;
    return this;
  }

  /** Makes entries names of one file, with the others of this place. */
  get hard(): Fields {
    return { inode: `1/${this.#places}`, links: '2' };
  }

  /** Puts a block into the data segment; its reference. */
  block(bytes: Buffer | string): string {
    this.#objects.push(Buffer.from(bytes));
    return objectName(1, this.#objects.length - 1);
  }

  /** Any text of the log. */
  raw(text: string): this {
    this.#log.push(Buffer.from(text, 'latin1'));
    return this;
  }

  /** An entry of any type; an undefined field is left out. */
  entry(path: string | Buffer, type: string, fields: Fields = {}): this {
    const all = {
      mode: type === 'd' ? '0755' : '0644',
      mtime: '1000000000',
      user: String(process.getuid?.() ?? 0),
      group: String(process.getgid?.() ?? 0),
      ...fields,
      type,
    };
    const full = Buffer.concat([Buffer.from(this.#place), Buffer.from(path)]);
    return this.raw(formatStanza(full, Object.entries(all)));
  }

  directory(path: string | Buffer, fields: Fields = {}): this {
    return this.entry(path, 'd', fields);
  }

  link(path: string | Buffer, target: string, fields: Fields = {}): this {
    return this.entry(path, 'l', { target, ...fields });
  }

  file(path: string | Buffer, content: Buffer | string, fields: Fields = {}): this {
    const bytes = Buffer.from(content);
    return this.entry(path, 'f', {
      ...(bytes.length === 0 ? {} : { data: this.block(bytes) }),
      checksum: `sha1=${sha1(bytes)}`,
      sha256: sha256(bytes),
      size: String(bytes.length),
      ...fields,
    });
  }

  /** The log as it is so far. */
  get log(): Buffer {
    return Buffer.concat(this.#log);
  }

  /** Writes the files of the store into the directory `store`. */
  write(store: string, options: EnemyOptions = {}): void {
    const metadata = options.metadata ?? [this.log, `@${objectName(2, 0)}\n`];
    writeSegment(store, 1, this.#objects);
    writeSegment(store, 2, metadata);
    writeSnapshot(store, {
      timestamp: SNAPSHOT,
      root: objectName(2, metadata.length - 1),
      digits: [1, 2],
      contentOf: (file) => readFileSync(join(store, file)),
    });
    if (options.isWithoutSums === true) this.#changeDescriptor(store, withoutSums);
    if (options.descriptor) this.#changeDescriptor(store, options.descriptor);
  }

  #changeDescriptor(store: string, change: (text: string) => string): void {
    const file = join(store, `snapshot-${SNAPSHOT}.lbs`);
    writeFileSync(file, Buffer.from(change(readFileSync(file, 'latin1')), 'latin1'));
  }
}

function withoutSums(text: string): string {
  return text.replace(/^Checksums.*\n/gm, '');
}

/** A segment that a test makes byte by byte: members, and the end of the archive. */
export function tarOf(members: readonly Buffer[]): Buffer {
  return Buffer.concat([...members, Buffer.alloc(1024)]);
}

/** A member with any fields of its header changed, its checksum put right afterwards. */
export function strangeMember(
  name: string,
  data: Buffer,
  change: (header: Buffer) => void,
): Buffer {
  const member = tarMember(name, data);
  change(member);
  member.fill(' ', 148, 156);
  let sum = 0;
  for (let at = 0; at < 512; at++) sum += member[at] ?? 0;
  member.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return member;
}
