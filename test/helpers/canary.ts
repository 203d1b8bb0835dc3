/**
 * Looks for secrets where they must not be: in what programs were started with, in what they wrote,
 * and in files that lie around afterwards.
 *
 * A secret of a test is a canary: a word that is nowhere else. It is looked for as it is, and as
 * the hexadecimal digits and base64 that a program could have made of it.
 */
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A program that was started, as `strace -f -v` tells. */
export type Started = {
  readonly pid: string;
  readonly argv: readonly string[];
  readonly env: readonly string[];
};

/** Words before the program that write what it starts, and all that it writes, to the file `log`. */
export function spying(log: string): string[] {
  const calls = 'execve,execveat,write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,prctl';
  return ['strace', '-f', '-z', '-v', '-s', '65536', '-o', log, '-e', `trace=${calls}`];
}

/** The part of the base64 of any text with `secret` in it that does not depend on what is around it. */
function base64Forms(secret: Buffer): string[] {
  return [0, 1, 2].map((before) => {
    const text = Buffer.concat([Buffer.alloc(before), secret]).toString('base64');
    const first = Math.ceil((before * 8) / 6);
    return text.slice(first, Math.floor(((before + secret.length) * 8) / 6));
  });
}

/** How strace writes bytes that are no text. */
function traceForm(secret: Buffer): string {
  const short: Readonly<Record<number, string>> = {
    9: '\\t',
    10: '\\n',
    11: '\\v',
    12: '\\f',
    13: '\\r',
  };
  return [...secret]
    .map((byte, at) => {
      if (byte === 0x22 || byte === 0x5c) return `\\${String.fromCharCode(byte)}`;
      if (byte >= 0x20 && byte < 0x7f) return String.fromCharCode(byte);
      const next = secret[at + 1] ?? 0;
      // All three digits are needed where another digit follows.
      const digits = byte.toString(8).padStart(next >= 0x30 && next <= 0x37 ? 3 : 1, '0');
      return short[byte] ?? `\\${digits}`;
    })
    .join('');
}

/** A secret in all the forms that are looked for. */
export class Canary {
  readonly name: string;
  readonly #forms: readonly Buffer[];

  constructor(name: string, secret: string | Buffer) {
    this.name = name;
    const bytes = Buffer.from(secret);
    const hex = bytes.toString('hex');
    this.#forms = [
      bytes,
      ...[hex, hex.toUpperCase(), traceForm(bytes), ...base64Forms(bytes)].map((form) =>
        Buffer.from(form),
      ),
    ];
  }

  isIn(text: string | Buffer): boolean {
    const bytes = Buffer.from(text);
    return this.#forms.some((form) => bytes.includes(form));
  }
}

function strings(text: string): string[] {
  return [...text.matchAll(/"((?:[^"\\]|\\.)*)"/g)].map(([, word = '']) => word);
}

/** All that was started. */
export function startedIn(log: string): Started[] {
  const line =
    /^(\d+) +execve(?:at)?\((?:\d+, )?"(?:[^"\\]|\\.)*", \[(.*?)\], \[(.*)\](?:, \w+)?\) = 0$/;
  return readFileSync(log, 'latin1')
    .split('\n')
    .flatMap((text) => {
      const [, pid, argv = '', env = ''] = line.exec(text) ?? [];
      return pid === undefined ? [] : [{ pid, argv: strings(argv), env: strings(env) }];
    });
}

/** Lines of the log that are about no start of a program: what was written, and names of threads. */
export function writtenIn(log: string): { readonly pid: string; readonly line: string }[] {
  return readFileSync(log, 'latin1')
    .split('\n')
    .filter((line) => line !== '' && !/^\d+ +(?:execve|\+\+\+|---)/.test(line))
    .map((line) => ({ pid: /^\d+/.exec(line)?.[0] ?? '', line }));
}

/** Regular files in and below directories in which one of the canaries is. */
export function filesWith(canaries: readonly Canary[], directories: readonly string[]): string[] {
  return directories.flatMap((directory) =>
    readdirSync(directory, { recursive: true, encoding: 'utf8' }).flatMap((name) => {
      const path = join(directory, name);
      if (!lstatSync(path).isFile()) return [];
      const bytes = readFileSync(path);
      return canaries
        .filter((canary) => canary.isIn(bytes))
        .map((canary) => `${path}: ${canary.name}`);
    }),
  );
}
