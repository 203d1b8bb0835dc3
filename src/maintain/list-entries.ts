/** The entries of a snapshot, for `lbs ls`: given out as they are read, so memory stays flat. */
import type { Entry } from '../format/entry.ts';
import { uriEscape } from '../format/uri-escape.ts';
import { normalisePath } from '../restore/select-paths.ts';
import { type BytePath, isTop, isWithin, TOP } from '../std/byte-path.ts';
import { SnapshotMetadata, type SnapshotOptions } from './snapshot-metadata.ts';

export type ListEntriesOptions = SnapshotOptions & {
  /** Only this path and what lies below it. */
  readonly path?: BytePath;
  /** Of a directory only what lies directly in it, without itself; of anything else that. */
  readonly isShallow?: boolean;
};

const SLASH = 0x2f;
const NAME_KEY = 'name: ';

/**
 * Entries in the order of the snapshot. Damage of the metadata is reported, and what can be read
 * is still given.
 * @throws {LbsError} source-missing when `path` is not in the snapshot; as opening a snapshot does
 */
export async function* entries(options: ListEntriesOptions): AsyncGenerator<Entry> {
  const { isShallow = false, path } = options;
  const snapshot = await SnapshotMetadata.open(options);
  const wanted = path === undefined ? TOP : normalisePath(path);
  const skip = isShallow && !snapshot.isForeign ? skipBeyond(wanted) : undefined;
  let isFound = isTop(wanted);
  for await (const entry of snapshot.entries([wanted], skip)) {
    const at = snapshot.isForeign ? normalisePath(entry.path) : entry.path;
    if (!isWithin(at, wanted)) continue;
    isFound = true;
    if (!isShallow || isShown(entry, at, wanted)) yield entry;
  }
  if (!isFound) throw snapshot.missing([wanted]);
}

/** True for what a listing of `wanted` alone shows. */
function isShown({ type }: Entry, at: BytePath, wanted: BytePath): boolean {
  if (at.equals(wanted)) return type !== 'd';
  const start = isTop(wanted) ? 0 : wanted.length + 1;
  return !at.includes(SLASH, start);
}

/**
 * Passes over the stanzas that a listing of the directory `wanted` alone does not show, without
 * making entries of them: that is most of the time of a large snapshot. Only for our own stanzas,
 * which begin with the name and write each name in one way.
 */
function skipBeyond(wanted: BytePath): (text: string, start: number) => number | undefined {
  const itself = uriEscape(wanted);
  const prefix = isTop(wanted) ? '' : `${itself}/`;
  return (text, start) => {
    if (!text.startsWith(NAME_KEY, start)) return undefined;
    const name = text.slice(start + NAME_KEY.length, text.indexOf('\n', start));
    const isDirect = name.startsWith(prefix) && !name.includes('/', prefix.length);
    if (isDirect || name === itself) return undefined;
    const end = text.indexOf('\n\n', start);
    // One that goes on differently is left to the reader.
    if (end < 0 || text.slice(start, end).includes('\n@')) return undefined;
    return end + 2;
  };
}
