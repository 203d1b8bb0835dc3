/** The metadata of one entry byte for byte as it is stored, and where, for `lbs stanza`. */
import type { ObjectReference } from '../format/reference.ts';
import { type Stanza, StanzaParser } from '../format/stanza.ts';
import { uriUnescape } from '../format/uri-escape.ts';
import { normalisePath } from '../restore/select-paths.ts';
import type { BytePath } from '../std/byte-path.ts';
import { SnapshotMetadata, type SnapshotOptions } from './snapshot-metadata.ts';

export type RawStanza = {
  /** With the empty line that ends it, where there is one. */
  readonly bytes: Buffer;
  /** The last value of each key, as Latin-1 text of its bytes; lines of one value end in `\n`. */
  readonly fields: Stanza;
  readonly path: BytePath;
  /** Name of the snapshot. */
  readonly snapshot: string;
  /** The object that the stanza is in, and where in it. */
  readonly segment: string;
  readonly object: number;
  readonly offsetBytes: number;
  /** True when some of the metadata could not be read. */
  readonly isDamaged: boolean;
};

const NAME_LINE = /^name:[ \t]*(\S+)/m;
/** LBS of November 2007. */
const PATH_LINE = /^path:[ \t]*(\S+)/m;

/**
 * The stanza of `path`. @throws {LbsError} source-missing; as opening a snapshot does
 */
export async function rawStanza(
  options: SnapshotOptions & { readonly path: BytePath },
): Promise<RawStanza> {
  const snapshot = await SnapshotMetadata.open(options);
  const wanted = normalisePath(options.path);
  let found: FoundStanza | undefined;
  const take = (text: string, start: number, at: ObjectReference) => {
    const end = stanzaEnd(text, start);
    if (end === undefined) return undefined;
    const stanza = text.slice(start, end);
    const name = (NAME_LINE.exec(stanza) ?? PATH_LINE.exec(stanza))?.[1];
    const isWanted = name !== undefined && normalisePath(uriUnescape(name)).equals(wanted);
    if (isWanted) found ??= { text: stanza, at, start };
    return end;
  };
  // Every stanza is taken, so there are no entries; reading them is what gives the stanzas out.
  for await (const entry of snapshot.entries([wanted], take)) void entry;
  if (found === undefined) throw snapshot.missing([wanted]);
  const { text, at, start } = found;
  return {
    bytes: Buffer.from(text, 'latin1'),
    fields: fieldsOf(text),
    path: wanted,
    snapshot: snapshot.name,
    segment: at.segment,
    object: at.object,
    offsetBytes: (at.slice?.start ?? 0) + start,
    isDamaged: snapshot.isDamaged,
  };
}

type FoundStanza = {
  readonly text: string;
  /** The object, or the stretch of one, whose text it was found in. */
  readonly at: ObjectReference;
  readonly start: number;
};

function fieldsOf(text: string): Stanza {
  const parser = new StanzaParser();
  for (const line of text.trimEnd().split('\n')) parser.line(line);
  return parser.end() ?? new Map();
}

/** Where the stanza at `start` ends; undefined where none begins. */
function stanzaEnd(text: string, start: number): number | undefined {
  if (text[start] === '\n' || text[start] === '@') return undefined;
  for (let at = start; at < text.length;) {
    const newline = text.indexOf('\n', at);
    if (newline < 0) return text.length;
    const next = newline + 1;
    if (text[next] === '\n') return next + 1;
    if (text[next] === '@') return next;
    at = next;
  }
  return text.length;
}
