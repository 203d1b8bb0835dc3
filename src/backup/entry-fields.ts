/** The stanza of one source entry: everything but its content. Keys: format/entry.ts. */
import {
  type Xattr,
  accountField,
  formatStanza,
  timeFields,
  xattrsField,
} from '../format/entry.ts';
import { formatField } from '../format/stanza.ts';
import { uriEscape } from '../format/uri-escape.ts';
import { groupName, userName } from '../posix/accounts.ts';
import type { FileStatus } from '../posix/file-status.ts';
import type { BytePath } from '../std/byte-path.ts';

export type Fields = [key: string, value: string][];

function modeText(mode: number): string {
  return mode === 0 ? '0' : `0${mode.toString(8)}`;
}

/** Keys that say what an entry is, from its status, link target and attributes. */
export function statusFields(
  status: FileStatus,
  extra: { target?: Buffer; xattrs: readonly Xattr[]; isVolatile: boolean },
): Fields {
  const fields: Fields = [
    ['type', status.type ?? 'f'],
    ['mode', modeText(status.mode)],
    ['user', accountField(status.uid, userName(status.uid))],
    ['group', accountField(status.gid, groupName(status.gid))],
    ...timeFields('mtime', status.mtime),
    ...timeFields('ctime', status.ctime),
  ];
  if (status.btime !== undefined) fields.push(...timeFields('btime', status.btime));
  if (status.type === 'c' || status.type === 'b') fields.push(['device', status.rdev]);
  if (status.type !== 'd' && status.links > 1) {
    // The number is opaque to readers: it only ties the links of one file together.
    fields.push(['links', String(status.links)], ['inode', `${status.device}/${status.inode}`]);
  }
  if (extra.target !== undefined) fields.push(['target', uriEscape(extra.target)]);
  if (extra.xattrs.length > 0) fields.push(['xattrs', xattrsField(extra.xattrs)]);
  if (status.attributes !== 0) fields.push(['flags', status.attributes.toString(16)]);
  if (extra.isVolatile) fields.push(['volatile', '1']);
  return fields;
}

/** Text of the content keys alone, as the stat cache keeps it. */
export function contentText(fields: Fields): string {
  return fields.map(([key, value]) => formatField(key, value)).join('');
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
    fields.push([line.slice(0, colon), line.slice(colon + 2)]);
  }
  return fields;
}

/** The complete stanza. */
export function stanzaText(path: BytePath, status: Fields, content: Fields): string {
  return formatStanza(path, [...status, ...content]);
}
