/**
 * From a stored segment file back to the bytes that went into its filter.
 *
 * What to do is told by the file's extension: `.zst`, `.gz` and none are read by the runtime
 * itself, a few others by well-known commands, anything by a command the person names
 * (`--unfilter=EXT=COMMAND`, which wins over everything). What was encrypted last is decrypted
 * first, as of `.zst.gpg`; by ourselves where there is a key. Called by segment-source; memory is
 * bounded whatever the size of the file. Described in lbs-filters(7).
 */
import { createGunzip } from 'node:zlib';
import { LbsError, messageOf } from '../errors.ts';
import type { OpenFile } from '../stores/store.ts';
import type { FindSessionKey } from './decrypt-key.ts';
import { DECRYPTED_BYTES_MAX, decryptFile, memoryFileOf, tooLarge } from './decrypt-segment.ts';
import { decoded, readChunks } from './stream-chunks.ts';
import { interrupted, throughCommand } from './unfilter-command.ts';
import { unpacked } from './unpack-message.ts';
import { readZstdFrames } from './zstd-frames.ts';
import { readSmallZstd } from './zstd-index.ts';

const READ_BYTES = 1024 * 1024;
/** Files of up to this many bytes, which hold no more than that many, are read at once. */
const SMALL_BYTES = 128 * 1024;
const SMALL_CONTENT_BYTES = 1024 * 1024;

const CODECS = ['', '.zst', '.gz'] as const;
type CodecExtension = (typeof CODECS)[number];

/** Commands that undo the filters people use most, by extension. */
const COMMANDS: ReadonlyMap<string, string> = new Map([
  ['.bz2', 'bzip2 -dc'],
  ['.xz', 'xz -dc'],
  ['.lz4', 'lz4 -dc'],
  ['.gpg', 'gpg --quiet --batch --decrypt'],
  ['.age', 'age -d'],
]);

/** Extensions that may stand behind another one: what was encrypted had been compressed. */
const LAST_EXTENSION = /^(\.[^.]+(?:\.[^.]+)*)(\.(?:gpg|age))$/;

/** How the files of a store are read. */
export type Reading = {
  /** Commands by extension that replace those known. */
  readonly unfilters?: ReadonlyMap<string, string> | undefined;
  /** Finds keys of `.gpg` files; without it gpg decrypts them. */
  readonly findSessionKey?: FindSessionKey | undefined;
};

export type UnfilterOptions = Reading & { readonly signal?: AbortSignal | undefined };

/** How a filter is undone. */
export type WayBack =
  | { readonly kind: 'codec'; readonly extension: CodecExtension }
  | { readonly kind: 'command'; readonly command: string }
  /** First decrypted into memory: by a command, else with our key. */
  | {
      readonly kind: 'decrypt';
      readonly by: { readonly command: string } | FindSessionKey;
      readonly inner: WayBack;
    };

/** How files of `extension` are read; undefined when nobody knows. */
export function wayBack(extension: string, reading: Reading): WayBack | undefined {
  const command = reading.unfilters?.get(extension);
  if (command !== undefined) return { kind: 'command', command };
  const { findSessionKey } = reading;
  if (extension === '.gpg' && findSessionKey !== undefined) {
    return { kind: 'decrypt', by: findSessionKey, inner: { kind: 'codec', extension: '' } };
  }
  const [, first, outer] = LAST_EXTENSION.exec(extension) ?? [];
  if (first === undefined || outer === undefined) return oneStep(extension);
  const step = oneStep(first, reading.unfilters);
  if (step === undefined) return undefined;
  const named = reading.unfilters?.get(outer);
  if (named === undefined && outer === '.gpg' && findSessionKey !== undefined) {
    return { kind: 'decrypt', by: findSessionKey, inner: step };
  }
  const known = named ?? COMMANDS.get(outer) ?? '';
  return { kind: 'decrypt', by: { command: known }, inner: step };
}

function oneStep(extension: string, unfilters?: Reading['unfilters']): WayBack | undefined {
  const codec = CODECS.find((known) => known === extension);
  const command = unfilters?.get(extension) ?? COMMANDS.get(extension);
  if (codec !== undefined && unfilters?.has(extension) !== true) {
    return { kind: 'codec', extension: codec };
  }
  return command === undefined ? undefined : { kind: 'command', command };
}

async function* unzstd(file: OpenFile): AsyncGenerator<Buffer> {
  const small =
    file.sizeBytes <= SMALL_BYTES ? readSmallZstd(file, SMALL_CONTENT_BYTES) : undefined;
  if (small === undefined) yield* readZstdFrames(file);
  else yield small;
}

async function* gunzip(file: OpenFile): AsyncGenerator<Buffer> {
  const decoder = createGunzip({ chunkSize: READ_BYTES });
  try {
    yield* decoded(readChunks(file, false), decoder);
  } catch (error) {
    if (error instanceof LbsError) throw error;
    throw new LbsError('segment-corrupt', `gzip data is damaged: ${messageOf(error)}`, {
      cause: error,
    });
  }
}

function back(file: OpenFile, way: WayBack, options: UnfilterOptions): AsyncGenerator<Buffer> {
  if (way.kind === 'command') return throughCommand(file, way.command, options.signal);
  if (way.kind === 'decrypt') return decrypted(file, way, options);
  if (way.extension === '.zst') return unzstd(file);
  if (way.extension === '.gz') return gunzip(file);
  return readChunks(file, true);
}

async function* decrypted(
  file: OpenFile,
  { by, inner }: Extract<WayBack, { kind: 'decrypt' }>,
  options: UnfilterOptions,
): AsyncGenerator<Buffer> {
  let inMemory: OpenFile;
  if (typeof by === 'function') {
    const { file: data, packing } = await decryptFile(file, await by(file));
    if (packing === 'data') inMemory = data;
    else {
      try {
        const chunks = unpacked(data, packing, options.signal);
        // Not into memory: that may be a hundred times as much.
        if (inner.kind === 'codec' && inner.extension === '') return yield* chunks;
        inMemory = await gathered(chunks);
      } finally {
        data.close();
      }
    }
  } else inMemory = await gathered(throughCommand(file, by.command, options.signal));
  try {
    yield* back(inMemory, inner, options);
  } finally {
    inMemory.close();
  }
}

/** All chunks, when the last one has come without an error. @throws {LbsError} segment-corrupt */
async function gathered(chunks: AsyncIterable<Buffer>): Promise<OpenFile> {
  let bytes = 0;
  return await memoryFileOf(async (put) => {
    for await (const chunk of chunks) {
      bytes += chunk.length;
      if (bytes > DECRYPTED_BYTES_MAX) throw tooLarge();
      put(chunk);
    }
  });
}

/**
 * The raw bytes of `file`, a file just opened (a command reads it from its present offset).
 * A chunk is valid until the next one is asked for. Chunks before damage are given out before
 * the error, but nothing of a file that is decrypted first. When the consumer stops early, a command
 * is killed.
 * @throws {LbsError} segment-corrupt, filter-failed (with the command's last words),
 * filter-missing, decryption-key, interrupted
 */
export async function* unfilter(
  file: OpenFile,
  extension: string,
  options: UnfilterOptions = {},
): AsyncGenerator<Buffer> {
  const { signal } = options;
  const way = wayBack(extension, options);
  if (way === undefined) {
    throw new LbsError(
      'filter-missing',
      `no reverse filter is known for files "*.tar${extension}"`,
      {
        hint: `name the command that undoes the filter: --unfilter=${extension}=COMMAND`,
      },
    );
  }
  for await (const chunk of back(file, way, options)) {
    if (signal?.aborted === true) throw interrupted();
    yield chunk;
  }
}
