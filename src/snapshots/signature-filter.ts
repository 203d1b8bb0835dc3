/**
 * The signature filter: a shell command that takes the descriptor and gives its signed form,
 * usually `gpg --clearsign`. Called by backup/ just before the descriptor is stored.
 *
 * Invariant: what comes back says the same as what went in, so a filter that signs something
 * else, or cuts the text, publishes nothing. Contract: lbs-filters(7), "SIGNATURE FILTER".
 */
import { spawn } from 'node:child_process';
import { readlinkSync } from 'node:fs';
import { LbsError, errnoName, messageOf } from '../errors.ts';
import { parseClearSigned, signedLines } from '../format/clear-sign.ts';
import { sealOf } from '../format/descriptor-seal.ts';
import { fieldsOf, isSigned } from '../format/descriptor.ts';
import { showText } from '../std/byte-path.ts';
import { withoutSecrets } from '../std/secret.ts';
import { shownCommand, withoutCommand } from '../std/shown-command.ts';

/** How much of the command's last words is kept for the message. */
const LAST_WORDS_BYTES = 4096;
/** A signature adds a few kilobytes; a command that writes without end is stopped. */
const EXTRA_BYTES_MAX = 16 * 1024 * 1024;
/** Exit codes of the shell: found but not executable, not found. */
const CANNOT_EXECUTE = 126;
const NOT_FOUND = 127;

/** The terminal of this program, if it has one: gpg-agent asks for passphrases there. */
function terminalName(): string | undefined {
  for (const fd of [0, 2]) {
    try {
      const name = readlinkSync(`/proc/self/fd/${fd}`);
      if (/^\/dev\/(?:pts\/|tty)/.test(name)) return name;
    } catch {
      // Closed, or no /proc: then there is nothing to say to gpg.
    }
  }
  return undefined;
}

function environment(): NodeJS.ProcessEnv {
  const env = withoutSecrets(process.env);
  // gpg looks for its terminal on standard input, which is our pipe here.
  const terminal = env['GPG_TTY'] === undefined ? terminalName() : undefined;
  return terminal === undefined ? env : { ...env, GPG_TTY: terminal };
}

type Ended = {
  readonly code: number | null;
  readonly signal: string | null;
  readonly output: Buffer;
  readonly lastWords: string;
};

function runFilter(text: Buffer, command: string, abort: AbortSignal | undefined): Promise<Ended> {
  return new Promise((resolve, reject) => {
    const child = spawn('/bin/sh', ['-c', command], { stdio: 'pipe', env: environment() });
    const output: Buffer[] = [];
    let size = 0;
    let words = Buffer.alloc(0);
    const stop = () => child.kill('SIGTERM');
    abort?.addEventListener('abort', stop, { once: true });
    child.stdout.on('data', (part: Buffer) => {
      size += part.length;
      if (size <= text.length + EXTRA_BYTES_MAX) output.push(part);
      else stop();
    });
    child.stderr.on('data', (part: Buffer) => {
      words = Buffer.concat([words, part]).subarray(-LAST_WORDS_BYTES);
    });
    // EPIPE only says that the command left first; its exit code and output tell the rest.
    child.stdin.on('error', () => undefined);
    child.once('error', reject);
    child.once('close', (code, signal) => {
      abort?.removeEventListener('abort', stop);
      const said = withoutCommand(words.toString('utf8').trim(), command);
      const lastWords = showText(said.split('\n').slice(-3).join(' / '));
      resolve({ code, signal, output: Buffer.concat(output), lastWords });
    });
    child.stdin.end(text);
  });
}

function failed(command: string, how: string, lastWords = ''): LbsError {
  const quoted = lastWords === '' ? '' : `: ${lastWords}`;
  return new LbsError(
    'filter-failed',
    `the signature filter "${shownCommand(command)}" ${how}${quoted}`,
    {
      hint: 'no snapshot was published; what was stored is used again by the next run',
    },
  );
}

function sameText(before: Buffer, after: Buffer): boolean {
  if (isSigned(after.toString('latin1'))) {
    const { lines } = parseClearSigned(after);
    const asked = signedLines(before);
    return lines.length === asked.length && lines.every((line, at) => line === asked[at]);
  }
  if (sealOf(after.toString('latin1')) === 'broken') return false;
  const asked = fieldsOf(before.toString('latin1'));
  const given = fieldsOf(after.toString('latin1'));
  if (asked.size !== given.size) return false;
  return [...asked].every(([key, value]) => given.get(key) === value);
}

function saysTheSame(before: Buffer, after: Buffer): boolean {
  try {
    return sameText(before, after);
  } catch (error) {
    // Unreadable is as bad as different; both are the filter's doing.
    if (error instanceof LbsError) return false;
    throw error;
  }
}

function throwIfInterrupted(abort: AbortSignal | undefined): void {
  if (abort?.aborted === true) throw new LbsError('interrupted', 'interrupted while signing');
}

/**
 * Gives `text` to the shell command `command` and returns what it writes, which must hold the
 * same text or at least the same fields. The command's standard input is a pipe, never the
 * terminal; it may ask for a passphrase on /dev/tty. `abort` ends it.
 * @throws {LbsError} filter-missing, filter-failed, interrupted
 */
export async function signWithFilter(
  text: Buffer,
  command: string,
  abort?: AbortSignal,
): Promise<Buffer> {
  throwIfInterrupted(abort);
  let ended: Ended;
  try {
    ended = await runFilter(text, command, abort);
  } catch (error) {
    throw failed(command, `cannot be run (${errnoName(error) ?? messageOf(error)})`);
  }
  const { code, signal, output, lastWords } = ended;
  throwIfInterrupted(abort);
  if (code === NOT_FOUND || code === CANNOT_EXECUTE) {
    const why = lastWords === '' ? '' : `: ${lastWords}`;
    const shown = shownCommand(command);
    throw new LbsError('filter-missing', `the signature filter "${shown}" cannot be run${why}`, {
      hint: 'install the program, or give its full path in --signature-filter',
    });
  }
  if (output.length > text.length + EXTRA_BYTES_MAX) throw failed(command, 'writes without end');
  if (signal !== null) throw failed(command, `was ended by ${signal}`, lastWords);
  if (code !== 0) throw failed(command, `exited with ${code}`, lastWords);
  if (output.length === 0) throw failed(command, 'wrote nothing', lastWords);
  if (!saysTheSame(text, output)) throw failed(command, 'changed the descriptor', lastWords);
  // What stands after a signature is not signed, and one line's end is what all the others write.
  return isSigned(output.toString('latin1'))
    ? Buffer.from(output.toString('latin1').trimEnd() + '\n', 'latin1')
    : output;
}
