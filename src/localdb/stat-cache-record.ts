/**
 * Text of the stat cache: one record per entry, in groups of one metadata object each.
 *
 *     <escaped path>
 *     <content identity>|<the rest of its status>[?]      see status-line.ts
 *     =<start>+<length>  or  <object reference>[<start>+<length>]   where its stanza is, and
 *                                      a blank and the CRC-32 of its attributes and target, if any
 *     <the stanza lines that say what the content is>
 *     <empty line>
 *
 * `=` means "in the object of this group". A line `@<object> flat|nested <bytes> <crc32>` begins
 * a group of records: its length and checksum, so that a damaged cache cannot get into a snapshot.
 * Described in lbs-localdb(5).
 *
 * A record stays in the bytes of its group, and becomes text only where somebody asks: most are
 * compared, found unchanged and copied.
 */
import { crc32 } from 'node:zlib';
import { type Xattr, xattrsField } from '../format/entry.ts';
import { type ByteText, RepeatedText, asByteText, byteText } from '../std/byte-text.ts';
import { uriEscapeText, uriUnescapeText } from '../format/uri-escape.ts';
import type { GrowingBytes } from '../std/growing-bytes.ts';
import { REBUILT_BYTE, type StatusLine, UNTRUSTED_BYTE } from './status-line.ts';

/** A metadata object, and where the root of an older snapshot names it. */
export type CacheGroup = {
  /** `segment/object(sha1=..)`. */
  readonly object: string;
  /** True when the object holds only stanzas, no references to older ones. */
  readonly isFlat: boolean;
  /** `segment/object(sha1=..)` of the root that has its line, and where in that root. */
  readonly root: { readonly object: string; readonly start: number; readonly length: number };
  /** Its records, and their checksum as the file has it. */
  readonly bytes: Buffer;
  readonly crc: string;
  /** Where its line begins in the file, and where its records end. */
  readonly start: number;
  readonly end: number;
};

/** Where the text of a stanza is stored. */
export type StanzaPlace = {
  readonly object: string;
  readonly start: number;
  readonly length: number;
};

/** What the stat cache keeps of an entry, besides where its stanza is. */
export type CacheFacts = {
  readonly text: ByteText;
  /** As `statusLine` makes it; ends with `?` when the content must be read again. */
  readonly statusLine: string;
  /** As `lookedAtCrc` makes it; `UNREAD_XATTRS` when attributes are unreadable. */
  readonly xattrs: string;
  /** Stanza lines about the content, as Latin-1 text; '' when there are none. */
  readonly content: string;
};

/** Stands for attributes that could not be read: never equal to any that were. */
export const UNREAD_XATTRS = '-';

/** Stands for a metadata object where there is none that may be referred to. */
export const NO_OBJECT = '00000000-0000-0000-0000-000000000000/00000000';
export const NO_PLACE: StanzaPlace = { object: NO_OBJECT, start: 0, length: 0 };

/** In a line of a status: behind the type and a blank; one that is not known is `-`. */
const INODE_AT = 2;
const UNKNOWN_BYTE = 0x2d;

const BLANK = 0x20;
const NEWLINE = 0x0a;
const PERCENT = 0x25;
const PLUS = 0x2b;
const SLASH = 0x2f;
const ZERO = 0x30;
const NINE = 0x39;
const LOWER_A = 0x61;
const DOT = 0x2e;
const EQUALS = 0x3d;
const BRACKET = 0x5b;
const BRACKET_END = 0x5d;

/** One record of a group. */
export class CacheRecord implements CacheFacts {
  readonly group: CacheGroup;
  /** Position in the group. */
  readonly index: number;
  /** The object that has its stanza. */
  readonly object: string;
  readonly stanzaStart: number;
  readonly stanzaLength: number;
  /** Where its lines begin in the bytes of the group; the last, an empty one, is at `contentEnd`. */
  readonly #pathAt: number;
  readonly #statusAt: number;
  readonly #placeAt: number;
  /** Behind the place of the stanza: a blank and the attributes, if there are some. */
  readonly #xattrsAt: number;
  readonly contentAt: number;
  readonly contentEnd: number;

  /** The record whose path begins at `pathAt` and whose status at `statusAt`. @throws RangeError */
  constructor(group: CacheGroup, index: number, at: { path: number; status: number }) {
    const { bytes } = group;
    this.group = group;
    this.index = index;
    this.#pathAt = at.path;
    this.#statusAt = at.status;
    this.#placeAt = lineEnd(bytes, at.status) + 1;
    const isShort = bytes[this.#placeAt] === EQUALS;
    const bracket = isShort ? this.#placeAt : bytes.indexOf(BRACKET, this.#placeAt);
    this.object = isShort ? group.object : objects.text(bytes, this.#placeAt, bracket);
    const plus = digitsEnd(bytes, bracket + 1);
    const last = digitsEnd(bytes, plus + 1);
    this.stanzaStart = decimal(bytes, bracket + 1, plus);
    this.stanzaLength = decimal(bytes, plus + 1, last);
    this.#xattrsAt = isShort ? last : last + 1;
    this.contentAt = lineEnd(bytes, this.#xattrsAt) + 1;
    this.contentEnd = recordEnd(bytes, this.contentAt - 1);
    const isWell =
      bracket > 0 &&
      bytes[plus] === PLUS &&
      (isShort || bytes[last] === BRACKET_END) &&
      this.contentEnd > 0;
    if (!isWell) throw new RangeError('not a record');
  }

  /** True for the last record of its group. */
  get isLast(): boolean {
    return this.contentEnd + 1 >= this.group.bytes.length;
  }

  get text(): ByteText {
    return asByteText(uriUnescapeText(this.#line(this.#pathAt, this.#statusAt)));
  }

  get statusLine(): string {
    return this.#line(this.#statusAt, this.#placeAt);
  }

  get xattrs(): string {
    return this.#line(this.#xattrsAt, this.contentAt).slice(1);
  }

  get content(): string {
    return byteText(this.group.bytes, this.contentAt, this.contentEnd);
  }

  get stanza(): StanzaPlace {
    return { object: this.object, start: this.stanzaStart, length: this.stanzaLength };
  }

  #line(start: number, next: number): string {
    return byteText(this.group.bytes, start, next - 1);
  }

  /** True when the entry need not be looked at again as long as its status stays. */
  get isTrusted(): boolean {
    return this.group.bytes[this.#placeAt - 2] !== UNTRUSTED_BYTE;
  }

  /** True when only its content is known, from a snapshot; lines of a status begin with a type. */
  get isRebuilt(): boolean {
    return this.group.bytes[this.#statusAt] === REBUILT_BYTE;
  }

  /** True when the content identities agree and the record is trusted. */
  hasSameContent(line: StatusLine): boolean {
    return this.isTrusted && this.#hasStatus(line, line.contentLength);
  }

  /** True when nothing but trust differs. */
  hasSameStatus(line: StatusLine): boolean {
    const length = this.#placeAt - 1 - this.#statusAt - (this.isTrusted ? 0 : 1);
    if (this.group.bytes[this.#statusAt + INODE_AT] === UNKNOWN_BYTE) {
      return this.#hasSameButInode(line, length);
    }
    return length === line.length && this.#hasStatus(line, length);
  }

  /** For a line made from a stanza that does not have the inode, nor depends on it. */
  #hasSameButInode({ bytes: present, length: end }: StatusLine, length: number): boolean {
    const { bytes } = this.group;
    const start = this.#statusAt;
    const here = INODE_AT + 1;
    const there = present.indexOf(BLANK, INODE_AT);
    if (bytes[start] !== present[0] || end - there !== length - here) return false;
    for (let at = there; at < end; at++) {
      if (bytes[start + here + at - there] !== present[at]) return false;
    }
    return true;
  }

  #hasStatus({ bytes: present }: StatusLine, length: number): boolean {
    const { bytes } = this.group;
    const status = this.#statusAt;
    for (let at = 0; at < length; at++) if (bytes[status + at] !== present[at]) return false;
    return true;
  }

  /** Appends the record as it is to the records of a group whose object is `object`. */
  copyTo(into: GrowingBytes, object: string): void {
    const { bytes } = this.group;
    const isShort = bytes[this.#placeAt] === EQUALS;
    if (isShort === (this.object === object)) {
      into.addBytes(bytes, this.#pathAt, this.contentEnd + 1);
      return;
    }
    into.addBytes(bytes, this.#pathAt, this.#placeAt);
    into.addText(placeText(this.stanza, object));
    into.addBytes(bytes, this.#xattrsAt, this.contentEnd + 1);
  }
}

/**
 * CRC-32 of extended attributes, and of the target of a symbolic link, as the cache has it; '' for
 * neither. A link that is replaced in one tick of the clock shows in nothing else: it can get the
 * number of the one before.
 */
export function lookedAtCrc(xattrs: readonly Xattr[], target?: Buffer): string {
  if (xattrs.length === 0 && target === undefined) return '';
  const crc = crc32(target ?? '', crc32(xattrs.length === 0 ? '' : xattrsField(xattrs)));
  return crc.toString(16).padStart(8, '0');
}

function placeText({ object, start, length }: StanzaPlace, group: string): string {
  return object === group ? `=${start}+${length}` : `${object}[${start}+${length}]`;
}

/** Text of one record; `group` is the object of the group it is written into. */
export function formatRecord(facts: CacheFacts, stanza: StanzaPlace, group: string): string {
  const xattrs = facts.xattrs === '' ? '' : ` ${facts.xattrs}`;
  return `${uriEscapeText(facts.text)}\n${facts.statusLine}\n${placeText(stanza, group)}${xattrs}\n${facts.content}\n`;
}

/** Where the line that goes on at `at` ends; the length of `bytes` when it does not. */
function lineEnd(bytes: Buffer, at: number): number {
  let end = at;
  while (end < bytes.length && bytes[end] !== NEWLINE) end++;
  return end;
}

/**
 * The position of the empty line that ends the record: the second of two newlines, the first of
 * which is at `at` or behind; -1 without one.
 */
export function recordEnd(bytes: Buffer, at: number): number {
  // Of two newlines that follow each other one is met in steps of two.
  for (let end = at + 1; end < bytes.length; end += 2) {
    if (bytes[end] !== NEWLINE) continue;
    if (bytes[end - 1] === NEWLINE) return end;
    if (bytes[end + 1] === NEWLINE) return end + 1;
  }
  return -1;
}

function digitsEnd(bytes: Buffer, at: number): number {
  let end = at;
  for (let byte = bytes[end] ?? 0; byte >= ZERO && byte <= NINE; byte = bytes[end] ?? 0) end++;
  return end;
}

function decimal(bytes: Buffer, at: number, end: number): number {
  let value = 0;
  for (let digit = at; digit < end; digit++) value = value * 10 + (bytes[digit] ?? ZERO) - ZERO;
  return value;
}

/** References are of 90 characters: a string for each record would be most of the garbage. */
const objects = new RepeatedText();

function hexValue(byte: number): number {
  return byte <= NINE ? byte - ZERO : byte - LOWER_A + 10;
}

/**
 * `compareTexts` of the escaped path at `start` (which ends with a newline) and a path, without a
 * string for the first; both as unsigned bytes, component by component, `.` first.
 */
export function compareEscaped(bytes: Buffer, start: number, text: ByteText): number {
  const isTop = bytes[start] === DOT && bytes[start + 1] === NEWLINE;
  if (isTop || text === '.') return isTop && text === '.' ? 0 : isTop ? -1 : 1;
  return compareRest(bytes, start, text);
}

/** The same for paths that agree up to here. */
export function compareRest(bytes: Buffer, start: number, text: ByteText): number {
  let at = start;
  for (let next = 0; next < text.length; next++) {
    const right = text.charCodeAt(next);
    let left = bytes[at++] ?? NEWLINE;
    // A newline in a name is escaped.
    if (left === NEWLINE) return -1;
    if (left === PERCENT) {
      left = 16 * hexValue(bytes[at] ?? 0) + hexValue(bytes[at + 1] ?? 0);
      at += 2;
    }
    if (left === right) continue;
    if (left === SLASH) return -1;
    if (right === SLASH) return 1;
    return left - right;
  }
  return bytes[at] === NEWLINE ? 0 : 1;
}

/** The escaped directory, with its slash, that the paths of a stretch of records begin with. */
export class EscapedDirectory {
  readonly #bytes: Buffer;
  readonly #path: ByteText;
  readonly #start: number;
  readonly #length: number;

  /** Takes the path of a directory, and where that of something in it begins in `bytes`. */
  constructor(path: ByteText, bytes: Buffer, start: number) {
    const end = bytes.indexOf(NEWLINE, start);
    this.#path = path;
    this.#bytes = bytes;
    this.#start = start;
    this.#length = bytes.lastIndexOf(SLASH, end) + 1 - start;
  }

  /**
   * Where the name begins if the path at `at` begins with this very directory, which `path` names;
   * else -1. Comparing bytes with bytes takes a third of comparing them with text.
   */
  nameAt(path: ByteText, bytes: Buffer, at: number): number {
    if (path !== this.#path || bytes !== this.#bytes) return -1;
    const end = at + this.#length;
    for (let next = at, same = this.#start; next < end; next++, same++) {
      if (bytes[next] !== bytes[same]) return -1;
    }
    return end;
  }
}
