/**
 * The passphrase of a key that signs or decrypts, and how it is kept away from everybody else.
 *
 * It comes from the environment, from a file or from a command, never from the command line,
 * which every user of the machine can read. Called by who opens a secret key; whoever starts a
 * program (filters, commands) passes it `withoutSecrets(process.env)`.
 *
 * Invariant: a secret never becomes part of a message, a report or another program's environment.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { LbsError, errnoName, messageOf } from '../errors.ts';

/** What a passphrase unlocks; a part of the names of the variables that lead to it. */
export type KeyPurpose = 'SIGN' | 'DECRYPT';

/** Which of the variables, of which the first that is set is taken. */
const SOURCES = ['', '_FILE', '_COMMAND'] as const;
type Source = (typeof SOURCES)[number];

export type PassphraseVariable = `LBS_${KeyPurpose}_PASSPHRASE${Source}`;

const PURPOSES: readonly KeyPurpose[] = ['SIGN', 'DECRYPT'];

function variableOf(purpose: KeyPurpose, source: Source): PassphraseVariable {
  return `LBS_${purpose}_PASSPHRASE${source}`;
}

/** Where passphrases may come from. */
export const PASSPHRASE_VARIABLES: readonly PassphraseVariable[] = PURPOSES.flatMap((purpose) =>
  SOURCES.map((source) => variableOf(purpose, source)),
);

/** A passphrase, and which variable it came from, for messages. */
export type Passphrase = { readonly value: string; readonly variable: PassphraseVariable };

/** What a passphrase command may print; more than that is not a passphrase. */
const OUTPUT_BYTES_MAX = 64 * 1024;

/** What `takeSecrets` has found. */
const taken = new Map<PassphraseVariable, string>();

/**
 * Takes the variables that lead to secrets out of the environment of this program, before anything
 * else is done: what is started later cannot inherit them by a mistake, and no report of the runtime
 * on itself has them. True when there were any. `passphraseFor` still finds them.
 */
export function takeSecrets(env: NodeJS.ProcessEnv = process.env): boolean {
  for (const name of PASSPHRASE_VARIABLES) {
    const value = env[name];
    if (value === undefined) continue;
    taken.set(name, value);
    delete env[name];
  }
  return taken.size > 0;
}

/** What a variable says, or said when the program started; undefined when that is nothing. */
function valueOf(name: PassphraseVariable, env: NodeJS.ProcessEnv): string | undefined {
  const value = env[name] ?? taken.get(name);
  return value === '' ? undefined : value;
}

/** A copy of an environment for child processes, without the variables that lead to secrets. */
export function withoutSecrets(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const kept = { ...env };
  for (const name of PASSPHRASE_VARIABLES) delete kept[name];
  return kept;
}

function firstLine(text: string): string {
  return text.split(/\r?\n/, 1)[0] ?? '';
}

function unusable(variable: PassphraseVariable, why: string, cause?: unknown): LbsError {
  const code = variable.startsWith('LBS_SIGN_') ? 'signature-key' : 'decryption-key';
  return new LbsError(code, `no passphrase from ${variable}: ${why}`, { cause });
}

function readPassphraseFile(variable: PassphraseVariable, file: string): string {
  try {
    return firstLine(readFileSync(file, 'utf8'));
  } catch (error) {
    throw unusable(variable, `cannot read ${file}: ${messageOf(error)}`, error);
  }
}

/**
 * First line of what a shell command prints. Its standard error is ours, so that it can ask for
 * something ("touch the key"); what it prints is in no message, since that is the secret.
 */
async function runPassphraseCommand(
  variable: PassphraseVariable,
  command: string,
  env: NodeJS.ProcessEnv,
): Promise<string> {
  const child = spawn('/bin/sh', ['-c', command], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: withoutSecrets(env),
  });
  const parts: Buffer[] = [];
  let size = 0;
  child.stdout.on('data', (part: Buffer) => {
    size += part.length;
    if (size <= OUTPUT_BYTES_MAX) parts.push(part);
    else child.kill();
  });
  const [code, signal] = await new Promise<[number | null, string | null]>((resolve, reject) => {
    child.once('error', (error) => {
      reject(unusable(variable, `the command cannot be run: ${errnoName(error)}`, error));
    });
    child.once('close', (...ended) => resolve(ended));
  });
  if (size > OUTPUT_BYTES_MAX) throw unusable(variable, 'the command prints too much');
  if (signal !== null) throw unusable(variable, `the command was ended by ${signal}`);
  if (code !== 0) throw unusable(variable, `the command ended with exit code ${code}`);
  return firstLine(Buffer.concat(parts).toString('utf8'));
}

/**
 * The passphrase of a key; undefined when none of the variables of its purpose is set to anything.
 * @throws {LbsError} signature-key or decryption-key when the file or command that is named gives none
 */
export async function passphraseFor(
  purpose: KeyPurpose,
  env: NodeJS.ProcessEnv,
): Promise<Passphrase | undefined> {
  for (const source of SOURCES) {
    const variable = variableOf(purpose, source);
    const set = valueOf(variable, env);
    if (set === undefined) continue;
    if (source === '') return { value: set, variable };
    const value =
      source === '_FILE'
        ? readPassphraseFile(variable, set)
        : await runPassphraseCommand(variable, set, env);
    if (value === '') throw unusable(variable, 'its first line is empty');
    return { value, variable };
  }
  return undefined;
}
