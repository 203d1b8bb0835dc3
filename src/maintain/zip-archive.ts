/**
 * A zip archive of entries of a snapshot, for dump.
 *
 * Written from its start to its end: the size of a small file is known before its content goes
 * out, that of a larger one stands behind it. The table of members comes last, so its records wait
 * in a file without a name, and memory stays flat. Content is cut into pieces that are compressed
 * each for itself and ended at a byte, which together are one stream of deflate.
 *
 * Invariant: the table names only members whose content is right. Where damage shows after some
 * of a file was written, what is written is no member, and a reader that goes without the table
 * finds a checksum that does not fit.
 */
import { promisify } from 'node:util';
import { constants, crc32, deflateRaw as deflateRawCallback } from 'node:zlib';
import { messageOf } from '../errors.ts';
import type { Entry } from '../format/entry.ts';
import {
  ZIP64_BYTES_MIN,
  ZIP_NAME_BYTES_MAX,
  zipCentralRecord,
  zipDescriptor,
  zipEnd,
  zipLocalHeader,
  type ZipMember,
  type ZipSizes,
} from '../format/zip-header.ts';
import { isDamage } from '../metadata/metadata-objects.ts';
import type { EntryType } from '../posix/file-status.ts';
import { utf8Of } from '../std/byte-path.ts';
import { SpoolFile, type Spooled } from '../std/spool-file.ts';
import {
  type Archive,
  type ArchiveSource,
  DIRECTORY_MODE,
  OTHER_MODE,
  type StagedOutput,
} from './archive.ts';
import { contentOf, ZEROS } from './file-content.ts';

const deflateRaw = promisify(deflateRawCallback);

/** Of the table of members, beyond which it goes to a file. */
const TABLE_MEMORY_BYTES = 4 * 1024 * 1024;
/** Records that are put there at once. */
const TABLE_PIECE_BYTES = 64 * 1024;
/** An empty last block: ends a stream whose blocks so far were not last ones. */
const STREAM_END = Buffer.from([0x03, 0x00]);
/** What a piece that cannot be compressed costs beyond its size: its blocks' headers, and one more. */
const PIECE_OVERHEAD_BYTES = 16;
const BLOCK_OVERHEAD_SHARE = 1 / 1000;

const LINK_MODE = 0o777;
const NOTHING = Buffer.alloc(0);

type MemberEntryType = 'f' | 'd' | 'l';
const TYPE_BITS: Readonly<Record<MemberEntryType, number>> = {
  f: 0o100000,
  d: 0o040000,
  l: 0o120000,
};
const WORDS: Readonly<Record<Exclude<EntryType, MemberEntryType>, string>> = {
  p: 'fifo',
  s: 'socket',
  c: 'device',
  b: 'device',
};

function isMemberType(type: EntryType): type is MemberEntryType {
  return type === 'f' || type === 'd' || type === 'l';
}

export class ZipArchive implements Archive {
  readonly #out: StagedOutput;
  readonly #source: ArchiveSource;
  readonly #table = new TableSpool();

  constructor(out: StagedOutput, source: ArchiveSource) {
    this.#out = out;
    this.#source = source;
  }

  async add(entry: Entry, path: Buffer): Promise<boolean> {
    const { type } = entry;
    if (!isMemberType(type)) {
      const message = `zip has no form for a ${WORDS[type]}; it is left out`;
      this.#source.warn(entry, 'unsupported-type', message);
      return false;
    }
    // The top has no name in a zip archive.
    if (path.length === 0) return false;
    const name = type === 'd' ? Buffer.concat([path, Buffer.from('/')]) : path;
    if (name.length > ZIP_NAME_BYTES_MAX) {
      const message = 'its path is too long for zip; it is left out';
      this.#source.warn(entry, 'unsupported-name', message);
      return false;
    }
    const member = memberOf(entry, type, name);
    if (type === 'f') return await this.#file(entry, member);
    await this.#whole(entry, member, entry.target ?? NOTHING);
    return true;
  }

  async end(): Promise<void> {
    const offset = this.#out.bytes;
    for (const records of this.#table.pieces()) await this.#out.put(records);
    await this.#out.put(zipEnd(this.#table.count, this.#out.bytes - offset, offset));
  }

  close(): void {
    this.#table.close();
  }

  async #file(entry: Entry, member: ZipMember): Promise<boolean> {
    const pieces = contentOf(entry, this.#source.dialect, this.#source.objects);
    const first = await pieces.next();
    if (first.done === true) {
      await this.#whole(entry, member, NOTHING);
    } else if (first.value.length === entry.sizeBytes) {
      // Checked as a whole, or it would not have been given out.
      await this.#whole(entry, member, first.value);
    } else return await this.#streamed(entry, member, first.value, pieces);
    return true;
  }

  /** A member whose content is here. */
  async #whole(entry: Entry, common: ZipMember, content: Buffer): Promise<void> {
    const deflated = content.length === 0 ? content : await deflateRaw(content);
    const isSmaller = deflated.length < content.length;
    const stored = isSmaller ? deflated : content;
    const member: ZipMember = { ...common, method: isSmaller ? 'deflated' : 'stored' };
    const sizes: ZipSizes = {
      crc32: crc32(content),
      storedBytes: stored.length,
      sizeBytes: content.length,
    };
    const offset = this.#out.bytes;
    await this.#out.put(zipLocalHeader(member, sizes));
    await this.#out.put(stored);
    this.#note(entry, zipCentralRecord(member, sizes, offset));
  }

  /** False when damage was found: then it is no member. */
  async #streamed(
    entry: Entry,
    common: ZipMember,
    first: Buffer,
    pieces: AsyncGenerator<Buffer>,
  ): Promise<boolean> {
    const storedMax =
      entry.sizeBytes * (1 + BLOCK_OVERHEAD_SHARE) + entry.data.length * PIECE_OVERHEAD_BYTES;
    const isLarge = storedMax >= ZIP64_BYTES_MIN;
    const member: ZipMember = { ...common, method: 'deflated', isStreamed: true, isLarge };
    const offset = this.#out.bytes;
    await this.#out.put(zipLocalHeader(member));
    const start = this.#out.bytes;
    const body = new DeflatedPieces();
    let problem: string | undefined;
    try {
      for (let piece = first; ;) {
        await this.#out.put(await body.take(piece));
        const next = await pieces.next();
        if (next.done === true) break;
        piece = next.value;
      }
    } catch (error) {
      if (!isDamage(error)) throw error;
      problem = messageOf(error);
    }
    await this.#out.put(STREAM_END);
    const storedBytes = this.#out.bytes - start;
    const { sizeBytes } = body;
    const right: ZipSizes = { crc32: body.crc32, storedBytes, sizeBytes };
    if (problem === undefined) {
      await this.#out.put(zipDescriptor(member, right));
      this.#note(entry, zipCentralRecord(member, right, offset));
      return true;
    }
    await this.#out.put(zipDescriptor(member, { ...right, crc32: ~right.crc32 >>> 0 }));
    this.#source.damage(entry, `${problem}; it is left out of the archive's table of members`);
    return false;
  }

  #note(entry: Entry, record: Buffer): void {
    this.#table.put(record);
    if (utf8Of(entry.path) !== undefined) return;
    const message = 'its name is not UTF-8, so that not all programs will read it as it is';
    this.#source.warn(entry, 'unsupported-name', message);
  }
}

function memberOf(entry: Entry, type: MemberEntryType, path: Buffer): ZipMember {
  const usual = type === 'd' ? DIRECTORY_MODE : OTHER_MODE;
  const permissions = type === 'l' ? LINK_MODE : (entry.mode ?? usual);
  return {
    path,
    mode: TYPE_BITS[type] | permissions,
    uid: entry.uid ?? 0,
    gid: entry.gid ?? 0,
    mtime: entry.mtime,
    method: 'stored',
    isStreamed: false,
    isLarge: false,
  };
}

/** Compresses pieces one after the other; the same zeros, of which holes are made, only once. */
class DeflatedPieces {
  #zeros: Buffer | undefined;
  crc32 = 0;
  sizeBytes = 0;

  async take(piece: Buffer): Promise<Buffer> {
    this.crc32 = crc32(piece, this.crc32);
    this.sizeBytes += piece.length;
    if (piece !== ZEROS) return await this.#deflate(piece);
    this.#zeros ??= await this.#deflate(piece);
    return this.#zeros;
  }

  #deflate(piece: Buffer): Promise<Buffer> {
    return deflateRaw(piece, { finishFlush: constants.Z_SYNC_FLUSH });
  }
}

/** The records of the table, until all are known. */
class TableSpool {
  readonly #spool = new SpoolFile({ memoryBytesMax: TABLE_MEMORY_BYTES });
  readonly #pieces: Spooled[] = [];
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  count = 0;

  put(record: Buffer): void {
    this.count++;
    this.#waiting.push(record);
    this.#waitingBytes += record.length;
    if (this.#waitingBytes >= TABLE_PIECE_BYTES) this.#keep();
  }

  *pieces(): Generator<Buffer> {
    this.#keep();
    for (const piece of this.#pieces) yield this.#spool.get(piece);
  }

  close(): void {
    this.#spool.close();
  }

  #keep(): void {
    this.#pieces.push(this.#spool.put(Buffer.concat(this.#waiting)));
    this.#waiting = [];
    this.#waitingBytes = 0;
  }
}
