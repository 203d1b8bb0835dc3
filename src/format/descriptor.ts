/**
 * The descriptor: the text file that makes a snapshot of stored segments. Written last.
 *
 * Keys of the family, in order: Format Producer Date Scheme Root Checksums ... Segments. We add,
 * before Segments: `Checksums_sha256` (of the .sha256sums file, so that a signature covers every
 * byte of the snapshot with SHA-256), `Host`, `Top`, `Paths`, `Entries`, `Files`, `Bytes`, `Stored`, `Warnings`,
 * where there were warnings `Unread`, where it was asked for `Intent`, and `Descriptor_sha256` (descriptor-seal.ts); in one that compacting
 * wrote, `Compacted_from`; in one that was made again, `Repaired` in place of some of them. Before
 * Root stands what makes a chain: `Name`, `Previous` and `Previous_sha256`.
 * Format: lbs-format(5), "DESCRIPTOR".
 */
import { LbsError } from '../errors.ts';
import { TOP } from '../std/byte-path.ts';
import { sealed } from './descriptor-seal.ts';
import { textLines } from '../std/text-lines.ts';
import { parseReference, type ObjectReference, type SliceDialect } from './reference.ts';
import { formatDate, parseDate } from './timestamp.ts';
import { isSegmentName, parseSnapshotName } from './snapshot-name.ts';
import { StanzaParser, formatField } from './stanza.ts';
import { uriEscape, uriUnescape } from './uri-escape.ts';

export type SnapshotCounts = {
  /** Entries of every type. */
  readonly entries: number;
  /** Regular files, and the sum of their sizes. */
  readonly files: number;
  readonly bytes: number;
  /** Bytes of segments that this run added to the store. */
  readonly stored: number;
  /** Entries that could not be read as they are. */
  readonly warnings: number;
};

/** The snapshot before another one of its scheme, as that other one knows it. */
export type PreviousSnapshot = {
  readonly name: string;
  /** Of its descriptor as stored, in hexadecimal digits; undefined where it could not be read. */
  readonly sha256: string | undefined;
};

export type Descriptor = {
  /** `LBS Snapshot v0.6`, ... as written. */
  readonly format: string;
  /** Version as a list of numbers, `[0, 6]`; empty when not understood (accepted, as ever). */
  readonly version: readonly number[];
  readonly producer: string | undefined;
  /** Seconds since 1970. */
  readonly date: number | undefined;
  readonly scheme: string | undefined;
  readonly root: ObjectReference;
  /** How a lone `[n]` in this snapshot is meant. */
  readonly dialect: SliceDialect;
  /** `sha1=..` of the .sha1sums file. */
  readonly checksums: string | undefined;
  /** `sha256=..` of the .sha256sums file. */
  readonly checksumsSha256: string | undefined;
  /** `sha224=..` of the .meta file of Cumulus 0.11, as stored. */
  readonly segmentMetadata: string | undefined;
  readonly host: string | undefined;
  /** Absolute path of the directory that the snapshot's `.` was. */
  readonly top: Buffer | undefined;
  /** The paths that were named, below the top; `.` is the top itself. */
  readonly paths: readonly Buffer[] | undefined;
  readonly counts: SnapshotCounts | undefined;
  /** What is missing, or may be, with all below it, because it could not be read. */
  readonly unread: readonly Buffer[];
  /** How important its maker thought it, 1 being usual; old programs let it steer what is kept. */
  readonly intent: number | undefined;
  /** Name of the snapshot that compacting put this one in place of. */
  readonly compactedFrom: string | undefined;
  /** The snapshot's own name, so that a signature holds under no other. */
  readonly name: string | undefined;
  /** What was the newest of the scheme in the store when this one was made. */
  readonly previous: PreviousSnapshot | undefined;
  /** Names of the segments this snapshot needs. */
  readonly segments: readonly string[];
  /** Every key as read, those that we do not know included. */
  readonly fields: ReadonlyMap<string, string>;
};

export type NewDescriptor = {
  readonly producer: string;
  readonly date: number;
  readonly scheme: string | undefined;
  readonly root: string;
  readonly checksums: string;
  readonly checksumsSha256: string;
  /** Undefined where nobody knows any more. */
  readonly host: string | undefined;
  readonly top: Buffer | undefined;
  readonly paths: readonly Buffer[] | undefined;
  readonly counts: SnapshotCounts;
  readonly unread?: readonly Buffer[];
  /** Made again of what a lost one had named; what it added to the store is not known then. */
  readonly isRepaired?: true;
  /** More than 0; not written where there is none. */
  readonly intent?: number | undefined;
  readonly name?: string | undefined;
  readonly previous?: PreviousSnapshot | undefined;
  readonly segments: readonly string[];
};

const SLASH = 0x2f;
const COMPACTED_FROM = 'Compacted_from';

/** Newest format that we read; a later one may mean something else by the same words. */
const NEWEST_KNOWN = [0, 11];

/** Text of a new descriptor. */
export function formatDescriptor(descriptor: NewDescriptor): string {
  const { counts, scheme, intent, host, top, paths, isRepaired, name, previous } = descriptor;
  const unread = descriptor.unread ?? [];
  const lines = [
    'Format: LBS Snapshot v0.6',
    `Producer: ${descriptor.producer}`,
    `Date: ${formatDate(descriptor.date)}`,
    ...(scheme === undefined ? [] : [`Scheme: ${scheme}`]),
    ...(name === undefined ? [] : [`Name: ${name}`]),
    ...(previous === undefined ? [] : [`Previous: ${previous.name}`]),
    ...(previous?.sha256 === undefined ? [] : [`Previous_sha256: ${previous.sha256}`]),
    `Root: ${descriptor.root}`,
    `Checksums: ${descriptor.checksums}`,
    `Checksums_sha256: ${descriptor.checksumsSha256}`,
    ...(host === undefined ? [] : [`Host: ${host}`]),
    ...(top === undefined ? [] : [`Top: ${uriEscape(top)}`]),
    ...(paths === undefined ? [] : [`Paths: ${paths.map((path) => uriEscape(path)).join(' ')}`]),
    `Entries: ${counts.entries}`,
    `Files: ${counts.files}`,
    `Bytes: ${counts.bytes}`,
    ...(isRepaired
      ? ['Repaired: yes']
      : [`Stored: ${counts.stored}`, `Warnings: ${counts.warnings}`]),
    // Of warnings without this line nobody knows what is missing.
    ...(counts.warnings > 0
      ? [['Unread:', ...unread.map((path) => uriEscape(path))].join(' ')]
      : []),
    ...(intent === undefined ? [] : [`Intent: ${intent}`]),
    'Segments:',
    ...descriptor.segments.toSorted().map((segment) => `    ${segment}`),
  ];
  return sealed(`${lines.join('\n')}\n`);
}

/** What is another one when the contents of a snapshot were stored elsewhere. */
export type MovedDescriptor = {
  /** Where it says its name; what it says of its predecessor stays. */
  readonly name: string;
  readonly root: string;
  readonly checksums: string;
  readonly checksumsSha256: string;
  readonly segments: readonly string[];
  /** Name of the snapshot that this one takes the place of. */
  readonly compactedFrom: string;
};

/**
 * Text of the descriptor of a snapshot that takes the place of the one with `fields`: what that one
 * says of its source stays, also what we do not know. Latin-1, as `fields` are.
 */
export function formatMovedDescriptor(
  fields: ReadonlyMap<string, string>,
  moved: MovedDescriptor,
): string {
  const changed = new Map([
    ['Name', moved.name],
    ['Root', moved.root],
    ['Checksums', moved.checksums],
    ['Checksums_sha256', moved.checksumsSha256],
  ]);
  const lines: string[] = [];
  for (const [key, value] of fields) {
    if (key === 'Segments' || key === COMPACTED_FROM) continue;
    lines.push(formatField(key, changed.get(key) ?? value));
  }
  lines.push(formatField(COMPACTED_FROM, moved.compactedFrom), 'Segments:\n');
  for (const segment of moved.segments.toSorted()) lines.push(`    ${segment}\n`);
  return sealed(lines.join(''));
}

function isNewer(version: readonly number[], known: readonly number[]): boolean {
  for (let at = 0; at < Math.max(version.length, known.length); at++) {
    const difference = (version[at] ?? 0) - (known[at] ?? 0);
    if (difference !== 0) return difference > 0;
  }
  return false;
}

function countsOf(fields: ReadonlyMap<string, string>): SnapshotCounts | undefined {
  const read = (key: string) => {
    const text = fields.get(key);
    return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
  };
  const entries = read('Entries');
  const files = read('Files');
  const bytes = read('Bytes');
  if (entries === undefined || files === undefined || bytes === undefined) return undefined;
  return { entries, files, bytes, stored: read('Stored') ?? 0, warnings: read('Warnings') ?? 0 };
}

/** LBS 0.6 to Cumulus 0.10 wrote `Backup-Intent`. */
function intentOf(fields: ReadonlyMap<string, string>): number | undefined {
  const text = fields.get('Intent') ?? fields.get('Backup-Intent');
  return text === undefined ? undefined : parseIntent(text);
}

/** A number above 0, as digits with or without a fraction; undefined for anything else. */
export function parseIntent(text: string): number | undefined {
  // Not longer, so that the runtime writes it as it was read.
  const intent = /^\d{1,9}(?:\.\d{1,6})?$/.test(text) ? Number(text) : 0;
  return intent > 0 ? intent : undefined;
}

/** Only an absolute path says anything. */
function topOf(text: string | undefined): Buffer | undefined {
  const top = text === undefined ? undefined : uriUnescape(text);
  return top?.[0] === SLASH ? top : undefined;
}

/** With more nothing is said: a hostile store could have millions of them. */
const PATHS_MAX = 100_000;

function pathsOf(text: string | undefined): Buffer[] | undefined {
  if (text === undefined) return undefined;
  const paths: Buffer[] = [];
  for (const [word] of text.matchAll(/\S+/g)) {
    if (paths.push(uriUnescape(word)) > PATHS_MAX) return undefined;
  }
  return paths;
}

/** @throws {LbsError} format-syntax */
function segmentsOf(text: string): string[] {
  const segments: string[] = [];
  for (const [word] of text.matchAll(/\S+/g)) {
    if (!isSegmentName(word)) {
      throw new LbsError('format-syntax', `"${word.slice(0, 80)}" is not the name of a segment`);
    }
    segments.push(word);
  }
  return segments;
}

/** Where a descriptor has warnings, or has lost them, and does not say of what, it may be anything. */
function unreadOf(fields: ReadonlyMap<string, string>): readonly Buffer[] {
  const text = fields.get('Unread');
  const hasWarnings = (countsOf(fields)?.warnings ?? 0) > 0 || fields.has('Repaired');
  const isUnknown = text === undefined && hasWarnings;
  return isUnknown ? [TOP] : (pathsOf(text ?? '') ?? [TOP]);
}

const SHA256_HEX = /^[0-9a-f]{64}$/;

/** Anything else than a name says nothing. */
function previousOf(fields: ReadonlyMap<string, string>): PreviousSnapshot | undefined {
  const name = fields.get('Previous');
  if (name === undefined || parseSnapshotName(name) === undefined) return undefined;
  const sha256 = fields.get('Previous_sha256') ?? '';
  return { name, sha256: SHA256_HEX.test(sha256) ? sha256 : undefined };
}

const CLEARSIGN_BEGIN = '-----BEGIN PGP SIGNED MESSAGE-----';
const SIGNATURE_BEGIN = '-----BEGIN PGP SIGNATURE-----';

const ARMOR = /^-----BEGIN PGP SIGNED MESSAGE-----\r?$/m;

/** The signed lines of a clear-signed text, dash-escapes undone; of other text all lines. */
function* linesWithoutArmor(text: string): Generator<string> {
  const begin = isSigned(text) ? ARMOR.exec(text)?.index : undefined;
  if (begin === undefined) {
    yield* textLines(text);
    return;
  }
  let isHead = true;
  for (const whole of textLines(text.slice(begin))) {
    const line = whole.endsWith('\r') ? whole.slice(0, -1) : whole;
    if (line === SIGNATURE_BEGIN) return;
    if (!isHead) yield line.startsWith('- ') ? line.slice(2) : line;
    else if (line === '') isHead = false;
  }
}

/** The signed text of a clear-signed text, unchecked; other text as it is. */
export function withoutArmor(text: string): string {
  return [...linesWithoutArmor(text)].join('\n');
}

/** True for a clear-signed descriptor. */
export function isSigned(text: string): boolean {
  return text.includes(CLEARSIGN_BEGIN);
}

/** Every key of a text that is one record, as a descriptor is; of a signed one the signed part. */
export function fieldsOf(text: string): ReadonlyMap<string, string> {
  const parser = new StanzaParser();
  // Blank lines do not divide it.
  for (const line of linesWithoutArmor(text)) {
    if (line.trim() !== '') parser.line(line);
  }
  return parser.end() ?? new Map<string, string>();
}

/**
 * Reads a descriptor of any version; of a clear-signed one the signed part, unchecked.
 * @throws {LbsError} format-syntax, format-version
 */
export function parseDescriptor(text: string): Descriptor {
  const fields = fieldsOf(text);
  const format = fields.get('Format') ?? '';
  const numbers = /^(?:LBS|Cumulus) Snapshot v(\d+(?:\.\d+)*)$/.exec(format)?.[1];
  const version = numbers?.split('.').map(Number) ?? [];
  if (isNewer(version, NEWEST_KNOWN)) {
    throw new LbsError('format-version', `format "${format}" is newer than this program knows`, {
      hint: 'use a newer lbs to read this store',
    });
  }
  const dialect: SliceDialect = isNewer([0, 8], version) && version.length > 0 ? 'prefix' : 'exact';
  const rootText = fields.get('Root');
  if (rootText === undefined) throw new LbsError('format-syntax', 'no Root: in the descriptor');
  const root = parseReference(rootText, dialect);
  if (root.kind !== 'object' || !isSegmentName(root.segment)) {
    throw new LbsError('format-syntax', `unusable Root: ${rootText.slice(0, 200)}`);
  }
  const segments = segmentsOf(fields.get('Segments') ?? '');
  // An empty 0.11 snapshot does not list the segment of its own root.
  const needed = new Set([...segments, root.segment]);
  return {
    format,
    version,
    producer: fields.get('Producer'),
    date: parseDate(fields.get('Date') ?? ''),
    scheme: fields.get('Scheme'),
    root,
    dialect,
    checksums: fields.get('Checksums'),
    checksumsSha256: fields.get('Checksums_sha256'),
    segmentMetadata: fields.get('Segment-metadata'),
    host: fields.get('Host'),
    top: topOf(fields.get('Top')),
    paths: pathsOf(fields.get('Paths')),
    counts: countsOf(fields),
    unread: unreadOf(fields),
    intent: intentOf(fields),
    compactedFrom: fields.get(COMPACTED_FROM),
    name: fields.get('Name'),
    previous: previousOf(fields),
    segments: [...needed].sort(),
    fields,
  };
}
