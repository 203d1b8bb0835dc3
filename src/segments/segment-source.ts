/**
 * Reading segments of a store: name -> file -> reverse filter -> tar -> objects.
 *
 * Called by the metadata log reader, restore and verify. The store is listed once; segments
 * published later are looked for by nobody. Objects come in batches as they are decompressed, so
 * memory is bounded whatever the size of a segment. Where in the store a file lies is the store's
 * own matter.
 */
import { readSync } from 'node:fs';
import { LbsError } from '../errors.ts';
import { parseSegmentFile } from '../format/snapshot-name.ts';
import type { OpenFile, Store, StoredFile } from '../stores/store.ts';
import { ObjectFinder } from './object-finder.ts';
import { TarReader } from './tar-reader.ts';
import type { DecryptKey } from './decrypt-key.ts';
import { type Reading, unfilter, wayBack } from './unfilter.ts';

/** What a writer puts into a segment at most, whatever it comes to behind the filter, and then some. */
const RAW_BYTES_MAX = 1152 * 1024 * 1024;
/** Larger ones are of large files: different blocks with their headers come to no less than this. */
const RAW_PER_STORED_MAX = 16 * 1024;
/** Files of less than this are read whole as fast as an object is found in them. */
const FINDER_BYTES_MIN = 512 * 1024;

/** What files of an extension have in them, at a place that damage hardly ever hits. */
const BEGINNINGS: ReadonlyMap<string, { readonly at: number; readonly magic: Buffer }> = new Map([
  ['', { at: 257, magic: Buffer.from('ustar') }],
  ['.zst', { at: 0, magic: Buffer.from('28b52ffd', 'hex') }],
  ['.gz', { at: 0, magic: Buffer.from('1f8b', 'hex') }],
  ['.bz2', { at: 0, magic: Buffer.from('BZh') }],
  ['.xz', { at: 0, magic: Buffer.from('fd377a585a00', 'hex') }],
]);

/** Of those that are there, to find out whether the key is here. */
const OTHERS_TRIED_MAX = 3;

/** How a store is read, as it is asked for. */
export type ReadingOptions = {
  /** Reverse filters by extension (`.xyz` -> command), besides the built-in ones. */
  readonly unfilters?: ReadonlyMap<string, string> | undefined;
  /** Secret keys that decrypt `.gpg` files; without them gpg does it. */
  readonly decryptKey?: DecryptKey | undefined;
};

/** An object of a segment; `data` is valid until the next batch is asked for. */
export type SegmentObject = { readonly object: number; readonly data: Buffer };

/** A segment that is being read already; `close` it when done, read to the end or not. */
export type StartedSegment = {
  readonly batches: AsyncIterable<SegmentObject[]>;
  close(): Promise<void>;
};

export class SegmentSource {
  readonly store: Store;
  readonly reading: Reading;
  readonly #files = new Map<string, StoredFile>();
  /** Whether the key is here; found out when there is a doubt. */
  #decryptable: Promise<boolean> | undefined;

  /** `files` is the listing of the store, for a caller that has it already. */
  constructor(
    store: Store,
    { unfilters, decryptKey }: ReadingOptions = {},
    files: Iterable<StoredFile> = store.list(),
  ) {
    this.store = store;
    this.reading = { unfilters, findSessionKey: decryptKey?.find };
    for (const file of files) this.#offer(file);
  }

  /** Of several files of one segment, one that can be read, and is what its name says, wins. */
  #offer(file: StoredFile): void {
    const parsed = parseSegmentFile(file.name);
    if (parsed === undefined) return;
    const { segment } = parsed;
    const other = this.#files.get(segment);
    if (other !== undefined && this.#worthOf(other) >= this.#worthOf(file)) return;
    this.#files.set(segment, file);
  }

  /** Only asked where there are two: a file of the store is not opened for nothing. */
  #worthOf({ name }: StoredFile): number {
    const extension = parseSegmentFile(name)?.extension ?? '';
    if (wayBack(extension, this.reading) === undefined) return 0;
    const beginning = BEGINNINGS.get(extension);
    if (beginning === undefined) return 1;
    try {
      const file = this.store.open(name);
      try {
        const bytes = Buffer.alloc(beginning.magic.length);
        readSync(file.fd, bytes, 0, bytes.length, beginning.at);
        return bytes.equals(beginning.magic) ? 2 : 0;
      } finally {
        file.close();
      }
    } catch {
      // Whoever reads it will be told why not.
      return 0;
    }
  }

  /** The store's file that holds `segment`; undefined when there is none. */
  fileOf(segment: string): StoredFile | undefined {
    return this.#files.get(segment);
  }

  /** Names of all segments of the store. */
  segments(): Iterable<string> {
    return this.#files.keys();
  }

  /**
   * The objects of `segment` in the order of the file, in batches of what one chunk of the
   * unfiltered file holds. All objects before damage are given out before the error.
   * @throws {LbsError} store-missing-file, segment-corrupt, filter-failed, filter-missing,
   * interrupted, io
   */
  async *objects(segment: string, signal?: AbortSignal): AsyncGenerator<SegmentObject[]> {
    const file = this.#found(segment);
    const opened = this.store.open(file.name);
    try {
      const { reading } = this;
      yield* objectsOf(opened, { segment, fileName: file.name, reading, signal });
    } catch (error) {
      throw await this.whatFailed(error, file.name, signal);
    } finally {
      opened.close();
    }
  }

  /**
   * What an error in reading a segment's file is to be taken for. One damaged bit can make a segment
   * look as if it were encrypted to another key: where other segments can be decrypted, it is that.
   */
  async whatFailed(error: unknown, fileName: string, signal?: AbortSignal): Promise<unknown> {
    if (!(error instanceof LbsError) || error.code !== 'decryption-key') return error;
    const extension = parseSegmentFile(fileName)?.extension ?? '';
    this.#decryptable ??= this.#canDecryptOther(extension, fileName, signal);
    if (!(await this.#decryptable)) return error;
    return new LbsError(
      'segment-corrupt',
      `others can be decrypted, this one not: ${error.message}`,
      {
        cause: error,
      },
    );
  }

  async #canDecryptOther(
    extension: string,
    fileName: string,
    signal: AbortSignal | undefined,
  ): Promise<boolean> {
    const others = [...this.#files].filter(
      ([, { name }]) => name !== fileName && parseSegmentFile(name)?.extension === extension,
    );
    for (const [segment, { name }] of others.slice(0, OTHERS_TRIED_MAX)) {
      const opened = this.store.open(name);
      try {
        const options = { segment, fileName: name, reading: this.reading, signal };
        for await (const batch of objectsOf(opened, options)) if (batch.length > 0) return true;
      } catch (error) {
        if (!(error instanceof LbsError) || error.code === 'interrupted') throw error;
      } finally {
        opened.close();
      }
    }
    return false;
  }

  /** The open file of `segment`, for `objectsOf`. @throws {LbsError} store-missing-file, io */
  open(segment: string): { file: OpenFile; name: string } {
    const { name } = this.#found(segment);
    return { file: this.store.open(name), name };
  }

  /**
   * For single objects of `segment`; the caller closes it. Undefined where only reading from the
   * start can get them. @throws {LbsError} store-missing-file, io
   */
  finder(segment: string): ObjectFinder | undefined {
    const { name, sizeBytes } = this.#found(segment);
    const extension = parseSegmentFile(name)?.extension ?? '';
    const isOurs = wayBack(extension, this.reading)?.kind === 'codec';
    if (extension !== '.zst' || !isOurs || sizeBytes < FINDER_BYTES_MIN) return undefined;
    return ObjectFinder.open(segment, this.store.open(name));
  }

  #found(segment: string): StoredFile {
    const file = this.#files.get(segment);
    if (file !== undefined) return file;
    throw new LbsError(
      'store-missing-file',
      `segment ${segment} is missing in the store ${this.store.place}`,
    );
  }

  /** Reads all of `segment`; `data` is valid during the call only. @throws as `objects` */
  async read(
    segment: string,
    onObject: (object: number, data: Buffer) => void,
    signal?: AbortSignal,
  ): Promise<void> {
    for await (const batch of this.objects(segment, signal)) {
      for (const { object, data } of batch) onObject(object, data);
    }
  }

  /**
   * Begins to read `segment` now, while the caller is still busy with another one; reads no
   * further ahead than the first batch and what the unfilter buffers. Errors come out of
   * `batches`.
   */
  start(segment: string, signal?: AbortSignal): StartedSegment {
    const objects = this.objects(segment, signal);
    const first = objects.next();
    // Whoever reads `batches` gets the error; until then it must not end the process.
    first.catch(() => undefined);
    async function* batches(): AsyncGenerator<SegmentObject[]> {
      for (let result = await first; result.done !== true; result = await objects.next()) {
        yield result.value;
      }
    }
    return {
      batches: batches(),
      close: async () => {
        await objects.return(undefined);
      },
    };
  }
}

export type OpenSegment = {
  readonly segment: string;
  /** Its name in the store; the extension tells how it is read. */
  readonly fileName: string;
  readonly reading: Reading;
  readonly signal?: AbortSignal | undefined;
};

/** The objects of an open segment file, which stays open. Else as `SegmentSource.objects`. */
export async function* objectsOf(
  file: OpenFile,
  { segment, fileName, reading, signal }: OpenSegment,
): AsyncGenerator<SegmentObject[]> {
  let batch: SegmentObject[] = [];
  const reader = new TarReader(segment, (object, data) => batch.push({ object, data }));
  const extension = parseSegmentFile(fileName)?.extension ?? '';
  let roomBytes = Math.max(RAW_BYTES_MAX, file.sizeBytes * RAW_PER_STORED_MAX);
  try {
    for await (const chunk of unfilter(file, extension, { ...reading, signal })) {
      let damage: unknown;
      roomBytes -= chunk.length;
      try {
        // A file of some KiB can unpack to terabytes.
        if (roomBytes < 0)
          throw new LbsError('segment-corrupt', 'it unpacks to more than any segment holds');
        reader.push(chunk);
      } catch (error) {
        damage = error;
      }
      if (batch.length > 0) {
        yield batch;
        batch = [];
      }
      if (damage !== undefined) throw damage;
    }
    reader.end();
  } catch (error) {
    throw named(error, fileName);
  } finally {
    reader.close();
  }
}

/** Says which file of the store the trouble is with. */
function named(error: unknown, file: string): unknown {
  if (!(error instanceof LbsError) || error.code === 'interrupted') return error;
  return new LbsError(error.code, `${file}: ${error.message}`, {
    cause: error,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  });
}
