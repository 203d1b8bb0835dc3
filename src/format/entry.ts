/**
 * One entry of a snapshot, and its stanza.
 *
 * Keys of the family: name checksum ctime data device group inode links mode mtime size target
 * type user volatile. Keys we add (letters, digits and `_` only, so that old parsers skip them):
 *
 *     mtime_ns ctime_ns   nanoseconds beyond the whole seconds, when not 0
 *     btime btime_ns      time of birth
 *     sha256              of the whole content, hex; every regular file that we wrote has it
 *     block_sha256        one hex digest per reference of `data`, `-` for zero[n]; only when
 *                         there is more than one reference
 *     holes               `start+length ...` in bytes: ranges that are holes in the file
 *     xattrs              `name=value ...`, both escaped, `=` in the name as %3d
 *     flags               inode attributes (statx bits), hex, when not 0
 *
 * Format: lbs-format(5), "METADATA".
 */
import { LbsError } from '../errors.ts';
import type { EntryType, Timespec } from '../posix/file-status.ts';
import { type BytePath, bytePath } from '../std/byte-path.ts';
import { type Reference, type SliceDialect, parseReference } from './reference.ts';
import type { Stanza } from './stanza.ts';
import { uriEscape, uriUnescape } from './uri-escape.ts';

export type Xattr = { readonly name: Buffer; readonly value: Buffer };
/** A half-open range of bytes. */
export type ByteRange = { readonly start: number; readonly length: number };

/** An entry as a stanza says it. Fields that a stanza lacks are undefined. */
export type Entry = {
  /** As recorded; NOT checked for `..` or a leading `/`: a reader from hostile stores must. */
  readonly path: BytePath;
  readonly type: EntryType;
  readonly mode: number | undefined;
  readonly uid: number | undefined;
  readonly gid: number | undefined;
  readonly user: string | undefined;
  readonly group: string | undefined;
  readonly mtime: Timespec | undefined;
  readonly ctime: Timespec | undefined;
  readonly btime: Timespec | undefined;
  readonly links: number;
  /** Opaque text that is equal for hard links of one file; undefined when not recorded. */
  readonly inode: string | undefined;
  readonly device: { readonly major: number; readonly minor: number } | undefined;
  readonly target: Buffer | undefined;
  readonly xattrs: readonly Xattr[];
  readonly flags: number;
  readonly volatile: boolean;
  readonly sizeBytes: number;
  /** `algorithm=hex` of the content. */
  readonly checksum: string | undefined;
  readonly sha256: string | undefined;
  /** Text of the `data` references, one each; may hold `@ref` in formats before 0.6. */
  readonly data: readonly string[];
  /** SHA-256 of each reference's bytes, parallel to `data`; undefined entries are unknown. */
  readonly blockSha256: readonly (string | undefined)[];
  /** Exact holes. Undefined: not recorded (written by another program). */
  readonly holes: readonly ByteRange[] | undefined;
};

/** `123 (name)` or `123`. */
export function accountField(id: number, name: string | undefined): string {
  return name === undefined ? String(id) : `${id} (${uriEscape(Buffer.from(name))})`;
}

/** `user.a=b user.c=d`; `=` within a name is escaped, so the first `=` divides. */
export function xattrsField(xattrs: readonly Xattr[]): string {
  return xattrs
    .map(({ name, value }) => `${uriEscape(name).replaceAll('=', '%3d')}=${uriEscape(value)}`)
    .join('\n');
}

function bad(stanza: Stanza, key: string): never {
  const name = stanza.get('name') ?? stanza.get('path') ?? '?';
  const value = (stanza.get(key) ?? '').slice(0, 60);
  throw new LbsError('format-syntax', `entry "${name}": unreadable ${key} "${value}"`);
}

/** What nearly all numbers look like; small enough to be exact. */
const PLAIN_DECIMAL = /^[1-9]\d{0,14}$/;

/** Decimal, `0` octal or `0x` hex, as the family's readers take them. */
function integer(stanza: Stanza, key: string): number | undefined {
  const text = stanza.get(key);
  if (text === undefined || text === '') return undefined;
  if (PLAIN_DECIMAL.test(text)) return Number(text);
  if (!/^-?(?:0x[0-9a-f]+|\d+)$/i.test(text)) return bad(stanza, key);
  const digits = text.replace('-', '');
  const base = /^0x/i.test(digits) ? 16 : digits.length > 1 && digits.startsWith('0') ? 8 : 10;
  if (base === 8 && /[89]/.test(digits)) return bad(stanza, key);
  const value = Number.parseInt(base === 16 ? digits.slice(2) : digits, base);
  if (!Number.isSafeInteger(value)) return bad(stanza, key);
  return text.startsWith('-') ? -value : value;
}

/** `size` is always decimal, whatever its first digit. */
function decimal(stanza: Stanza, key: string): number | undefined {
  const text = stanza.get(key);
  if (text === undefined) return undefined;
  const value = Number(text);
  return /^\d{1,16}$/.test(text) && Number.isSafeInteger(value) ? value : bad(stanza, key);
}

function timespec(stanza: Stanza, key: string): Timespec | undefined {
  const s = integer(stanza, key);
  if (s === undefined) return undefined;
  const ns = decimal(stanza, `${key}_ns`) ?? 0;
  return ns < 1_000_000_000 ? { s, ns } : bad(stanza, `${key}_ns`);
}

type Account = { readonly id?: number; readonly name?: string };

/** Text of accounts that were parsed: most machines have few, and each entry names two. */
const knownAccounts = new Map<string, Account>();
/** Against a store that makes them up. */
const KNOWN_ACCOUNTS_MAX = 1000;

function account(stanza: Stanza, key: string): Account {
  const text = stanza.get(key);
  if (text === undefined) return {};
  let known = knownAccounts.get(text);
  if (known === undefined) {
    const match = /^(\d+)(?: \((.*)\))?/.exec(text);
    if (!match) return {};
    const id = Number(match[1]);
    if (id > 0xffffffff) return bad(stanza, key);
    known = match[2] === undefined ? { id } : { id, name: String(uriUnescape(match[2])) };
    if (knownAccounts.size < KNOWN_ACCOUNTS_MAX) knownAccounts.set(text, known);
  }
  return known;
}

function device(stanza: Stanza): Entry['device'] {
  const match = /^(\d{1,10})\/(\d{1,10})$/.exec(stanza.get('device') ?? '');
  return match ? { major: Number(match[1]), minor: Number(match[2]) } : undefined;
}

/** More than the references of any file that fits into a stanza. */
const WORDS_MAX = 2_000_000;

function words(stanza: Stanza, key: string): string[] {
  const text = stanza.get(key);
  if (text === undefined || text === '') return [];
  if (!/\s/.test(text)) return [text];
  const found: string[] = [];
  for (const [word] of text.matchAll(/\S+/g)) {
    if (found.push(word) > WORDS_MAX) return bad(stanza, key);
  }
  return found;
}

function xattrs(stanza: Stanza): Xattr[] {
  return words(stanza, 'xattrs').map((word) => {
    const equals = word.indexOf('=');
    if (equals <= 0) return bad(stanza, 'xattrs');
    return {
      name: uriUnescape(word.slice(0, equals)),
      value: uriUnescape(word.slice(equals + 1)),
    };
  });
}

function holes(stanza: Stanza): ByteRange[] | undefined {
  // Our own stanzas always have sha256; without `holes` they say that there are none.
  if (!stanza.has('holes')) return stanza.has('sha256') ? [] : undefined;
  return words(stanza, 'holes').map((word) => {
    const match = /^(\d{1,16})\+(\d{1,16})$/.exec(word);
    const range = { start: Number(match?.[1]), length: Number(match?.[2]) };
    return Number.isSafeInteger(range.start + range.length) ? range : bad(stanza, 'holes');
  });
}

const TYPES = new Map<string, EntryType>([
  ['-', 'f'],
  ...(['f', 'd', 'l', 'p', 's', 'c', 'b'] as const).map((type): [string, EntryType] => [
    type,
    type,
  ]),
]);

function sha256(stanza: Stanza): string | undefined {
  const hex = stanza.get('sha256');
  if (hex !== undefined && !/^[0-9a-f]{64}$/.test(hex)) return bad(stanza, 'sha256');
  return hex;
}

/** Reads an entry. @throws {LbsError} format-syntax naming the entry and the key. */
export function parseEntry(stanza: Stanza): Entry {
  const name = stanza.get('name') ?? stanza.get('path');
  if (name === undefined || name === '') {
    throw new LbsError('format-syntax', 'an entry without a name in the metadata');
  }
  const type = TYPES.get(stanza.get('type') ?? '') ?? bad(stanza, 'type');
  const owner = account(stanza, 'user');
  const group = account(stanza, 'group');
  const target = stanza.get('target') ?? stanza.get('contents');
  const data = type === 'f' ? words(stanza, 'data') : [];
  const whole = sha256(stanza);
  const blocks = words(stanza, 'block_sha256').map((hex) => (hex === '-' ? undefined : hex));
  const flags = stanza.get('flags') ?? '0';
  if (!/^[0-9a-f]{1,12}$/.test(flags)) bad(stanza, 'flags');
  const mode = stanza.get('mode');
  if (mode !== undefined && !/^[0-7]{1,7}$/.test(mode)) bad(stanza, 'mode');
  return {
    path: bytePath(uriUnescape(name)),
    type,
    mode: mode === undefined ? undefined : Number.parseInt(mode, 8) & 0o7777,
    uid: owner.id,
    gid: group.id,
    user: owner.name,
    group: group.name,
    mtime: timespec(stanza, 'mtime'),
    ctime: timespec(stanza, 'ctime'),
    btime: timespec(stanza, 'btime'),
    links: integer(stanza, 'links') ?? 1,
    inode: stanza.get('inode'),
    device: device(stanza),
    target: target === undefined ? undefined : uriUnescape(target),
    xattrs: xattrs(stanza),
    flags: Number.parseInt(flags, 16),
    volatile: (stanza.get('volatile') ?? '0') !== '0',
    sizeBytes: type === 'f' ? (decimal(stanza, 'size') ?? bad(stanza, 'size')) : 0,
    checksum: stanza.get('checksum'),
    sha256: whole,
    data,
    blockSha256: data.length === 1 && whole !== undefined ? [whole] : blocks,
    holes: type === 'f' ? holes(stanza) : undefined,
  };
}

/** The references of an entry's content. @throws {LbsError} format-syntax */
export function referencesOf(entry: Entry, dialect: SliceDialect): Reference[] {
  return entry.data.map((text) => parseReference(text, dialect));
}
