/** Stanzas as tests make them by hand. */
import { formatField } from '../../src/format/stanza.ts';
import { uriEscape } from '../../src/format/uri-escape.ts';

/** Text of a stanza: `name` first, then the fields as given, and an empty line. */
export function formatStanza(path: Buffer, fields: readonly [string, string][]): string {
  const lines = fields.map(([key, value]) => formatField(key, value));
  return `name: ${uriEscape(path)}\n${lines.join('')}\n`;
}
