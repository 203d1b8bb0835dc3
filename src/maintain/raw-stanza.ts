/** The metadata of one entry byte for byte as it is stored, for `lbs stanza`. */
import { uriUnescape } from '../format/uri-escape.ts';
import { normalisePath } from '../restore/select-paths.ts';
import type { BytePath } from '../std/byte-path.ts';
import { SnapshotMetadata, type SnapshotOptions } from './snapshot-metadata.ts';

export type RawStanza = {
  /** With the empty line that ends it, where there is one. */
  readonly bytes: Buffer;
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
  let found: string | undefined;
  const take = (text: string, start: number) => {
    const end = stanzaEnd(text, start);
    if (end === undefined) return undefined;
    const stanza = text.slice(start, end);
    const name = (NAME_LINE.exec(stanza) ?? PATH_LINE.exec(stanza))?.[1];
    const isWanted = name !== undefined && normalisePath(uriUnescape(name)).equals(wanted);
    if (isWanted) found ??= stanza;
    return end;
  };
  // Every stanza is taken, so there are no entries; reading them is what gives the stanzas out.
  for await (const entry of snapshot.entries([wanted], take)) void entry;
  if (found === undefined) throw snapshot.missing([wanted]);
  return { bytes: Buffer.from(found, 'latin1'), isDamaged: snapshot.isDamaged };
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
