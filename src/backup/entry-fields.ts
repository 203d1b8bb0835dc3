/** The stanza of one source entry, and the text of its content keys. Keys: format/entry.ts. */
import { type Xattr, accountField, xattrsField } from '../format/entry.ts';
import { formatField } from '../format/stanza.ts';
import { uriEscape, uriEscapeText } from '../format/uri-escape.ts';
import { groupName, userName } from '../posix/accounts.ts';
import type { FileStatus, Timespec } from '../posix/file-status.ts';
import type { ByteText } from '../std/byte-text.ts';

/** Keys that say where the content is and what it is. */
const CONTENT_KEYS = ['block_sha256', 'checksum', 'data', 'holes', 'sha256', 'size'] as const;
type ContentKey = (typeof CONTENT_KEYS)[number];
export type Fields = [key: ContentKey, value: string][];

/** What a stanza says beside status and content. */
export type StanzaExtra = {
  /** Of a symbolic link. */
  readonly target: Buffer | undefined;
  readonly xattrs: readonly Xattr[];
  readonly isVolatile: boolean;
};

/** Text of the content keys alone, as the stat cache keeps it. */
export function contentText(fields: Fields): string {
  let text = '';
  for (const [key, value] of fields) text += formatField(key, value);
  return text;
}

/** The inverse of `contentText`. */
export function contentFields(text: string): Fields {
  const fields: Fields = [];
  for (const line of text.split('\n')) {
    const last = fields.at(-1);
    if (line === '') continue;
    if (line.startsWith(' ') && last !== undefined) {
      last[1] += `\n${line.trimStart()}`;
      continue;
    }
    const colon = line.indexOf(': ');
    const key = CONTENT_KEYS.find((known) => known === line.slice(0, colon));
    if (key !== undefined) fields.push([key, line.slice(colon + 2)]);
  }
  return fields;
}

function field(fields: Fields, wanted: ContentKey): string {
  for (const [key, value] of fields) if (key === wanted) return formatField(key, value);
  return '';
}

function timeLines(key: string, { s, ns }: Timespec): string {
  return ns === 0 ? `${key}: ${s}\n` : `${key}: ${s}\n${key}_ns: ${ns}\n`;
}

function modeText(mode: number): string {
  return mode === 0 ? '0' : `0${mode.toString(8)}`;
}

function remembered(make: (id: number) => string): (id: number) => string {
  const known = new Map<number, string>();
  return (id) => {
    let text = known.get(id);
    if (text === undefined) known.set(id, (text = make(id)));
    return text;
  };
}

const userField = remembered((uid) => accountField(uid, userName(uid)));
const groupField = remembered((gid) => accountField(gid, groupName(gid)));

/**
 * The complete stanza: `name` first, then all keys in byte order, and an empty line.
 * Written in that order, because gathering and sorting a list of keys took 4 us a file.
 */
export function stanzaText(
  path: ByteText,
  status: FileStatus,
  extra: StanzaExtra,
  content: Fields,
): string {
  const { type = 'f', btime, links } = status;
  const isDevice = type === 'c' || type === 'b';
  const isLinked = type !== 'd' && links > 1;
  let text = `name: ${uriEscapeText(path)}\n${field(content, 'block_sha256')}`;
  if (btime !== undefined) text += timeLines('btime', btime);
  text += field(content, 'checksum') + timeLines('ctime', status.ctime) + field(content, 'data');
  if (isDevice) text += `device: ${status.rdev}\n`;
  if (status.attributes !== 0) text += `flags: ${status.attributes.toString(16)}\n`;
  text += `group: ${groupField(status.gid)}\n${field(content, 'holes')}`;
  // The number is opaque to readers: it only ties the links of one file together.
  if (isLinked) text += `inode: ${status.device}/${status.inode}\nlinks: ${links}\n`;
  text += `mode: ${modeText(status.mode)}\n${timeLines('mtime', status.mtime)}`;
  text += field(content, 'sha256') + field(content, 'size');
  if (extra.target !== undefined) text += `target: ${uriEscape(extra.target)}\n`;
  text += `type: ${type}\nuser: ${userField(status.uid)}\n`;
  if (extra.isVolatile) text += 'volatile: 1\n';
  if (extra.xattrs.length > 0) text += formatField('xattrs', xattrsField(extra.xattrs));
  return `${text}\n`;
}
