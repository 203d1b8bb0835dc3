/**
 * Text of the stat cache: one record per entry, in groups of one metadata object each.
 *
 *     <escaped path>
 *     <content identity>|<the rest of its status>[?]      `?`: must be read again
 *     =<start>+<length>  or  <object reference>[<start>+<length>]   where its stanza is, and
 *                                      a blank and the CRC-32 of its attributes, if there are some
 *     <the stanza lines that say what the content is>
 *     <empty line>
 *
 * `=` means "in the object of this group". A line `@<object> flat|nested <bytes> <crc32>` begins
 * a group of records: its length and checksum, so that a damaged cache cannot get into a snapshot.
 * Described in lbs-localdb(5).
 */
import type { FileStatus, Timespec } from '../posix/file-status.ts';
import { type ByteText, asByteText } from '../std/byte-text.ts';
import { uriEscapeText, uriUnescapeText } from '../format/uri-escape.ts';

/** A metadata object, and where the root of an older snapshot names it. */
export type CacheGroup = {
  /** `segment/object(sha1=..)`. */
  readonly object: string;
  /** True when the object holds only stanzas, no references to older ones. */
  readonly isFlat: boolean;
  /** `segment/object(sha1=..)` of the root that has its line, and where in that root. */
  readonly root: { readonly object: string; readonly start: number; readonly length: number };
};

/** Where the text of a stanza is stored. */
export type StanzaPlace = {
  readonly object: string;
  readonly start: number;
  readonly length: number;
};

export type CacheRecord = {
  readonly text: ByteText;
  /** As `statusLine` makes it; ends with `?` when the content must be read again. */
  readonly statusLine: string;
  readonly stanza: StanzaPlace;
  /** CRC-32 of the extended attributes' text; '' for none, `UNREAD_XATTRS` when unreadable. */
  readonly xattrs: string;
  /** Stanza lines about the content, as Latin-1 text; '' when there are none. */
  readonly content: string;
  readonly group: CacheGroup;
  /** Position in the group, and whether it is the group's last. */
  readonly index: number;
  readonly isLast: boolean;
};

const UNTRUSTED = '?';

/** Stands for attributes that could not be read: never equal to any that were. */
export const UNREAD_XATTRS = '-';

function moment(time: Timespec | undefined): string {
  return time === undefined ? '-' : `${time.s}.${time.ns}`;
}

/**
 * One line for a status. Up to the `|` it identifies the content: type, inode, size and both
 * times; the device is not in it, because devices are renumbered.
 */
export function statusLine(status: FileStatus): string {
  const { type, inode, sizeBytes, mtime, ctime, btime } = status;
  // A directory's size says nothing that its times do not, and differs between filesystems.
  const size = type === 'f' ? sizeBytes : 0;
  const content = `${type ?? ''} ${inode} ${size} ${moment(mtime)} ${moment(ctime)}`;
  const { mode, uid, gid, links, rdev, attributes, device } = status;
  const linked = type === 'd' ? 1 : links;
  // Inode and device matter to the stanza only where they tie hard links together.
  const where = linked > 1 ? device : '';
  return `${content}|${mode.toString(8)} ${uid} ${gid} ${linked} ${moment(btime)} ${rdev} ${attributes} ${where}`;
}

/** The same line, marked "read again whatever the times say". */
export function untrusted(line: string): string {
  return line + UNTRUSTED;
}

/** True when the content identities of two status lines agree and the cached one is trusted. */
export function isSameContent(cached: string, present: string): boolean {
  const end = present.indexOf('|');
  return cached.startsWith(present.slice(0, end + 1)) && !cached.endsWith(UNTRUSTED);
}

/** True when the entry need not be looked at again as long as its status stays. */
export function isTrusted(line: string): boolean {
  return !line.endsWith(UNTRUSTED);
}

/** True when nothing but trust differs. */
export function isSameStatus(cached: string, present: string): boolean {
  return cached === present || cached === present + UNTRUSTED;
}

/** Text of one record; `group` is the object of the group it is written into. */
export function formatRecord(
  record: Pick<CacheRecord, 'text' | 'statusLine' | 'stanza' | 'xattrs' | 'content'>,
  group: string,
): string {
  const { object, start, length } = record.stanza;
  const place = object === group ? `=${start}+${length}` : `${object}[${start}+${length}]`;
  const xattrs = record.xattrs === '' ? '' : ` ${record.xattrs}`;
  return `${uriEscapeText(record.text)}\n${record.statusLine}\n${place}${xattrs}\n${record.content}\n`;
}

const PLACE = /^(?:=|([^[]+)\[)(\d+)\+(\d+)\]?(?: ([0-9a-f]{8}|-))?$/;

/** Reads one record's text, without its final empty line; undefined when it is none. */
export function parseRecord(
  raw: string,
  place: Pick<CacheRecord, 'group' | 'index' | 'isLast'>,
): CacheRecord | undefined {
  const first = raw.indexOf('\n');
  const second = raw.indexOf('\n', first + 1);
  if (first < 0 || second < 0) return undefined;
  const third = raw.indexOf('\n', second + 1);
  const end = third < 0 ? raw.length : third;
  const match = PLACE.exec(raw.slice(second + 1, end));
  if (!match) return undefined;
  const stanza = {
    object: match[1] ?? place.group.object,
    start: Number(match[2]),
    length: Number(match[3]),
  };
  const content = third < 0 ? '' : `${raw.slice(third + 1)}\n`;
  return {
    text: asByteText(uriUnescapeText(raw.slice(0, first))),
    statusLine: raw.slice(first + 1, second),
    stanza,
    xattrs: match[4] ?? '',
    content,
    group: place.group,
    index: place.index,
    isLast: place.isLast,
  };
}
