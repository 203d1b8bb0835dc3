/**
 * A segment file through a command that undoes a filter. Called by unfilter, which knows the command.
 */
import { spawn } from 'node:child_process';
import { LbsError } from '../errors.ts';
import { showText } from '../std/byte-path.ts';
import { withoutSecrets } from '../std/secret.ts';
import { shownCommand, withoutCommand } from '../std/shown-command.ts';
import type { OpenFile } from '../stores/store.ts';
import { chunksOf } from './stream-chunks.ts';

/** How much of a command's error output is kept for the message. */
const LAST_WORDS_BYTES = 4096;
/** What a shell exits with when it finds no such command. */
const NOT_FOUND = 127;

export function interrupted(): LbsError {
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

/** As `unfilter`; the command reads the file from its present offset. */
export async function* throughCommand(
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
