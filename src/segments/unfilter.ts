/**
 * From a stored segment file back to the bytes that went into its filter.
 *
 * What to do is told by the file's extension: `.zst`, `.gz` and none are read by the runtime
 * itself, a few others by well-known commands, anything by a command the person names
 * (`--unfilter=EXT=COMMAND`, which wins over everything). Called by segment-source; memory is
 * bounded whatever the size of the file. Described in lbs-filters(7).
 */
import { spawn } from 'node:child_process';
import { read } from 'node:fs';
import { promisify } from 'node:util';
import { createGunzip } from 'node:zlib';
import { LbsError, messageOf } from '../errors.ts';
import type { OpenFile } from '../stores/store.ts';
import { showText } from '../std/byte-path.ts';
import { withoutSecrets } from '../std/secret.ts';
import { shownCommand, withoutCommand } from '../std/shown-command.ts';
import { chunksOf, decoded } from './stream-chunks.ts';
import { readZstdFrames } from './zstd-frames.ts';
import { readSmallZstd } from './zstd-index.ts';

const readAsync = promisify(read);

const READ_BYTES = 1024 * 1024;
/** Files of up to this many bytes, which hold no more than that many, are read at once. */
const SMALL_BYTES = 128 * 1024;
const SMALL_CONTENT_BYTES = 1024 * 1024;
/** How much of a command's error output is kept for the message. */
const LAST_WORDS_BYTES = 4096;
/** What a shell exits with when it finds no such command. */
const NOT_FOUND = 127;

const BUILT_IN = new Set(['', '.zst', '.gz']);

/** Commands that undo the filters people use most, by extension. */
const COMMANDS: ReadonlyMap<string, string> = new Map([
  ['.bz2', 'bzip2 -dc'],
  ['.xz', 'xz -dc'],
  ['.lz4', 'lz4 -dc'],
  ['.gpg', 'gpg --quiet --batch --decrypt'],
  ['.age', 'age -d'],
]);

export type UnfilterOptions = {
  /** Commands by extension that replace those known. */
  readonly overrides?: ReadonlyMap<string, string> | undefined;
  readonly signal?: AbortSignal | undefined;
};

/** How files of `extension` are read: a shell command, by us, or (undefined) not at all. */
export function unfilterCommand(
  extension: string,
  overrides?: ReadonlyMap<string, string>,
): string | 'builtin' | undefined {
  const override = overrides?.get(extension);
  if (override !== undefined) return override;
  return BUILT_IN.has(extension) ? 'builtin' : COMMANDS.get(extension);
}

async function* readChunks(file: OpenFile, reuse: boolean): AsyncGenerator<Buffer> {
  let buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  for (let position = 0; ;) {
    const { bytesRead } = await readAsync(file.fd, buffer, 0, READ_BYTES, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
    // A decoder may still be reading what it was given.
    if (!reuse) buffer = Buffer.allocUnsafeSlow(READ_BYTES);
  }
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

function interrupted(): LbsError {
  return new LbsError('interrupted', 'interrupted while reading a segment');
}

/** What gpg and age say when the file is fine and only the key to it is not here. */
const NO_SECRET_KEY = /no secret key|secret key not available|no identity (?:matched|found)/i;

function ended(command: string, how: string, lastWords: Buffer): LbsError {
  const words = showText(withoutCommand(lastWords.toString('utf8').trim(), command));
  const shown = shownCommand(command);
  const said = words === '' ? ' (it said nothing)' : ` (last words: ${words})`;
  if (NO_SECRET_KEY.test(words)) {
    return new LbsError(
      'decryption-key',
      `the key to this store is not here: "${shown}" ${how}${said}`,
      {
        hint: 'nothing is damaged: import the secret key, or run this where it is',
      },
    );
  }
  return new LbsError('filter-failed', `the reverse filter "${shown}" ${how}${said}`);
}

function notFound(command: string, lastWords: Buffer): LbsError {
  const shown = shownCommand(command);
  const program = shown.split(' ').find((word) => word !== 'exec') ?? shown;
  const words = showText(withoutCommand(lastWords.toString('utf8').trim(), command));
  return new LbsError('filter-missing', `the reverse filter "${shown}" was not found: ${words}`, {
    hint: `install the program "${program}", or name another command with --unfilter=EXT=COMMAND`,
  });
}

async function* throughCommand(
  file: OpenFile,
  command: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer> {
  const child = spawn('/bin/sh', ['-c', command], {
    stdio: [file.fd, 'pipe', 'pipe'],
    env: withoutSecrets(process.env),
  });
  const { stdout, stderr } = child;
  if (stdout === null || stderr === null) throw new LbsError('internal', 'a child without pipes');
  let lastWords = Buffer.alloc(0);
  stderr.on('data', (words: Buffer) => {
    lastWords = Buffer.concat([lastWords, words]).subarray(-LAST_WORDS_BYTES);
  });
  const exit = new Promise<{ code: number | null; signal: string | null }>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) => resolve({ code, signal }));
  });
  // It may fail while chunks are still read; it is awaited after them.
  exit.catch(() => undefined);
  const kill = () => child.kill('SIGTERM');
  signal?.addEventListener('abort', kill, { once: true });
  try {
    yield* chunksOf(stdout);
    const { code, signal: killer } = await exit;
    if (code === 0) return;
    if (signal?.aborted === true) throw interrupted();
    if (code === NOT_FOUND) throw notFound(command, lastWords);
    throw ended(
      command,
      killer === null ? `exited with ${code}` : `was killed by ${killer}`,
      lastWords,
    );
  } finally {
    signal?.removeEventListener('abort', kill);
    // Members of a pipeline that outlive the shell die of their closed output.
    if (child.exitCode === null && child.signalCode === null) kill();
  }
}

function plain(
  file: OpenFile,
  extension: string,
  options: UnfilterOptions,
): AsyncGenerator<Buffer> {
  const command = unfilterCommand(extension, options.overrides);
  if (command === undefined) {
    throw new LbsError(
      'filter-missing',
      `no reverse filter is known for files "*.tar${extension}"`,
      {
        hint: `name the command that undoes the filter: --unfilter=${extension}=COMMAND`,
      },
    );
  }
  if (command !== 'builtin') return throughCommand(file, command, options.signal);
  if (extension === '.zst') return unzstd(file);
  if (extension === '.gz') return gunzip(file);
  return readChunks(file, true);
}

/**
 * The raw bytes of `file`, a file just opened (a command reads it from its present offset).
 * A chunk is valid until the next one is asked for. Chunks before damage are given out before
 * the error. When the consumer stops early, a command is killed.
 * @throws {LbsError} segment-corrupt, filter-failed (with the command's last words),
 * filter-missing, decryption-key, interrupted
 */
export async function* unfilter(
  file: OpenFile,
  extension: string,
  options: UnfilterOptions = {},
): AsyncGenerator<Buffer> {
  const { signal } = options;
  for await (const chunk of plain(file, extension, options)) {
    if (signal?.aborted === true) throw interrupted();
    yield chunk;
  }
}
