/**
 * Objects into segments: one open tar file per group, closed when it has reached the target size
 * after the filter, then published in the store and told to `onStored`.
 *
 * Closing goes on while the next segment fills. The first failure of any segment is thrown by the
 * next call, and by `close`. Format: lbs-format(5), "SEGMENTS".
 */
import { createHash, type Hash } from 'node:crypto';
import { closeSync, openSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { LbsError } from '../errors.ts';
import { formatObjectName } from '../format/reference.ts';
import { TAR_RECORD_BYTES, writeTarHeader } from '../format/tar-header.ts';
import { newUuid, nowSeconds } from '../std/clock.ts';
import { Limiter } from '../std/limiter.ts';
import { stagingError } from '../stores/store-error.ts';
import type { SegmentPlace, StagedFile } from '../stores/store.ts';
import { CodecSink } from './codec-sink.ts';
import { type CommandContext, CommandSink } from './command-sink.ts';
import type { Filter } from './filter.ts';
import type { FilteredFile, FilterSink } from './filter-sink.ts';
import { PiecePool } from './piece-pool.ts';
import { proveReadable } from './prove-readable.ts';
import type { BeginMessage } from './recipients.ts';
import type { ReadingOptions } from './segment-source.ts';
import type { AskThread } from './thread-file.ts';

/**
 * Target size of a segment after the filter; chosen by measurement, see ARCHITECTURE.md. Larger
 * ones make shorter lists in every snapshot, smaller ones less to fetch for one file.
 */
const SEGMENT_SIZE_BYTES = 8 * 1024 * 1024;
const SEGMENT_SIZE_BYTES_MIN = 64 * 1024;
const SEGMENT_SIZE_BYTES_MAX = 1024 * 1024 * 1024;
/** The originals closed a segment at the latest when 128 times its target had gone in. */
const RAW_PER_TARGET_MAX = 128;
/** And readers take what unpacks to much more than this for an attack. */
const RAW_BYTES_MAX = 1024 * 1024 * 1024;
/** A command's input is held in memory until it runs: the limit for each open segment. */
const COMMAND_RAW_BYTES_MAX = 32 * 1024 * 1024;
/** Objects in one segment. Each is remembered (some 100 bytes) until its segment is durable, and
 * a segment of the tiniest files would otherwise hold a million. */
const OBJECTS_MAX = 1 << 14;
const FIRST_RATIO_GUESS = 0.5;
/** For what a command has filtered already. */
const AS_IT_IS = { kind: 'none' } as const;
/** With less than this free, a filter that failed did so for want of space. */
const FULL_BYTES = 128 * 1024;

/** A segment that is durable in the store. */
export type StoredSegment = {
  readonly name: string;
  readonly group: string;
  readonly file: string;
  readonly sha1: Buffer;
  readonly sha256: Buffer;
  readonly storedBytes: number;
  readonly created: number;
  /** How many objects it has. */
  readonly objects: number;
};

export type SegmentWriterOptions = {
  readonly store: SegmentPlace;
  readonly filter: Filter;
  /** Encrypts what the filter wrote; undefined: nothing more is done to it. */
  readonly encrypt: BeginMessage | undefined;
  /** How a segment is read back. */
  readonly reading: ReadingOptions;
  readonly targetBytes: number;
  /** Called once a segment is durable. A throw ends the run. */
  readonly onStored: (segment: StoredSegment) => void;
  /** Gives work to a thread beside the run. */
  readonly askThread: AskThread;
  readonly note: (message: string) => void;
};

/** Where an object went. */
export type AddedObject = {
  readonly segment: string;
  /** Its number in the segment. */
  readonly object: number;
  /** `segment/object`, as references have it. */
  readonly name: string;
};

type OpenSegment = {
  readonly name: string;
  readonly group: string;
  readonly created: number;
  readonly staged: StagedFile;
  readonly sink: FilterSink;
  objects: number;
  rawBytes: number;
  /** Digest of the tar bytes, while it may be the segment that is read back. */
  readonly rawDigest: Hash | undefined;
};

const ZEROS = Buffer.alloc(2 * TAR_RECORD_BYTES);

/** The target size that was asked for, or else the usual one. @throws {LbsError} usage */
export function segmentSizeOf(asked = SEGMENT_SIZE_BYTES): number {
  if (asked >= SEGMENT_SIZE_BYTES_MIN && asked <= SEGMENT_SIZE_BYTES_MAX) return asked;
  throw new LbsError('usage', `a segment size of ${asked} bytes is not possible`, {
    hint: 'choose something from 64K to 1G',
  });
}

export class SegmentWriter {
  readonly #options: SegmentWriterOptions;
  readonly #open = new Map<string, OpenSegment>();
  readonly #closing = new Set<Promise<void>>();
  /** Segments on their way through filter and store: one a core, and one waiting. */
  readonly #inFlight = new Limiter(availableParallelism() + 1);
  /** Undefined when a command filters. */
  readonly #pool: PiecePool | undefined;
  /** Of the segments' files. */
  readonly #extension: string;
  readonly #header = Buffer.alloc(TAR_RECORD_BYTES);
  readonly #context: CommandContext;
  /** The run's proof that segments can be read back: begun by the first one to be closed. */
  #proof: Promise<void> | undefined;
  #failure: unknown;

  constructor(options: SegmentWriterOptions) {
    this.#options = options;
    const { filter, encrypt, askThread } = options;
    const { codec, command } = filter;
    this.#extension = encrypt === undefined ? filter.extension : `${filter.extension}.gpg`;
    if (codec !== undefined) this.#pool = new PiecePool(codec, askThread, encrypt);
    this.#context = {
      command,
      encrypting:
        codec === undefined && encrypt ? new PiecePool(AS_IT_IS, askThread, encrypt) : undefined,
      running: new Limiter(availableParallelism()),
      ratio: FIRST_RATIO_GUESS,
    };
  }

  /**
   * Appends one object to the open segment of `group` and returns where it is; `data` is copied.
   * Ask for `room` before.
   * @throws {LbsError} whatever an earlier segment of this run failed with
   */
  add(group: string, data: Buffer): AddedObject {
    this.#check();
    const segment = this.#open.get(group) ?? this.#begin(group);
    const object = segment.objects++;
    const name = formatObjectName(segment.name, object);
    writeTarHeader(this.#header, name, data.length, segment.created);
    this.#write(segment, this.#header);
    this.#write(segment, data);
    const over = data.length % TAR_RECORD_BYTES;
    if (over > 0) this.#write(segment, ZEROS.subarray(0, TAR_RECORD_BYTES - over));
    if (this.#isFull(segment)) this.#end(segment);
    return { segment: segment.name, object, name };
  }

  /**
   * Undefined while an object may be added at once, else resolves when one may: this is the
   * back-pressure of filter and store. Without it every `add` would take more memory.
   */
  room(): Promise<void> | undefined {
    return this.#inFlight.room() ?? this.#pool?.room();
  }

  #write(segment: OpenSegment, bytes: Buffer): void {
    segment.rawDigest?.update(bytes);
    segment.rawBytes += bytes.length;
    try {
      segment.sink.write(bytes);
    } catch (error) {
      throw this.#explain(error);
    }
  }

  #begin(group: string): OpenSegment {
    const { store } = this.#options;
    const staged = store.stage();
    const segment: OpenSegment = {
      name: newUuid(),
      group,
      created: nowSeconds(),
      staged,
      sink:
        this.#pool === undefined
          ? new CommandSink(this.#context, staged.fd)
          : new CodecSink(staged.fd, this.#pool),
      objects: 0,
      rawBytes: 0,
      rawDigest: this.#proof === undefined ? createHash('sha256') : undefined,
    };
    this.#open.set(group, segment);
    return segment;
  }

  #isFull(segment: OpenSegment): boolean {
    const { targetBytes, filter } = this.#options;
    const rawMax =
      filter.codec === undefined
        ? COMMAND_RAW_BYTES_MAX
        : Math.min(targetBytes * RAW_PER_TARGET_MAX, RAW_BYTES_MAX);
    return (
      segment.sink.estimatedBytes() >= targetBytes ||
      segment.rawBytes >= rawMax ||
      segment.objects >= OBJECTS_MAX
    );
  }

  /** Ends the tar file and lets filter and store go on in the background. */
  #end(segment: OpenSegment): void {
    this.#write(segment, ZEROS);
    // Only now: had that failed, `abandon` would still have to give the segment up.
    this.#open.delete(segment.group);
    const turn = this.#inFlight.acquire();
    const finished = turn.then(() => segment.sink.finish());
    this.#proof ??= this.#prove(segment, finished);
    // Awaited by every segment; but where `finished` fails, nobody gets so far.
    this.#proof.catch(() => undefined);
    const closing = this.#publish(segment, finished)
      .catch(async (error: unknown) => {
        this.#failure ??= this.#explain(error);
        await segment.sink.abort();
        segment.staged.discard();
      })
      .finally(() => {
        this.#inFlight.release();
        this.#closing.delete(closing);
      });
    this.#closing.add(closing);
  }

  async #publish(segment: OpenSegment, finished: Promise<FilteredFile>): Promise<void> {
    const { store, onStored } = this.#options;
    const filtered = await finished;
    // Nothing appears in the store, and nothing is remembered, before the filter is proven.
    await this.#proof;
    const file = `${segment.name}.tar${this.#extension}`;
    await segment.staged.publish(file);
    await store.settle();
    const { name, group, created, objects } = segment;
    onStored({ name, group, file, created, objects, ...filtered });
  }

  /** Reads the first segment that is finished back through the reverse filter. */
  async #prove(segment: OpenSegment, finished: Promise<FilteredFile>): Promise<void> {
    const { filter, reading, note } = this.#options;
    const { storedBytes: sizeBytes } = await finished;
    // Opened anew, because a reverse filter would inherit the offset that the filter left.
    const fd = openSync(`/proc/self/fd/${segment.staged.fd}`, 'r');
    const file = { fd, sizeBytes, close: () => closeSync(fd) };
    try {
      const expected = segment.rawDigest?.digest() ?? Buffer.alloc(0);
      const { objects } = segment;
      const extension = this.#extension;
      await proveReadable(file, { filter, extension, reading, expected, objects, note });
    } finally {
      file.close();
    }
  }

  /** A failure to write as one that says where, and what to do. */
  #explain(error: unknown): unknown {
    const { store } = this.#options;
    if (!(error instanceof LbsError)) return stagingError(store.stagedIn, 'write a segment', error);
    if (error.code !== 'filter-failed' || store.freeBytes() > FULL_BYTES) return error;
    return new LbsError('no-space', `no space left in ${store.stagedIn}: ${error.message}`, {
      cause: error,
      hint: 'nothing that was stored before is harmed: make room and run the same command again',
    });
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  /** Closes all segments, in the order of their groups, and waits until they are stored. */
  async close(): Promise<void> {
    for (const group of [...this.#open.keys()].sort()) {
      const segment = this.#open.get(group);
      if (segment !== undefined) this.#end(segment);
    }
    await this.#closed();
    this.#check();
  }

  /** Waits for the segments on their way. Never throws. */
  async #closed(): Promise<void> {
    while (this.#closing.size > 0) await Promise.all(this.#closing);
    this.#pool?.close();
    this.#context.encrypting?.close();
  }

  /** Gives up all open segments, after those on their way have ended. Never throws. */
  async abandon(): Promise<void> {
    for (const segment of this.#open.values()) {
      await segment.sink.abort();
      segment.staged.discard();
    }
    this.#open.clear();
    await this.#closed();
  }
}
