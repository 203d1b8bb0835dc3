/**
 * The configuration file: `key = value` lines, where a key is the long name of an option.
 *
 * Read by main once, before a command runs; the values then stand below those of the command
 * line (flag-values). The file names shell commands that a run, often root's, will start, so
 * one that somebody else can change is refused.
 *
 * Invariant: no message has a value in it, since a command may hold a passphrase.
 * Format: lbs(1), "CONFIGURATION".
 */
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { LbsError, errnoName, messageOf } from '../errors.ts';
import { showText } from '../std/byte-path.ts';
import type { Values } from './flag-values.ts';
import { nearestName } from './nearest-name.ts';
import { NO, YES } from './parse-flags.ts';

type Kind = 'value' | 'list' | 'switch';

const KIND_OF_KEY: ReadonlyMap<string, Kind> = new Map<string, Kind>([
  ['store', 'list'],
  ['localdb', 'value'],
  ['upload-script', 'value'],
  ['upload-protocol', 'value'],
  ['tmpdir', 'value'],
  ['scheme', 'value'],
  ['filter', 'value'],
  ['filter-extension', 'value'],
  ['encrypt-to', 'list'],
  ['decrypt-key', 'value'],
  ['signature-filter', 'value'],
  ['sign-key', 'value'],
  ['verify-key', 'value'],
  ['segment-size', 'value'],
  ['keep-last', 'value'],
  ['keep-hourly', 'value'],
  ['keep-daily', 'value'],
  ['keep-weekly', 'value'],
  ['keep-monthly', 'value'],
  ['keep-yearly', 'value'],
  ['keep-within', 'value'],
  ['keep-within-hourly', 'value'],
  ['keep-within-daily', 'value'],
  ['keep-within-weekly', 'value'],
  ['keep-within-monthly', 'value'],
  ['keep-within-yearly', 'value'],
  ['keep-tag', 'list'],
  ['exclude', 'list'],
  ['include', 'list'],
  ['rules', 'list'],
  ['dir-merge', 'list'],
  ['ignore-file', 'list'],
  ['unfilter', 'list'],
  ['exclude-if-present', 'list'],
  ['one-file-system', 'switch'],
  ['exclude-caches', 'switch'],
]);

/** Keys that a configuration file may have. */
export const CONFIG_KEYS: readonly string[] = [...KIND_OF_KEY.keys()];

const PASSPHRASE_HINT =
  'a passphrase is not for this file: set LBS_SIGN_PASSPHRASE_FILE or LBS_SIGN_PASSPHRASE_COMMAND in the environment';

/** Keys whose values are commands. */
const COMMAND_KEYS = ['filter', 'signature-filter', 'unfilter', 'upload-script'] as const;
/**
 * What a passphrase in a command looks like: an option, an assignment, and the way of openssl. Not what
 * names a file or descriptor with one, or takes it from a variable or a command. No more than a guess.
 */
const SECRET_IN_COMMAND = [
  /(?:^|\s)--pass(?:phrase|word|wd)?[= ]+(?!['"]?[-$`<&|])\S/i,
  /\bpass:(?!['"]?[$`])\S/i,
  /(?:^|[\s;&|=])\w*(?:PASSPHRASE|PASSWORD|PASSWD|SECRET|TOKEN|SECRET_ACCESS_KEY)=(?!['"]?[$`])\S/i,
] as const;
const READABLE_BY_OTHERS = 0o044;

const SYSTEM_FILE = '/etc/lbs.conf';
const WRITABLE_BY_OTHERS = 0o022;
const LINE_END = 0x0a;

function fail(place: string, message: string, hint?: string): never {
  throw new LbsError('config', `${place}: ${message}`, hint === undefined ? {} : { hint });
}

function switchValue(value: Buffer, place: string, key: string): Buffer {
  const text = value.toString();
  if (text === 'yes' || text === 'true') return YES;
  if (text === 'no' || text === 'false') return NO;
  return fail(place, `${key} is neither yes nor no`);
}

/** What stands before `=` may be no key, but a part of a command that was broken into lines. */
function unknownKey(place: string, key: string): never {
  if (!/^[A-Za-z][\w-]{0,31}$/.test(key)) return fail(place, 'not a "key = value" line');
  const near = nearestName(key, CONFIG_KEYS);
  const known =
    near === undefined ? `known keys: ${CONFIG_KEYS.join(', ')}` : `did you mean ${near}?`;
  const hint = /pass|secret/i.test(key) ? PASSPHRASE_HINT : known;
  return fail(place, `unknown key "${key}"`, hint);
}

/** Bytes without white space at both ends; the text is Latin-1, so nothing is lost. */
const trimmed = (text: string) => Buffer.from(text.replace(/^[ \t]+|[ \t\r]+$/g, ''), 'latin1');

/**
 * Reads the text of a configuration file; `file` names it in messages.
 * @throws {LbsError} config with file and line
 */
export function parseConfig(raw: Buffer, file: string): Values {
  const values = new Map<string, Buffer[]>();
  let number = 0;
  for (let start = 0; start < raw.length;) {
    const found = raw.indexOf(LINE_END, start);
    const end = found < 0 ? raw.length : found;
    const line = raw.toString('latin1', start, end);
    start = end + 1;
    const place = `${showText(file)}, line ${++number}`;
    if (/^\s*(?:#|$)/.test(line)) continue;
    const equals = line.indexOf('=');
    if (equals < 0) fail(place, 'not a "key = value" line');
    const key = trimmed(line.slice(0, equals)).toString();
    const value = trimmed(line.slice(equals + 1));
    // `dest` is the other name of `store` everywhere else, so here too.
    const name = key === 'dest' ? 'store' : key;
    const kind = KIND_OF_KEY.get(name);
    if (kind === undefined) return unknownKey(place, key);
    if (value.length === 0) fail(place, `${key} has no value`);
    if (kind === 'value' && values.has(name)) fail(place, `${key} is given twice`);
    const item = kind === 'switch' ? switchValue(value, place, key) : value;
    values.set(name, [...(kind === 'list' ? (values.get(name) ?? []) : []), item]);
  }
  return values;
}

/** Which file to read, and whether it was asked for (then it must exist). */
export function findConfig(
  option: string | undefined,
  env: NodeJS.ProcessEnv,
): { readonly files: readonly string[]; readonly isRequired: boolean } {
  const asked = option ?? env['LBS_CONFIG'];
  // Set to nothing: no file at all, for scripts that must not depend on the machine.
  if (asked !== undefined) return { files: asked === '' ? [] : [asked], isRequired: true };
  const base = env['XDG_CONFIG_HOME'];
  const home = env['HOME'];
  // The XDG specification says that a relative path there is to be ignored.
  const folder = base?.startsWith('/')
    ? base
    : home?.startsWith('/')
      ? `${home}/.config`
      : undefined;
  const own = folder === undefined ? [] : [`${folder}/lbs/config`];
  return { files: [...own, SYSTEM_FILE], isRequired: false };
}

/** Tells of a passphrase that others may read. */
function warnOfSecrets(values: Values, fd: number, file: string, warn: (text: string) => void) {
  if ((fstatSync(fd).mode & READABLE_BY_OTHERS) === 0) return;
  const holds = (key: string) =>
    values.get(key)?.some((value) => SECRET_IN_COMMAND.some((look) => look.test(String(value))));
  for (const key of COMMAND_KEYS.filter(holds)) {
    const shown = showText(file);
    warn(
      `${shown}: others may read it, and ${key} seems to hold a passphrase; see lbs-filters(7), "SECRETS", and: chmod go-r ${shown}`,
    );
  }
}

/** The bytes of a file that only its owner (this user or root) can change. */
function readTrusted(fd: number, file: string): Buffer {
  // Checked on the open file: by its path it could be another one by the time it is read.
  const status = fstatSync(fd);
  const raw = readFileSync(fd);
  const self = process.geteuid?.();
  if (raw.length === 0) return raw;
  if ((status.mode & WRITABLE_BY_OTHERS) !== 0) {
    return fail(
      showText(file),
      'not used, because others may write to it and it names commands that lbs runs',
      `make it yours alone: chmod go-w ${showText(file)}`,
    );
  }
  if (status.uid !== 0 && status.uid !== self) {
    return fail(
      showText(file),
      'not used, because it belongs to another user and names commands that lbs runs',
      `take it over: chown ${self ?? ''} ${showText(file)}`,
    );
  }
  return raw;
}

/**
 * Reads the first configuration file there is; no values when there is none. `warn` is told of a
 * passphrase in it that others may read.
 * @throws {LbsError} config when a file that was asked for is missing, or a file is unusable
 */
export function readConfig(
  option: string | undefined,
  env: NodeJS.ProcessEnv,
  warn: (text: string) => void = () => undefined,
): Values {
  const { files, isRequired } = findConfig(option, env);
  for (const file of files) {
    let fd: number;
    try {
      fd = openSync(file, 'r');
    } catch (cause) {
      const isMissing = ['ENOENT', 'ENOTDIR'].includes(errnoName(cause) ?? '');
      if (isMissing && !isRequired) continue;
      const why = isMissing ? 'no such configuration file' : messageOf(cause);
      throw new LbsError('config', `${showText(file)}: ${why}`, { cause });
    }
    try {
      const values = parseConfig(readTrusted(fd, file), file);
      warnOfSecrets(values, fd, file, warn);
      return values;
    } catch (cause) {
      if (cause instanceof LbsError) throw cause;
      throw new LbsError('config', `${showText(file)}: ${messageOf(cause)}`, { cause });
    } finally {
      closeSync(fd);
    }
  }
  return new Map();
}
