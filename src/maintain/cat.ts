/** The content of single files of a snapshot, for `lbs cat`. */
import { LbsError } from '../errors.ts';
import type { Entry } from '../format/entry.ts';
import type { EntryType } from '../posix/file-status.ts';
import { normalisePath } from '../restore/select-paths.ts';
import { ObjectReader } from '../segments/object-reader.ts';
import { type BytePath, showPath } from '../std/byte-path.ts';
import { contentOf } from './file-content.ts';
import { SnapshotMetadata, type SnapshotOptions } from './snapshot-metadata.ts';

export type CatOptions = SnapshotOptions & {
  readonly paths: readonly BytePath[];
  /** Takes bytes that are valid until it resolves; false when nobody wants any more. */
  readonly write: (bytes: Buffer) => Promise<boolean>;
};

const WORDS: Readonly<Record<Exclude<EntryType, 'f'>, string>> = {
  d: 'a directory',
  l: 'a symbolic link',
  p: 'a fifo',
  s: 'a socket',
  c: 'a character device',
  b: 'a block device',
};

/**
 * Writes the content of each path, in their order. All are looked for before anything is written.
 * True when the metadata is damaged elsewhere, which was reported.
 * @throws {LbsError} source-missing; usage for what is no regular file; segment-corrupt and
 * others of exit code 4 when content cannot be had as it was: what was written is then cut off
 */
export async function cat(options: CatOptions): Promise<boolean> {
  const snapshot = await SnapshotMetadata.open(options);
  const files = await find(snapshot, options.paths);
  const objects = new ObjectReader(snapshot.source, options.signal);
  try {
    for (const entry of files) {
      if (!(await writeFile(entry, snapshot, objects, options.write))) break;
    }
  } finally {
    await objects.close();
  }
  return snapshot.isDamaged;
}

/** The entries of regular files, by their paths. */
async function find(snapshot: SnapshotMetadata, paths: readonly BytePath[]): Promise<Entry[]> {
  const found = new Map<string, Entry | undefined>();
  const wanted = paths.map((path) => normalisePath(path));
  for (const path of wanted) found.set(path.toString('latin1'), undefined);
  for await (const entry of snapshot.entries(wanted)) {
    const path = normalisePath(entry.path).toString('latin1');
    if (found.has(path)) found.set(path, found.get(path) ?? entry);
  }
  const missing = wanted.filter((path) => found.get(path.toString('latin1')) === undefined);
  if (missing.length > 0) throw snapshot.missing(missing);
  return wanted.flatMap((path) => {
    const entry = found.get(path.toString('latin1'));
    if (entry !== undefined) mustBeFile(entry, snapshot.name);
    return entry ?? [];
  });
}

/** @throws {LbsError} usage */
function mustBeFile({ path, type, target }: Entry, snapshot: string): void {
  if (type === 'f') return;
  const shown = showPath(path);
  const to = target === undefined ? '' : ` to ${showPath(target)}`;
  const hints: Partial<Record<EntryType, string>> = {
    d: `"lbs dump ${snapshot} ${shown}" writes a directory as a tar archive`,
    l: 'links are not followed; name the file that it points to, if that is in the snapshot',
  };
  const hint = hints[type];
  throw new LbsError(
    'usage',
    `${shown} is ${WORDS[type]}${to}, not a regular file`,
    hint === undefined ? {} : { hint },
  );
}

async function writeFile(
  entry: Entry,
  { descriptor }: SnapshotMetadata,
  objects: ObjectReader,
  write: CatOptions['write'],
): Promise<boolean> {
  const pieces = contentOf(entry, descriptor.dialect, objects);
  for (let written = 0; ;) {
    const piece = await nextOf(pieces, entry, written);
    if (piece === undefined) return true;
    if (!(await write(piece))) return false;
    written += piece.length;
  }
}

/** The next piece; undefined at the end. Errors say which file it is, and how far it came. */
async function nextOf(
  pieces: AsyncGenerator<Buffer>,
  entry: Entry,
  written: number,
): Promise<Buffer | undefined> {
  try {
    const result = await pieces.next();
    return result.done === true ? undefined : result.value;
  } catch (error) {
    if (!(error instanceof LbsError)) throw error;
    // A command that cannot read a segment to its end is damage everywhere else, too.
    const code = error.code === 'filter-failed' ? 'segment-corrupt' : error.code;
    throw new LbsError(code, `${showPath(entry.path)}: ${error.message}`, {
      cause: error,
      hint: error.hint ?? `${written} of its ${entry.sizeBytes} bytes were written`,
    });
  }
}
