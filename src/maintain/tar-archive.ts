/**
 * A tar archive of entries of a snapshot, for dump.
 *
 * What was written cannot be taken back, and the size of a member stands before it: where damage
 * shows after some of a file was written, it is filled up with zeros. Holes are zeros too, unless
 * they are asked for: the form that GNU tar has for them is not known to every reader.
 */
import { messageOf } from '../errors.ts';
import type { ByteRange, Entry } from '../format/entry.ts';
import {
  ARCHIVE_END,
  type MemberType,
  memberHeader,
  paddingAfter,
  sparseMap,
} from '../format/pax-header.ts';
import { isDamage } from '../metadata/metadata-objects.ts';
import { normaliseRanges, partsOf, totalLength } from '../restore/byte-ranges.ts';
import { groupOf } from '../restore/hard-link-group.ts';
import { bytePath, TOP, utf8Of } from '../std/byte-path.ts';
import {
  type Archive,
  type ArchiveSource,
  DIRECTORY_MODE,
  OTHER_MODE,
  type StagedOutput,
} from './archive.ts';
import { contentOf, ZEROS } from './file-content.ts';
import { FirstNames } from './first-names.ts';

const SLASH = Buffer.from('/');

export class TarArchive implements Archive {
  readonly #out: StagedOutput;
  readonly #source: ArchiveSource;
  readonly #isSparse: boolean;
  readonly #firstNames = new FirstNames();

  /** `isSparse`: holes in the form of GNU tar. */
  constructor(out: StagedOutput, source: ArchiveSource, isSparse: boolean) {
    this.#out = out;
    this.#source = source;
    this.#isSparse = isSparse;
  }

  async add(entry: Entry, path: Buffer): Promise<boolean> {
    const { type } = entry;
    if (type === 's') {
      const message = 'tar has no form for a socket; it is left out';
      this.#source.warn(entry, 'unsupported-type', message);
      return false;
    }
    const thing = groupOf(entry);
    const first = thing === undefined ? undefined : this.#firstNames.take(thing);
    if (first !== undefined) {
      await this.#out.put(headerOf(entry, path, { type: 'link', target: first }));
      return true;
    }
    if (type === 'f') await this.#file(entry, path);
    else await this.#out.put(headerOf(entry, path, { type, target: entry.target }));
    // Only now: what is left out cannot be linked to.
    if (thing !== undefined) this.#firstNames.add(thing, path, entry.links);
    return true;
  }

  async end(): Promise<void> {
    await this.#out.put(ARCHIVE_END);
  }

  close(): void {
    this.#firstNames.close();
  }

  async #file(entry: Entry, path: Buffer): Promise<void> {
    const pieces = contentOf(entry, this.#source.dialect, this.#source.objects);
    let piece = await pieces.next();
    const holes = this.#holesOf(entry);
    const body = new FileBody(entry.sizeBytes, holes, this.#out);
    if (holes.length === 0) {
      await this.#out.put(headerOf(entry, path, { type: 'f', sizeBytes: entry.sizeBytes }));
    } else {
      const map = sparseMap(body.data, entry.sizeBytes);
      const sizeBytes = map.length + totalLength(body.data);
      const realSizeBytes = entry.sizeBytes;
      await this.#out.put(headerOf(entry, path, { type: 'f', sizeBytes, realSizeBytes }));
      await this.#out.put(map);
    }
    try {
      while (piece.done !== true) {
        await body.put(piece.value);
        piece = await pieces.next();
      }
    } catch (error) {
      if (!isDamage(error)) throw error;
      const { left } = body;
      const message = `${messageOf(error)}; its last ${left} bytes are zeros in the archive`;
      this.#source.damage(entry, message);
    }
    while (body.left > 0) await body.put(ZEROS.subarray(0, Math.min(body.left, ZEROS.length)));
    await this.#out.put(paddingAfter(totalLength(body.data)));
  }

  /** Those that are written as holes. */
  #holesOf({ holes, sizeBytes, path }: Entry): ByteRange[] {
    // The name of a file with holes can stand in a pax header only, which holds UTF-8.
    if (!this.#isSparse || holes === undefined || utf8Of(path) === undefined) return [];
    return normaliseRanges(holes, sizeBytes);
  }
}

/** Writes the content of one file, but for its holes. */
class FileBody {
  readonly #holes: readonly ByteRange[];
  readonly #out: StagedOutput;
  #at = 0;
  /** What is not in a hole. */
  readonly data: readonly ByteRange[];
  /** Bytes of the file that are to come, with holes. */
  left: number;

  constructor(sizeBytes: number, holes: readonly ByteRange[], out: StagedOutput) {
    this.#holes = holes;
    this.#out = out;
    this.left = sizeBytes;
    this.data = [...partsOf({ start: 0, length: sizeBytes }, holes)].filter((part) => !part.inside);
  }

  /** Takes the next bytes of the file. */
  async put(piece: Buffer): Promise<void> {
    const from = this.#at;
    this.#at += piece.length;
    this.left -= piece.length;
    for (const { start, length, inside } of partsOf(
      { start: from, length: piece.length },
      this.#holes,
    )) {
      if (!inside) await this.#out.put(piece.subarray(start - from, start - from + length));
    }
  }
}

type MemberKind = {
  readonly type: MemberType;
  /** What the member points to. */
  readonly target?: Buffer | undefined;
  readonly sizeBytes?: number;
  readonly realSizeBytes?: number;
};

function headerOf(entry: Entry, path: Buffer, kind: MemberKind): Buffer {
  const own = path.length === 0 ? TOP : bytePath(path);
  return memberHeader({
    path: entry.type === 'd' ? Buffer.concat([own, SLASH]) : own,
    type: kind.type,
    mode: entry.mode ?? (entry.type === 'd' ? DIRECTORY_MODE : OTHER_MODE),
    uid: entry.uid ?? 0,
    gid: entry.gid ?? 0,
    user: entry.user,
    group: entry.group,
    mtime: entry.mtime,
    sizeBytes: kind.sizeBytes ?? 0,
    realSizeBytes: kind.realSizeBytes,
    target: kind.target,
    device: entry.device,
    xattrs: kind.type === 'link' ? [] : entry.xattrs,
  });
}
