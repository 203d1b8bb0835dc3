/** A store whose every byte a test chooses: for what no writer would write. */
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatDescriptor } from '../../src/format/descriptor.ts';
import { formatObjectName } from '../../src/format/reference.ts';
import { formatSums } from '../../src/format/sums-file.ts';
import { tarMemberBytes, writeTarHeader } from '../../src/format/tar-header.ts';

/** `11111111-...`, `22222222-...`: names that are easy to tell apart. */
export function segmentName(digit: number): string {
  return '8-4-4-4-12'.replace(/\d+/g, (length) => String(digit).repeat(Number(length)));
}

/** `segment/00000000`. */
export function objectName(digit: number, object: number): string {
  return formatObjectName(segmentName(digit), object);
}

export function sha1(bytes: Buffer | string): string {
  return createHash('sha1').update(bytes).digest('hex');
}

export function sha256(bytes: Buffer | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** A tar member as the format has it. */
export function tarMember(name: string, data: Buffer): Buffer {
  const bytes = Buffer.alloc(tarMemberBytes(data.length));
  writeTarHeader(bytes, name, data.length, 0);
  data.copy(bytes, bytes.length - tarMemberBytes(data.length) + 512);
  return bytes;
}

/** Writes segment `digit` as a bare tar file; objects are numbered as they come. */
export function writeSegment(
  store: string,
  digit: number,
  objects: readonly (Buffer | string)[],
): void {
  const members = objects.map((data, at) => tarMember(objectName(digit, at), Buffer.from(data)));
  const bytes = Buffer.concat([...members, Buffer.alloc(1024)]);
  writeFileSync(join(store, `${segmentName(digit)}.tar`), bytes);
}

/** Writes checksums files and descriptor of a snapshot; `files` are those of its segments. */
export function writeSnapshot(
  store: string,
  snapshot: {
    readonly timestamp: string;
    readonly root: string;
    readonly digits: readonly number[];
    /** Content of segment files, for their checksums. */
    readonly contentOf: (file: string) => Buffer;
  },
): void {
  const segments = snapshot.digits.map(segmentName);
  const files = segments.map((segment) => `${segment}.tar`);
  const sums = (digest: (bytes: Buffer) => string) =>
    formatSums(files.map((file) => [file, digest(snapshot.contentOf(file))] as const));
  const base = join(store, `snapshot-${snapshot.timestamp}`);
  writeFileSync(`${base}.sha1sums`, sums(sha1));
  writeFileSync(`${base}.sha256sums`, sums(sha256));
  const text = formatDescriptor({
    producer: 'test',
    date: 0,
    scheme: undefined,
    root: snapshot.root,
    checksums: `sha1=${sha1(sums(sha1))}`,
    checksumsSha256: `sha256=${sha256(sums(sha256))}`,
    host: 'test',
    top: Buffer.from('/'),
    paths: [Buffer.from('.')],
    counts: { entries: 0, files: 0, bytes: 0, stored: 0, warnings: 0 },
    segments,
  });
  writeFileSync(`${base}.lbs`, text);
}

/** Stanza of a regular file with this content and these references. */
export function fileStanza(name: string, content: Buffer, data: readonly string[]): string {
  return [
    `name: ${name}`,
    `checksum: sha1=${sha1(content)}`,
    `data: ${data.join('\n    ')}`,
    `sha256: ${sha256(content)}`,
    `size: ${content.length}`,
    'type: f',
    '\n',
  ].join('\n');
}
